"""CONV_2D: weights [out_c, kh, kw, in_c]."""

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
    """Weights have one scale, or one per output channel along axis 0."""
    return weight_scales(call, 0, call.constant.shape[0])


def weights_fit(call: Call) -> Iterator[Breach]:
    """Weights are [output channels, kh, kw, input channels]: no groups."""
    if (call.constant.shape[0], call.constant.shape[3]) != (call.result.shape[3], call.x.shape[3]):
        yield call.constant, f"has shape {call.constant.shape} for {call.x.shape[3]} -> {call.result.shape[3]} channels"


def sums_fit(call: Call) -> Iterator[Breach]:
    """An output has at most 2^16 weights; its sum, and that times the whole part of its multiplier, fit 32 bits."""
    return convolution.sums_breach(call, call.constant.data)


def read(call: Call) -> Op:
    return call.op(activation=activation_of(call), window=window_of(call))


def write_c(op: COp) -> tuple[str, ...]:
    return convolution.write_c(op, "arm_convolve_wrapper_s8", "cmsis_nn_conv_params", "")


def write_onnx(op: OnnxOp) -> str:
    return convolution.write_onnx(op, op.operands[1].data.transpose(0, 3, 1, 2), 1)


CONV_2D = Operator(
    "CONV_2D", "convolution, any kernel, stride, dilation and padding", schema.Conv2DOptionsT, (2, 3),
    (*INT8_ACTIVATIONS, activations_are_planes, weights_are_int8, convolution.weights_have_four_dimensions, weights_fit,
     weights_are_symmetric, scales_per_output_channel, biases_are_int32, *WINDOW, *CLAMP, sums_fit),
    read, write_c, write_onnx)
