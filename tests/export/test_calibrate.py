"""Costs against counts made here: the layers that the files keep, and whole nets that no fit has seen."""

import json

import numpy as np
import pytest

from datasets.console import UserError
from export import calibrate, measurement
from export.calibrate import core_board, core_boards, parts_of
from export.cost import Tariff
from export.count import Count
from export.graph import Graph
from export.kernels import PORTABLE, TUNED, load_kernels
from export.layer_costs import LayerCosts, costs_path, load_costs
from export.measurement import FRAME_NAME, Batch, Bench, compiler, count_batch
from export.op_kernel import portable
from export.shape import NetShape
from export.sweep import FRAME_COEFFICIENTS, SweepLayer, sweep, tuned_sweep
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from export.workload import works_of
from tests.export.models import small_model
from tests.export.whole_nets import whole_net

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-objcopy", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
pytestmark = [pytest.mark.emulator, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]

CORES = tuple(core.removeprefix("cortex-") for core in core_boards())
QUICK = "m4"
SLOWLY = [core if core == QUICK else pytest.param(core, marks=pytest.mark.slow) for core in CORES]
NETS = 20
RESIDUAL_NETS = [((20, 36, 28), 10, (1, 2, 0), (2, 1)), ((16, 24, 40), 20, (0, 1, 1), (1, 2))]


SETS = (PORTABLE, TUNED)


def bench(core: str, kernels: str = PORTABLE) -> Bench:
    return Bench(core_board(core), load_kernels(kernels, None))


def committed(core: str, kernels: str = PORTABLE) -> LayerCosts:
    return load_costs(core_board(core).core, kernels)


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("core", SLOWLY)
def test_layers_that_the_file_keeps_still_cost_that(core, kernels, tmp_path):
    costs, by_name = committed(core, kernels), {layer.name: layer for layer in (*sweep(), *tuned_sweep())}
    names = [name for name in costs.counts if name in by_name]
    counts = bench(core, kernels).count(tuple(by_name[name].graph() for name in names), tmp_path)
    frames = {FRAME_NAME.format(n): bench(core).count_frame(n, tmp_path / str(n)) for n in FRAME_COEFFICIENTS
              if FRAME_NAME.format(n) in costs.counts}
    found = dict(zip(names, counts, strict=True)) | frames
    assert set(found) == set(costs.counts)
    exact = compiler() == costs.compiler
    for name, (instructions, cycles) in costs.counts.items():
        hint = f"{costs_path(costs.core, kernels)} no longer holds for {name}; run `{costs.command}`"
        allowed = allowed_instructions(costs) if exact else 0.05 * instructions
        assert abs(found[name].instructions - instructions) <= allowed, hint
        assert cycles is None or found[name].cycles == pytest.approx(cycles, rel=0.02 if exact else 0.05), hint


def allowed_instructions(costs: LayerCosts) -> float:
    """Counted one by one, or by ticks."""
    board = core_board(costs.core.removeprefix("cortex-"))
    return 0 if costs.counted_by == "unicorn" else 2 * board.emulator.instructions_per_tick


def errors(core: str, kernels: str, nets: tuple[Graph, ...], folder) -> list[tuple[float, float | None]]:
    """Of each net: predicted to counted instructions, and cycles, less 1. Ten nets to an image."""
    costs, counting = committed(core, kernels), bench(core, kernels)
    counts = [count for i in range(0, len(nets), 10) for count in counting.count(nets[i:i + 10], folder / str(i))]
    found = []
    for net, count in zip(nets, counts, strict=True):
        works = works_of(net, counting.kernels.kernel_of(costs.core))
        cycles = None if count.cycles is None else sum(map(costs.cycles_of, works)) / count.cycles - 1
        found.append((sum(map(costs.instructions_of, works)) / count.instructions - 1, cycles))
    return found


