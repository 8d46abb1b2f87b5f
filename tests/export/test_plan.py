"""No two live tensors overlap, chains are tight, RESHAPE costs nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from export.op_kernel import portable, with_scratch
from export.plan import ALIGNMENT, Block, Plan, aligned, make_plan, place
from export.shape import NetShape
from export.shape_graph import graph_of
from export.tflite_reader import read_tflite
from export.tuned import FAMILIES
from tests.export.family import nets
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


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 3)), min_size=1, max_size=5), st.data())
def test_residual_blocks_are_tight(streams, data):
    """Streams of some blocks each: depthwise output, pointwise output that becomes the next stream tensor, and the
    stream beside them; scratch anywhere. The arena is the most that lives at a time."""
    found, ready = [], -1
    for size, depth in streams:
        birth = ready = ready + 1
        for _ in range(depth):
            found += [Block(size, birth, ready + 3), Block(size, ready + 1, ready + 2)]
            birth, ready = ready + 2, ready + 3
        found.append(Block(size, birth, ready + 1))
    every = range(max(b.last for b in found) + 1)
    scratch = data.draw(st.lists(st.integers(0, 200), min_size=len(every), max_size=len(every)))
    found += [Block(size, i, i) for i, size in enumerate(scratch) if size % 3]
    assert max(o + aligned(b.size) for o, b in zip(place(found), found, strict=True)) == peak(found)


def test_a_residual_net_runs_in_its_arena():
    graph = graph_of(NetShape((12, 20, 8), 10, 4, (2, 1, 1), (2, 1)))
    for kernel_of in (portable, *(family.kernel_of for family in FAMILIES.values())):
        check_every_read(graph, kernel_of)


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
    plan = planned(chain, kernel_of=with_scratch(lambda graph, op: 100 if graph.result(op).shape[3] == 4 else 0))
    assert list(plan.scratch) == [1]
    assert plan.arena_bytes == aligned(48) + aligned(64) + aligned(100)
    spans = [(plan.scratch[1][0], 100), *((offset, 64) for offset in plan.offsets.values())]
    ordered = sorted(spans)
    assert all(a + size <= b for (a, size), (b, _) in zip(ordered, ordered[1:], strict=False))


def test_graphs_with_a_branch_do_not_overlap():
    """A tensor that is read again later stays whole: the plan looks at live ranges, not at pairs."""
    first, second, last = Block(100, 0, 3), Block(60, 1, 2), Block(60, 2, 3)
    offsets = place([first, second, last])
    spans = sorted((offset, offset + block.size) for offset, block in zip(offsets, (first, second, last), strict=True))
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


def check_every_read(graph, kernel_of):
    """Run the plan on paper: bytes of memory hold the name of the value that was written there last, and every op must
    find its inputs whole after its scratch has been used."""
    plan = make_plan(graph, kernel_of)
    memory: dict[tuple[str, int], object] = {}
    values: dict[int, object] = {}

    def write(tensor: int, value: object) -> None:
        values[tensor] = value
        memory.update(dict.fromkeys(bytes_of(plan, graph, tensor), value))

    write(graph.inputs[0], "input")
    for index, op in enumerate(graph.ops):
        inputs = [i for i in op.inputs if i in values]
        offset, size = plan.scratch.get(index, (0, 0))
        memory.update({("arena", at): f"scratch {index}" for at in range(offset, offset + size)})
        for i in inputs:
            assert {memory[at] for at in bytes_of(plan, graph, i)} == {values[i]}, (index, op.kind, i)
        write(op.outputs[0], values[inputs[0]] if op.kind == "RESHAPE" else f"output {index}")
    assert {memory[at] for at in bytes_of(plan, graph, graph.outputs[0])} == {values[graph.outputs[0]]}
    assert max((at for place, at in memory if place == "arena"), default=0) < plan.arena_bytes
    return plan


def bytes_of(plan, graph, tensor):
    if tensor in plan.offsets:
        place, start = "arena", plan.offsets[tensor]
    else:
        held = plan.roots[tensor] == plan.roots[graph.inputs[0]] and tensor != graph.outputs[0]
        place, start = ("input" if held else "output"), 0
    return [(place, start + at) for at in range(graph.tensors[tensor].bytes)]


@settings(max_examples=150, deadline=None)
@given(nets(), st.integers(0, 50))
def test_every_op_finds_its_inputs_whole(chain, scratch):
    check_every_read(read_tflite(chain.content()),
                     with_scratch(lambda graph, op: scratch * len(op.inputs) if scratch % 3 else 0))


def test_in_place_operators_cost_no_memory():
    """RELU, QUANTIZE, RELU6 and ADD lie where their input lay; two planes are all that is needed."""
    chain = Chain((1, 4, 4, 3)).conv(8).relu().quantize().relu6()
    before = chain.at
    chain.conv(8, (1, 1)).add(before).conv(5)
    plan = check_every_read(read_tflite(chain.content()), portable)
    assert len(set(plan.offsets.values())) == 2
    assert plan.arena_bytes == 2 * 4 * 4 * 8


def test_an_input_that_is_read_later_is_not_overwritten():
    chain = Chain((1, 4, 4, 8)).conv(8)
    before = chain.at
    chain.relu().conv(8).add(before).conv(5)
    plan = check_every_read(read_tflite(chain.content()), portable)
    assert plan.arena_bytes == 3 * 128  # the kept plane, the RELU's, the convolution's


def test_the_callers_input_is_never_written():
    plan = check_every_read(read_tflite(Chain((1, 4, 4, 3)).relu().relu6().conv(3).content()), portable)
    assert plan.arena_bytes == 48


def test_ds_cnn_s_needs_its_two_largest_neighbours():
    """MLPerf Tiny's shape: a first convolution to 25x5x64 and four separable blocks of 64 channels."""
    chain = Chain((1, 49, 10, 1)).conv(64, (10, 4), (2, 2), activation="RELU")
    for _ in range(4):
        chain.depthwise(activation="RELU").conv(64, (1, 1), activation="RELU")
    chain.average_pool((25, 5), (25, 5)).reshape((1, 64)).dense(12).softmax()
    assert planned(chain).arena_bytes == 16_000
