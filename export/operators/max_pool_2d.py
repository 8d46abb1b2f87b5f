"""MAX_POOL_2D: the largest of the taps inside the plane."""

from export.c_operator import COp
from export.onnx_operator import OnnxOp, window_attributes
from export.operators import pooling
from export.operators.operator import Operator


def write_c(op: COp) -> tuple[str, ...]:
    return pooling.write_c(op, "arm_max_pool_s8")


def write_onnx(op: OnnxOp) -> str:
    return op.clamped(op.build.node("MaxPool", op.input, **window_attributes(op.op.window)))


MAX_POOL_2D = Operator("MAX_POOL_2D", "max pooling over the taps inside the plane", pooling.OPTIONS, (1, 1),
                       pooling.RULES, pooling.read, write_c, write_onnx)
