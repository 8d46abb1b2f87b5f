"""QUANTIZE: another scale and zero point, from or to uint8 too."""

from collections.abc import Iterator

import numpy as np

from export.arithmetic import requantize_multiplier
from export.c_operator import COp
from export.graph import Op
from export.onnx_operator import OnnxOp, Sums, requantized
from export.operators.operator import Breach, Call, Operator
from export.operators.rules import (
    activations_are_computed,
    activations_are_quantized,
    activations_have_shapes,
    output_has_input_shape,
    rescaling_breach,
)

_KERNELS = {("int8", "int8"): "kws_requantize_s8", ("uint8", "int8"): "kws_requantize_u8_s8",
            ("int8", "uint8"): "kws_requantize_s8_u8"}


def types_are_quantized(call: Call) -> Iterator[Breach]:
    """Input and output are int8, or one of them is uint8."""
    if (call.x.dtype, call.result.dtype) not in _KERNELS:
        tensor = call.x if call.x.dtype not in ("int8", "uint8") else call.result
        yield tensor, f"is {tensor.dtype}; the op takes {call.x.dtype} to {call.result.dtype}"


def values_fit(call: Call) -> Iterator[Breach]:
    """Values times the whole part of their multiplier stay within 32 bits."""
    return rescaling_breach(call, 255, requantize_multiplier(call.x.scale[0], call.result.scale[0])[1])


def read(call: Call) -> Op:
    return call.op(1)


def write_c(op: COp) -> tuple[str, ...]:
    x, result = op.x, op.result
    multiplier, shift = requantize_multiplier(x.scale[0], result.scale[0])
    limits = np.iinfo(result.dtype)
    return (
        f"{_KERNELS[x.dtype, result.dtype]}(input, {-x.zero_point[0]}, {multiplier}, {shift}, {result.zero_point[0]}, "
        f"{limits.min}, {limits.max}, {x.elements}, output);", "return 0;")


def write_onnx(op: OnnxOp) -> str:
    scaling = map(np.array, requantize_multiplier(op.x.scale[0], op.result.scale[0]))
    limits, zero_point = np.iinfo(op.result.dtype), int(op.result.zero_point[0])
    return requantized(op.build, Sums(op.input, np.float32), *scaling,
                       (limits.min - zero_point, limits.max - zero_point))


QUANTIZE = Operator("QUANTIZE", "another scale and zero point; from uint8 or to uint8, for the edges of a net", None,
                    (1, 1), (activations_are_computed, types_are_quantized, activations_have_shapes,
                             activations_are_quantized, output_has_input_shape, values_fit), read, write_c, write_onnx,
                    in_place=True)
