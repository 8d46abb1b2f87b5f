"""What an op's kernel does to memory: bytes of arrays and scratch, and whether its output replaces its input."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class LayerMemory:
    """Of a layer that has no weights yet. in_place: where its output may lie at the start of its input."""

    array_bytes: int
    scratch_bytes: int
    in_place: bool

    def occupy(self, layer: LayerShape, root_bytes):
        """(bytes of the arena in use while it runs, bytes of the block that its output lies in), behind a layer whose
        output lies in a block of root_bytes; numbers or arrays."""
        scratch, output = aligned(self.scratch_bytes), aligned(layer.values) if layer.writes_arena else 0
        if self.in_place and layer.writes_arena and layer.reads_arena and layer.values <= prod(layer.inputs):
            return root_bytes + scratch, root_bytes
        return root_bytes + output + scratch, 0 * root_bytes + output


@lru_cache(1 << 14)
def layer_memory(layer: LayerShape, kernels: str, core: str) -> LayerMemory:
    """By the exporter's own writer, on random weights."""
    graph, kernel_of = sweep_layer(layer).graph(), KernelSet(kernels).kernel_of(core)
    kernel = kernel_of(graph, graph.ops[0])
    return LayerMemory(array_bytes(graph, kernel_of)[0], kernel.scratch_bytes, kernel.in_place)
