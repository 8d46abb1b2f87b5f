"""KERNELS=tuned on Cortex-M55: TFLite Micro's bytes on every net, and what MLPerf Tiny's shape may cost there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.calibrate import core_board
from export.emulator import Session
from export.graph import GraphOp
from export.kernels import TUNED, KernelSet
from export.measurement import Bench
from export.plan import make_plan
from export.quantize import to_tflite
from export.sizing import is_kernel, sections_of
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from export.tuned.mve import MVE, depthwise, mix
from export.tuned.requantization import mix_of
from export.witness import tflm_scores
from tests.export.family import nets
from tests.export.models import Chain, random_net
from tests.export.test_tuned import separable_nets

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
ON_CORE = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]
BENCH = Bench(core_board("m55"), KernelSet(TUNED))

several = st.lists(st.one_of(nets(), separable_nets()), min_size=20, max_size=20)


def check_bits(chains: list[Chain], folder) -> None:
    """All nets in one image."""
    contents = [chain.content() for chain in chains]
    graphs = tuple(map(read_tflite, contents))
    with Session(BENCH.build(graphs, folder).elf, BENCH.board.emulator) as session:
        hello = session.hello()
        for i, (graph, content, chain) in enumerate(zip(graphs, contents, chains, strict=True)):
            inputs = random_inputs(graph.input.shape, 6, chain.seed).view(graph.input.dtype)
            scores = [session.scores(row, hello, i)[0].view(graph.output.dtype) for row in inputs]
            expected = tflm_scores(content, inputs).reshape(len(inputs), -1)
            np.testing.assert_array_equal(np.array(scores), expected, repr(chain))


def last_op(chain: Chain) -> GraphOp:
    graph = read_tflite(chain.content())
    return GraphOp(graph, graph.ops[-1])


# Shapes that each kernel must take, with what is special about them.
TAKEN = {
    "pointwise": lambda: Chain((1, 5, 5, 64), 1).conv(6, (1, 1), activation="RELU"),
    "pointwise-odd": lambda: Chain((1, 3, 3, 7), 2).conv(5, (1, 1)),
    "pointwise-one-output": lambda: Chain((1, 3, 3, 17), 3).conv(1, (1, 1)),
    "pointwise-one-position": lambda: Chain((1, 1, 1, 9), 4).conv(3, (1, 1)),
    "pointwise-three-vectors": lambda: Chain((1, 2, 5, 40), 5).conv(8, (1, 1)),
    "pointwise-many-vectors": lambda: Chain((1, 2, 5, 130), 6).conv(9, (1, 1), activation="RELU"),
    "pointwise-in-place": lambda: Chain((1, 7, 5, 12), 7).conv(40, (1, 1)).conv(33, (1, 1)).conv(34, (1, 1)),
    "first": lambda: Chain((1, 49, 10, 1), 8).conv(12, (10, 4), (2, 2), activation="RELU"),
    "convolution": lambda: Chain((1, 9, 6, 5), 9).conv(7, (3, 2), (1, 2), dilation=(2, 3), activation="RELU6"),
    "convolution-valid": lambda: Chain((1, 9, 6, 3), 10).conv(4, (3, 3), padding="VALID"),
    "depthwise": lambda: Chain((1, 25, 5, 8), 11).depthwise(activation="RELU"),
    "depthwise-halves": lambda: Chain((1, 25, 5, 8), 12).depthwise(),
    "depthwise-wide": lambda: Chain((1, 9, 40, 3), 13).depthwise(activation="RELU"),
    "depthwise-strided": lambda: Chain((1, 9, 12, 4), 14).depthwise(kernel=(5, 4), stride=(2, 3)),
    "depthwise-dilated": lambda: Chain((1, 9, 5, 4), 15).depthwise(kernel=(3, 2), dilation=(2, 3)),
    "depthwise-of-one-position": lambda: Chain((1, 1, 1, 12), 16).depthwise(),
    "depthwise-valid": lambda: Chain((1, 13, 1, 4), 17).depthwise(kernel=(5, 1), padding="VALID"),
    "depthwise-multiplied": lambda: Chain((1, 9, 6, 3), 18).depthwise(4, (4, 3), (2, 1)),
    "dense": lambda: Chain((1, 70), 19).dense(9),
    "dense-per-channel": lambda: Chain((1, 33), 20).dense(4, activation="RELU", per_channel=True),
    "average": lambda: Chain((1, 25, 5, 11), 21).average_pool((25, 5), (25, 5)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_every_kernel_takes_what_it_is_for(name):
    op = last_op(TAKEN[name]())
    assert MVE.kernel_of(op.graph, op.op).header == MVE.header


@pytest.mark.parametrize("chain", [
    Chain((1, 40, 40, 24), 1).depthwise(),                      # places beyond int16
    Chain((1, 9, 9, 4), 2).depthwise(stride=(4, 3)),            # most windows would be dropped
    Chain((1, 9, 120, 4), 3).depthwise(),                       # a window over too many chunks
    Chain((1, 5, 5, 4), 4).average_pool((5, 5), (5, 5)),        # less than a vector of channels
    Chain((1, 25, 25, 8), 5).average_pool((25, 25), (25, 25)),  # sums of 625 values leave 16 bits
    Chain((1, 9, 400, 24), 6).conv(2, (9, 1)),                  # taps beyond uint16
], ids=["places", "stride", "chunks", "channels", "positions", "band"])
def test_what_no_kernel_takes_stays_portable(chain):
    op = last_op(chain)
    assert MVE.kernel_of(op.graph, op.op).header == ""


def test_shifts_must_be_to_the_right():
    """The rounding shift takes one from negative values, which is wrong where nothing is shifted."""
    op = last_op(Chain((1, 1, 1, 4), 5).conv(2, (1, 1)))
    whole = mix_of(op, np.ones((2, 4), np.int8))
    for shift, taken in ((-32, False), (-31, True), (-1, True), (0, False), (1, False)):
        assert mix.takes(replace(whole, shift=np.array([-5, shift]))) == taken


def test_taps_never_share_a_place():
    """Lines share the padding between them; two taps of a window do not."""
    plane = depthwise.plane_of(last_op(Chain((1, 3, 1, 4), 6).depthwise(kernel=(3, 4), dilation=(1, 2))))
    assert len(set(plane.taps)) == 12


def test_windows_of_three_lines_of_five_are_one_chunk():
    assert depthwise.plane_of(last_op(Chain((1, 25, 5, 4), 7).depthwise())).chunks == 1
    assert depthwise.plane_of(last_op(Chain((1, 25, 6, 4), 8).depthwise())).chunks == 2


def test_other_cores_keep_their_flags():
    kernels = KernelSet(TUNED)
    assert kernels.flags("cortex-m4") == kernels.core_defines("cortex-m4") == ()
    assert KernelSet("portable").flags("cortex-m55") == KernelSet("portable").core_defines("cortex-m55") == ()
    assert kernels.flags("cortex-m55")
    assert kernels.core_defines("cortex-m55")


@pytest.fixture(scope="module")
def mlperf_tiny():
    """The .tflite of MLPerf Tiny's keyword-spotting shape, weights random."""
    return to_tflite(random_net(5, (64,) * 5, 10, tuple(f"word {i}" for i in range(12))))


