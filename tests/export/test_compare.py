"""Runs side by side: what equal accuracy saves, and runs that must not be compared."""

import json
from math import log

import numpy as np
import pytest

from datasets.console import UserError
from export import compare
from export.compare import Result, check_alike, saving_of
from tests.export.test_runs import write_run

FACTS = {"costs_hash": "a1", "board": "nano33ble", "kernels": "portable", "dataset_sha256": "d", "core": "cortex-m4",
         "method": "energy-aware", "budget": "small", "accuracy_int8": 0.9, "macs": 7}


def results(saved: float, noise: float = 0.0, seeds: int = 3) -> list[Result]:
    """Accuracy rises by 5 points a factor e; way "a" needs that share fewer instructions."""
    rng = np.random.default_rng(0)
    return [Result("", way, "", seed, 0.5 + 0.05 * log(n / (1 - saved * (way == "a"))) + 0.01 * seed
                   + noise * rng.normal(), 0, 0, n)
            for seed in range(seeds) for way, sizes in (("a", (4e6, 9e6)), ("b", (5e6, 8e6))) for n in sizes]


def test_what_equal_accuracy_saves_is_found():
    found = saving_of(results(0.2), "a", "b")
    assert (found.seeds, found.slope) == (3, pytest.approx(0.05))
    assert (found.instructions, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert saving_of(results(0.2), "b", "a").instructions == pytest.approx(-0.25)


def test_noise_widens_the_interval():
    found = saving_of(results(0.2, 0.002), "a", "b")
    assert found.low < found.instructions < found.high
    assert found.high - found.low > 0.02


def test_one_seed_tells_nothing():
    assert saving_of(results(0.2, seeds=1), "a", "b") is None


@pytest.mark.parametrize("key", compare.SAME)
def test_runs_of_other_costs_are_not_compared(key):
    with pytest.raises(UserError, match=rf"RUNS: one and two differ in {key} \(.*, other\); allowed: runs of the same"):
        check_alike({"one": FACTS, "same": FACTS, "two": {**FACTS, key: "other"}})


def command(monkeypatch, folder, *arguments) -> dict:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    compare.main()
    return json.loads((folder / "build" / "compare" / "summary.json").read_text())


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "counted", lambda graphs, *_: [1000, 2000, 3000, 8000][:len(graphs)])
    for name, spend, seed, share in (("a0", "energy_uj", 0, 0.8), ("a1", "energy_uj", 1, 0.9), ("b0", "macs", 0, 0.85),
                                     ("b1", "macs", 1, 0.97)):
        write_run(tmp_path / "runs" / name, **FACTS, spend=spend, seed=seed, accuracy_int8_dev=share)
    return tmp_path


def test_the_command_writes_runs_and_savings(runs, monkeypatch, capsys):
    summary = command(monkeypatch, runs)
    assert [run["name"] for run in summary["runs"]] == ["a0", "a1", "b0", "b1"]
    assert summary["costs_hash"] == "a1"
    (saving,) = summary["savings"]
    assert (saving["way"], saving["other"], saving["seeds"]) == ("energy-aware, energy_uj", "energy-aware, macs", 2)
    assert "| b1 | energy-aware, macs | small | 1 | 97.00 % | 90.00 % | 7 | 8,000 |" in capsys.readouterr().out


def test_named_runs_only(runs, monkeypatch):
    assert len(command(monkeypatch, runs, "--runs", "a0 b1")["runs"]) == 2


def test_a_run_without_costs_is_refused_in_one_line(runs, monkeypatch):
    write_run(runs / "runs" / "old")
    with pytest.raises(UserError, match="RUNS: old: its summary.json has no costs_hash; it is of another version"):
        command(monkeypatch, runs)


def test_no_runs(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no finished run in it"):
        command(monkeypatch, tmp_path)