@pytest.mark.parametrize("kernels", SETS)
def test_predictions_of_a_few_whole_nets_are_within_5_percent(kernels, tmp_path):
    found = np.array(errors(QUICK, kernels, tuple(map(whole_net, range(3))), tmp_path))
    assert np.abs(found).max() < 0.05


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("core", SLOWLY)
def test_predictions_of_residual_nets_are_within_5_percent(core, kernels, tmp_path):
    """Of the shape alone too: cost.shape, before there are weights."""
    nets = tuple(read_tflite(small_model(seed, *shape)) for seed, shape in enumerate(RESIDUAL_NETS))
    found = errors(core, kernels, nets, tmp_path)
    print(f"{core}, {kernels}: errors of residual nets {found}")
    assert max(abs(instructions) for instructions, _ in found) < 0.05
    tariff = Tariff(core_board(core), committed(core, kernels))
    for net, (widths, n_coefficients, depths, strides) in zip(nets, RESIDUAL_NETS, strict=True):
        whole = tariff.shape(NetShape(widths, n_coefficients, 5, depths, strides)).whole
        of_graph = tariff.graph(net).whole
        assert whole.ram_bytes == of_graph.ram_bytes
        assert whole.instructions == pytest.approx(of_graph.instructions, rel=0.005)
        assert whole.flash_bytes == pytest.approx(of_graph.flash_bytes, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("core", CORES)
def test_predictions_of_20_whole_nets_are_within_5_percent(core, kernels, tmp_path):
    found = errors(core, kernels, tuple(map(whole_net, range(100, 100 + NETS))), tmp_path)
    instructions, cycles = zip(*found, strict=True)
    print(f"{core}, {kernels}: worst error of instructions {100 * max(map(abs, instructions)):.2f} %")
    assert max(map(abs, instructions)) < 0.05
    if core in ("m0plus", "m3", "m4"):
        print(f"{core}, {kernels}: worst error of cycles {100 * max(map(abs, cycles)):.2f} %")
        assert max(map(abs, cycles)) < 0.05


def test_a_row_is_predicted_whatever_its_stride(tmp_path):
    """Convolutions along one row are written otherwise where they walk in steps."""
    layers = [SweepLayer(op, (1, 60, 8), channels, (1, 5), (1, stride)) for stride in (1, 2, 3)
              for op, channels in (("CONV_2D", 16), ("DEPTHWISE_CONV_2D", 8))]
    graphs, costs = tuple(layer.graph() for layer in layers), committed(QUICK)
    for graph, count in zip(graphs, bench(QUICK).count(graphs, tmp_path), strict=True):
        (work,) = works_of(graph, portable)
        assert costs.instructions_of(work) == pytest.approx(count.instructions, rel=0.02)


def test_counts_follow_the_layer(tmp_path):
    """Twice the rows, twice the positions: almost twice the instructions, and the extra is the same a row."""
    layers = tuple(SweepLayer("CONV_2D", (rows, 5, 8), 8).graph() for rows in (4, 8, 12))
    first, second, third = (count.instructions for count in bench(QUICK).count(layers, tmp_path))
    assert second - first == pytest.approx(third - second, rel=0.01)
    assert second > 1.9 * first


def test_ticks_of_qemu_tell_what_unicorn_counts(tmp_path, monkeypatch):
    """M55 is counted by ticks: here M4, both ways. The firmware's own instructions are under one of M4's ticks."""
    graphs = tuple(SweepLayer("CONV_2D", (9, 5, 8), channels).graph() for channels in (4, 9))
    by_block = bench(QUICK).count(graphs, tmp_path)
    monkeypatch.setattr(measurement, "MODELS", {})
    by_ticks = bench(QUICK).count(graphs, tmp_path)
    assert all(count.cycles is None for count in by_ticks)
    for ticks, blocks in zip(by_ticks, by_block, strict=True):
        assert -40 <= ticks.instructions - blocks.instructions <= 80
    assert bench("m55")._of_ticks(640, times=2) == Count(10_000, None)


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """What was counted is counted again only where layers, sources or compiler are others."""
    counted, batch = [], Batch(bench(QUICK), tmp_path, (SweepLayer("RELU", (1, 1, 40)),))
    monkeypatch.setattr(Bench, "count", lambda *arguments: counted.append(arguments) or (Count(7, 9),))
    assert [count_batch(batch), count_batch(batch)] == [(Count(7, 9),)] * 2
    assert len(counted) == 1
    other = Batch(batch.bench, tmp_path, (SweepLayer("RELU", (1, 1, 41)),))
    for expected, name in ((2, None), (3, "digest_of"), (4, "compiler")):
        if name:
            monkeypatch.setattr(measurement, name, lambda *_: "another")
        count_batch(other)
        count_batch(other)
        assert len(counted) == expected


def test_the_command_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["calibrate", "--core", "m3", "--kernels", "portable", "--out",
                                     str(tmp_path / "costs")])
    code = load_costs("cortex-m3", "portable").footprint
    monkeypatch.setattr(calibrate, "footprint", lambda *_: code)
    monkeypatch.setattr(calibrate, "parallel_map", lambda _, parts, *__: [
        tuple(Count(1000 + len(name), 2000) for name in part.names) for part in parts])
    calibrate.main()
    summary = json.loads((tmp_path / "build" / "calibrate" / "m3-portable" / "summary.json").read_text())
    assert summary["core"] == "cortex-m3"
    assert summary["layers"] == len(sweep()) + len(FRAME_COEFFICIENTS)
    assert "feature_frame" in capsys.readouterr().out
    written = load_costs("cortex-m3", "portable", tmp_path / "costs")
    assert (written.counted_by, written.footprint) == ("unicorn", code)


@pytest.mark.parametrize(("arguments", "error"), [
    (["--core", "m99"], "CORE=m99: allowed: m0plus, m3"), (["--kernels", "best"], "KERNELS=best: allowed: portable"),
    (["--kernels", "cmsis-nn"], "needs CMSIS_NN=DIR")])
def test_a_wrong_word_is_one_line(arguments, error, monkeypatch):
    monkeypatch.setattr("sys.argv", ["calibrate", *arguments])
    with pytest.raises(UserError, match=error):
        calibrate.main()


@pytest.mark.parametrize("kernels", SETS)
def test_batches_hold_every_layer_once_and_fit_an_image(kernels):
    """Beside tuned kernels, portable ones are counted with their own set."""
    parts = parts_of(bench(QUICK, kernels))
    names, own = ([name for part in parts if part.bench.kernels.name == each for name in part.names] for each in SETS)
    assert sorted(names) == sorted([layer.name for layer in sweep()] + [FRAME_NAME.format(n) for n in
                                                                        FRAME_COEFFICIENTS])
    assert sorted(own) == sorted(layer.name for layer in tuned_sweep() if kernels == TUNED)
    assert max(len(part.layers) for part in parts) <= measurement.MOST_NETS
