"""`make compare`: what is run and in which order, what is kept, what is stale, and what the rows tell."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fabricated import Command
from helpers import tariff, write_tones
from scipy.stats import ttest_rel

from datasets.console import UserError, run_command
from export.shape import NetShape
from kws_grow import compare, grow, jobs, rows
from kws_grow.augment import SILENCES
from kws_grow.compare import SCHEDULE, Plan, check_alike, grouped
from kws_grow.comparison import differences, differences_table, standings
from kws_grow.config import GrowConfig, Reference
from kws_grow.grow import reference_of
from kws_grow.methods import METHODS, settings_of
from kws_grow.pareto import PUBLISHED, plot, points_on_the_way
from kws_grow.rows import COMPARATORS, MOST_BYTES, ROWS, Row, Unit, keep_row, read_rows, stale

ROOT = Path(__file__).resolve().parents[2]
BUDGET = "ops<=2M"
HASH = tariff("tuned").costs_hash
NET = {"widths": [16, 16, 16], "depths": [0, 0, 0], "strides": [1, 1], "epochs": 9}
LOG = ({"epoch": 1, "phase": "round 0", "dev_accuracy": 0.5, "widths": [8, 8, 8], "depths": [0, 0, 0]},
       {"epoch": 2, "phase": "round 0", "dev_accuracy": 0.6, "widths": [8, 8, 8], "depths": [0, 0, 0]},
       {"round": 1, "widths": [16, 16, 16], "operations": 7},
       {"epoch": 3, "phase": "round 1", "dev_accuracy": 0.7, "widths": [16, 16, 16], "depths": [0, 1, 0]},
       {"epoch": 4, "phase": "final", "dev_accuracy": 0.8, "widths": [16, 16, 16], "depths": [0, 1, 0]})


def unit(method: str = "energy-aware", seed: int = 0, budget: str = BUDGET) -> Unit:
    return Unit(method, seed, budget)


def config_of(it: Unit, **other) -> GrowConfig:
    reference = it.reference and Reference(it.reference.name, *(NET[key] for key in ("widths", "depths", "strides")), 9)
    config = GrowConfig("made-up", "d", ("a", "b"), "nano33ble", (1, 2), "tuned", HASH, it.budget, it.method, it.seed,
                        "cpu", 1, reference=reference, schedule=SCHEDULE, index=settings_of(it.method, ""))
    return replace(config, **other)


def summary_of(**other) -> dict:
    figures = {"accuracy_int8": 0.90, "accuracy_float": 0.91, "accuracy_int8_dev": 0.92, "accuracy_float_dev": 0.93,
               "operations": 1_900_000, "cycles": 3_000_000, "flash_bytes": 40_000, "wall_s": 600.0, "energy_uj": 100.0}
    alike = {"dataset_sha256": "", "board": "nano33ble", "kernels": "tuned", "costs_hash": ""}
    return {**figures, **NET, **alike, "finished": True, "labels": ["a", "b"], **other}


def row(method: str = "energy-aware", seed: int = 0, log=LOG, **summary) -> Row:
    it = unit(method, seed)
    return Row(it, json.loads(config_of(it).to_json()), summary_of(**summary), log)


def as_rows(*rows: Row) -> dict[Unit, Row]:
    return {each.unit: each for each in rows}


def write_run(folder: Path, config: GrowConfig, weights: int = 10, **summary) -> Path:
    """A finished run."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    (folder / "summary.json").write_text(json.dumps(summary_of(**summary)))
    (folder / "growth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    for name in ("model.tflite", "net.npz"):
        (folder / name).write_bytes(weights * b"x")
    return folder


def write_row(base: Path, it: Unit, summary: dict | None = None, **config) -> None:
    keep_row(write_run(base / "elsewhere" / it.name, config_of(it, **config), **(summary or {})), base / "rows")


RUN = """
import os, shutil, sys, time
source, run, name, wait, fails = sys.argv[1:]
with open("order", "a") as order:
    print("working", flush=True)
    print("start", name, file=order, flush=True)
    for _ in range(600):
        os.path.exists(wait) or time.sleep(0.1)
    fails == "True" and sys.exit("error: it broke")
    shutil.copytree(source, run, dirs_exist_ok=True)
    print("end", name, file=order)
"""


class Bench(Command):
    """The command, without plots.

    waits: files that a unit waits for. fails: units that break. weights: bytes of a unit's files.
    """

    def __init__(self, base: Path, monkeypatch):
        super().__init__(base, monkeypatch, compare, "--rows", "rows", "--jobs", "3")
        self.fails, self.waits, self.weights = set(), {}, {}
        monkeypatch.setattr(compare, "plot", lambda *_: None)

    def command(self, it: Unit, plan: Plan) -> list[str]:
        prepared = self.base / "prepared" / f"{len(self.order)}" / it.name
        write_run(prepared, config_of(it), self.weights.get(it, 10))
        return [sys.executable, "-c", RUN, str(prepared), str(plan.runs / it.name), it.name,
                str(self.waits.get(it, ".")), str(it in self.fails)]


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_only_what_is_missing_is_run_and_kept(bench, capsys):
    summary = bench("--methods", "energy-aware signed", "--seeds", "0 1")
    assert (summary["rows"], summary["rows_missing"], len(bench.order)) == (4, 0, 8)
    folder = bench.base / "rows" / "compare-signed-ops-2M-s1"
    assert sorted(path.name for path in folder.iterdir()) == ["growth.jsonl", "model.tflite", "net.npz", "row.json"]
    facts = json.loads((folder / "row.json").read_text())
    assert facts["config"] == json.loads(config_of(unit("signed", 1)).to_json())
    assert facts["config_sha256"].startswith(config_of(unit("signed", 1)).digest())
    assert facts["summary"] == summary_of()
    assert bench("--methods", "energy-aware signed", "--seeds", "0 1 2")["rows"] == 6
    assert len(bench.order) == 12
    out = capsys.readouterr().out
    assert "rows: 4 there, 0 stale, 2 missing" in out
    assert "missing  ops<=2M, seeds 2: energy-aware, signed" in out


def test_comparators_wait_for_their_references_and_bring_them_along(bench):
    bench.waits = {unit(): Path("rows") / unit("width", 1).name / "row.json"}
    assert bench("--methods", "width random", "--seeds", "0 1")["rows"] == 6
    for seed in (0, 1):
        ended = bench.order.index(f"end {unit(seed=seed).name}")
        assert all(bench.order.index(f"start {unit(method, seed).name}") > ended for method in ("width", "random"))
    assert bench.order.index(f"end {unit('width', 1).name}") < bench.order.index(f"end {unit().name}")


def test_one_failure_stops_only_what_needs_it(bench, capsys):
    bench.fails = {unit(seed=0)}
    with pytest.raises(SystemExit) as stop:
        bench("--methods", "energy-aware width signed", "--seeds", "0 1")
    assert stop.value.code == 1
    assert bench.summary["failed"] == {
        "compare-energy-aware-ops-2M-s0": "it broke",
        "compare-width-ops-2M-s0": "its reference compare-energy-aware-ops-2M-s0 failed",
        "compare-signed-ops-2M-s0": "its reference compare-energy-aware-ops-2M-s0 failed"}
    assert sorted(it.name for it in read_rows(bench.base / "rows")) == [
        "compare-energy-aware-ops-2M-s1", "compare-signed-ops-2M-s1", "compare-width-ops-2M-s1"]
    assert "failed: compare-energy-aware-ops-2M-s0: it broke" in capsys.readouterr().err


def test_weights_too_large_to_commit_are_no_row(bench):
    bench.weights = {unit(): MOST_BYTES}
    with pytest.raises(SystemExit):
        bench("--methods", "energy-aware", "--seeds", "0")
    assert "a row's files are committed, allowed: fewer than" in bench.summary["failed"][unit().name]
    assert read_rows(bench.base / "rows") == {}


def test_a_committed_row_serves_where_the_reference_never_ran(bench):
    write_row(bench.base, unit())
    bench("--methods", "width", "--seeds", "0")
    assert bench.order == ["start compare-width-ops-2M-s0", "end compare-width-ops-2M-s0"]
    found, shared = reference_of(unit().name, bench.base / "runs")
    assert shared["board"] == "nano33ble"
    assert (found.run, list(found.widths), found.epochs) == (unit().name, NET["widths"], NET["epochs"])


def test_another_run_by_the_references_name_does_not_serve(bench):
    write_row(bench.base, unit())
    write_run(bench.base / "runs" / unit().name, config_of(unit()), epochs=10)
    with pytest.raises(SystemExit):
        bench("--methods", "width", "--seeds", "0")
    assert "is not the run of row compare-energy-aware-ops-2M-s0; delete" in \
        bench.summary["failed"][unit("width").name]


OTHER = {"costs_hash": "0123456789ab"}


def test_stale_rows_are_told_not_averaged_and_not_run_again(bench):
    write_row(bench.base, unit(), {"accuracy_int8": 0.1}, **OTHER)
    write_row(bench.base, unit(seed=1))
    summary = bench("--methods", "energy-aware", "--seeds", "0 1")
    assert bench.order == []
    assert summary["stale"] == {unit().name: f"costs_hash 0123456789ab, present {HASH}"}
    (standing,) = summary["methods"]
    assert (standing["seeds"], standing["figures"]["accuracy_int8"]["mean"]) == ([1], 0.90)
    assert "stale, left out: compare-energy-aware-ops-2M-s0" in (bench.base / "out" / "table.md").read_text()


def test_rerun_runs_stale_rows_and_what_hangs_on_them(bench):
    write_row(bench.base, unit(), **OTHER)
    write_row(bench.base, unit("width"))
    write_row(bench.base, unit("signed"))
    write_run(bench.base / "runs" / unit().name, config_of(unit(), **OTHER))
    (bench.base / "runs" / unit().name / "checkpoint.pt").touch()
    summary = bench("--methods", "energy-aware width signed", "--seeds", "0", "--rerun", "1")
    started = [line for line in bench.order if line.startswith("start")]
    assert sorted(started) == sorted(f"start {unit(name).name}" for name in ("energy-aware", "width", "signed"))
    assert not (bench.base / "runs" / unit().name / "checkpoint.pt").exists()
    assert (summary["rows"], summary["rows_stale"]) == (3, 0)


def test_rerun_goes_on_with_a_run_of_the_present_settings(bench):
    write_row(bench.base, unit(), **OTHER)
    write_run(bench.base / "runs" / unit().name, config_of(unit()))
    (bench.base / "runs" / unit().name / "checkpoint.pt").touch()
    bench("--methods", "energy-aware", "--seeds", "0", "--rerun", "1")
    assert (bench.base / "runs" / unit().name / "checkpoint.pt").exists()


def test_a_comparator_of_a_stale_reference_is_not_run(bench):
    write_row(bench.base, unit(), **OTHER)
    with pytest.raises(SystemExit):
        bench("--methods", "width", "--seeds", "0")
    assert "its reference compare-energy-aware-ops-2M-s0 is stale" in bench.summary["failed"][unit("width").name]


def test_other_schedules_and_other_references_are_stale_too():
    old, new = row(), row("width", epochs=9)
    assert stale(as_rows(old, new), SCHEDULE) == {}
    told = f"final_epochs {SCHEDULE.final_epochs}, present 99"
    assert set(stale(as_rows(old, new), replace(SCHEDULE, final_epochs=99)).values()) == {told}
    assert stale(as_rows(row(epochs=10), new), SCHEDULE) == {new.unit: "its reference has been run again"}


def test_committed_rows_are_of_the_present_costs():
    assert stale(read_rows(ROOT / ROWS), SCHEDULE) == {}, "run `make compare RERUN=1`, or calibrate back"


def test_committed_rows_are_indexed_as_missing_ones_would_be():
    for it, row in read_rows(ROOT / ROWS).items():
        assert row.config["index"] == asdict(settings_of(it.method, compare.INDEX.get(it.method, ""))), it.name


def test_a_damaged_row_is_named(tmp_path):
    write_row(tmp_path, unit())
    path = tmp_path / "rows" / unit().name / "row.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))
    with pytest.raises(UserError, match=f"{unit().name}/row.json: damaged, or not of that folder"):
        read_rows(tmp_path / "rows")


@pytest.mark.parametrize(("method", "other", "differ"), [
    ("signed", {"dataset_sha256": "else"}, "dataset_sha256"), ("energy-aware", {"spend": "macs"}, "spend"),
    ("energy-aware", {"index": settings_of("energy-aware", "eps=0.1")}, "index")])
def test_rows_of_other_data_or_settings_stand_in_no_table(method, other, differ):
    it = unit(method, 1)
    there = Row(it, json.loads(config_of(it, **other).to_json()), summary_of(), ())
    check_alike(as_rows(row(), row("signed"), row("width")))
    with pytest.raises(UserError, match=f"rows .* and {it.name} differ in {differ}; delete"):
        check_alike(as_rows(row(), row("signed"), there))


def test_what_another_process_runs_is_left_to_it(bench):
    log = bench.base / "build" / "compare" / f"{unit().name}.log"
    log.parent.mkdir(parents=True)
    with log.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SystemExit):
            bench("--methods", "energy-aware", "--seeds", "0")
    assert "another process runs it" in bench.summary["failed"][unit().name]
    assert bench.order == []


