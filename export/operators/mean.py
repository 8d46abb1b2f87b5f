"""MEAN over the plane, requantized; TFLite Micro's rounding."""

from collections.abc import Iterator

import numpy as np

from export.arithmetic import mean_multiplier
from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp, Sums, requantized
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import INT8_ACTIVATIONS, largest_input, rescaling_breach

_PLANE = {1: 1, 2: 2, -3: 1, -2: 2}  # axes of [1, h, w, c], from the end too


def input_is_a_plane(call: Call) -> Iterator[Breach]:
    """The input has the shape [1, h, w, c]."""
    if len(call.x.shape) != 4:
        yield call.x, f"has shape {call.x.shape}"


def axes_are_the_plane(call: Call) -> Iterator[Breach]:
    """The axes are constant int32: height and width, 1 and 2."""
    axes = call.constant
    if axes is None or axes.data is None or axes.dtype != "int32":
        yield axes, "is absent" if axes is None else f"is {axes.dtype}{', computed' if axes.data is None else ''}"
    elif sorted(_PLANE.get(int(axis), 0) for axis in axes.data.ravel()) != [1, 2]:
        yield axes, f"holds {axes.data.ravel()[:8].tolist()}"


def output_has_the_channels(call: Call) -> Iterator[Breach]:
    """The output is one value per channel: [1, c] or [1, 1, 1, c]."""
    if call.result.shape not in ((1, call.x.shape[3]), (1, 1, 1, call.x.shape[3])):
        yield call.result, f"has shape {call.result.shape} for {call.x.shape[3]} channels"


def _positions(x) -> int:
    return x.shape[1] * x.shape[2]


def _multiplier(x, result) -> tuple[int, int]:
    return mean_multiplier(x.scale[0], result.scale[0], _positions(x))


def sums_fit(call: Call) -> Iterator[Breach]:
    """Sums, and sums times the whole part of their multiplier, stay within 32 bits."""
    return rescaling_breach(call, largest_input(call.x) * _positions(call.x), _multiplier(call.x, call.result)[1])


def read(call: Call) -> Op:
    return call.op(1)


def write_c(op: COp) -> tuple[str, ...]:
    x, result = op.x, op.result
    multiplier, shift = _multiplier(x, result)
    return (
        f"kws_mean_s8(input, {_positions(x)}, {x.shape[3]}, {-x.zero_point[0]}, {multiplier}, {shift}, "
        f"{result.zero_point[0]}, output);", "return 0;")


def write_onnx(op: OnnxOp) -> str:
    build = op.build
    wide = build.cast(op.input, np.int64)
    sums = Sums(build.node("ReduceSum", wide, build.constant([2, 3], np.int64), keepdims=0), np.int64)
    return op.shaped(requantized(build, sums, *map(np.array, _multiplier(op.x, op.result)), op.limits))


MEAN = Operator("MEAN", "mean over height and width, with or without keep_dims", None, (2, 2),
                (*INT8_ACTIVATIONS, input_is_a_plane, axes_are_the_plane, output_has_the_channels, sums_fit), read,
                write_c, write_onnx)
