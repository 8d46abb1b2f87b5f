"""Graph to ONNX, bit for bit what TFLite Micro computes, in stock operators; and the float net for comparison.

Between ops a tensor is float32 q - zero_point, planes in NCHW: zero padding is then right, and the sums of a
convolution are exact integers while they stay under 2^24. Requantization runs in 64-bit integers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from datasets.console import UserError
from export.arithmetic import (
    MAX_SCORES,
    SUM_INTEGER_BITS,
    activation_range,
    channel_multipliers,
    dense_multiplier,
    rounding_shift,
    same_padding,
    softmax_exponentials,
    softmax_parameters,
)
from export.graph import Graph, Op, Tensor, Window, bias_of
from export.net import FloatLayer, FloatNet
from export.onnx_builder import Builder, value_info

EXACT_FLOAT32 = 1 << 24  # integers up to here, and their sums in any order
INPUT, OUTPUT = "input", "scores"


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """int8 [n, *input shape] `input` to int8 [n, *output shape] `scores`, any n; the scores are TFLite Micro's."""
    context = _Context(graph, Builder(), {})
    context.names[graph.inputs[0]] = _from_int8(context.build, INPUT, graph.input)
    for op in graph.ops:
        context.names[op.outputs[0]] = EMITTERS[op.kind](context, op)
    _to_int8(context.build, context.names[graph.outputs[0]], graph.output)
    return context.build.model([value_info(INPUT, np.int8, graph.input.shape[1:])],
                               [value_info(OUTPUT, np.int8, graph.output.shape[1:])], f"int8 {graph.sha256}")


@dataclass(frozen=True)
class _Context:
    """names: of each activation written so far, by tensor index."""

    graph: Graph
    build: Builder
    names: dict[int, str]

    def input_of(self, op: Op) -> str:
        return self.names[op.inputs[0]]


def _from_int8(build: Builder, name: str, tensor: Tensor) -> str:
    value = build.node("Sub", build.cast(name, np.float32), build.constant(tensor.zero_point[0], np.float32))
    return _to_planes(build, value, tensor)


def _to_int8(build: Builder, name: str, tensor: Tensor) -> None:
    value = build.node("Add", _to_rows(build, name, tensor), build.constant(tensor.zero_point[0], np.float32))
    build.node("Cast", value, to=onnx.TensorProto.INT8)
    build.nodes[-1].output[0] = OUTPUT


def _to_planes(build: Builder, name: str, tensor: Tensor) -> str:
    """NHWC to NCHW, where there is a plane."""
    return build.node("Transpose", name, perm=(0, 3, 1, 2)) if len(tensor.shape) == 4 else name


def _to_rows(build: Builder, name: str, tensor: Tensor) -> str:
    return build.node("Transpose", name, perm=(0, 2, 3, 1)) if len(tensor.shape) == 4 else name


def _conv(context: _Context, op: Op) -> str:
    weight = context.graph.operands(op)[1].data.transpose(0, 3, 1, 2)  # [out_c, in_c, kh, kw]
    return _convolution(context, op, weight, 1)


def _depthwise(context: _Context, op: Op) -> str:
    x, weight = context.graph.operands(op)[:2]
    return _convolution(context, op, weight.data.transpose(3, 0, 1, 2), x.shape[3])  # [out_c, 1, kh, kw]


def _convolution(context: _Context, op: Op, weight: np.ndarray, group: int) -> str:
    x, tensor = context.graph.operands(op)[:2]
    result = context.graph.result(op)
    requantize = channel_multipliers(x.scale[0], tensor.scale, result.scale[0], result.shape[3])
    attributes = {**_window_attributes(op.window), "group": group}

    def product(values: np.ndarray, bias: np.ndarray) -> str:
        constants = (context.build.constant(array, np.float32) for array in (values, bias))
        return context.build.node("Conv", context.input_of(op), *constants, **attributes)

    sums = _sums(context, op, weight, product)
    return _requantized(context, op, sums, *(values.reshape(-1, 1, 1) for values in requantize))


