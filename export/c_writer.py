"""Graph to C: constants in flash, one small function an op, calls of the CMSIS-NN s8 API (see kws_nn.h)."""

import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import atomic_write
from export.arithmetic import activation_range, channel_multipliers, dense_multiplier, softmax_parameters
from export.graph import Graph, Op, bias_of
from export.plan import ALIGNMENT, Plan, make_plan, no_scratch

LINE_LENGTH = 120


def write_c(graph: Graph, out_dir: Path, prefix: str = "network",
            scratch_bytes: Callable[[Graph, Op], int] = no_scratch) -> Plan:
    """Write PREFIX.h and PREFIX.c to out_dir; every symbol starts with `prefix`. Returns the plan of its arena.

    scratch_bytes: what the kernels need beside the tensors; nothing for ours.
    """
    plan = make_plan(graph, scratch_bytes)
    for name, text in ((f"{prefix}.h", header(graph, plan, prefix)), (f"{prefix}.c", source(graph, plan, prefix))):
        with atomic_write(Path(out_dir) / name) as temporary:
            temporary.write_text(text)
    return plan


def header(graph: Graph, plan: Plan, prefix: str) -> str:
    macro, shape = prefix.upper(), graph.input.shape[1:]
    rows, columns = (shape[0], shape[1]) if len(shape) > 1 else (1, shape[0])
    values = {"ARENA_BYTES": plan.arena_bytes, "ARENA_ALIGN": ALIGNMENT,
              "INPUT_BYTES": graph.input.bytes, "INPUT_ROWS": rows, "INPUT_COLUMNS": columns,
              "INPUT_SCALE": f"{float(graph.input.scale[0])!r}F", "INPUT_ZERO_POINT": f"({graph.input.zero_point[0]})",
              "OUTPUT_BYTES": graph.output.bytes, "OUTPUT_SCALE": f"{float(graph.output.scale[0])!r}F",
              "OUTPUT_ZERO_POINT": f"({graph.output.zero_point[0]})",
              "MODEL_SHA256": f'"{graph.sha256}"'}
    defines = "\n".join(f"#define {macro}_{name} {value}" for name, value in values.items())
    return f"""{_banner(graph)}
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

{defines}

#ifdef __cplusplus
extern "C" {{
#endif

/* Scores of one input: input [{graph.input.bytes}] and output [{graph.output.bytes}] of int8, neither in the arena.
 * arena: {macro}_ARENA_BYTES, aligned to {macro}_ARENA_ALIGN, free for other use between calls.
 * Returns 0, or 1 + the index of the op whose kernel refused its arguments. */
int {prefix}_run(void *arena, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}}
#endif

#endif
"""


def source(graph: Graph, plan: Plan, prefix: str) -> str:
    contexts = [_Context(graph, op, i, prefix, plan.scratch.get(i, (0, 0))[1]) for i, op in enumerate(graph.ops)]
    functions = "\n".join(EMITTERS[context.op.kind](context) for context in contexts if context.op.kind in EMITTERS)
    calls = "\n".join(_call(context, plan) for context in contexts)
    return f"""{_banner(graph)}
#include "{prefix}.h"

#include <stddef.h>
#include <string.h>

#include "kws_nn.h"

{functions}
int {prefix}_run(void *arena, const int8_t *input, int8_t *output) {{
    int8_t *const bytes = arena;
    (void)bytes;
{calls}
    return 0;
}}
"""


def _banner(graph: Graph) -> str:
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    version = tomllib.loads(pyproject.read_text())["project"]["version"]
    return (f"/* Written by kws-grow {version} from a .tflite of SHA-256\n * {graph.sha256}.\n"
            " * This generated code and the kernels linked with it carry no obligation. */")


@dataclass(frozen=True)
class _Context:
    """One op on its way to C."""

    graph: Graph
    op: Op
    index: int
    prefix: str
    scratch_bytes: int

    @property
    def function(self) -> str:
        return f"{self.prefix}_{self.index}_{self.op.kind.lower()}"

    def array(self, kind: str, name: str, values: np.ndarray) -> str:
        body = textwrap.fill(", ".join(map(str, np.ravel(values).tolist())), LINE_LENGTH - 4)
        return (f"static const {kind} {self.function}_{name}[{np.size(values)}] = {{\n"
                f"{textwrap.indent(body, '    ')}}};\n")

    def wrap(self, constants: list[str], body: list[str]) -> str:
        """The op's constants and its function."""
        names = f"{' -> '.join(str(list(t.shape[1:])) for t in (self.graph.operands(self.op)[0], self.result))}"
        lines = "\n".join(textwrap.indent(line, "    ") for line in body)
        return (f"/* {self.index}: {self.op.kind} {names} */\n{''.join(constants)}"
                f"static int {self.function}(void *scratch, const int8_t *input, int8_t *output) {{\n{lines}\n}}\n")

    @property
    def result(self):
        return self.graph.result(self.op)

    @property
    def range(self) -> tuple[int, int]:
        return activation_range(self.op.activation, self.result.scale[0], self.result.zero_point[0])


def _dims(name: str, n: int, h: int, w: int, c: int) -> str:
    return f"static const cmsis_nn_dims {name} = {{{n}, {h}, {w}, {c}}};"


def _plane_dims(name: str, shape: tuple[int, ...]) -> str:
    return _dims(name, 1, *shape[1:])


def _tile(pair: tuple[int, int]) -> str:
    """(rows, columns) to {w, h}."""
    return f"{{{pair[1]}, {pair[0]}}}"