def test_what_runs_is_told(bench, capsys):
    bench.monkeypatch.setattr(jobs, "TELL_S", 0.0)
    bench.waits = {unit(): bench.base / "told"}
    last_line = jobs.last_line

    def seen(log: Path) -> str:
        if line := last_line(log):
            (bench.base / "told").touch()
        return line
    bench.monkeypatch.setattr(jobs, "last_line", seen)
    bench("--methods", "energy-aware", "--seeds", "0")
    assert capsys.readouterr().out.count("compare-energy-aware-ops-2M-s0: working") == 1


def test_the_last_line_of_a_log(tmp_path):
    (tmp_path / "log").write_bytes(10_000 * b"x" + b"\nround 1\r 10 %\r 20 %\n\n")
    assert jobs.last_line(tmp_path / "log") == "20 %"
    (tmp_path / "log").write_bytes(b"")
    assert jobs.last_line(tmp_path / "log") == ""


def test_drawing_runs_nothing_and_marks_what_is_missing(bench):
    for method, seed in (("energy-aware", 0), ("energy-aware", 1), ("width", 0), ("prune-bn", 1)):
        write_row(bench.base, unit(method, seed), {"accuracy_int8": 0.9 + 0.01 * seed, "commit": f"abc{seed}"})
    write_row(bench.base, unit(budget="ops<=4M"))
    bench.monkeypatch.setattr(compare, "plot", plot)
    summary = bench("--draw", "1", "--seeds", "0 1")
    assert bench.order == []
    assert (summary["rows"], summary["rows_missing"]) == (5, 14)
    table = (bench.base / "out" / "table.md").read_text()
    assert "| energy-aware | 2 | 92.00 ± 0.00 | 93.00 ± 0.00 | 90.50 ± 0.71 | 91.00 ± 0.00 | 1.900 ± 0.000 |" in table
    assert "## ops<=4M\n\n| method |" in table
    assert "Rows by the code of commits abc0 (2), abc1 (2)." in table
    assert "Missing: not run yet: ops<=2M, seeds 0 1: splitting, signed, firefly, random, scratch, prune-l1; " \
        "ops<=2M, seeds 0: prune-bn; ops<=2M, seeds 1: width" in table
    for name in ("pareto_operations.png", "pareto_cycles.png"):
        assert (bench.base / "out" / name).stat().st_size > 5000


