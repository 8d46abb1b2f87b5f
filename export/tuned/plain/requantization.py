"""Requantization without long products: what the kernels of firmware/kernels/tuned/plain want for each output.

TFLite Micro rounds twice: x = floor((sum m + 2^30) / 2^31), then, to the right by s, floor((x + 2^(s - 1)) / 2^s), of
negative x with 1 less. The floor of a floor is one floor: (sum m + offset) >> (31 + s), where 2^30 + 2^(30 + s) and the
zero point are in the offset, and 2^31 less for a negative sum. The multiplier m has 31 bits: it is multiplied in three
parts, from the lowest, and what lies below 2^22 drops out on the way, for the offset is a multiple of that.

Outputs that are the same whatever the input (trained nets have some, of large biases) are a multiplier of 0.
"""

import numpy as np

from export.arithmetic import INT8_MAX, INT8_MIN, high_multiply, rounding_shift
from export.graph import GraphOp
from export.tuned.requantization import Mix, signed_outputs

PART_BITS = 11
LARGEST_SUM = 2 ** (31 - PART_BITS)  # times a part
MOST_SHIFT = 14                      # to the right; a zero point then fits behind it
FIXED_SHIFT = 20                     # of a constant

_rounding_shift = np.vectorize(rounding_shift, otypes=[np.int64])


def takes(mix: Mix) -> bool:
    """Whether no product overflows. Of sums that may become negative outputs there is always a second rounding."""
    fits = (mix.reach <= LARGEST_SUM) & (-mix.shift >= (0 if mix.rectified else 1)) & (-mix.shift <= MOST_SHIFT)
    return bool((fits | is_constant(mix)).all())


def constants(mix: Mix, bias: np.ndarray) -> np.ndarray:
    """int32 [outputs, 4]; see kws_plain.h. bias: int64 [outputs]."""
    dropped, right = 2 * PART_BITS, np.clip(-mix.shift, 0, MOST_SHIFT)
    half = np.where(right > 0, np.int64(1) << (30 + right), 0)
    offset = (2**30 + half + (np.int64(mix.result_zero_point) << (31 + right))) >> dropped
    part = 2**PART_BITS - 1
    low = (mix.multiplier & part) | (mix.multiplier >> PART_BITS & part) << 16
    high = mix.multiplier >> dropped | (31 + right - dropped) << 16
    moving = np.stack([bias, offset, low, high], axis=1)
    return np.where(is_constant(mix)[:, None], _fixed(outputs(mix)[0]), moving).astype(np.int32)


def _fixed(values: np.ndarray) -> np.ndarray:
    """int64 [outputs, 4] of outputs that are these."""
    zeros = np.zeros_like(values)
    middle = (values << FIXED_SHIFT) + (1 << FIXED_SHIFT - 1)
    return np.stack([zeros, middle, zeros, zeros + (FIXED_SHIFT << 16)], axis=1)


def is_constant(mix: Mix) -> np.ndarray:
    """bool [outputs]: whether the output is the same for the smallest sum and the largest, and so for all."""
    lowest, highest = outputs(mix)
    return lowest == highest


def outputs(mix: Mix) -> np.ndarray:
    """int64 [2, outputs], for the smallest sum and for the largest."""
    weights, left = mix.weights.astype(np.int64), np.maximum(mix.shift, 0)
    products = np.stack([weights * INT8_MIN, weights * INT8_MAX])
    sums = mix.bias + np.stack([products.min(0).sum(1), products.max(0).sum(1)])
    scaled = _rounding_shift(high_multiply(sums << left, mix.multiplier), np.maximum(-mix.shift, 0))
    return np.clip(scaled + mix.result_zero_point, *mix.range)


def function(name: str, op: GraphOp) -> str:
    """The C function of this name that rounds as the outputs need it."""
    return name if signed_outputs(op, 1) else f"{name}_rectified"
