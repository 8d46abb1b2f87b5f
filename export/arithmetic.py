"""TFLite Micro's quantized arithmetic: what turns scales into the integers that C and ONNX compute with.

Sources: TFLite Micro's kernels/internal/quantization_util and kernel_util, and gemmlowp's fixedpoint.h, whose results
are matched bit for bit. A requantization rounds twice: value * multiplier / 2^31 to nearest (halves up), then
/ 2^-shift to nearest (halves away from zero).
"""

from dataclasses import dataclass
from math import ceil, exp, floor, frexp

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
EXP_INTEGER_BITS = 5   # of softmax's scaled differences: Q5.26
SUM_INTEGER_BITS = 12  # of softmax's sum of exponentials: Q12.19
ADD_LEFT_SHIFT = 20    # of ADD's inputs, so that their common scale keeps its bits
MAX_SCORES = 256       # of a softmax: beyond, TFLite Micro's last shift would exceed 31 bits


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) with real = multiplier / 2^31 * 2^shift, multiplier in [2^30, 2^31)."""
    if real == 0:
        return 0, 0
    mantissa, shift = frexp(real)
    multiplier = floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def channel_multipliers(input_scale, weight_scale, output_scale, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts of a (depthwise) convolution, int32 [channels] each: double products of float32 scales."""
    reals = float(input_scale) * np.asarray(weight_scale, np.float64) / float(output_scale)
    pairs = [quantize_multiplier(real) for real in np.broadcast_to(reals, channels)]
    multipliers, shifts = zip(*pairs, strict=True)
    return np.array(multipliers, np.int32), np.array(shifts, np.int32)


def dense_multiplier(input_scale, weight_scale, output_scale) -> tuple[int, int]:
    """Of a fully-connected layer: TFLite Micro takes the product of the scales in float32."""
    return quantize_multiplier(float(np.float32(input_scale) * np.float32(weight_scale)) / float(output_scale))


def requantize_multiplier(input_scale, output_scale) -> tuple[int, int]:
    """Of QUANTIZE and RELU: the ratio of float32 scales in double. (In TFLite Micro's sources of August 2026 RELU's is
    float32; in its PyPI package of October it is not.)"""
    return quantize_multiplier(float(input_scale) / float(output_scale))


def mean_multiplier(input_scale, output_scale, count: int) -> tuple[int, int]:
    """Of MEAN over `count` values: the ratio of scales divided by the count, its bits kept by a shift
    (reference/reduce.h, QuantizedMeanOrSum)."""
    multiplier, shift = requantize_multiplier(input_scale, output_scale)
    gained = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << gained) // count, shift - gained


def add_multipliers(first_scale, second_scale, output_scale) -> tuple[tuple[int, int], ...]:
    """Of ADD, for the first input, the second, and the output: the inputs are brought to twice the larger scale,
    ADD_LEFT_SHIFT bits up (add_common.cc)."""
    twice = 2 * max(float(first_scale), float(second_scale))
    reals = (float(first_scale) / twice, float(second_scale) / twice, twice / (2**ADD_LEFT_SHIFT * float(output_scale)))
    return tuple(quantize_multiplier(real) for real in reals)


def activation_range(activation: str, scale, zero_point: int) -> tuple[int, int]:
    """(min, max) of the int8 output behind a fused activation: NONE, RELU, RELU6 or RELU_N1_TO_1."""
    low, high = {"NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0),
                 "RELU_N1_TO_1": (-1.0, 1.0)}[activation]
    return (INT8_MIN if low is None else max(INT8_MIN, _quantize(low, scale, zero_point)),
            INT8_MAX if high is None else min(INT8_MAX, _quantize(high, scale, zero_point)))


def _quantize(real: float, scale, zero_point: int) -> int:
    """float32 division, halves away from zero."""
    steps = float(np.float32(real) / np.float32(scale))
    return int(zero_point) + int(np.copysign(floor(abs(steps) + 0.5), steps))


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TFLite's SAME: (before, after) so that ceil(size / stride) windows fit; the odd one is at the end."""
    needed = max(0, (ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return needed // 2, needed - needed // 2


def window_count(size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """How many windows fit along one padded axis."""
    return (size + sum(padding) - (kernel - 1) * dilation - 1) // stride + 1


@dataclass(frozen=True)
class SoftmaxParameters:
    """Scales an int8 difference to Q5.26; below diff_min a probability is 0."""

    multiplier: int
    shift: int
    diff_min: int


def softmax_scale(input_scale, beta: float) -> float:
    """Of a difference, in steps of Q5.26; TFLite Micro takes those above 1."""
    return float(np.float32(beta)) * float(input_scale) * 2.0 ** (31 - EXP_INTEGER_BITS)


def softmax_parameters(input_scale, beta: float) -> SoftmaxParameters:
    multiplier, shift = quantize_multiplier(min(softmax_scale(input_scale, beta), 2.0**31 - 1))
    radius = floor((2**EXP_INTEGER_BITS - 1) * 2.0 ** (31 - EXP_INTEGER_BITS) / 2.0**shift)
    return SoftmaxParameters(multiplier, shift, -radius)


def softmax_exponentials(parameters: SoftmaxParameters) -> np.ndarray:
    """int64 [256]: exp of the int8 difference -i in Q0.31; 0 where it lies below diff_min."""
    def entry(diff: int) -> int:
        scaled = high_multiply(diff << parameters.shift, parameters.multiplier)
        return _exp_of_negative(scaled) if diff >= parameters.diff_min else 0

    return np.array([entry(-i) for i in range(256)], np.int64)


def high_multiply(a: int, b: int) -> int:
    """a b / 2^31 to nearest, halves up."""
    return (a * b + (1 << 30)) >> 31


def rounding_shift(value: int, exponent: int) -> int:
    """value / 2^exponent to nearest, halves away from zero."""
    half = (1 << exponent) >> 1
    return (value + half) >> exponent if value >= 0 else -((half - value) >> exponent)


def _q31(real: float) -> int:
    return floor(real * 2**31 + 0.5)


def _exp_of_negative(value: int) -> int:
    """exp of a Q5.26 value <= 0 in Q0.31: a polynomial on [-1/4, 0), times exp(-2^k) for each bit above."""
    if value == 0:
        return 2**31 - 1
    fraction_bits = 31 - EXP_INTEGER_BITS
    quarter = 1 << (fraction_bits - 2)
    remainder = (value & (quarter - 1)) - quarter
    result = _exp_near_zero(remainder << EXP_INTEGER_BITS)
    for exponent in range(-2, EXP_INTEGER_BITS):
        if (remainder - value) >> (fraction_bits + exponent) & 1:
            result = high_multiply(result, _q31(exp(-(2.0**exponent))))
    return result


def _exp_near_zero(value: int) -> int:
    """exp on [-1/4, 0), Q0.31 both: Taylor's series to the fourth power about -1/8."""
    x = value + (1 << 28)
    x2 = high_multiply(x, x)
    x3, x4 = high_multiply(x2, x), high_multiply(x2, x2)
    tail = rounding_shift(high_multiply(rounding_shift(x4, 2) + x3, _q31(1 / 3)) + x2, 1)
    constant = _q31(exp(-1 / 8))
    return constant + high_multiply(constant, x + tail)
