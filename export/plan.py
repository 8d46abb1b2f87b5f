"""Where every activation lives while the network runs: the arena, tight for chains, greedy otherwise.

The caller holds the graph's input and output; operators that work in place share the memory of an input that dies
there; everything else gets an offset.
"""

from dataclasses import dataclass
from functools import cached_property

from export.graph import Graph, Op
from export.op_kernel import KernelOf, portable

ALIGNMENT = 16


@dataclass(frozen=True)
class Block:
    """Bytes that must stay put from op `first` to op `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: "Block") -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """offsets: bytes into the arena by tensor index, for the tensors in it. scratch: (offset, bytes) by op index, for
    the ops that need any. roots: tensor index to the index of the tensor whose memory it shares (itself mostly).
    blocks: of the tensors in the arena, those that share memory as one."""

    offsets: dict[int, int]
    scratch: dict[int, tuple[int, int]]
    roots: dict[int, int]
    blocks: tuple[Block, ...]
    arena_bytes: int


def make_plan(graph: Graph, kernel_of: KernelOf = portable) -> Plan:
    """The arena of `graph`, run by these kernels: the smaller of two, with outputs that slide over inputs and without,
    for a chain of them is one block, as long as it lives."""
    storages = [Storage(graph, kernel_of, sliding) for sliding in (True, False)]
    return min(map(_plan, storages), key=lambda plan: plan.arena_bytes)


def _plan(storage: "Storage") -> Plan:
    graph = storage.graph
    scratch = {i: size for i, op in enumerate(graph.ops) if (size := storage.kernel_of(graph, op).scratch_bytes) > 0}
    blocks = tuple(storage.block(root) for root in storage.in_arena)
    every = [*blocks, *(Block(size, i, i) for i, size in scratch.items())]
    places = place(every)
    ends = [offset + block.size for offset, block in zip(places, every, strict=True)]
    lowest = {root: at - storage.span(root)[0] for root, at in zip(storage.in_arena, places, strict=False)}
    offsets = {i: lowest[root] + storage.starts[i] for i, root in storage.roots.items() if root in lowest}
    at = dict(zip(scratch, places[len(blocks):], strict=True))
    return Plan(offsets, {i: (at[i], size) for i, size in scratch.items()}, storage.roots, blocks,
                aligned(max(ends, default=1)))


class Storage:
    """Which tensors share memory, and when it is in use. roots: by tensor; starts: bytes from the root's first byte.

    sliding: whether outputs may lie over parts of inputs, where kernels work so."""

    def __init__(self, graph: Graph, kernel_of: KernelOf = portable, sliding: bool = True) -> None:
        self.graph, self.kernel_of, self.sliding = graph, kernel_of, sliding
        self.roots = {i: i for i in graph.activations}
        self.starts = dict.fromkeys(graph.activations, 0)
        self.last_read = {i: index for index, op in enumerate(graph.ops) for i in self.inputs(op)}
        for index, op in enumerate(graph.ops):
            starts = ((self.roots[i], self.start_in(index, op, i)) for i in self.inputs(op))
            root, start = next((each for each in starts if each[1] is not None), (None, 0))
            if root is not None:
                self.share(op.outputs[0], root, start)

    def inputs(self, op: Op) -> tuple[int, ...]:
        """The activations that an op reads."""
        return tuple(i for i in op.inputs if i in self.roots)

    def share(self, tensor: int, root: int, start: int) -> None:
        """Put `tensor` into the memory of `root`, which is then read for as long as both are."""
        self.roots[tensor], self.starts[tensor] = root, start
        self.last_read[root] = max(self.last_read.get(root, -1), self.last_read.get(tensor, -1))

    def start_in(self, index: int, op: Op, tensor: int) -> int | None:
        """Where op's output may start in the memory of its input `tensor`; None: not there. A RESHAPE writes nothing;
        other operators need memory of ours that nobody reads later. The graph's output shares none that is larger than
        itself: it is the caller's."""
        root, start, size = self.roots[tensor], self.starts[tensor], self.graph.result(op).bytes
        if op.outputs[0] in self.graph.outputs and self.span(root) != (0, size):
            return None
        if op.kind == "RESHAPE":
            return start
        held = {self.roots[i] for i in (*self.graph.inputs, *self.graph.outputs)}
        if root in held or self.last_read[root] > index:
            return None
        return self._start_over(op, start, self.graph.tensors[tensor].bytes)

    def _start_over(self, op: Op, start: int, input_bytes: int) -> int | None:
        """The same of an input that nobody else needs: neither start nor end of an output that slides over it lies
        behind the input's."""
        kernel, size = self.kernel_of(self.graph, op), self.graph.result(op).bytes
        if kernel.slides and self.sliding:
            return (start + min(0, input_bytes - size)) // ALIGNMENT * ALIGNMENT
        return start if kernel.in_place and size <= input_bytes else None

    def span(self, root: int) -> tuple[int, int]:
        """From which byte, and to before which, `root` and what shares its memory lie."""
        of_root = [i for i, each in self.roots.items() if each == root]
        return (min(self.starts[i] for i in of_root),
                max(self.starts[i] + self.graph.tensors[i].bytes for i in of_root))

    @cached_property
    def in_arena(self) -> tuple[int, ...]:
        outside = {self.roots[i] for i in (*self.graph.inputs, *self.graph.outputs)}
        return tuple(root for root in dict.fromkeys(self.roots.values()) if root not in outside)

    @cached_property
    def uses(self) -> dict[int, list[int]]:
        """Indices of the ops that read or write each root's memory, in order."""
        found: dict[int, list[int]] = {}
        for index, op in enumerate(self.graph.ops):
            for i in (*self.inputs(op), *op.outputs):
                found.setdefault(self.roots[i], []).append(index)
        return found

    def block(self, root: int) -> Block:
        low, high = self.span(root)
        return Block(high - low, self.uses[root][0], self.uses[root][-1])