def test_nothing_there_is_drawn_too(bench):
    bench.monkeypatch.setattr(compare, "plot", plot)
    assert bench("--draw", "1", "--methods", "width", "--seeds", "7")["missing"] == [
        "compare-energy-aware-ops-2M-s7", "compare-width-ops-2M-s7"]


def test_differences_are_paired_by_seed_with_students_interval():
    reference, other = [0.93, 0.95, 0.91, 0.94, 0.90], [0.92, 0.93, 0.91, 0.92, 0.91]
    rows = [row(seed=seed, accuracy_int8_dev=share) for seed, share in enumerate(reference)]
    rows += [row("width", seed, accuracy_int8_dev=share) for seed, share in enumerate(other)]
    rows += [row(seed=9, accuracy_int8_dev=0.1)]
    (found,) = differences(as_rows(*rows), METHODS, BUDGET)
    low, high = ttest_rel(reference, other).confidence_interval()
    gap = found.gaps["accuracy_int8_dev"]
    assert (found.other, found.seeds) == ("width", (0, 1, 2, 3, 4))
    assert (gap.mean - gap.half, gap.mean + gap.half) == pytest.approx((low, high))


def test_one_pair_has_no_interval():
    (found,) = differences(as_rows(row(), row("width", accuracy_int8=0.88)), METHODS, BUDGET)
    assert found.gaps["accuracy_int8"].half is None
    assert "| width | 1 | +0.00 | +0.00 | +2.00 | +0.00 | 0.0 (0.0, 0.0) |  |  |" in differences_table([found])


