"""The rules that several operators share. Each yields its breaches; its docstring is the rule."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from export.arithmetic import INT8_MAX, INT8_MIN, same_padding, window_count
from export.graph import Tensor, Window
from export.operators.operator import Breach, Call

MAX_ACTIVATION_BYTES = 1 << 24
MAX_EXTENT = 1 << 15  # of kernels, strides and dilations

ACTIVATIONS = {value: name for name, value in vars(schema.ActivationFunctionType).items()
               if name in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")}


SMALLEST_SCALE, LARGEST_SCALE = 1e-18, 1e18  # their products and ratios are ordinary float32 numbers
SMALLEST_LIMITED_SCALE = 1e-8                # 6 steps of it stay within 32 bits


def _usable(scale: np.ndarray) -> bool:
    return len(scale) > 0 and bool(((scale >= SMALLEST_SCALE) & (scale <= LARGEST_SCALE)).all())


def _shown(scale: np.ndarray) -> str:
    """The first few of them."""
    return f"[{', '.join(f'{value:.6g}' for value in scale[:4])}{', ...' if len(scale) > 4 else ''}]"


def activations_are_computed(call: Call) -> Iterator[Breach]:
    """Activations are computed, not constant or absent."""
    for tensor in call.computed:
        if tensor is None or tensor.data is not None:
            yield tensor, "is absent" if tensor is None else "is constant"


def activations_are_int8(call: Call) -> Iterator[Breach]:
    """Activations are int8."""
    for tensor in call.computed:
        if tensor.dtype != "int8":
            yield tensor, f"is {tensor.dtype}"


def activations_have_shapes(call: Call) -> Iterator[Breach]:
    """Activations have a batch of 1, 2 to 4 dimensions from 1 up, and at most 2^24 values."""
    for tensor in call.computed:
        if not 2 <= len(tensor.shape) <= 4 or tensor.shape[0] != 1 or min(tensor.shape) < 1:
            yield tensor, f"has shape {tensor.shape}"
        elif tensor.elements > MAX_ACTIVATION_BYTES:
            yield tensor, f"has shape {tensor.shape}, {tensor.elements} values"


def activations_are_quantized(call: Call) -> Iterator[Breach]:
    """Activations have one scale from 1e-18 to 1e18 and a zero point that their type can hold."""
    for tensor in call.computed:
        if len(tensor.scale) != 1 or not _usable(tensor.scale):
            yield tensor, f"has the scales {_shown(tensor.scale)}" if len(tensor.scale) else "has no quantization"
        elif not np.iinfo(tensor.dtype).min <= tensor.zero_point[0] <= np.iinfo(tensor.dtype).max:
            yield tensor, f"has zero point {tensor.zero_point[0]}"


INT8_ACTIVATIONS = (activations_are_computed, activations_are_int8, activations_have_shapes, activations_are_quantized)


def activations_are_planes(call: Call) -> Iterator[Breach]:
    """Activations have the shape [1, h, w, c]."""
    for tensor in call.computed:
        if len(tensor.shape) != 4:
            yield tensor, f"has shape {tensor.shape}"


def output_has_input_shape(call: Call) -> Iterator[Breach]:
    """The output has the shape of every input."""
    for tensor in call.computed[:-1]:
        if tensor.shape != call.result.shape:
            yield call.result, f"has shape {call.result.shape}, {tensor.name} has {tensor.shape}"


def output_has_input_quantization(call: Call) -> Iterator[Breach]:
    """The output has its input's scale and zero point."""
    x, result = call.x, call.result
    if x.scale[0] != result.scale[0] or x.zero_point[0] != result.zero_point[0]:
        yield result, (f"has scale {result.scale[0]:.6g} and zero point {result.zero_point[0]}, its input "
                       f"{x.scale[0]:.6g} and {x.zero_point[0]}")


def output_keeps_channels(call: Call) -> Iterator[Breach]:
    """The output has its input's channels."""
    if call.result.shape[3] != call.x.shape[3]:
        yield call.result, f"has {call.result.shape[3]} channels, its input {call.x.shape[3]}"


def activation_is_a_clamp(call: Call) -> Iterator[Breach]:
    """The fused activation is NONE, RELU, RELU6 or RELU_N1_TO_1."""
    if call.options.fusedActivationFunction not in ACTIVATIONS:
        yield call.result, f"fuses activation number {call.options.fusedActivationFunction}"


def activation_of(call: Call) -> str:
    return ACTIVATIONS[call.options.fusedActivationFunction]


def limit_has_steps(call: Call) -> Iterator[Breach]:
    """A RELU6 or RELU_N1_TO_1, fused or not, has an output scale of 1e-8 or more."""
    activation = call.raw.kind if call.options is None else activation_of(call)
    if activation in ("RELU6", "RELU_N1_TO_1") and call.result.scale[0] < SMALLEST_LIMITED_SCALE:
        yield call.result, f"has scale {call.result.scale[0]:.6g} behind {activation}"


CLAMP = (activation_is_a_clamp, limit_has_steps)


def _constancy(tensor: Tensor) -> str:
    return "computed" if tensor.data is None else "constant"