def test_pointwise_and_depthwise_work_in_place(mlperf_tiny):
    graph = read_tflite(mlperf_tiny)
    plan = make_plan(graph, MVE.kernel_of)
    assert len({plan.roots[op.outputs[0]] for op in graph.ops if graph.result(op).bytes == 8000}) == 1


class TestOnTheCore:
    pytestmark = ON_CORE

    def test_every_kernel_on_the_core(self, tmp_path):
        check_bits([build() for build in TAKEN.values()], tmp_path)

    @settings(max_examples=2, deadline=None, derandomize=True)
    @given(several)
    def test_family_of_nets(self, tmp_path_factory, chains):
        check_bits(chains, tmp_path_factory.mktemp("nets"))

    @pytest.mark.slow
    @settings(max_examples=60, deadline=None)
    @given(several)
    def test_family_of_nets_at_length(self, tmp_path_factory, chains):
        check_bits(chains, tmp_path_factory.mktemp("nets"))

    def test_mlperf_tiny_in_its_limits(self, mlperf_tiny, tmp_path):
        """Issue 5's limits are 1.6 M instructions, 12 kB of arena, 16 kB of code; CMSIS-NN takes 1.79 M (DESIGN)."""
        graph = read_tflite(mlperf_tiny)
        image, inputs = BENCH.build((graph,), tmp_path), random_inputs(graph.input.shape, 1)
        with Session(image.elf, BENCH.board.emulator) as session:
            scores, ticks = session.scores(inputs, session.hello())
        found = sections_of(image).items()
        code_bytes = sum(size for name, size in found
                         if ":.text" in name and (name.startswith("network.o:") or is_kernel(name)))
        assert scores.tobytes() == tflm_scores(mlperf_tiny, inputs).tobytes()
        assert ticks * BENCH.board.emulator.instructions_per_tick < 670_000
        assert image.arena_bytes <= 8_320
        assert code_bytes <= 5_000
