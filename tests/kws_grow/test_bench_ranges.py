"""The bench of quantization on a net that tells made-up clips apart."""

import json
import sys
from functools import partial

import pytest
from helpers import fitted_net, made_up_dataset

from datasets.console import run_command
from export.net import save_net
from kws_grow import bench_ranges
from kws_grow.ranges import mean_square, percentile


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Runs it with two methods of ranges, one of them poor."""
    save_net(fitted_net(), tmp_path / "net.npz")
    methods = {"mean-square": mean_square, "poor": partial(percentile, share=60.0)}
    monkeypatch.setattr(bench_ranges, "RANGES", {"both": methods})
    monkeypatch.setattr(bench_ranges, "load", lambda *_: made_up_dataset())
    monkeypatch.setattr(sys, "argv", ["bench", "--net", str(tmp_path / "net.npz"), "--out", str(tmp_path / "out"),
                                      "--qat-epochs", "1", "--threads", "1"])
    run_command(bench_ranges.main)
    return json.loads((tmp_path / "out" / "summary.json").read_text())


def test_every_candidate_beside_the_float_net(bench, tmp_path):
    rows = bench["rows"]
    assert list(rows) == ["float", "mean-square", "poor", "qat"]
    assert rows["float"]["accuracy"] > 0.7
    assert rows["mean-square"]["same_as_float"] > 0.9
    assert rows["qat"]["same_as_float"] > 0.9
    assert rows["poor"]["same_as_float"] < rows["mean-square"]["same_as_float"]
    for name, row in rows.items():
        assert abs(row["accuracy"] - rows["float"]["accuracy"]) <= 1 - row["same_as_float"] + 1e-9, name
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.json"]