def weights_are_int8(call: Call) -> Iterator[Breach]:
    """Weights are constant int8."""
    weight = call.constant
    if weight is None or weight.data is None or weight.dtype != "int8":
        yield weight, "is absent" if weight is None else f"is {_constancy(weight)} {weight.dtype}"


def weights_are_symmetric(call: Call) -> Iterator[Breach]:
    """Weights have scales from 1e-18 to 1e18 and zero points 0."""
    weight = call.constant
    if not _usable(weight.scale) or weight.zero_point.any():
        yield weight, f"has scales {_shown(weight.scale)} and zero points {weight.zero_point[:4].tolist()}"


def weight_scales(call: Call, axis: int, channels: int) -> Iterator[Breach]:
    """The breaches of a rule on weights: one scale, or one for each of `channels` along `axis`."""
    weight = call.constant
    if len(weight.scale) not in (1, channels):
        yield weight, f"has {len(weight.scale)} scales for {channels} output channels"
    elif len(weight.scale) > 1 and weight.axis != axis:
        yield weight, f"has {len(weight.scale)} scales along axis {weight.axis}"


def biases_are_int32(call: Call) -> Iterator[Breach]:
    """Biases are left out, or constant int32, one per output channel."""
    bias = call.bias
    if bias is not None and (bias.data is None or bias.dtype != "int32" or bias.data.size != call.result.shape[-1]):
        yield bias, (f"is {_constancy(bias)} {bias.dtype} of shape {bias.shape} for {call.result.shape[-1]} channels")


def window_is_small(call: Call) -> Iterator[Breach]:
    """Kernel, stride and dilation are from 1 to 32768, and a dilation's step stays within 2^31 bytes."""
    kernel, stride, dilation = window_sizes(call)
    row_bytes = call.x.shape[2] * call.x.shape[3]
    sizes = (*kernel, *stride, *dilation)
    if not all(1 <= size <= MAX_EXTENT for size in sizes) or dilation[0] * row_bytes >= 1 << 31:
        yield call.result, (f"comes from kernel {kernel}, stride {stride}, dilation {dilation}, over rows of "
                            f"{row_bytes} bytes")


def window_fills_output(call: Call) -> Iterator[Breach]:
    """The output's height and width are those that kernel, stride, dilation and padding give."""
    counts = tuple(map(window_count, call.x.shape[1:3], *window_sizes(call), _paddings(call)))
    if counts != call.result.shape[1:3]:
        yield call.result, f"has height and width {call.result.shape[1:3]}, its window gives {counts}"


WINDOW = (window_is_small, window_fills_output)


def window_sizes(call: Call) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(rows, columns) of kernel, stride and dilation."""
    options = call.options
    if isinstance(options, schema.Pool2DOptionsT):
        return (options.filterHeight, options.filterWidth), (options.strideH, options.strideW), (1, 1)
    dilation = (options.dilationHFactor, options.dilationWFactor)
    return call.constant.shape[1:3], (options.strideH, options.strideW), dilation


def _paddings(call: Call) -> list[tuple[int, int]]:
    """(before, after) of rows and of columns."""
    if call.options.padding != schema.Padding.SAME:
        return [(0, 0), (0, 0)]
    return [same_padding(*sizes) for sizes in zip(call.x.shape[1:3], *window_sizes(call), strict=True)]


def window_of(call: Call, multiplier: int = 1) -> Window:
    kernel, stride, dilation = window_sizes(call)
    return Window(kernel, stride, dilation, *zip(*_paddings(call), strict=True), multiplier)


def largest_input(x: Tensor) -> int:
    """Largest |q - zero point| of an int8 tensor."""
    return max(INT8_MAX - int(x.zero_point[0]), int(x.zero_point[0]) - INT8_MIN)


MAX_WEIGHTS = 1 << 16                                # of one output
MAX_LEFT_SHIFT = 30
LARGEST_SUM = (1 << 31) - 1 - (INT8_MAX - INT8_MIN)  # leaves room for a zero point


def accumulator_breach(call: Call, weight: np.ndarray, shifts) -> Iterator[Breach]:
    """The breaches of a rule on sums. weight: int8 [channels, ...]; shifts: of the requantization."""
    if weight[0].size > MAX_WEIGHTS:
        yield call.constant, f"has {weight[0].size} weights for each output"
    reach = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1) * largest_input(call.x)
    if call.bias is not None:
        reach += np.abs(call.bias.data.astype(np.int64)).ravel()
    left = np.maximum(np.broadcast_to(shifts, len(reach)), 0).astype(np.int64)
    over = (left > MAX_LEFT_SHIFT) | (reach > LARGEST_SUM >> left)
    if over.any():
        worst = int(np.argmax(over))
        yield call.constant, f"lets the sum of output channel {worst} reach {reach[worst]}, times 2^{left[worst]}"


def rescaling_breach(call: Call, magnitude: int, shift: int) -> Iterator[Breach]:
    """The same of a tensor whose values, of at most this magnitude, are scaled one by one."""
    if shift > MAX_LEFT_SHIFT or magnitude > LARGEST_SUM >> max(shift, 0):
        yield call.result, (f"has scale {call.result.scale[0]:.6g}, its input {call.x.scale[0]:.6g}: "
                            f"up to {magnitude} times 2^{shift}")
