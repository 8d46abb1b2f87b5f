"""SOFTMAX of one row: exponentials by table, the reciprocal of their sum in fixed point, as TFLite Micro (gemmlowp)."""

from collections.abc import Iterator

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from export.arithmetic import (
    MAX_SCORES,
    SUM_INTEGER_BITS,
    rounding_shift,
    softmax_exponentials,
    softmax_parameters,
    softmax_scale,
)
from export.c_operator import COp
from export.graph import Op
from export.onnx_builder import Builder
from export.onnx_operator import OnnxOp, to_planes
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import INT8_ACTIVATIONS, output_has_input_shape


def input_is_one_row(call: Call) -> Iterator[Breach]:
    """The input is one row of at most 256 scores."""
    if call.x.elements != call.x.shape[-1] or call.x.elements > MAX_SCORES:
        yield call.x, f"has shape {call.x.shape}, {call.x.elements} scores"


def output_is_a_probability(call: Call) -> Iterator[Breach]:
    """The output has scale 1/256 and zero point -128."""
    if call.result.scale[0] != np.float32(1 / 256) or call.result.zero_point[0] != -128:
        yield call.result, f"has scale {call.result.scale[0]:.6g} and zero point {call.result.zero_point[0]}"


def differences_have_bits(call: Call) -> Iterator[Breach]:
    """The input's scale times beta is above 2^-26."""
    beta = float(call.options.beta)
    if not softmax_scale(call.x.scale[0], beta) > 1:
        yield call.x, f"has scale {call.x.scale[0]:.6g}, beta is {beta:.6g}"


def read(call: Call) -> Op:
    return call.op(beta=float(call.options.beta))


def write_c(op: COp) -> tuple[str, ...]:
    parameters = softmax_parameters(op.x.scale[0], op.op.beta)
    return (
        f"arm_softmax_s8(input, 1, {op.x.elements}, {parameters.multiplier}, {parameters.shift}, "
        f"{parameters.diff_min}, output);", "return 0;")


def write_onnx(op: OnnxOp) -> str:
    build, x = op.build, op.x
    table = softmax_exponentials(softmax_parameters(x.scale[0], op.op.beta))
    values = build.cast(op.rows, np.int64)
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
    return to_planes(build, build.cast(build.clip(build.cast(steps, np.int64), 0, 255), np.float32), x)


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


SOFTMAX = Operator("SOFTMAX", "softmax of a row of scores", schema.SoftmaxOptionsT, (1, 1),
                   (*INT8_ACTIVATIONS, output_has_input_shape, input_is_one_row, output_is_a_probability,
                    differences_have_bits), read, write_c, write_onnx)
