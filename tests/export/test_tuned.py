"""KERNELS=tuned: the portable kernels' bytes on every net, and what MLPerf Tiny's shape may cost on the cores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.calibrate import core_board
from export.count import Count
from export.counter import Machine
from export.graph import GraphOp
from export.host import host_scores, sanitized_scores
from export.kernels import TUNED, KernelSet
from export.measurement import Bench
from export.networks import Network
from export.plan import make_plan
from export.quantize import to_tflite
from export.self_test import NetworkTest
from export.sizing import is_kernel, sections_of
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from export.tuned import HOST
from export.tuned.dsp import mix
from export.tuned.requantization import mix_of
from export.tuned.tuned_kernel import Family
from tests.export.family import add_head, add_step, heads, nets, ratios, steps
from tests.export.models import Chain, random_net
from tests.export.test_plan import check_every_read

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
ON_CORES = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]
QUICK = settings(max_examples=20, deadline=None, derandomize=True)
LONG = settings(max_examples=1000, deadline=None)

fours = st.integers(1, 24).map(lambda n: 4 * n)
plane = st.tuples(st.integers(1, 14), st.integers(1, 9), fours)
windows = st.fixed_dictionaries({
    "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
    "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "padding": st.sampled_from(["SAME", "VALID"]), "activation": st.sampled_from(["NONE", "RELU", "RELU6"])})
depthwise_steps = st.tuples(st.just("depthwise"), windows, st.just(1))
pointwise_steps = st.tuples(st.just("conv"), st.fixed_dictionaries({
    "kernel": st.just((1, 1)), "activation": st.sampled_from(["NONE", "RELU", "RELU6"])}), fours)


@st.composite
def separable_nets(draw) -> Chain:
    """Depthwise and pointwise convolutions of channels in fours, among others, so that most run tuned."""
    chain = Chain((1, *draw(plane)), draw(st.integers(0, 10**6)))
    for name, options, number in draw(st.lists(st.one_of(depthwise_steps, pointwise_steps, steps), min_size=1,
                                               max_size=5)):
        add_step(chain, name, options, number)
    if draw(st.booleans()):
        chain.average_pool(chain.shape[1:3], chain.shape[1:3])
    if draw(st.booleans()):
        chain.quantize(draw(ratios))
    add_head(chain, draw(heads))
    return chain


def check_bits(chain: Chain, family: Family = HOST) -> None:
    """On this machine, the family's kernels and the portable ones agree."""
    graph = read_tflite(chain.content())
    inputs = random_inputs(graph.input.shape, 6, chain.seed).view(graph.input.dtype)
    np.testing.assert_array_equal(host_scores(graph, inputs, family.kernel_of), host_scores(graph, inputs))


@QUICK
@given(st.one_of(nets(), separable_nets()))
def test_family_of_nets(chain):
    check_bits(chain)


@pytest.mark.slow
@LONG
@given(st.one_of(nets(), separable_nets()))
def test_family_of_nets_at_length(chain):
    check_bits(chain)


