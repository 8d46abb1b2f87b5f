"""PAD with zeros: the zero point."""

from collections.abc import Iterator

import numpy as np

from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import INT8_ACTIVATIONS, activations_are_planes, output_has_input_quantization


def paddings_are_constant(call: Call) -> Iterator[Breach]:
    """The paddings are constant int32 [4, 2], from 0 up, and 0 for the batch."""
    pads = call.constant
    if pads is None or pads.data is None or pads.dtype != "int32" or pads.shape != (4, 2):
        yield pads, "is absent" if pads is None else f"is {pads.dtype} of shape {pads.shape}"
    elif pads.data.min() < 0 or pads.data[0].any():
        yield pads, f"holds {pads.data.tolist()}"


def output_has_the_room(call: Call) -> Iterator[Breach]:
    """The output has its input's shape plus the paddings."""
    shape = tuple(size + sum(map(int, pads)) for size, pads in zip(call.x.shape, call.constant.data, strict=True))
    if shape != call.result.shape:
        yield call.result, f"has shape {call.result.shape}, its input and paddings give {shape}"


def read(call: Call) -> Op:
    return call.op(1, pads=tuple(tuple(map(int, pair)) for pair in call.constant.data))


def write_c(op: COp) -> tuple[str, ...]:
    sizes = ", ".join(map(str, (*op.x.shape[1:], *(size for pair in op.op.pads[1:] for size in pair))))
    return (f"kws_pad_s8(input, {sizes}, {op.result.zero_point[0]}, output);", "return 0;")


def write_onnx(op: OnnxOp) -> str:
    """In NCHW, where 0 is the zero point; one up and down again, for ONNX Runtime (1.31) fuses a Pad with the MaxPool
    behind it, whose own padding is no zero."""
    build, order = op.build, (0, 3, 1, 2)
    pads = build.constant([op.op.pads[axis][end] for end in range(2) for axis in order], np.int64)
    one = build.constant(1, np.float32)
    return build.node("Sub", build.node("Pad", build.node("Add", op.input, one), pads, one), one)


PAD = Operator("PAD", "zeros around height, width and channels", None, (2, 2),
               (*INT8_ACTIVATIONS, activations_are_planes, paddings_are_constant, output_has_the_room,
                output_has_input_quantization),
               read, write_c, write_onnx)