def test_a_row_from_before_there_was_an_augmentation_was_trained_without_it(tmp_path):
    """A committed row, as it was written before silences were anything but plain."""
    name = unit().name
    facts = json.loads((ROOT / ROWS / name / "row.json").read_text())
    kept = {key: value for key, value in facts["config"]["augmentation"].items() if not key.startswith("silence_")}
    config = {key: value for key, value in facts["config"].items() if not key.startswith("teachers")}
    config["augmentation"] = kept
    (tmp_path / name).mkdir()
    (tmp_path / name / "row.json").write_text(json.dumps(
        {"config": config, "config_sha256": rows._digest(config), "summary": facts["summary"]}))
    whole = read_rows(tmp_path)[unit()].config
    assert (whole["teachers"], whole["teachers_sha256"]) == ([], [])
    found = whole["augmentation"]
    assert found == json.loads(json.dumps(asdict(SILENCES["plain"])))
    assert found.keys() > kept.keys()


def test_time_is_compared_where_both_rows_tell_it():
    rows = [row(processor_s=300.0), row(seed=1, processor_s=300.0), row(seed=2), row("width", processor_s=200.0),
            row("width", seed=1), row("width", seed=2, processor_s=200.0)]
    (found,) = differences(as_rows(*rows), METHODS, BUDGET)
    assert (found.seeds, found.slower) == ((0, 1, 2), (1.5,))
    assert differences_table([found]).endswith("| 1.50 (1.50, 1.50) |  |")