# Shapes that each kernel must take, with what is special about them.
TAKEN = {
    "pointwise": lambda: Chain((1, 5, 5, 8), 1).conv(6, (1, 1), activation="RELU"),
    "pointwise-odd": lambda: Chain((1, 3, 3, 7), 2).conv(5, (1, 1)),
    "pointwise-one-position": lambda: Chain((1, 1, 1, 9), 3).conv(3, (1, 1)),
    "first": lambda: Chain((1, 49, 10, 1), 4).conv(12, (10, 4), (2, 2), activation="RELU"),
    "convolution": lambda: Chain((1, 9, 6, 5), 5).conv(7, (3, 2), (1, 2), dilation=(2, 1), activation="RELU6"),
    "convolution-valid": lambda: Chain((1, 9, 6, 3), 6).conv(4, (3, 3), padding="VALID"),
    "one-channel": lambda: Chain((1, 9, 6, 1), 7).depthwise(6, (4, 3), (2, 1)),
    "depthwise": lambda: Chain((1, 25, 5, 8), 8).depthwise(activation="RELU"),
    "depthwise-strided": lambda: Chain((1, 9, 12, 4), 9).depthwise(kernel=(5, 4), stride=(2, 3)),
    "depthwise-of-a-column": lambda: Chain((1, 13, 1, 4), 10).depthwise(kernel=(5, 1), padding="VALID"),
    "dense": lambda: Chain((1, 70), 11).dense(9),
    "dense-per-channel": lambda: Chain((1, 33), 12).dense(4, activation="RELU", per_channel=True),
    "average": lambda: Chain((1, 25, 5, 8), 13).average_pool((25, 5), (25, 5)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_kernel_takes_what_it_is_for(name):
    chain = TAKEN[name]()
    graph = read_tflite(chain.content())
    assert HOST.kernel_of(graph, graph.ops[-1]).header == HOST.header
    check_bits(chain)


def test_the_sanitizers_find_nothing():
    """All kernels in one program; the arena is exactly as large as planned."""
    chains = tuple(build() for build in TAKEN.values())
    graphs = tuple(read_tflite(chain.content()) for chain in chains)
    inputs = tuple(random_inputs(graph.input.shape, 3, 1) for graph in graphs)
    networks = tuple(Network(f"network_{i}", NetworkTest(1, np.zeros(1, np.uint8))) for i in range(len(graphs)))
    scores, _ = sanitized_scores(graphs, networks, inputs, HOST.kernel_of)
    for graph, rows, found in zip(graphs, inputs, scores, strict=True):
        np.testing.assert_array_equal(found, host_scores(graph, rows))


def graph_op(chain: Chain) -> GraphOp:
    graph = read_tflite(chain.content())
    return GraphOp(graph, graph.ops[-1])


@pytest.mark.parametrize("chain", [
    Chain((1, 1, 1, 600), 1).conv(4, (1, 1), bias_steps=9_000_000),  # sums times 256 leave 32 bits
    Chain((1, 5, 5, 4), 2).conv(4, (3, 3), dilation=(1, 2)),         # columns apart
    Chain((1, 5, 5, 6), 3).depthwise(),                              # channels not in fours
    Chain((1, 25, 25, 4), 4).average_pool((25, 25), (25, 25)),       # sums of 625 values leave 16 bits
], ids=["sums", "dilation", "channels", "positions"])
def test_what_no_kernel_takes_stays_portable(chain):
    op = graph_op(chain)
    assert HOST.kernel_of(op.graph, op.op).header == ""
    check_bits(chain)


def test_pairs_of_weights_must_fit_16_bits():
    """256 times the second plus the first: -128 and anything negative does not fit."""
    whole = mix_of(graph_op(Chain((1, 1, 1, 4), 5).conv(2, (1, 1))), np.zeros((2, 4), np.int8))
    for weights, taken in (((-128, 127), True), ((0, -128), True), ((-1, -128), False)):
        assert mix.takes(replace(whole, weights=np.tile(np.array(weights, np.int8)[:, None], 4))) == taken


@pytest.fixture(scope="module")
def mlperf_tiny():
    """The shape of MLPerf Tiny's keyword-spotting net, weights random."""
    return read_tflite(to_tflite(random_net(5, (64,) * 5, 10, tuple(f"word {i}" for i in range(12)))))


def code_bytes(image) -> int:
    """Of the network's functions and its kernels, without constants."""
    found = sections_of(image).items()
    return sum(size for name, size in found if ":.text" in name and (name.startswith("network.o:") or is_kernel(name)))


@pytest.mark.parametrize("core", ["m4", "m7", "m33"])
class TestOnCores:
    pytestmark = ON_CORES

    def test_mlperf_tiny_in_its_limits(self, core, mlperf_tiny, tmp_path):
        """Issue 5's limits are 4.2 M instructions, 5.0 M cycles, 12 kB of arena, 16 kB of code."""
        bench = Bench(core_board(core), KernelSet(TUNED))
        image = bench.build((mlperf_tiny,), tmp_path)
        inputs = random_inputs(mlperf_tiny.input.shape, 1)
        counts, scores = Machine(image, bench.board, tmp_path).infer(mlperf_tiny, "network", inputs)
        whole = sum(counts, Count())
        assert scores == host_scores(mlperf_tiny, inputs).tobytes()
        assert whole.instructions < 2_900_000
        assert whole.cycles is None or whole.cycles < 3_750_000
        assert image.arena_bytes <= 9_728
        assert code_bytes(image) <= 8_000

    def test_the_instructions_do_what_their_c_says(self, core, tmp_path):
        bench = Bench(core_board(core), KernelSet(TUNED))
        graphs = tuple(read_tflite(build().content()) for build in TAKEN.values())
        machine = Machine(image := bench.build(graphs, tmp_path), bench.board, tmp_path)
        for graph, prefix in zip(graphs, image.prefixes, strict=True):
            for inputs in random_inputs(graph.input.shape, 3, 2)[:, None]:
                _, scores = machine.infer(graph, prefix, inputs)
                assert scores == host_scores(graph, inputs).tobytes()


def test_planes_of_one_size_are_one_block(mlperf_tiny):
    plan = make_plan(mlperf_tiny, HOST.kernel_of)
    planes = {plan.roots[op.outputs[0]] for op in mlperf_tiny.ops if mlperf_tiny.result(op).bytes == 8000}
    assert len(planes) == 1


def test_outputs_slide_over_inputs():
    """8, then 24, then 4 channels of 100 positions: memory of the largest, and a tile of scratch."""
    chain = Chain((1, 10, 10, 4), 1).conv(8, (1, 1)).conv(24, (1, 1)).conv(4, (1, 1)).average_pool((10, 10))
    graph = read_tflite(chain.content())
    assert make_plan(graph, HOST.kernel_of).arena_bytes == 2400 + mix.scratch_bytes(24)
    check_bits(chain)


@QUICK
@given(separable_nets())
def test_every_op_finds_its_inputs_whole(chain):
    check_every_read(read_tflite(chain.content()), HOST.kernel_of)
