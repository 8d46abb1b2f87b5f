"""KERNELS=tuned without DSP instructions: the portable kernels' bytes, and what MLPerf Tiny's shape may cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.arithmetic import high_multiply, rounding_shift
from export.calibrate import core_board
from export.count import Count
from export.counter import Machine
from export.graph import Graph, GraphOp
from export.host import host_scores, sanitized_scores
from export.kernels import TUNED, KernelSet
from export.measurement import Bench
from export.networks import Network
from export.plan import make_plan
from export.quantize import to_tflite
from export.self_test import NetworkTest
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from export.tuned.plain import PLAIN, requantization
from export.tuned.requantization import mix_of
from tests.export.family import nets
from tests.export.models import Chain, random_net
from tests.export.test_plan import check_every_read
from tests.export.test_tuned import check_bits, separable_nets
from tests.export.whole_nets import whole_net

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
ON_CORES = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]
QUICK = settings(max_examples=20, deadline=None, derandomize=True)
LONG = settings(max_examples=1000, deadline=None)
MOST_INSTRUCTIONS = {"m0plus": 9_700_000, "m3": 7_500_000}  # of MLPerf Tiny's shape


def taken(graph: Graph) -> int:
    """Ops that run tuned."""
    return sum(PLAIN.kernel_of(graph, op).header == PLAIN.header for op in graph.ops)


@QUICK
@given(st.one_of(nets(), separable_nets()))
def test_family_of_nets(chain):
    check_bits(chain, PLAIN)


@pytest.mark.slow
@LONG
@given(st.one_of(nets(), separable_nets()))
def test_family_of_nets_at_length(chain):
    check_bits(chain, PLAIN)


@QUICK
@given(separable_nets())
def test_every_op_finds_its_inputs_whole(chain):
    check_every_read(read_tflite(chain.content()), PLAIN.kernel_of)


# Shapes that each kernel must take, with what is special about them.
TAKEN = {
    "pointwise": lambda: Chain((1, 5, 5, 8), 1).conv(6, (1, 1), activation="RELU"),
    "pointwise-odd": lambda: Chain((1, 3, 3, 7), 2).conv(5, (1, 1)),
    "pointwise-one-position": lambda: Chain((1, 1, 1, 9), 3).conv(3, (1, 1)),
    "pointwise-one-channel": lambda: Chain((1, 4, 4, 1), 4).conv(1, (1, 1), activation="RELU6"),
    "pointwise-pairs-in-threes": lambda: Chain((1, 4, 3, 6), 5).conv(9, (1, 1), activation="RELU_N1_TO_1"),
    "first": lambda: Chain((1, 49, 10, 1), 6).conv(12, (10, 4), (2, 2), activation="RELU"),
    "convolution": lambda: Chain((1, 9, 6, 5), 7).conv(7, (3, 2), (1, 2), dilation=(2, 1), activation="RELU6"),
    "convolution-valid": lambda: Chain((1, 9, 6, 3), 8).conv(4, (3, 3), padding="VALID"),
    "convolution-beyond-plane": lambda: Chain((1, 2, 3, 1), 9).conv(4, (10, 4)),
    "depthwise": lambda: Chain((1, 25, 5, 8), 10).depthwise(activation="RELU"),
    "depthwise-wide": lambda: Chain((1, 6, 12, 3), 11).depthwise(),
    "depthwise-of-a-row": lambda: Chain((1, 4, 10, 5), 12).depthwise(kernel=(1, 3), activation="RELU6"),
    "depthwise-valid": lambda: Chain((1, 8, 7, 2), 13).depthwise(kernel=(5, 3), padding="VALID"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_kernel_takes_what_it_is_for(name):
    chain = TAKEN[name]()
    assert taken(read_tflite(chain.content())) == 1
    check_bits(chain, PLAIN)


@pytest.mark.parametrize("chain", [
    Chain((1, 1, 1, 600), 1).conv(4, (1, 1)),                        # sums times 11 bits leave 32
    Chain((1, 5, 5, 4), 2).conv(4, (3, 3), dilation=(1, 2)),         # columns apart
    Chain((1, 9, 4, 4), 3).depthwise(),                              # lines shorter than a chunk
    Chain((1, 9, 9, 4), 4).depthwise(stride=(1, 2)),
    Chain((1, 9, 9, 4), 5).depthwise(kernel=(3, 4)),
    Chain((1, 2, 2, 60), 6).conv(2, (3, 3)),                         # scratch many times the output
], ids=["sums", "dilation", "narrow", "stride", "kernel", "scratch"])
def test_what_no_kernel_takes_stays_portable(chain):
    assert taken(read_tflite(chain.content())) == 0
    check_bits(chain, PLAIN)


@pytest.mark.parametrize("activation", ["NONE", "RELU"])
def test_one_rounding_is_tflites_two(activation):
    """For every shift, at and around every sum where an output changes, and at the ends of what is taken."""
    rng = np.random.default_rng(0)
    graph = read_tflite(Chain((1, 1, 1, 4), 5).conv(len(SHIFTS), (1, 1), activation=activation).content())
    mix = replace(mix_of(GraphOp(graph, graph.ops[0]), np.full((len(SHIFTS), 32), 127, np.int8)), shift=-SHIFTS)
    for multiplier in (2**30, 2**31 - 1, *rng.integers(2**30, 2**31, 8)):
        mix = replace(mix, multiplier=np.full(len(SHIFTS), multiplier))
        for shift, words in zip(SHIFTS.tolist(), requantization.constants(mix, mix.bias).tolist(), strict=True):
            steps = (np.arange(-130, 131) - 0.5) * 2.0 ** (31 + shift) / multiplier
            sums = np.unique(np.clip(np.rint(steps)[:, None] + np.arange(-2, 3), *ENDS)).astype(int).tolist()
            wanted = [requantized(mix, each, int(multiplier), shift) for each in sums]
            assert [by_parts(mix, each, words) for each in sums] == wanted


SHIFTS = np.arange(1, requantization.MOST_SHIFT + 1)
ENDS = (-requantization.LARGEST_SUM, requantization.LARGEST_SUM)


@pytest.mark.parametrize("activation", ["NONE", "RELU"])
def test_outputs_that_never_change(activation):
    """Their sums are larger than what is multiplied otherwise."""
    chain = Chain((1, 4, 6, 6), 3).depthwise(activation=activation, bias_steps=4_000_000)
    each = GraphOp(graph := read_tflite(chain.content()), graph.ops[0])
    mix = mix_of(each, each.operands[1].data.reshape(-1, 6).T)
    assert requantization.is_constant(mix).sum() == 5
    assert mix.reach.max() > requantization.LARGEST_SUM
    assert taken(graph) == 1
    check_bits(chain, PLAIN)


def requantized(mix, value: int, multiplier: int, shift: int) -> int:
    """As TFLite Micro does."""
    result = rounding_shift(high_multiply(value, multiplier), shift) + mix.result_zero_point
    return min(max(result, mix.range[0]), mix.range[1])


def by_parts(mix, value: int, words: list[int]) -> int:
    """As the kernels do; every word in 32 bits."""
    _, offset, low, high = words
    products = [value * part for part in (low & 0xFFFF, low >> 16, high & 0xFFFF)]
    middle = (products[0] >> 11) + products[1]
    result = (middle >> 11) + products[2] + offset - (512 if value < 0 and not mix.rectified else 0)
    assert all(-2**31 <= each < 2**31 for each in (*products, middle, result))
    return min(max(result >> (high >> 16), mix.range[0]), mix.range[1])


def test_the_sanitizers_find_nothing():
    """All kernels in one program; the arena is exactly as large as planned."""
    graphs = tuple(read_tflite(build().content()) for build in TAKEN.values())
    inputs = tuple(random_inputs(graph.input.shape, 3, 1) for graph in graphs)
    networks = tuple(Network(f"network_{i}", NetworkTest(1, np.zeros(1, np.uint8))) for i in range(len(graphs)))
    scores, _ = sanitized_scores(graphs, networks, inputs, PLAIN.kernel_of)
    for graph, rows, found in zip(graphs, inputs, scores, strict=True):
        np.testing.assert_array_equal(found, host_scores(graph, rows))


@pytest.fixture(scope="module")
def mlperf_tiny():
    """The shape of MLPerf Tiny's keyword-spotting net, weights random."""
    return read_tflite(to_tflite(random_net(5, (64,) * 5, 10, tuple(f"word {i}" for i in range(12)))))