@pytest.mark.parametrize(("budget", "price", "cheaper", "unequal"), [
    (BUDGET, {"operations": 1_881_000}, 0.01, ""),
    (BUDGET, {"operations": 1_843_000}, 0.03, "cheaper by more than 2%"),
    (BUDGET, {"operations": 1_919_000}, -0.01, "dearer"),
    ("ops<=2M cycles<=9M", {"operations": 1_710_000, "cycles": 2_970_000}, 0.01, ""),
    ("flash<=64k", {"energy_uj": 97.0, "flash_bytes": 20_000}, 0.03, "cheaper by more than 2%")])
def test_comparators_that_cost_less_or_more_are_flagged(budget, price, cheaper, unequal):
    rows = [replace(each, unit=replace(each.unit, budget=budget)) for each in (row(), row("width", **price))]
    (found,) = differences(as_rows(*rows), METHODS, budget)
    assert found.cheaper == (pytest.approx(cheaper),)
    assert found.unequal == unequal
    assert differences_table([found]).endswith(f"| {unequal} |")


def test_standings_are_of_their_seeds_alone():
    rows = as_rows(row(accuracy_int8=0.9), row(seed=1, accuracy_int8=0.94), row("width", accuracy_int8=0.8))
    first, second = standings(rows, METHODS, BUDGET)
    spread = first.figures["accuracy_int8"]
    assert (first.method, spread.n, spread.mean, spread.deviation) == \
        ("energy-aware", 2, pytest.approx(0.92), pytest.approx(0.04 / 2**0.5))
    assert second.figures["accuracy_int8"].deviation is None
    assert standings(rows, METHODS, "small") == []


def test_nets_on_the_way_are_those_at_the_end_of_each_round():
    found = points_on_the_way(row())
    prices = [tariff("tuned").shape(NetShape((w, w, w), 20, 2, depths, (1, 1))).whole
              for w, depths in ((8, (0, 0, 0)), (16, (0, 1, 0)))]
    assert [(p.operations, p.cycles) for p in found] == [(p.operations, p.cycles) for p in prices]
    assert [p.accuracy_dev for p in found] == [0.6, 0.7]
    assert points_on_the_way(row("prune-bn")) == []