def _numbers(values: tuple[int, int]) -> str:
    return f"{{{values[0]}, {values[1]}}}"


def _context_line(context: _Context) -> str:
    return f"const cmsis_nn_context context = {{scratch, {context.scratch_bytes}}};"


def _convolution(context: _Context, call: str, params: str, multiplier: str) -> str:
    """CONV_2D and DEPTHWISE_CONV_2D: `multiplier` is the depthwise's ch_mult field."""
    graph, op, window = context.graph, context.op, context.op.window
    x, weight = graph.operands(op)[:2]
    channels, result = context.result.shape[3], context.result
    multipliers, shifts = channel_multipliers(x.scale[0], weight.scale, result.scale[0], channels)
    arrays = [context.array("int8_t", "weights", weight.data), context.array("int32_t", "bias", bias_of(graph, op)),
              context.array("int32_t", "multipliers", multipliers), context.array("int32_t", "shifts", shifts)]
    name = context.function
    return context.wrap(arrays, [
        f"static const {params} params = {{{-x.zero_point[0]}, {result.zero_point[0]}, {multiplier}"
        f"{_tile(window.stride)}, {_tile(window.padding_before)}, {_tile(window.dilation)}, "
        f"{_numbers(context.range)}}};",
        f"static const cmsis_nn_per_channel_quant_params quant = {{(int32_t *){name}_multipliers, "
        f"(int32_t *){name}_shifts}};",
        _plane_dims("input_dims", x.shape), _dims("filter_dims", *weight.shape), _dims("bias_dims", 1, 1, 1, channels),
        _plane_dims("output_dims", result.shape), _context_line(context),
        f"return {call}(&context, &params, &quant, &input_dims, input, &filter_dims, {name}_weights,\n"
        f"    &bias_dims, {name}_bias, &output_dims, output) != ARM_CMSIS_NN_SUCCESS;"])


def _conv(context: _Context) -> str:
    return _convolution(context, "arm_convolve_wrapper_s8", "cmsis_nn_conv_params", "")


def _depthwise(context: _Context) -> str:
    return _convolution(context, "arm_depthwise_conv_wrapper_s8", "cmsis_nn_dw_conv_params",
                        f"{context.op.window.multiplier}, ")


def _fully_connected(context: _Context) -> str:
    graph, op, result, name = context.graph, context.op, context.result, context.function
    x, weight = graph.operands(op)[:2]
    outputs, inputs = weight.shape
    quant = dense_multiplier(x.scale[0], weight.scale[0], result.scale[0])
    return context.wrap(
        [context.array("int8_t", "weights", weight.data), context.array("int32_t", "bias", bias_of(graph, op))],
        [f"static const cmsis_nn_fc_params params = {{{-x.zero_point[0]}, 0, {result.zero_point[0]}, "
         f"{_numbers(context.range)}}};",
         f"static const cmsis_nn_per_tensor_quant_params quant = {_numbers(quant)};",
         _dims("input_dims", 1, 1, 1, inputs), _dims("filter_dims", inputs, 1, 1, outputs),
         _dims("bias_dims", 1, 1, 1, outputs), _dims("output_dims", 1, 1, 1, outputs), _context_line(context),
         f"return arm_fully_connected_s8(&context, &params, &quant, &input_dims, input, &filter_dims, {name}_weights,\n"
         f"    &bias_dims, {name}_bias, &output_dims, output) != ARM_CMSIS_NN_SUCCESS;"])


def _average_pool(context: _Context) -> str:
    window, x = context.op.window, context.graph.operands(context.op)[0]
    return context.wrap([], [
        f"static const cmsis_nn_pool_params params = {{{_tile(window.stride)}, {_tile(window.padding_before)}, "
        f"{_numbers(context.range)}}};",
        _plane_dims("input_dims", x.shape), _dims("filter_dims", 1, *window.kernel, 1),
        _plane_dims("output_dims", context.result.shape), _context_line(context),
        "return arm_avgpool_s8(&context, &params, &input_dims, input, &filter_dims, &output_dims, output)\n"
        "    != ARM_CMSIS_NN_SUCCESS;"])


def _softmax(context: _Context) -> str:
    x = context.graph.operands(context.op)[0]
    parameters = softmax_parameters(x.scale[0], context.op.beta)
    return context.wrap([], [
        "(void)scratch;",
        f"arm_softmax_s8(input, 1, {x.elements}, {parameters.multiplier}, {parameters.shift}, {parameters.diff_min}, "
        "output);", "return 0;"])


EMITTERS: dict[str, Callable[[_Context], str]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "SOFTMAX": _softmax,
}


def _call(context: _Context, plan: Plan) -> str:
    source_place, target = (_place(context.graph, plan, i) for i in (context.op.inputs[0], context.op.outputs[0]))
    if context.op.kind == "RESHAPE":
        size = context.result.bytes
        return "" if source_place == target else f"    memcpy({target}, {source_place}, {size});"
    scratch = f"bytes + {plan.scratch[context.index][0]}" if context.index in plan.scratch else "NULL"
    return (f"    if ({context.function}({scratch}, {source_place}, {target})) {{\n"
            f"        return {context.index + 1};\n    }}")


def _place(graph: Graph, plan: Plan, tensor: int) -> str:
    """Where a tensor lies, as a C expression."""
    if tensor in plan.offsets:
        return f"bytes + {plan.offsets[tensor]}"
    return "input" if plan.roots[tensor] == plan.roots[graph.inputs[0]] and tensor != graph.outputs[0] else "output"
