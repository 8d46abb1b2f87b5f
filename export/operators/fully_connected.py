"""FULLY_CONNECTED: weights [out, in], quantized per tensor or per output channel."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from export.arithmetic import channel_multipliers, dense_multiplier
from export.c_operator import COp, channel_quantization, dims, numbers
from export.graph import Op, bias_of
from export.onnx_operator import OnnxOp, exact_sums, requantized
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import (
    CLAMP,
    INT8_ACTIVATIONS,
    accumulator_breach,
    activation_of,
    biases_are_int32,
    largest_input,
    weight_scales,
    weights_are_int8,
    weights_are_symmetric,
)


def weights_fit(call: Call) -> Iterator[Breach]:
    """Weights are [outputs, inputs], not shuffled; all values of the input are one row."""
    shape = (call.result.elements, call.x.elements)
    if call.constant.shape != shape or call.options.weightsFormat != 0:
        yield call.constant, f"has shape {call.constant.shape} and format {call.options.weightsFormat} for {shape}"


def output_is_one_row(call: Call) -> Iterator[Breach]:
    """The output is one row: [1, ..., outputs]."""
    if call.result.shape[-1] != call.result.elements:
        yield call.result, f"has shape {call.result.shape}"


def scales_per_output(call: Call) -> Iterator[Breach]:
    """Weights have one scale, or one per output along axis 0."""
    return weight_scales(call, 0, call.constant.shape[0])


def _multipliers(x, weight, result) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts, of one entry where weights have one scale."""
    if len(weight.scale) > 1:
        return channel_multipliers(x.scale[0], weight.scale, result.scale[0], weight.shape[0])
    return tuple(np.array([value]) for value in dense_multiplier(x.scale[0], weight.scale[0], result.scale[0]))


def sums_fit(call: Call) -> Iterator[Breach]:
    """An output has at most 2^16 weights; its sum, and that times the whole part of its multiplier, fit 32 bits."""
    return accumulator_breach(call, call.constant.data, _multipliers(call.x, call.constant, call.result)[1])


def bias_has_its_scale(call: Call) -> Iterator[Breach]:
    """With one weight scale, the bias has the scale of input times weights, to 2 % of the output's."""
    if call.bias is None or len(call.constant.scale) > 1:
        return
    product = float(np.float32(call.x.scale[0]) * np.float32(call.constant.scale[0]))
    bias = float(call.bias.scale[0]) if len(call.bias.scale) else 0.0
    if abs(product - bias) > 0.02 * float(call.result.scale[0]):
        yield call.bias, f"has scale {bias:.6g}, input times weights {product:.6g}, output {call.result.scale[0]:.6g}"


def read(call: Call) -> Op:
    return call.op(activation=activation_of(call))


def write_c(op: COp) -> tuple[str, ...]:
    (x, weight), result = op.operands[:2], op.result
    outputs, inputs = weight.shape
    weights, bias = op.array("int8_t", "weights", weight.data), op.array("int32_t", "bias", bias_of(op.graph, op.op))
    quant, kernel = _quantization(op, *_multipliers(x, weight, result))
    return (
        f"static const cmsis_nn_fc_params params = {{{-x.zero_point[0]}, 0, {result.zero_point[0]}, "
        f"{numbers(op.range)}}};", quant,
        dims("input_dims", 1, 1, 1, inputs), dims("filter_dims", inputs, 1, 1, outputs),
        dims("bias_dims", 1, 1, 1, outputs), dims("output_dims", 1, 1, 1, outputs), op.context_line,
        f"if (kws_weight_sums(&context, &params, &filter_dims, {weights}, {bias})) {{\n    return 1;\n}}",
        f"return {kernel}(&context, &params, &quant, &input_dims, input, &filter_dims, {weights},\n"
        f"    &bias_dims, {bias}, &output_dims, output) != ARM_CMSIS_NN_SUCCESS;")


def _quantization(op: COp, multipliers: np.ndarray, shifts: np.ndarray) -> tuple[str, str]:
    """The line of `quant`, and the kernel that takes it."""
    if len(multipliers) == 1:
        line = f"static const cmsis_nn_per_tensor_quant_params quant = {numbers((multipliers[0], shifts[0]))};"
        return line, "arm_fully_connected_s8"
    names = (op.array("int32_t", name, values) for name, values in (("multipliers", multipliers), ("shifts", shifts)))
    return channel_quantization(*names), "arm_fully_connected_per_channel_s8"


def write_onnx(op: OnnxOp) -> str:
    build, weight = op.build, op.operands[1]
    row = build.node("Flatten", op.rows)

    def product(values: np.ndarray, bias: np.ndarray) -> str:
        return build.node("Gemm", row, build.constant(values.T, np.float32), build.constant(bias, np.float32))

    sums = exact_sums(build, weight.data, bias_of(op.graph, op.op), largest_input(op.x), -1, product)
    scores = requantized(build, sums, *_multipliers(op.x, weight, op.result), op.limits)
    return op.shaped(scores)


FULLY_CONNECTED = Operator(
    "FULLY_CONNECTED", "fully-connected layer", schema.FullyConnectedOptionsT, (2, 3),
    (*INT8_ACTIVATIONS, weights_are_int8, weights_fit, output_is_one_row, weights_are_symmetric, scales_per_output,
     biases_are_int32, bias_has_its_scale, *CLAMP, sums_fit),
    read, write_c, write_onnx)
