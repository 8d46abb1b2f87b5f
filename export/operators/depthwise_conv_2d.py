"""DEPTHWISE_CONV_2D: weights [1, kh, kw, out_c], out_c = in_c x multiplier."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema

from export.c_operator import CFunction, COp
from export.graph import Op
from export.onnx_operator import OnnxOp
from export.operators import convolution
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import (
    INT8_ACTIVATIONS,
    WINDOW,
    activation_is_a_clamp,
    activation_of,
    activations_are_planes,
    biases_are_int32,
    weight_scales,
    weights_are_int8,
    weights_are_symmetric,
    window_of,
)


def scales_per_output_channel(call: Call) -> Iterator[Breach]:
    """Weights have one scale, or one per output channel along axis 3."""
    return weight_scales(call, 3, call.constant.shape[3])


def weights_fit(call: Call) -> Iterator[Breach]:
    """Weights are [1, kh, kw, output channels], output channels a whole multiple of input channels."""
    shape, x, result = call.constant.shape, call.x.shape[3], call.result.shape[3]
    if shape[0] != 1 or shape[3] != result or result % x:
        yield call.constant, f"has shape {shape} for {x} -> {result} channels"


def sums_fit(call: Call) -> Iterator[Breach]:
    """Sums, and sums times the whole part of their multiplier, stay within 32 bits."""
    return convolution.sums_breach(call, call.constant.data.transpose(3, 0, 1, 2))


def read(call: Call) -> Op:
    return call.op(activation=activation_of(call), window=window_of(call, call.result.shape[3] // call.x.shape[3]))


def write_c(op: COp) -> CFunction:
    return convolution.write_c(op, "arm_depthwise_conv_wrapper_s8", "cmsis_nn_dw_conv_params",
                               f"{op.op.window.multiplier}, ")


def write_onnx(op: OnnxOp) -> str:
    return convolution.write_onnx(op, op.operands[1].data.transpose(3, 0, 1, 2), op.x.shape[3])


DEPTHWISE_CONV_2D = Operator(
    "DEPTHWISE_CONV_2D", "depthwise convolution, any multiplier, kernel, stride, dilation and padding",
    schema.DepthwiseConv2DOptionsT,
    (*INT8_ACTIVATIONS, activations_are_planes, weights_are_int8, convolution.weights_have_four_dimensions, weights_fit,
     weights_are_symmetric, scales_per_output_channel, biases_are_int32, *WINDOW, activation_is_a_clamp, sums_fit),
    read, write_c, write_onnx)
