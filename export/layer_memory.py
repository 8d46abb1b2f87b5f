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
from export.shape_graph import sweep_layer
from export.work import Function, Work
from export.workload import work_of


class ArrayBytes(Constants):
    """Counts what Constants would write. bytes: of arrays so far, each filled up to a word."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def name(self, kind: str, name: str, values: np.ndarray) -> str:
        content = (kind, np.asarray(values, np.int64).tobytes())
        if content not in self.names:
            self.names[content] = name
            self.bytes += up_to_word(np.size(values) * _WIDTHS[kind])
        return self.names[content]


_WIDTHS = {f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32)}


def array_bytes(graph: Graph, kernel_of: KernelOf) -> tuple[int, ...]:
    """Of each op, the constant arrays that no op before it has."""
    counter, totals = ArrayBytes(), [0]
    for i, op in enumerate(graph.ops):
        kernel = kernel_of(graph, op)
        if kernel.write_c:
            kernel.write_c(COp(graph, op, i, "network", kernel.scratch_bytes, counter))
        totals.append(counter.bytes)
    return tuple(after - before for before, after in zip(totals, totals[1:], strict=False))


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
    """What a chain of layers takes of the arena, up to one of them; all bytes, numbers or arrays of many chains. The
    planner takes the better of two ways (export.plan.make_plan), so both are followed. Less of anything is better.

    One by one: `peak`, the most in use at a time; `block`, which the last output lies in.
    With outputs that slide over inputs: `done`, the most in use before the block that the last output lies in;
    `behind` and `before`, of that block, from the output's start on and in front of it; `beside`, the most in use at a
    time next to the block.
    """

    peak: int = 0
    block: int = 0
    done: int = 0
    behind: int = 0
    before: int = 0
    beside: int = 0

    @property
    def sliding(self):
        return _larger(self.done, aligned(self.behind + self.before) + self.beside)

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
    its kernel."""

    array_bytes: int
    scratch_bytes: int
    in_place: bool
    slides: bool
    work: Work
    functions: tuple[Function, ...]

    def occupy(self, layer: LayerShape, use: ArenaUse) -> ArenaUse:
        """The arena with this layer behind those before it."""
        inside = layer.reads_arena and layer.writes_arena
        in_place = inside and self.in_place and layer.values <= prod(layer.inputs)
        scratch, output = aligned(self.scratch_bytes), aligned(layer.values) if layer.writes_arena else 0
        one_by_one = self._one_by_one(use, scratch, None if in_place else output)
        if inside and self.slides:
            return _slid(one_by_one, aligned(max(0, layer.values - prod(layer.inputs))), scratch)
        if in_place or not layer.writes_arena:
            return replace(one_by_one, beside=_larger(use.beside, scratch))
        return replace(one_by_one, done=_larger(use.sliding, aligned(use.behind + use.before) + output + scratch),
                       behind=layer.values + 0 * use.behind, before=0 * use.before, beside=0 * use.beside)

    def _one_by_one(self, use: ArenaUse, scratch: int, output: int | None) -> ArenaUse:
        """output: None where it takes no memory of its own."""
        block = use.block if output is None else output + 0 * use.block
        return replace(use, peak=_larger(use.peak, use.block + (output or 0) + scratch), block=block)


def _slid(use: ArenaUse, by: int, scratch: int) -> ArenaUse:
    """Behind an output that starts `by` bytes before its input."""
    return replace(use, behind=use.behind + by, before=_larger(0 * use.before, use.before - by),
                   beside=_larger(use.beside, scratch))


@lru_cache(1 << 14)
def layer_memory(layer: LayerShape, kernels: str, core: str) -> LayerMemory:
    """By the exporter's own writer, on random weights."""
    graph, kernel_of = sweep_layer(layer).graph(), KernelSet(kernels).kernel_of(core)
    kernel = kernel_of(graph, graph.ops[0])
    return LayerMemory(array_bytes(graph, kernel_of)[0], kernel.scratch_bytes, kernel.in_place, kernel.slides,
                       kernel.work or work_of(layer), kernel.functions)
