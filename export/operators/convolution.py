"""What CONV_2D and DEPTHWISE_CONV_2D share: requantization per channel, the call of the kernel, the ONNX Conv."""

from collections.abc import Iterator

import numpy as np

from export.arithmetic import channel_multipliers
from export.c_operator import COp, channel_quantization, dims, numbers, tile
from export.graph import Window, bias_of
from export.onnx_operator import OnnxOp, exact_sums, requantized, window_attributes
from export.operators.operator import Breach, Call
from export.operators.rules import accumulator_breach, largest_input


def weights_have_four_dimensions(call: Call) -> Iterator[Breach]:
    """Weights have four dimensions from 1 up."""
    if len(call.constant.shape) != 4 or min(call.constant.shape) < 1:
        yield call.constant, f"has shape {call.constant.shape}"


def sums_breach(call: Call, weight: np.ndarray) -> Iterator[Breach]:
    """weight: int8 [out_c, ...]."""
    shifts = channel_multipliers(call.x.scale[0], call.constant.scale, call.result.scale[0], len(weight))[1]
    return accumulator_breach(call, weight, shifts)


def write_c(op: COp, call: str, params: str, multiplier: str) -> tuple[str, ...]:
    """call: of the kernel; params: its struct; multiplier: the depthwise's ch_mult field."""
    (x, weight), result = op.operands[:2], op.result
    turn = _turned if is_strided_row(x.shape[1], op.op.window) else tuple
    multipliers, shifts = channel_multipliers(x.scale[0], weight.scale, result.scale[0], result.shape[3])
    window = op.op.window
    tiles = ", ".join(tile(turn(pair)) for pair in (window.stride, window.padding_before, window.dilation))
    arrays = {part: op.array(kind, part, values) for part, kind, values in (
        ("weights", "int8_t", weight.data), ("bias", "int32_t", bias_of(op.graph, op.op)),
        ("multipliers", "int32_t", multipliers), ("shifts", "int32_t", shifts))}
    return (
        f"static const {params} params = {{{-x.zero_point[0]}, {result.zero_point[0]}, {multiplier}{tiles}, "
        f"{numbers(op.range)}}};",
        channel_quantization(arrays["multipliers"], arrays["shifts"]),
        *(dims(f"{what}_dims", n, *turn(plane), c) for what, (n, *plane, c) in (
            ("input", x.shape), ("filter", weight.shape), ("output", result.shape))),
        dims("bias_dims", 1, 1, 1, result.shape[3]), op.context_line,
        f"if ({call}_get_buffer_size(&params, &input_dims, &filter_dims, &output_dims) > context.size) {{\n"
        "    return 1;\n}",
        f"return {call}(&context, &params, &quant, &input_dims, input, &filter_dims, {arrays['weights']},\n"
        f"    &bias_dims, {arrays['bias']}, &output_dims, output) != ARM_CMSIS_NN_SUCCESS;")


def _turned(pair) -> tuple:
    rows, columns = pair
    return columns, rows


def is_strided_row(rows: int, window: Window) -> bool:
    """A plane of one row, walked in steps of several columns. It is written as one column, which is the same memory:
    CMSIS-NN's arm_convolve_1_x_n_s8 (MVE; v7.0.0 to commit 99f736a) gives wrong bytes or an error for such strides."""
    return rows == window.kernel[0] == 1 and window.stride[1] > 1


def write_onnx(op: OnnxOp, weight: np.ndarray, group: int) -> str:
    """weight: int8 [out_c, in_c / group, kh, kw]."""
    build, x, scales = op.build, op.x, op.operands[1].scale
    attributes = {**window_attributes(op.op.window), "group": group}

    def product(values: np.ndarray, bias: np.ndarray) -> str:
        constants = (build.constant(array, np.float32) for array in (values, bias))
        return build.node("Conv", op.input, *constants, **attributes)

    sums = exact_sums(build, weight, bias_of(op.graph, op.op), largest_input(x), (-1, 1, 1), product)
    pairs = channel_multipliers(x.scale[0], scales, op.result.scale[0], len(weight))
    return requantized(build, sums, *(values.reshape(-1, 1, 1) for values in pairs), op.limits)