def op_bytes(graph: Graph, plan: Plan) -> list[int]:
    """Bytes of the arena that are in use while each op runs: tensors that live then, and its scratch."""
    return [sum(block.size for block in plan.blocks if block.first <= i <= block.last)
            + plan.scratch.get(i, (0, 0))[1] for i in range(len(graph.ops))]


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(blocks: list[Block]) -> list[int]:
    """An offset for each block, aligned, so that no two blocks in use at the same time overlap: the better of the two
    ways below."""
    ways = [offsets for offsets in (_greedy(blocks), _two_ended(blocks)) if not _overlapping(blocks, offsets)]
    return min(ways, key=lambda offsets: max((o + b.size for o, b in zip(offsets, blocks, strict=True)), default=0))


def _greedy(blocks: list[Block]) -> list[int]:
    """Largest first, each at the lowest offset that is free for as long as it is needed."""
    offsets: dict[int, int] = {}
    for i in sorted(range(len(blocks)), key=lambda i: (-blocks[i].size, blocks[i].first, i)):
        taken = sorted((offsets[j], blocks[j].size) for j in offsets if blocks[i].meets(blocks[j]))
        offsets[i] = _lowest_gap(taken, blocks[i].size)
    return [offsets[i] for i in range(len(blocks))]


def _lowest_gap(taken: list[tuple[int, int]], size: int) -> int:
    offset = 0
    for start, length in taken:
        if offset + size <= start:
            break
        offset = max(offset, aligned(start + length))
    return offset


def _two_ended(blocks: list[Block]) -> list[int]:
    """In order of birth, each on what outlives it, or else at the other end: exact for a chain, where two tensors live
    at a time, for residual blocks, whose input outlives what is inside, and for scratch, which fits between; for other
    graphs it may overlap, and is then not taken."""
    steps = range(max((b.last for b in blocks), default=0) + 1)
    top = max((sum(aligned(b.size) for b in blocks if b.first <= step <= b.last) for step in steps), default=0)
    order = sorted(range(len(blocks)), key=lambda i: (blocks[i].first, -blocks[i].last))
    offsets, ends = {}, ((), ())  # of the lasting: those that live, from the bottom and from the top
    for i in (i for i in order if blocks[i].first < blocks[i].last):
        ends = tuple(tuple(j for j in end if blocks[j].last >= blocks[i].first) for end in ends)
        end = max((0, 1), key=lambda end: _shelter(blocks, ends[end], i))
        under = sum(aligned(blocks[j].size) for j in ends[end])
        offsets[i] = top - under - aligned(blocks[i].size) if end else under
        ends = tuple((*each, i) if at == end else each for at, each in enumerate(ends))
    for i in order:
        if i not in offsets:
            taken = sorted((offsets[j], blocks[j].size) for j in offsets if blocks[i].meets(blocks[j]))
            offsets[i] = _lowest_gap(taken, blocks[i].size)
    return [offsets[i] for i in range(len(blocks))]


def _shelter(blocks: list[Block], end: tuple[int, ...], i: int) -> int:
    """How well block i lies on those of an end: best on one that outlives it, then where there is none."""
    if not end:
        return 1
    return 2 if blocks[end[-1]].last >= blocks[i].last else 0


def _overlapping(blocks: list[Block], offsets: list[int]) -> bool:
    placed = list(zip(blocks, offsets, strict=True))
    return any(a.meets(b) and start < other + b.size and other < start + a.size
               for i, (a, start) in enumerate(placed) for b, other in placed[:i])
