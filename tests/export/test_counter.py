"""Counts by unicorn: what QEMU counts on the same image, what hand counting gives, and the layers they belong to."""

import numpy as np
import pytest

from datasets.console import UserError
from export.calibrate import core_board
from export.count import Count
from export.counter import Machine
from export.emulator import Session
from export.kernels import load_kernels
from export.measurement import NOISE_SEED, Bench
from export.self_test import generated_bytes
from export.sweep import SweepLayer
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export.models import Chain

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
pytestmark = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]

CORES = ("m0plus", "m3", "m4", "m7", "m33")
AROUND_INSTRUCTIONS = 60  # of the firmware between its two readings of SysTick, the net aside


def bench(core: str) -> Bench:
    return Bench(core_board(core), load_kernels("portable", None))


def net():
    """Two equal pointwise layers among others, a RESHAPE, and an ADD that works in place."""
    chain = Chain((1, 12, 6, 1), 3).conv(8, (4, 3), (2, 2), activation="RELU").conv(8, (1, 1), activation="RELU")
    before = chain.at
    chain.conv(8, (1, 1)).add(before).average_pool((6, 3), (6, 3)).reshape((1, 8)).dense(4).softmax()
    return read_tflite(chain.content())


def noise(graph) -> np.ndarray:
    return generated_bytes(NOISE_SEED, graph.input.bytes)


@pytest.mark.parametrize("core", CORES)
def test_unicorn_counts_what_qemu_counts_and_computes_the_same(core, tmp_path):
    graphs, made = (net(), SweepLayer("CONV_2D", (25, 5, 20), 36).graph()), bench(core)
    image = made.build(graphs, tmp_path)
    machine = Machine(image, made.board, tmp_path)
    with Session(image.elf, made.board.emulator) as session:
        hello = session.hello()
        for i, graph in enumerate(graphs):
            scores, ticks = session.scores(noise(graph), hello, i)
            counts, output = machine.infer(graph, image.prefixes[i], noise(graph))
            counted = sum(counts, Count()).instructions
            per_tick = made.board.emulator.instructions_per_tick
            assert -per_tick <= ticks * per_tick - counted <= AROUND_INSTRUCTIONS + per_tick
            assert counted > 50_000
            assert output == scores.tobytes()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made, folder = bench("m4"), tmp_path_factory.mktemp("m4")
    return Machine(made.build((net(),), folder), made.board, folder)


def test_a_loop_is_counted_to_the_instruction(machine):
    """kws_spin: SUBS and BNE, 3 cycles a round, the last BNE not taken; BX."""
    assert machine.call("kws_spin", 1000) == [Count(2001, 3 * 1000 - 1 + 1)]


def test_layers_get_their_own_counts(machine):
    graph = net()
    counts, _ = machine.infer(graph, "network", noise(graph))
    kinds = [op.kind for op in graph.ops]
    whole = sum(counts, Count())
    assert whole == sum(machine.call("network_run", *places(machine)), Count())
    assert counts[kinds.index("RESHAPE")] == Count()
    first, second = (counts[i].instructions for i, kind in enumerate(kinds) if kind == "CONV_2D" and i)
    assert first == pytest.approx(second, rel=0.005)
    assert first > 10_000
    assert all(count.instructions > 100 for kind, count in zip(kinds, counts, strict=True) if kind != "RESHAPE")


def places(machine: Machine) -> list[int]:
    return [machine.program.symbol(f"kws_{what}").address for what in ("arena", "input", "output")]


def test_what_cannot_be_counted_is_one_line(machine, tmp_path):
    with pytest.raises(UserError, match="no symbol nowhere"):
        machine.call("nowhere")
    with pytest.raises(UserError, match="network_run ended in a fault"):
        machine.call("network_run", 0x60000000, *places(machine)[1:])
    made = bench("m55")
    with pytest.raises(UserError, match="cortex-m55: unicorn has no such core"):
        Machine(made.build((net(),), tmp_path), made.board)
