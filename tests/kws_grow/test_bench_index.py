"""The bench of predictions: its figures are growth's own, and each curvature has its folder."""

import json
import sys

import pytest
import torch
from helpers import made_up_dataset

from datasets.console import UserError
from kws_grow import bench_index
from kws_grow.bench_index import CURVATURES, FINITE_OFFSET, Prediction, agreement


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Options -> the summary, of a net and data that take seconds."""
    for name, value in {"WIDTHS": (8, 8), "EPOCHS": 1, "JUDGED_CLIPS": 512, "EXACT_BATCHES": 1,
                        "STOCHASTIC_STEPS": 8, "OUT": tmp_path / "index"}.items():
        monkeypatch.setattr(bench_index, name, value)
    monkeypatch.setattr(bench_index, "load", lambda data, keywords: made_up_dataset())
    threads = torch.get_num_threads()

    def run(*options: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["bench-index", "--seeds", "0", "--index", "steps=8 fresh=4", *options])
        bench_index.main()
        found = max((tmp_path / "index").rglob("summary.json"), key=lambda path: path.stat().st_mtime_ns)
        assert (found.parent / "scatter.png").exists()
        return json.loads(found.read_text()) | {"folder": found.parent.relative_to(tmp_path).as_posix()}
    yield run
    torch.set_num_threads(threads)


def test_each_curvature_fits_directions_of_its_own_and_keeps_its_own_figures(bench):
    finite, smooth = bench(), bench("--curvature", "softplus")
    assert (finite["folder"], smooth["folder"]) == ("index", "index/softplus")
    assert (finite["curvature"], smooth["curvature"]) == (FINITE_OFFSET, "softplus")
    assert finite["mean_realised"] != smooth["mean_realised"]
    assert finite["rank_correlation"] == smooth["rank_correlation"]  # of the same net
    for facts in (finite, smooth):
        assert facts["splits"] == 16 >= facts["same_clips"]["told"] >= facts["told"]


def test_no_error_is_taken_off_what_the_very_clips_say(bench):
    """Only growth's own prediction is cautious."""
    cautious, alone = (bench("--index", f"steps=8 fresh=4 gains={gains}") for gains in ("cautious", "alone"))
    assert cautious["same_clips"] == alone["same_clips"]
    assert cautious["slope"] > alone["slope"]  # predicted less
    assert cautious["mean_realised"] == alone["mean_realised"]


def test_signs_are_counted_where_something_is_predicted():
    splits = [Prediction(0, i, *changes) for i, changes in enumerate(
        [(-2e-3, -1e-3, -1e-3), (-1e-3, 1e-3, 1e-3), (1e-6, -1e-3, -1e-3), (0.0, -1e-3, -1e-3), (-1e-3, -1e-3, -1e-3)])]
    ours, same = agreement(splits), agreement(splits, "same_clips")
    assert (ours["told"], ours["signs"]) == (3, pytest.approx(2 / 3))
    assert ours["slope"] == pytest.approx((2 - 1 + 1) / (4 + 1 + 1))
    assert (same["told"], same["signs"], same["slope"]) == (5, 1, pytest.approx(1))


def test_a_curvature_that_there_is_not():
    with pytest.raises(UserError, match="CURVATURE='cubic': no such curvature; allowed: finite-offset, softplus"):
        bench_index.known_curvature("cubic")
    assert list(CURVATURES) == [FINITE_OFFSET, "softplus"]
