"""RELU, which requantizes, and RELU6, which only clamps."""

from collections.abc import Iterator

import numpy as np

from export.arithmetic import activation_range, requantize_multiplier
from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp, Sums, requantized
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import (
    INT8_ACTIVATIONS,
    largest_input,
    limit_has_steps,
    output_has_input_quantization,
    output_has_input_shape,
    rescaling_breach,
)


def values_fit(call: Call) -> Iterator[Breach]:
    """Values times the whole part of their multiplier stay within 32 bits."""
    shift = requantize_multiplier(call.x.scale[0], call.result.scale[0])[1]
    return rescaling_breach(call, largest_input(call.x), shift)


def read(call: Call) -> Op:
    return call.op(1, activation=call.raw.kind)


def write_relu_c(op: COp) -> tuple[str, ...]:
    multiplier, shift = requantize_multiplier(op.x.scale[0], op.result.scale[0])
    low, high = op.range
    return (
        f"kws_requantize_s8(input, {-op.x.zero_point[0]}, {multiplier}, {shift}, {op.result.zero_point[0]}, "
        f"{low}, {high}, {op.x.elements}, output);", "return 0;")


def write_relu_onnx(op: OnnxOp) -> str:
    scaling = map(np.array, requantize_multiplier(op.x.scale[0], op.result.scale[0]))
    return requantized(op.build, Sums(op.input, np.float32), *scaling, op.limits)


def write_relu6_c(op: COp) -> tuple[str, ...]:
    low, high = activation_range("RELU6", op.x.scale[0], int(op.x.zero_point[0]))
    return (f"kws_clamp_s8(input, {low}, {high}, {op.x.elements}, output);", "return 0;")


def write_relu6_onnx(op: OnnxOp) -> str:
    return op.clamped(op.input)


RELU = Operator("RELU", "the positive part, requantized", None, (1, 1),
                (*INT8_ACTIVATIONS, output_has_input_shape, values_fit), read, write_relu_c, write_relu_onnx,
                in_place=True)
RELU6 = Operator("RELU6", "values clamped to 0..6", None, (1, 1),
                 (*INT8_ACTIVATIONS, output_has_input_shape, output_has_input_quantization, limit_has_steps), read,
                 write_relu6_c, write_relu6_onnx, in_place=True)
