"""The bench of silences: what is kept from training is kept, and figures are of the right clips."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import made_up_dataset, small_net

from datasets.console import run_command
from kws_grow import bench_silence
from kws_grow.augment import SILENCES


@pytest.fixture
def dataset():
    """Two recordings, every frame of its own code."""
    noise = tuple(np.repeat(np.arange(n) % 251, 40).reshape(n, 40).astype(np.uint8) for n in (1000, 600))
    return replace(made_up_dataset(), noise=noise)


def test_what_is_asked_for_was_not_learnt(dataset):
    learnt, kept = bench_silence.divided(dataset)
    assert [len(noise) for noise in learnt.noise] == [700, 420]
    assert [len(noise) for noise in kept] == [280, 168]
    for whole, first, last in zip(dataset.noise, learnt.noise, kept, strict=True):
        assert np.array_equal(first, whole[:len(first)])
        assert np.array_equal(last, whole[-len(last):])


def test_seconds_are_cut_all_along_and_never_louder():
    noise = np.random.default_rng(0).integers(60, 90, (400, 40)).astype(np.uint8)
    cut = bench_silence.seconds_of(noise, np.random.default_rng(1))
    assert (cut.shape, cut.dtype) == ((bench_silence.SECONDS, 49, 40), np.uint8)
    first, last = noise[:98:2].astype(int), noise[-98::2].astype(int)
    assert (cut[0] <= first + 1).all()
    assert (cut[-1] <= last + 1).all()
    assert cut.mean((1, 2)).std() > 3  # of amplitudes


def test_the_command(dataset, tmp_path, monkeypatch):
    """A net that calls everything silence."""
    learnt = []

    def trained(source, n_labels, *_):
        learnt.append((source.augmentation, len(source.noise)))
        net = small_net((4, 6, 5), n_coefficients=20, n_labels=n_labels).float()
        with torch.no_grad():
            net.classifier.weight.zero_()
            net.classifier.bias.copy_(torch.eye(n_labels)[source.silence])
        return net
    monkeypatch.setattr(bench_silence, "load", lambda *_: dataset)
    monkeypatch.setattr(bench_silence, "trained", trained)
    monkeypatch.setattr(sys, "argv", ["bench", "--out", str(tmp_path), "--seeds", "0 1"])
    run_command(bench_silence.main)
    assert learnt == [(each, 1120) for each in SILENCES.values() for _ in range(2)]
    found = json.loads((tmp_path / "summary.json").read_text())["silences"]
    assert found["plain"] == found["diverse"] == {
        "recall_of_recordings": [1.0, 1.0], "recall": 1.0, "words_dev": 0.0, "silence_dev": 1.0}
    assert "| diverse | 100.0 | 100.0 | 100.0 | 0.0 | 100.0 |" in (tmp_path / "table.md").read_text()
