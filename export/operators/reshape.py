"""RESHAPE: the same values in the same order."""

from collections.abc import Iterator

from export.graph import Op
from export.onnx_operator import OnnxOp
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import INT8_ACTIVATIONS, output_has_input_quantization


def output_has_as_many_values(call: Call) -> Iterator[Breach]:
    """The output has as many values as its input."""
    if call.result.elements != call.x.elements:
        yield call.result, f"has shape {call.result.shape}, {call.result.elements} values for {call.x.elements}"


def read(call: Call) -> Op:
    return call.op(1)


def write_onnx(op: OnnxOp) -> str:
    return op.shaped(op.rows)


RESHAPE = Operator("RESHAPE", "the same values in another shape (which SHAPE, STRIDED_SLICE and PACK may tell)", None,
                   (1, 2), (*INT8_ACTIVATIONS, output_has_as_many_values, output_has_input_quantization), read,
                   None, write_onnx, in_place=True)