def test_units_and_their_names():
    assert unit(budget="ms<=1.5 ram<=32k", seed=3).name == "compare-energy-aware-ms-1.5-ram-32k-s3"
    assert set(COMPARATORS) == {name for name in METHODS if name != "energy-aware"}
    assert unit("prune-l1", 4).reference == unit("firefly", 4).reference == unit(seed=4)
    assert unit().reference is None
    assert grouped([unit("width", 1), unit("width", 0), unit("signed", 1)]) == \
        "ops<=2M, seeds 0 1: width; ops<=2M, seeds 1: signed"


def test_published_points_say_where_they_are_from():
    assert all(point.source for point in PUBLISHED)


@pytest.mark.parametrize(("arguments", "says"), [
    (["--methods", "magic"], "METHOD='magic': no such method"), (["--seeds", "0 x"], "SEED=x: allowed"),
    (["--budget", "tiny"], "'tiny' is not understood"), (["--jobs", "0"], "JOBS=0: allowed are whole numbers"),
    (["--methods", " "], "METHODS and SEEDS: at least one of each"), (["--draw", "yes"], "--draw")])
def test_mistakes_are_one_line(bench, capsys, arguments, says):
    with pytest.raises(SystemExit) as stop:
        run_command(lambda: bench(*arguments))
    assert stop.value.code == 2
    assert says in (error := capsys.readouterr().err)
    assert len(error.strip().splitlines()) == 1


def test_runs_named_go_side_by_side_as_before():
    lines = [subprocess.run(["make", "-n", "compare", *more], cwd=ROOT, capture_output=True, text=True).stdout
             for more in (["RUNS=a b"], ["DRAW=1"])]
    assert 'export.compare --runs "a b"' in lines[0]
    assert "kws_grow.compare" in lines[1]
    assert '--draw "1"' in lines[1]


@pytest.mark.parametrize(("data", "device"), [(None, None), (Path("words"), "cpu")])
def test_the_command_of_a_unit_is_one_of_grow_kws(monkeypatch, data, device):
    plan = Plan((), Path("rows"), Path("runs"), data, device, False)
    monkeypatch.setattr("sys.argv", compare.command_of(unit("width", 3), plan)[3:])
    arguments = grow.parse_arguments()
    assert (arguments.method, arguments.seed, arguments.budget, arguments.threads) == ("width", 3, BUDGET, 1)
    assert (arguments.run, arguments.reference) == (unit("width", 3).name, unit(seed=3).name)
    assert (arguments.data, arguments.device) == (data, device or "auto")
    assert grow.schedule_of(arguments) == SCHEDULE
    monkeypatch.setattr("sys.argv", compare.command_of(unit(), plan)[3:])
    assert grow.parse_arguments().index == "steps=30 fresh=12 gains=together"


@pytest.mark.slow
def test_real_runs_become_rows(tmp_path, monkeypatch):
    """A comparator takes price and epochs of the net that its reference grew."""
    words = tmp_path / "words"
    words.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "SCHEDULE", replace(SCHEDULE, seed_epochs=1, round_epochs=1, final_epochs=1,
                                                     min_epoch_clips=1024))
    monkeypatch.setattr("sys.argv", ["compare", "--methods", "width", "--seeds", "3", "--budget", "ops<=900k",
                                     "--data", str(write_tones(words)), "--device", "cpu"])
    for name, value in {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                        "KWS_GROW_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setitem(os.environ, name, value)
    compare.main()
    rows = read_rows(ROWS)
    grown, width = (rows[Unit(method, 3, "ops<=900k")] for method in ("energy-aware", "width"))
    assert width.config["reference"]["epochs"] == grown.summary["epochs"] == width.summary["epochs"]
    assert 0 <= differences(rows, METHODS, "ops<=900k")[0].cheaper[0] < 0.3
    assert grown.config["schedule"] == asdict(compare.SCHEDULE)
    assert len(points_on_the_way(grown)) > 1
    assert (ROWS / width.unit.name / "net.npz").stat().st_size > 1000
