"""What AVERAGE_POOL_2D and MAX_POOL_2D share."""

import ai_edge_litert.schema_py_generated as schema

from export.c_operator import COp, dims, numbers, plane_dims, tile
from export.graph import Op
from export.operators.operator import Call
from export.operators.rules import (
    CLAMP,
    INT8_ACTIVATIONS,
    WINDOW,
    activation_of,
    activations_are_planes,
    output_has_input_quantization,
    output_keeps_channels,
    window_of,
)

OPTIONS = schema.Pool2DOptionsT
RULES = (*INT8_ACTIVATIONS, activations_are_planes, output_keeps_channels, output_has_input_quantization, *WINDOW,
         *CLAMP)


def read(call: Call) -> Op:
    return call.op(activation=activation_of(call), window=window_of(call))


def write_c(op: COp, kernel: str, buffer_size: str = "") -> tuple[str, ...]:
    """buffer_size: C expression of the scratch that the kernel needs, where it needs any."""
    window = op.op.window
    check = (f"if ({buffer_size} > context.size) {{\n    return 1;\n}}",) if buffer_size else ()
    return (
        f"static const cmsis_nn_pool_params params = {{{tile(window.stride)}, {tile(window.padding_before)}, "
        f"{numbers(op.range)}}};",
        plane_dims("input_dims", op.x), dims("filter_dims", 1, *window.kernel, 1),
        plane_dims("output_dims", op.result), op.context_line, *check,
        f"return {kernel}(&context, &params, &input_dims, input, &filter_dims, &output_dims, output)\n"
        "    != ARM_CMSIS_NN_SUCCESS;")
