"""Graph to C: constants in flash, one small function an op, calls of the CMSIS-NN s8 API (see kws_nn.h)."""

import textwrap
import tomllib
from functools import cache
from pathlib import Path

from datasets.console import atomic_write
from export.c_operator import C_TYPES, LINE_LENGTH, Constants, COp
from export.graph import Graph, Tensor
from export.op_kernel import KernelOf, portable
from export.operators import OPERATORS
from export.plan import ALIGNMENT, Plan, make_plan


def write_c(graph: Graph, out_dir: Path, prefix: str = "network", kernel_of: KernelOf = portable) -> Plan:
    """Write PREFIX.h and PREFIX.c to out_dir; every symbol starts with `prefix`. Returns the plan of its arena."""
    plan = make_plan(graph, kernel_of)
    text_of = {"h": header(graph, plan, prefix), "c": source(graph, plan, prefix, kernel_of)}
    for name, text in ((f"{prefix}.{suffix}", text) for suffix, text in text_of.items()):
        with atomic_write(Path(out_dir) / name) as temporary:
            temporary.write_text(text)
    return plan


def header(graph: Graph, plan: Plan, prefix: str) -> str:
    macro = prefix.upper()
    defines = "\n".join(f"#define {macro}_{name} {value}" for name, value in _values(graph, plan).items())
    return f"""{_banner(graph)}
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

{defines}

#ifdef __cplusplus
extern "C" {{
#endif

/* {_sentences(graph, macro)} */
{_prototype(graph, prefix)};

#ifdef __cplusplus
}}
#endif

#endif
"""


def _values(graph: Graph, plan: Plan) -> dict[str, object]:
    """The header's macros without their prefix."""
    shape = graph.input.shape[1:]
    rows, columns = (shape[0], shape[1]) if len(shape) > 1 else (1, shape[0] if shape else 1)
    return {"ARENA_BYTES": plan.arena_bytes, "ARENA_ALIGN": ALIGNMENT,
            "INPUT_BYTES": graph.input.bytes, "INPUT_ROWS": rows, "INPUT_COLUMNS": columns,
            **_quantization("INPUT", graph.input), "OUTPUT_BYTES": graph.output.bytes,
            **_quantization("OUTPUT", graph.output), "MODEL_SHA256": f'"{graph.sha256}"'}


def _quantization(name: str, tensor: Tensor) -> dict[str, str]:
    return {f"{name}_SCALE": f"{float(tensor.scale[0])!r}F", f"{name}_ZERO_POINT": f"({tensor.zero_point[0]})"}


def _sentences(graph: Graph, macro: str) -> str:
    """What a caller must know, as the text of a comment."""
    kinds = ", ".join(op.kind for op in graph.ops)
    text = (f"Scores of one input.\n"
            f"input: {graph.input.dtype} {list(graph.input.shape)}, row by row, the last dimension fastest; output: "
            f"{graph.output.dtype} {list(graph.output.shape)}. Both stand for real = SCALE * (value - ZERO_POINT); "
            f"neither lies in the arena.\n"
            f"arena: {macro}_ARENA_BYTES of working memory, aligned to {macro}_ARENA_ALIGN; nothing in it outlives the "
            f"call, so nets may share it. Not for two calls at a time.\n"
            f"Returns 0, or 1 + the index of the op whose kernel refused its arguments.\n"
            f"Ops: {kinds}.")
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, LINE_LENGTH - 6)]
    return "\n * ".join(lines)


def _prototype(graph: Graph, prefix: str) -> str:
    return (f"int {prefix}_run(void *arena, const {C_TYPES[graph.input.dtype]} *input, "
            f"{C_TYPES[graph.output.dtype]} *output)")


def source(graph: Graph, plan: Plan, prefix: str, kernel_of: KernelOf = portable) -> str:
    constants = Constants()
    ops = [COp(graph, op, i, prefix, plan.scratch.get(i, (0, 0))[1], constants) for i, op in enumerate(graph.ops)]
    functions = "\n".join(_function(op, kernel_of) for op in ops if OPERATORS[op.op.kind].write_c)
    calls = "\n".join(filter(None, (_call(op, plan) for op in ops)))
    headers = dict.fromkeys(["kws_nn.h", *sorted({kernel_of(graph, op).header for op in graph.ops} - {""})])
    includes = "\n".join(f'#include "{header}"' for header in headers)
    return f"""{_banner(graph)}
#include "{prefix}.h"

#include <stddef.h>
#include <string.h>

{includes}

{functions}
{_prototype(graph, prefix)} {{
    int8_t *const bytes = arena;
    (void)bytes;
{calls}
    return 0;
}}
"""


def _banner(graph: Graph) -> str:
    return (f"/* Written by kws-grow {_version()} from a .tflite of SHA-256\n * {graph.sha256}.\n"
            " * This generated code and the kernels linked with it carry no obligation. */")


@cache
def _version() -> str:
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return tomllib.loads(pyproject.read_text())["project"]["version"]


_INPUT_NAMES = ("input", "other")


def _function(op: COp, kernel_of: KernelOf) -> str:
    """The op's function, and the constants that no op before it has."""
    body, activations = kernel_of(op.graph, op.op).write_c(op), _activations(op)
    inputs = "".join(f", const {C_TYPES[tensor.dtype]} *{name}"
                     for name, tensor in zip(_INPUT_NAMES, activations, strict=False))
    unused = () if any("scratch" in line for line in body) else ("(void)scratch;",)
    lines = textwrap.indent("\n".join((*unused, *body)), "    ")
    shapes = " -> ".join(str(list(tensor.shape[1:])) for tensor in (op.x, op.result))
    return (f"/* {op.index}: {op.op.kind} {shapes} */\n{op.constants.take()}"
            f"static int {op.function}(void *scratch{inputs}, {C_TYPES[op.result.dtype]} *output) {{\n{lines}\n}}\n")


def _activations(op: COp) -> tuple[Tensor, ...]:
    return op.operands[:OPERATORS[op.op.kind].activations]


def _call(op: COp, plan: Plan) -> str:
    count = len(_activations(op))
    *sources, target = (_place(op.graph, plan, i) for i in (*op.op.inputs[:count], op.op.outputs[0]))
    if not OPERATORS[op.op.kind].write_c:
        return "" if sources == [target] else f"    memcpy({target}, {sources[0]}, {op.result.bytes});"
    scratch = f"bytes + {plan.scratch[op.index][0]}" if op.index in plan.scratch else "NULL"
    return (f"    if ({op.function}({', '.join((scratch, *sources, target))})) {{\n"
            f"        return {op.index + 1};\n    }}")


def _place(graph: Graph, plan: Plan, tensor: int) -> str:
    """Where a tensor lies, as a C expression of its type."""
    expression, dtype = _memory(graph, plan, tensor)
    wanted = graph.tensors[tensor].dtype
    return expression if dtype == wanted else f"({C_TYPES[wanted]} *)({expression})"


def _memory(graph: Graph, plan: Plan, tensor: int) -> tuple[str, str]:
    """The address, and the type that it has in C."""
    if tensor in plan.offsets:
        return f"bytes + {plan.offsets[tensor]}", "int8"
    held_by_caller = plan.roots[tensor] == plan.roots[graph.inputs[0]] and tensor != graph.outputs[0]
    return ("input", graph.input.dtype) if held_by_caller else ("output", graph.output.dtype)
