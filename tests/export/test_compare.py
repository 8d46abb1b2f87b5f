"""Runs side by side: what equal accuracy saves, and runs that must not be compared."""

import json
from dataclasses import replace
from math import log

import numpy as np
import pytest

from datasets.console import UserError
from export import compare
from export.compare import Result, saving_of
from tests.export.test_runs import write_run

FACTS = {"costs_hash": "a1", "board": "nano33ble", "kernels": "portable", "dataset_sha256": "d", "core": "cortex-m4",
         "method": "energy-aware", "accuracy_int8": 0.9, "macs": 7}
CONFIG = {"costs_hash": "a1", "board": "nano33ble", "dataset_sha256": "d", "schedule": {"final_epochs": 3},
          "quantization": {"qat": False}, "method": "energy-aware"}


def results(saved: float, noise: float = 0.0, seeds: int = 3, draw: int = 0) -> list[Result]:
    """Accuracy rises by 5 points a factor e; way "a" needs that share fewer instructions."""
    rng = np.random.default_rng(draw)
    return [Result("", way, "", seed, 0.5 + 0.05 * log(n / (1 - saved * (way == "a"))) + 0.01 * seed
                   + noise * rng.normal(), 0, 0, n)
            for seed in range(seeds) for way, sizes in (("a", (4e6, 9e6)), ("b", (5e6, 8e6))) for n in sizes]


def test_what_equal_accuracy_saves_is_found():
    found = saving_of(results(0.2), "a", "b")
    assert (found.seeds, found.slope) == (3, pytest.approx(0.05))
    assert (found.instructions, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert saving_of(results(0.2), "b", "a").instructions == pytest.approx(-0.25)


def test_the_interval_holds_what_is_true_as_often_as_it_says():
    """Of 200 experiments without a difference, with noise in slope and height."""
    held = 0
    for seed in range(200):
        found = saving_of(results(0.0, 0.003, 4, seed), "a", "b")
        held += found.low <= 0 <= found.high
    assert 180 <= held <= 199


@pytest.mark.parametrize(("kept", "why"), [
    (lambda r: r.seed == 0, "fewer than 2 seeds have 2 sizes of net of each"),
    (lambda r: r.instructions > 6e6, "fewer than 2 seeds have 2 sizes of net of each"),
    (lambda r: r.way == "a", "fewer than 2 seeds have 2 sizes of net of each")])
def test_too_little_tells_nothing(kept, why):
    assert saving_of(list(filter(kept, results(0.2))), "a", "b") == f"a and b: {why}"


def test_accuracy_that_falls_tells_nothing():
    falling = [replace(r, accuracy_dev=-r.accuracy_dev) for r in results(0.2)]
    assert saving_of(falling, "a", "b") == "a and b: accuracy on dev does not rise with instructions"


def command(monkeypatch, folder, *arguments) -> dict:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    compare.main()
    return json.loads((folder / "build" / "compare" / "summary.json").read_text())


def write(folder, name: str, config: dict | None = None, **summary) -> None:
    write_run(folder / "runs" / name, **{**FACTS, **summary})
    facts = {key: summary.get(key) for key in ("spend", "seed", "budget")}
    (folder / "runs" / name / "config.json").write_text(json.dumps({**CONFIG, **facts, **(config or {})}))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    sizes = {"small": (1000, 3000), "medium": (4000, 6000)}
    found = []
    for budget, counts in sizes.items():
        for spend, count in zip(("energy_uj", "macs"), counts, strict=True):
            for seed in (0, 1):
                write(tmp_path, f"{spend[0]}-{budget}-{seed}", spend=spend, budget=budget, seed=seed,
                      accuracy_int8_dev=0.1 * log(count) + 0.01 * seed)
                found.append((f"{spend[0]}-{budget}-{seed}", count))
    monkeypatch.setattr(compare, "counted", lambda graphs, *_: [count for _, count in sorted(found)][:len(graphs)])
    return tmp_path


def test_the_command_writes_runs_and_savings(runs, monkeypatch, capsys):
    summary = command(monkeypatch, runs)
    assert len(summary["runs"]) == 8
    assert summary["costs_hash"] == "a1"
    (saving,) = summary["savings"]
    assert (saving["way"], saving["other"], saving["seeds"]) == ("energy-aware, energy_uj", "energy-aware, macs", 2)
    assert saving["instructions"] == pytest.approx(0, abs=1e-9)
    assert "| m-medium-1 | energy-aware, macs | medium | 1 |" in (out := capsys.readouterr().out)
    assert "At equal accuracy on dev, energy-aware, energy_uj takes" in out


def test_named_runs_only_and_each_once(runs, monkeypatch):
    assert len(command(monkeypatch, runs, "--runs", "e-small-0 runs/e-small-0/ m-small-1")["runs"]) == 2


@pytest.mark.parametrize("key", ["costs_hash", "board", "dataset_sha256", "schedule", "quantization"])
def test_runs_of_other_costs_are_not_compared(key, runs, monkeypatch):
    write(runs, "other", {key: "else"}, spend="macs", budget="small", seed=0, accuracy_int8_dev=0.5)
    with pytest.raises(UserError, match=rf"RUNS: e-medium-0 and other differ in {key} \(.*, else\); allowed: runs"):
        command(monkeypatch, runs)


def test_an_older_run_is_left_out_unless_it_is_named(runs, monkeypatch, capsys):
    write_run(runs / "runs" / "old")
    (runs / "runs" / "broken").mkdir()
    assert len(command(monkeypatch, runs)["runs"]) == 8
    assert "left out: RUNS: old: tells no costs_hash; it is of another version" in capsys.readouterr().out
    with pytest.raises(UserError, match="RUNS: old: tells no costs_hash"):
        command(monkeypatch, runs, "--runs", "e-small-0 old")


def test_no_runs(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no finished run in it"):
        command(monkeypatch, tmp_path)
