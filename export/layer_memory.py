"""What an op's kernel does to memory: bytes of arrays and scratch, and whether its output replaces its input."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from export.c_operator import Constants, COp
from export.footprint import up_to_word
from export.graph import Graph
from export.kernels import KernelSet
from export.op_kernel import KernelOf
from export.plan import aligned
from export.shape import LayerShape
from export.shape_graph import shifted, sweep_layer
from export.work import Function, Work
from export.workload import work_of


@dataclass(frozen=True)
class Table:
    """A constant array. kind: of C. content: its values as int64. bytes: filled up to a word."""

    kind: str
    content: bytes
    bytes: int


class Tables(Constants):
    """Counts what Constants would write. written: so far, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[Table, str] = {}

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.written)

    def name(self, kind: str, name: str, values: np.ndarray) -> str:
        table = Table(kind, np.asarray(values, np.int64).tobytes(), up_to_word(np.size(values) * _WIDTHS[kind]))
        return self.written.setdefault(table, name)


_WIDTHS = {f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32)}


def array_bytes(graph: Graph, kernel_of: KernelOf) -> tuple[int, ...]:
    """Of each op, the constant arrays that no op before it has."""
    tables, totals = Tables(), [0]
    for i in range(len(graph.ops)):
        _write(graph, i, kernel_of, tables)
        totals.append(tables.bytes)
    return tuple(after - before for before, after in zip(totals, totals[1:], strict=False))


def _write(graph: Graph, index: int, kernel_of: KernelOf, tables: Tables) -> Tables:
    kernel = kernel_of(graph, graph.ops[index])
    if kernel.write_c:
        kernel.write_c(COp(graph, graph.ops[index], index, "network", kernel.scratch_bytes, tables))
    return tables


def new_functions(graph: Graph, kernel_of: KernelOf) -> tuple[tuple[Function, ...], ...]:
    """Of each op, those that no op before it has."""
    written: set[Function] = set()

    def new(functions: tuple[Function, ...]) -> tuple[Function, ...]:
        found = tuple(each for each in functions if each not in written)
        written.update(functions)
        return found
    return tuple(new(kernel_of(graph, op).functions) for op in graph.ops)


@dataclass(frozen=True)
class ArenaUse:
    """What a chain of layers with residual sums takes of the arena, up to one of them; all bytes, numbers or arrays of
    many chains. The planner takes the better of two ways (export.plan.make_plan), so both are followed. Less of
    anything is better.

    One by one: `peak`, the most in use at a time; `block`, which the last output lies in; `held`, for the next ADD.
    With outputs that slide over inputs: `done`, the most in use before the block that the last output lies in;
    `behind` and `before`, of that block, from the output's start on and in front of it; `beside`, the most in use at a
    time next to the block, which may yet grow; `held_span`, for the next ADD.
    """

    peak: int = 0
    block: int = 0
    done: int = 0
    behind: int = 0
    before: int = 0
    beside: int = 0
    held: int = 0
    held_span: int = 0

    @property
    def span(self):
        """Of the block that the last output lies in."""
        return aligned(self.behind + self.before)

    @property
    def sliding(self):
        return _larger(self.done, self.span + self.beside)

    @property
    def arena_bytes(self):
        """The caller's own tensors are not in it."""
        return _smaller(self.peak, self.sliding)


def _larger(a, b):
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else np.maximum(a, b)


def _smaller(a, b):
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else np.minimum(a, b)


@dataclass(frozen=True)
class LayerMemory:
    """Of a layer that has no weights yet. in_place, slides: see export.op_kernel.OpKernel. work, functions: of
    its kernel. shared: of its functions and arrays, those that any layer of its geometry has, whatever its weights and
    ranges."""

    array_bytes: int
    scratch_bytes: int
    in_place: bool
    slides: bool
    work: Work
    functions: tuple[Function, ...]
    shared: tuple[Function | Table, ...]

    def occupy(self, layer: LayerShape, use: ArenaUse) -> ArenaUse:
        """The arena with this layer behind those before it."""
        after = self._run(layer, use)
        if layer.input_kept:
            return replace(after, held=use.block, held_span=use.span)
        return replace(after, held=0 * use.held, held_span=0 * use.held_span) if layer.op == "ADD" else after

    def _run(self, layer: LayerShape, use: ArenaUse) -> ArenaUse:
        """The same, but for what is held for the next ADD."""
        inside = layer.reads_arena and layer.writes_arena and not layer.input_kept
        in_place = inside and self.in_place and layer.values <= prod(layer.inputs)
        scratch, output = aligned(self.scratch_bytes), aligned(layer.values) if layer.writes_arena else 0
        one_by_one = self._one_by_one(use, scratch, None if in_place else output)
        beside = scratch + use.held_span
        if inside and self.slides:
            return _slid(one_by_one, aligned(max(0, layer.values - prod(layer.inputs))), beside)
        if in_place or not layer.writes_arena:
            return replace(one_by_one, beside=_larger(use.beside, beside))
        return replace(one_by_one, done=use.sliding, behind=layer.values + 0 * use.behind, before=0 * use.before,
                       beside=use.span + beside)

    def _one_by_one(self, use: ArenaUse, scratch: int, output: int | None) -> ArenaUse:
        """output: None where it takes no memory of its own."""
        block = use.block if output is None else output + 0 * use.block
        return replace(use, peak=_larger(use.peak, use.block + use.held + (output or 0) + scratch), block=block)


def _slid(use: ArenaUse, by: int, beside: int) -> ArenaUse:
    """Behind an output that starts `by` bytes before its input, with `beside` in use next to the block."""
    return replace(use, behind=use.behind + by, before=_larger(0 * use.before, use.before - by),
                   beside=_larger(use.beside, beside))


@lru_cache(1 << 14)
def layer_memory(layer: LayerShape, kernels: str, core: str) -> LayerMemory:
    """By the exporter's own writer, on random weights."""
    graph, kernel_of = sweep_layer(layer).graph(), KernelSet(kernels).kernel_of(core)
    kernel, other = (kernel_of(each, each.ops[0]) for each in (graph, shifted(graph, 1)))
    own, others = (_write(each, 0, kernel_of, Tables()).written for each in (graph, shifted(graph, 1)))
    shared = {*kernel.functions} & {*other.functions} | own.keys() & others.keys()
    return LayerMemory(sum(table.bytes for table in own), kernel.scratch_bytes, kernel.in_place, kernel.slides,
                       kernel.work or work_of(layer), kernel.functions, tuple(shared))
