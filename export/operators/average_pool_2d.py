"""AVERAGE_POOL_2D: the mean of the taps inside the plane, to nearest, halves away from zero."""

from collections.abc import Iterator

import numpy as np

from export.arithmetic import activation_range
from export.c_operator import COp
from export.graph import Tensor, Window
from export.onnx_operator import OnnxOp, window_attributes
from export.operators import pooling
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import window_sizes

MAX_TAPS = 1 << 16  # their sum is exact in float32, and far from 32 bits


def write_c(op: COp) -> tuple[str, ...]:
    return pooling.write_c(op, "arm_avgpool_s8", "arm_avgpool_s8_get_buffer_size(output_dims.w, input_dims.c)")


def window_has_few_taps(call: Call) -> Iterator[Breach]:
    """A window has at most 2^16 taps."""
    (rows, columns), _, _ = window_sizes(call)
    if rows * columns > MAX_TAPS:
        yield call.result, f"comes from a window of {rows} x {columns} taps"


def write_onnx(op: OnnxOp) -> str:
    """Sum of q over the taps inside the plane, divided in int64."""
    build, window, x = op.build, op.op.window, op.x
    channels, zero_point = x.shape[3], int(x.zero_point[0])
    ones = build.constant(np.ones((channels, 1, *window.kernel)), np.float32)
    sums = build.node("Conv", op.input, ones, group=channels, **window_attributes(window))
    rows, columns = (build.constant(counts, np.int64) for counts in _tap_counts(window, x, op.result))
    counts = build.node("Mul", rows, columns)
    lift = build.node("Mul", counts, build.constant(zero_point, np.int64))
    raw = build.node("Add", build.cast(sums, np.int64), lift)
    half = build.node("Div", counts, build.constant(2, np.int64))
    signed = build.node("Mul", build.node("Sign", raw), half)
    mean = build.node("Div", build.node("Add", raw, signed), counts)
    clamped = build.clip(mean, *activation_range(op.op.activation, x.scale[0], zero_point))
    return build.cast(build.add(clamped, -zero_point), np.float32)


def _tap_counts(window: Window, plane: Tensor, outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How many taps of each window lie inside the plane: of its rows [h, 1], of its columns [1, w]."""
    axes = []
    for axis in range(2):
        first = np.arange(outputs.shape[1 + axis]) * window.stride[axis] - window.padding_before[axis]
        last = np.minimum(first + window.kernel[axis], plane.shape[1 + axis])
        axes.append(last - np.maximum(first, 0))
    return axes[0][:, None], axes[1][None]


AVERAGE_POOL_2D = Operator("AVERAGE_POOL_2D", "average pooling over the taps inside the plane", pooling.OPTIONS, (1, 1),
                           (*pooling.RULES, window_has_few_taps), pooling.read, write_c, write_onnx)
