"""ADD of two tensors of one shape: both scaled to a common scale, 20 bits up, then added and requantized."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from export.arithmetic import ADD_LEFT_SHIFT, add_multipliers
from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp, Sums, requantized, rescaled
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import CLAMP, INT8_ACTIVATIONS, activation_of, output_has_input_shape


def scales_are_near(call: Call) -> Iterator[Breach]:
    """The larger input scale is under 2^19 times the output's."""
    a, b = (float(tensor.scale[0]) for tensor in call.computed[:2])
    if 2 * max(a, b) >= 2.0**ADD_LEFT_SHIFT * float(call.result.scale[0]):
        yield call.result, f"has scale {call.result.scale[0]:.6g}, its inputs {a:.6g} and {b:.6g}"


def read(call: Call) -> Op:
    return call.op(2, activation=activation_of(call))


def _scaling(op: COp | OnnxOp) -> tuple[tuple[int, int], ...]:
    """(multiplier, shift) of the first input, the second, and the output."""
    return add_multipliers(*(tensor.scale[0] for tensor in (*op.operands, op.result)))


def write_c(op: COp) -> tuple[str, ...]:
    first, second, output = _scaling(op)
    a, b = op.operands
    low, high = op.range
    return (
        f"return arm_elementwise_add_s8(input, other, {-a.zero_point[0]}, {first[0]}, {first[1]}, {-b.zero_point[0]}, "
        f"{second[0]},\n    {second[1]}, {ADD_LEFT_SHIFT}, output, {op.result.zero_point[0]}, {output[0]}, "
        f"{output[1]}, {low}, {high}, {op.result.elements})\n    != ARM_CMSIS_NN_SUCCESS;",)


def write_onnx(op: OnnxOp) -> str:
    build = op.build
    *inputs, output = _scaling(op)
    scaled = []
    for tensor, scaling in zip(op.op.inputs, inputs, strict=True):
        wide = build.cast(op.names[tensor], np.int64)
        lifted = build.node("Mul", wide, build.constant(1 << ADD_LEFT_SHIFT, np.int64))
        scaled.append(rescaled(build, lifted, *scaling))
    return requantized(build, Sums(build.node("Add", *scaled), np.int64), *map(np.array, output), op.limits)


ADD = Operator("ADD", "sum of two activations of one shape", schema.AddOptionsT, (2, 2),
               (*INT8_ACTIVATIONS, output_has_input_shape, scales_are_near, *CLAMP), read, write_c,
               write_onnx, activations=2, in_place=True)
