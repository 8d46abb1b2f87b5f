"""No two live tensors overlap, chains are tight, RESHAPE costs nothing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from export.plan import ALIGNMENT, Block, Plan, aligned, make_plan, place
from export.tflite_reader import read_tflite
from tests.export.models import Chain

blocks = st.builds(lambda size, first, length: Block(size, first, first + length),
                   st.integers(1, 300), st.integers(0, 12), st.integers(0, 6))
sizes = st.lists(st.integers(1, 400), min_size=1, max_size=14)


def peak(blocks) -> int:
    """What any plan needs at least."""
    return max(sum(aligned(b.size) for b in blocks if b.first <= step <= b.last)
               for step in range(max(b.last for b in blocks) + 1))


@given(st.lists(blocks, min_size=1, max_size=12))
def test_live_blocks_never_overlap(blocks):
    used: dict[tuple[int, int], int] = {}
    for i, (block, offset) in enumerate(zip(blocks, place(blocks), strict=True)):
        assert offset >= 0
        assert offset % ALIGNMENT == 0
        for step in range(block.first, block.last + 1):
            for byte in range(offset, offset + block.size):
                assert used.setdefault((step, byte), i) == i


@given(sizes, st.data())
def test_chains_are_tight(sizes, data):
    """Each block lives for two steps, with scratch in some: the arena is the largest pair and its scratch."""
    scratch = data.draw(st.lists(st.integers(1, 200), min_size=len(sizes), max_size=len(sizes)))
    chain = [Block(size, i, i + 1) for i, size in enumerate(sizes)]
    chain += [Block(size, i, i) for i, size in enumerate(scratch) if size % 3]
    assert max(o + aligned(b.size) for o, b in zip(place(chain), chain, strict=True)) == peak(chain)


def test_greedy_alone_would_not_be_tight():
    """The case that needs both ends: largest first leaves a hole."""
    chain = [Block(16 * size, i, i + 1) for i, size in enumerate((10, 3, 4, 9))]
    assert max(o + b.size for o, b in zip(place(chain), chain, strict=True)) == 16 * 13


def planned(chain: Chain, **kwargs) -> Plan:
    return make_plan(read_tflite(chain.content()), **kwargs)


def test_arena_of_a_chain_is_its_largest_inner_pair():
    """The caller holds the input and the output."""
    chain = Chain((1, 8, 8, 3)).conv(5).conv(7).conv(2).average_pool((8, 8)).reshape((1, 2)).softmax()
    assert planned(chain).arena_bytes == aligned(64 * 5) + aligned(64 * 7)


def test_reshape_shares_its_memory():
    plan = planned(Chain((1, 4, 4, 2)).conv(3).reshape((1, 48)).dense(5))
    (before, after), = {tuple(sorted(plan.offsets))}
    assert plan.offsets[before] == plan.offsets[after]
    assert plan.arena_bytes == 48


def test_scratch_gets_its_place():
    chain = Chain((1, 4, 4, 2)).conv(3).conv(4).conv(5)
    plan = planned(chain, scratch_bytes=lambda graph, op: 100 if graph.result(op).shape[3] == 4 else 0)
    assert list(plan.scratch) == [1]
    assert plan.arena_bytes == aligned(48) + aligned(64) + aligned(100)
    spans = [(plan.scratch[1][0], 100), *((offset, 64) for offset in plan.offsets.values())]
    ordered = sorted(spans)
    assert all(a + size <= b for (a, size), (b, _) in zip(ordered, ordered[1:], strict=False))


def test_graphs_with_a_branch_do_not_overlap():
    """A tensor that is read again later stays whole: the plan looks at live ranges, not at pairs."""
    first, second, last = Block(100, 0, 3), Block(60, 1, 2), Block(60, 2, 3)
    offsets = place([first, second, last])
    assert len(np.unique(offsets)) == 3