def _window_attributes(window: Window) -> dict:
    return {"kernel_shape": window.kernel, "strides": window.stride, "dilations": window.dilation,
            "pads": (*window.padding_before, *window.padding_after)}


def _fully_connected(context: _Context, op: Op) -> str:
    x, weight = context.graph.operands(op)[:2]
    result, build = context.graph.result(op), context.build
    rows = build.node("Flatten", _to_rows(build, context.input_of(op), x))

    def product(values: np.ndarray, bias: np.ndarray) -> str:
        return build.node("Gemm", rows, build.constant(values.T, np.float32), build.constant(bias, np.float32))

    multiplier, shift = dense_multiplier(x.scale[0], weight.scale[0], result.scale[0])
    return _requantized(context, op, _sums(context, op, weight.data, product), np.array(multiplier), np.array(shift))


@dataclass(frozen=True)
class _Sums:
    """Accumulators, bias included: a float32 or an int64 tensor of exact integers."""

    name: str
    dtype: type


def _sums(context: _Context, op: Op, weight: np.ndarray, product: Callable[[np.ndarray, np.ndarray], str]) -> _Sums:
    """All in float32 where that is exact; else the bias in int64; else the weights in two halves of four bits too.

    weight: int8 [out_c, ...]; product(weight, bias) adds the node.
    """
    build, bias, weight = context.build, bias_of(context.graph, op).astype(np.int64), weight.astype(np.int64)
    zero_point = int(context.graph.operands(op)[0].zero_point[0])
    largest = max(128 + zero_point, 127 - zero_point)
    if _fits(weight, bias, largest):
        return _Sums(product(weight, bias), np.float32)
    zeros, parts = np.zeros_like(bias), [weight]
    if not _fits(weight, zeros, largest):
        low = (weight + 8) % 16 - 8
        parts = [low, (weight - low) // 16]
    if not all(_fits(part, zeros, largest) for part in parts):
        raise UserError(f"{op.kind}: tensor {context.graph.operands(op)[1].name}: too many taps for exact float sums")
    sums = [build.cast(product(part, zeros), np.int64) for part in parts]
    total = sums[0] if len(sums) == 1 else build.node(
        "Add", sums[0], build.node("Mul", sums[1], build.constant(16, np.int64)))
    return _Sums(build.add(total, bias.reshape((-1, 1, 1) if context.graph.result(op).shape[1:-1] else -1)), np.int64)


def _fits(weight: np.ndarray, bias: np.ndarray, largest_input: int) -> bool:
    """Whether no partial sum of any channel can leave float32's exact integers."""
    reach = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * largest_input + np.abs(bias)
    return bool((reach <= EXACT_FLOAT32).all())


def _requantized(context: _Context, op: Op, sums: _Sums, multiplier: np.ndarray, shift: np.ndarray) -> str:
    """float32 output - zero point of the sums; multiplier and shift broadcast against them."""
    result = context.graph.result(op)
    zero_point = int(result.zero_point[0])
    low, high = (limit - zero_point for limit in activation_range(op.activation, result.scale[0], zero_point))
    requantize = _requantize_positive if low >= 0 else _requantize_signed
    factors = multiplier.astype(np.int64) << np.maximum(shift, 0)
    steps = requantize(context.build, sums, factors, np.maximum(-shift, 0).astype(np.int64))
    return context.build.clip(steps, low, high, np.float32)


def _halves(exponent: np.ndarray) -> np.ndarray:
    """What rounds the second step, in units of the first, and 2^30 for the first."""
    return ((1 << exponent >> 1) << 31) + (1 << 30)


def _requantize_positive(build: Builder, sums: _Sums, factors: np.ndarray, exponent: np.ndarray) -> str:
    """Where negative results are clamped anyway: for the others the two roundings are one floor,
    (sum factor + 2^30 + 2^(exponent - 1) 2^31) / 2^(31 + exponent)."""
    positive = build.node("Relu", sums.name) if sums.dtype == np.float32 else build.node(
        "Max", sums.name, build.constant(0, np.int64))
    product = build.node("Mul", build.cast(positive, np.uint64), build.constant(factors, np.uint64))
    lifted = build.node("Add", product, build.constant(_halves(exponent), np.uint64))
    shifted = build.node("BitShift", lifted, build.constant(31 + exponent, np.uint64), direction="RIGHT")
    return build.cast(shifted, np.float32)


def _requantize_signed(build: Builder, sums: _Sums, factors: np.ndarray, exponent: np.ndarray) -> str:
    """The same with halves away from zero below zero: there the second step's half is one less."""
    wide = sums.name if sums.dtype == np.int64 else build.cast(sums.name, np.int64)
    product = build.node("Mul", wide, build.constant(factors, np.int64))
    negative = build.cast(build.node("Less", build.add(product, 1 << 30), build.constant(0, np.int64)), np.int64)
    less = build.node("Mul", negative, build.constant(np.where(exponent > 0, 1 << 31, 0), np.int64))
    lifted = build.add(build.node("Sub", product, less), _halves(exponent))
    return build.cast(build.floor_shift(lifted, 31 + exponent), np.float32)


def _average_pool(context: _Context, op: Op) -> str:
    """Sum of q over the taps inside the plane, divided to nearest, halves away from zero."""
    build, window, x = context.build, op.window, context.graph.operands(op)[0]
    channels, zero_point = x.shape[3], int(x.zero_point[0])
    ones = build.constant(np.ones((channels, 1, *window.kernel)), np.float32)
    sums = build.node("Conv", context.input_of(op), ones, group=channels, **_window_attributes(window))
    counts = _tap_counts(window, x.shape[1:3], context.graph.result(op).shape[1:3])
    raw = build.add(build.cast(sums, np.int64), zero_point * counts)
    halves = build.node("Where", build.node("Greater", raw, build.constant(0, np.int64)),
                        build.constant(counts // 2, np.int64), build.constant(-(counts // 2), np.int64))
    mean = build.node("Div", build.node("Add", raw, halves), build.constant(counts, np.int64))
    clamped = build.clip(mean, *activation_range(op.activation, x.scale[0], zero_point))
    return build.cast(build.add(clamped, -zero_point), np.float32)


def _tap_counts(window: Window, plane: tuple[int, int], outputs: tuple[int, int]) -> np.ndarray:
    """How many taps of each window lie inside the plane; int64 [h, w]."""
    axes = []
    for axis in range(2):
        first = np.arange(outputs[axis]) * window.stride[axis] - window.padding_before[axis]
        taps = first[:, None] + np.arange(window.kernel[axis])
        axes.append(((taps >= 0) & (taps < plane[axis])).sum(axis=1))
    return np.outer(*axes)


def _reshape(context: _Context, op: Op) -> str:
    build, x, result = context.build, context.graph.operands(op)[0], context.graph.result(op)
    rows = _to_rows(build, context.input_of(op), x)
    return _to_planes(build, build.node("Reshape", rows, build.constant((-1, *result.shape[1:]), np.int64)), result)


def _softmax(context: _Context, op: Op) -> str:
    """Exponentials by table, the reciprocal of their sum in fixed point (gemmlowp: reciprocal_above_one)."""
    build, x = context.build, context.graph.operands(op)[0]
    table = softmax_exponentials(softmax_parameters(x.scale[0], op.beta))
    values = build.cast(_to_rows(build, context.input_of(op), x), np.int64)
    differences = build.node("Sub", build.node("ReduceMax", values, axes=[-1]), values)
    addends = [rounding_shift(int(value), SUM_INTEGER_BITS) for value in table]
    total = build.node("ReduceSum", build.node("Gather", build.constant(addends, np.int64), differences),
                       build.constant([-1], np.int64))
    scale, magnitude = _reciprocal(build, total)
    exponentials = build.node("Gather", build.constant(table, np.int64), differences)
    exponents = np.arange(_MAGNITUDES) + 23
    halves = build.node("Gather", build.constant(1 << exponents - 1, np.int64), magnitude)
    lifted = build.node("Add", build.high_multiply(scale, exponentials), halves)
    shifts = build.node("Gather", build.constant(exponents, np.uint64), magnitude)
    steps = build.node("BitShift", build.cast(lifted, np.uint64), shifts, direction="RIGHT")
    return _to_planes(build, build.cast(build.clip(build.cast(steps, np.int64), 0, 255), np.float32), x)


_MAGNITUDES = MAX_SCORES.bit_length()  # the sum of up to 256 exponentials lies in [2^19, 2^27]


def _reciprocal(build: Builder, total: str) -> tuple[str, str]:
    """Of the Q12.19 `total` = 2^m (1 + x), m the second result: 1 / (1 + x) in Q0.31, by Newton and Raphson."""
    lowest = 31 - SUM_INTEGER_BITS
    powers = build.constant(1 << np.arange(lowest + 1, lowest + _MAGNITUDES), np.int64)
    reached = build.cast(build.node("GreaterOrEqual", total, powers), np.int64)
    magnitude = build.node("ReduceSum", reached, build.constant([-1], np.int64))
    scales = build.node("Gather", build.constant(1 << SUM_INTEGER_BITS - np.arange(_MAGNITUDES), np.int64), magnitude)
    x = build.add(build.node("Mul", total, scales), -(1 << 31))
    half_denominator = build.floor_shift(build.add(x, 1 << 31), 1)
    y = build.add(build.high_multiply(half_denominator, build.constant(_q29(-32 / 17), np.int64)), _q29(48 / 17))
    for _ in range(3):
        product = build.high_multiply(half_denominator, y)
        error = build.node("Sub", build.constant(1 << 29, np.int64), product)
        y = build.node("Add", y, _shift_left(build, build.high_multiply(y, error), 2))
    return _shift_left(build, y, 1), magnitude


def _q29(real: float) -> int:
    return int(np.copysign(np.floor(abs(real) * 2**29 + 0.5), real))


def _shift_left(build: Builder, name: str, exponent: int) -> str:
    return build.clip(build.node("Mul", name, build.constant(1 << exponent, np.int64)), -(1 << 31), (1 << 31) - 1)


EMITTERS: dict[str, Callable[[_Context, Op], str]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
}


def float_onnx(net: FloatNet) -> onnx.ModelProto:
    """The float net as trained, no quantization: float32 `input` [n, frames, coefficients] to `scores` [n, labels]."""
    build = Builder()
    x, plane = build.node("Unsqueeze", INPUT, build.constant([1], np.int64)), net.input_shape
    for layer in net.layers:
        x = _FLOAT_EMITTERS[layer.op](build, x, layer, plane)
        plane = tuple(-(-size // stride) for size, stride in zip(plane, layer.stride, strict=True))
    build.nodes[-1].output[0] = OUTPUT
    return build.model([value_info(INPUT, np.float32, net.input_shape)],
                       [value_info(OUTPUT, np.float32, (len(net.labels),))], "float")


def _float_conv(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    group = layer.weight.shape[2] if layer.op == "depthwise" else 1
    weight = layer.weight.transpose(2, 0, 1)[:, None] if layer.op == "depthwise" else layer.weight.transpose(0, 3, 1, 2)
    before, after = zip(*(same_padding(size, kernel, stride) for size, kernel, stride
                          in zip(plane, weight.shape[2:], layer.stride, strict=True)), strict=True)
    constants = (build.constant(array, np.float32) for array in (weight, layer.bias))
    return _float_relu(build, build.node("Conv", x, *constants, group=group, strides=layer.stride,
                                         pads=(*before, *after)), layer)


def _float_relu(build: Builder, x: str, layer: FloatLayer) -> str:
    return build.node("Relu", x) if layer.relu else x


def _float_pool(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    return build.node("GlobalAveragePool", x)


def _float_dense(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    constants = (build.constant(array, np.float32) for array in (layer.weight.T, layer.bias))
    return _float_relu(build, build.node("Gemm", build.node("Flatten", x), *constants), layer)


def _float_softmax(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    return build.node("Softmax", x, axis=-1)


_FLOAT_EMITTERS = {"conv": _float_conv, "depthwise": _float_conv, "average_pool": _float_pool, "dense": _float_dense,
                   "softmax": _float_softmax}
