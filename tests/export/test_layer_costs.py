"""Fits of known costs, and the files of costs that are committed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datasets.console import UserError
from export.boards import board_names, load_board
from export.calibrate import core_board, core_boards
from export.count import Count
from export.footprint import Firmware, Footprint
from export.kernels import PORTABLE, TUNED, KernelSet
from export.layer_costs import FOLDER, LayerCosts, fit, fit_all, fit_functions, load_costs, short_name
from export.op_kernel import portable
from export.sweep import sweep, tuned_sweep
from export.work import Function, Work
from export.workload import frame_work, works_of

CORES = tuple(core_boards())
KINDS = {work.kind for layer in sweep() for work in works_of(layer.graph(), portable)} | {frame_work(10).kind}
NETS_KINDS = ("first_convolution", "pointwise", "depthwise", "convolution", "fully_connected", "average_pool")

TUNED_KINDS = ("tuned_convolution", "tuned_pointwise", "tuned_depthwise")
WORST = {PORTABLE: 0.02, TUNED: 0.06}  # tuned: single layers of few channels; whole nets, see test_calibrate


def works(kind: str = "pointwise", count: int = 20) -> list[Work]:
    rng = np.random.default_rng(1)
    return [Work(kind, {"taps": int(rng.integers(100, 90000)), "rows": int(rng.integers(1, 40)), "layer": 1})
            for _ in range(count)]


def test_a_fit_finds_the_costs():
    some = works()
    model = fit(some, [3.5 * work.amounts["taps"] + 70 * work.amounts["rows"] + 900 for work in some])
    assert model.per == pytest.approx({"taps": 3.5, "rows": 70, "layer": 900}, rel=1e-3)
    assert (model.layers, model.worst_error) == (20, pytest.approx(0, abs=1e-5))
    assert model(Work("pointwise", {"taps": 2, "rows": 1, "layer": 1})) == pytest.approx(977, rel=1e-3)


def test_costs_are_never_negative_and_errors_are_told():
    some = works()
    counts = np.array([3.0 * work.amounts["taps"] - 20 * work.amounts["rows"] for work in some])
    counts[0] *= 1.5
    model = fit(some, counts)
    assert min(model.per.values()) >= 0
    assert model.worst_error > 0.2 > model.mean_error > 0


def test_a_fit_weighs_small_layers_like_large_ones():
    some = [Work("add", {"values": values, "layer": 1}) for values in (4, 10, 30, 100, 20000, 50000)]
    counts = [3 * work.amounts["values"] + 200 for work in some]
    model = fit(some, [*counts[:-1], 1.05 * counts[-1]])
    assert max(abs(model(work) / count - 1) for work, count in zip(some[:4], counts[:4], strict=True)) < 0.02


def costs(core: str = "cortex-m4") -> LayerCosts:
    some = works()
    counts = [Count(3 * work.amounts["taps"], 4 * work.amounts["taps"]) for work in some]
    return LayerCosts(core, "portable", "gcc", ("-O3",), "ab", "make", "unicorn", counts={"layer": (1, None)},
                      footprint=Footprint({"add": {"a.o:.text": 4}}, {"add": 8}, {"toy": Firmware(5, {}, 6, 7, 8, 9)},
                                          {"toy": Firmware(5, {}, 6, 7)}, {}),
                      **fit_all(some, counts, core, "portable"))


def test_a_file_holds_all_of_it(tmp_path):
    path = costs().write(tmp_path)
    assert path.name == "m4-portable.json"
    assert load_costs("cortex-m4", "portable", tmp_path) == costs()


def test_cycles_are_fitted_where_timings_are_public_and_stated_elsewhere():
    (work, *_), of_m4, of_m7 = works(), costs(), costs("cortex-m7")
    assert of_m4.cycles_of(work) == pytest.approx(4 * work.amounts["taps"], rel=1e-3)
    assert (of_m4.cycles_per_instruction, of_m7.cycles) == (None, {})
    assert of_m7.cycles_of(work) == pytest.approx(0.99 * of_m7.instructions_of(work))
    assert of_m7.cycles_source.startswith("stated")


def test_what_was_not_measured_is_refused(tmp_path):
    with pytest.raises(UserError, match="m4-mine.json: not there; `make calibrate CORE=m4 KERNELS=mine` writes it"):
        load_costs("cortex-m4", "mine", tmp_path)
    with pytest.raises(UserError, match="costs of cortex-m4, portable: no layer of kind lstm; there are pointwise"):
        costs().instructions_of(Work("lstm", {}))
    with pytest.raises(UserError, match="CORE=m23: allowed: m0plus, m3, m4, m7, m33, m55"):
        core_board("m23")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"core": "cortex-m4"}'])
def test_a_damaged_file_is_one_line(content, tmp_path):
    (tmp_path / "m4-cmsis-nn.json").write_text(content)
    with pytest.raises(UserError, match="m4-cmsis-nn.json: damaged, or of another version .*; `make calibrate CORE=m4 "
                                        "KERNELS=cmsis-nn CMSIS_NN=DIR` writes it again"):
        load_costs("cortex-m4", "cmsis-nn", tmp_path)


def kinds_of(core: str, kernels: str) -> set[str]:
    if kernels == PORTABLE:
        return KINDS
    kernel_of = KernelSet(kernels).kernel_of(core)
    return KINDS | {work.kind for layer in tuned_sweep() for work in works_of(layer.graph(), kernel_of)}


@pytest.mark.parametrize("kernels", [PORTABLE, TUNED])
@pytest.mark.parametrize("core", CORES)
def test_the_committed_costs_are_whole_and_near(core, kernels):
    found, kinds = load_costs(core, kernels), kinds_of(core, kernels)
    assert set(found.instructions) == kinds
    assert set(found.cycles) in (kinds, set())
    worst = max(found.instructions[kind].worst_error for kind in kinds & {*NETS_KINDS, *TUNED_KINDS})
    assert worst < WORST[kernels]
    assert found.command == f"make calibrate CORE={short_name(core)} KERNELS={kernels}"
    assert len(found.counts) >= len(kinds - KINDS if kernels == TUNED else KINDS) - 1
    assert set(found.footprint.kernels) == set(found.footprint.calls) == kinds - {frame_work(10).kind}
    boards = {board.name for board in map(load_board, board_names()) if board.core == core}
    footprint = found.footprint
    assert set(footprint.plain) == set(footprint.with_features) == set(footprint.with_detector) == boards


def test_functions_have_bytes_of_their_own():
    """Whole words, of as many lengths as there are kinds."""
    sizes = [(Work("tile", {"words": words, "layer": 1}), 50 * words + 201) for words in (2, 4, 16, 40)]
    found = replace(costs(), functions=fit_functions([*sizes, (Work("gather", {"layer": 1}), 180)]))
    tile, gather = Function((8,), Work("tile", {"words": 8, "layer": 1})), Function((1,), Work("gather", {"layer": 1}))
    assert (found.bytes_of(tile), found.bytes_of(gather)) == (604, 180)


def test_every_committed_file_is_of_a_core_that_there_is():
    for path in FOLDER.glob("*.json"):
        table = json.loads(path.read_text())
        assert path.name == f"{short_name(table['core'])}-{table['kernels']}.json"
        assert table["core"] in CORES


def test_costs_of_another_core_do_not_compare_equal():
    assert replace(costs(), core="cortex-m3") != costs()
