"""AVERAGE_POOL_2D: the mean of the taps inside the plane, to nearest, halves away from zero."""

import numpy as np

from export.arithmetic import activation_range
from export.c_operator import CFunction, COp
from export.graph import Window
from export.onnx_operator import OnnxOp, window_attributes
from export.operators import pooling
from export.operators.operator import Operator


def write_c(op: COp) -> CFunction:
    return pooling.write_c(op, "arm_avgpool_s8", "arm_avgpool_s8_get_buffer_size(output_dims.w, input_dims.c)")


def write_onnx(op: OnnxOp) -> str:
    """Sum of q over the taps inside the plane, divided in int64."""
    build, window, x = op.build, op.op.window, op.x
    channels, zero_point = x.shape[3], int(x.zero_point[0])
    ones = build.constant(np.ones((channels, 1, *window.kernel)), np.float32)
    sums = build.node("Conv", op.input, ones, group=channels, **window_attributes(window))
    counts = _tap_counts(window, x.shape[1:3], op.result.shape[1:3])
    raw = build.add(build.cast(sums, np.int64), zero_point * counts)
    halves = build.node("Where", build.node("Greater", raw, build.constant(0, np.int64)),
                        build.constant(counts // 2, np.int64), build.constant(-(counts // 2), np.int64))
    mean = build.node("Div", build.node("Add", raw, halves), build.constant(counts, np.int64))
    clamped = build.clip(mean, *activation_range(op.op.activation, x.scale[0], zero_point))
    return build.cast(build.add(clamped, -zero_point), np.float32)


def _tap_counts(window: Window, plane: tuple[int, int], outputs: tuple[int, int]) -> np.ndarray:
    """How many taps of each window lie inside the plane; int64 [h, w]."""
    axes = []
    for axis in range(2):
        first = np.arange(outputs[axis]) * window.stride[axis] - window.padding_before[axis]
        last = np.minimum(first + window.kernel[axis], plane[axis])
        axes.append(last - np.maximum(first, 0))
    return np.outer(*axes)


AVERAGE_POOL_2D = Operator("AVERAGE_POOL_2D", "average pooling over the taps inside the plane", pooling.OPTIONS,
                           pooling.RULES, pooling.read, write_c, write_onnx)
