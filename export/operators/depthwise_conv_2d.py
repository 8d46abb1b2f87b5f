"""DEPTHWISE_CONV_2D: weights [1, kh, kw, out_c], out_c = in_c x multiplier."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema

from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp
from export.operators import convolution
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import (
    CLAMP,
    INT8_ACTIVATIONS,
    WINDOW,
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
    """Weights are [1, kh, kw, output channels]: input channels times depth multiplier."""
    shape, x, result = call.constant.shape, call.x.shape[3], call.result.shape[3]
    multiplier = call.options.depthMultiplier
    if shape[0] != 1 or shape[3] != result or result != x * multiplier:
        yield call.constant, f"has shape {shape} for {x} -> {result} channels and depth multiplier {multiplier}"


def bias_is_no_gap(call: Call) -> Iterator[Breach]:
    """A bias that is left out is no third input either (TFLite Micro's depthwise stops at index -1)."""
    if len(call.tensors) > 2 and call.bias is None:
        yield None, "is the third input"


def sums_fit(call: Call) -> Iterator[Breach]:
    """An output has at most 2^16 weights; its sum, and that times the whole part of its multiplier, fit 32 bits."""
    return convolution.sums_breach(call, call.constant.data.transpose(3, 0, 1, 2))


def read(call: Call) -> Op:
    return call.op(activation=activation_of(call), window=window_of(call, call.options.depthMultiplier))


def write_c(op: COp) -> tuple[str, ...]:
    return convolution.write_c(op, "arm_depthwise_conv_wrapper_s8", "cmsis_nn_dw_conv_params",
                               f"{op.op.window.multiplier}, ")


def write_onnx(op: OnnxOp) -> str:
    return convolution.write_onnx(op, op.operands[1].data.transpose(3, 0, 1, 2), op.x.shape[3])


DEPTHWISE_CONV_2D = Operator(
    "DEPTHWISE_CONV_2D", "depthwise convolution, any multiplier, kernel, stride, dilation and padding",
    schema.DepthwiseConv2DOptionsT, (2, 3),
    (*INT8_ACTIVATIONS, activations_are_planes, weights_are_int8, convolution.weights_have_four_dimensions, weights_fit,
     weights_are_symmetric, scales_per_output_channel, bias_is_no_gap, biases_are_int32,
     *WINDOW, *CLAMP, sums_fit),
    read, write_c, write_onnx)