def test_memory_and_flash(mlperf_tiny):
    """A plane, one of its channels and a tile; weights as many bytes as there are, 16 bytes of constants an output."""
    assert taken(mlperf_tiny) == 9
    assert make_plan(mlperf_tiny, PLAIN.kernel_of).arena_bytes <= 9_600


@pytest.mark.parametrize("core", MOST_INSTRUCTIONS)
class TestOnCores:
    pytestmark = ON_CORES

    def test_mlperf_tiny_in_its_limits(self, core, mlperf_tiny, tmp_path):
        """Issue 5's limit on Armv6-M is 20 M; CMSIS-NN takes 29.0 M there and 10.5 M on M3."""
        bench = Bench(core_board(core), KernelSet(TUNED))
        image = bench.build((mlperf_tiny,), tmp_path)
        inputs = random_inputs(mlperf_tiny.input.shape, 1)
        counts, scores = Machine(image, bench.board, tmp_path).infer(mlperf_tiny, "network", inputs)
        assert scores == host_scores(mlperf_tiny, inputs).tobytes()
        assert sum(counts, Count()).instructions < MOST_INSTRUCTIONS[core]

    def test_the_instructions_do_what_their_c_says(self, core, tmp_path):
        check_on_core(core, tuple(read_tflite(build().content()) for build in TAKEN.values()), tmp_path)

    @pytest.mark.slow
    def test_whole_nets(self, core, tmp_path):
        check_on_core(core, tuple(whole_net(seed) for seed in range(5)), tmp_path)


def check_on_core(core: str, graphs: tuple[Graph, ...], folder) -> None:
    bench = Bench(core_board(core), KernelSet(TUNED))
    machine = Machine(image := bench.build(graphs, folder), bench.board, folder)
    for graph, prefix in zip(graphs, image.prefixes, strict=True):
        for inputs in random_inputs(graph.input.shape, 3, 2)[:, None]:
            _, scores = machine.infer(graph, prefix, inputs)
            assert scores == host_scores(graph, inputs).tobytes()
