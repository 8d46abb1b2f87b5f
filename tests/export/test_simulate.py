"""make simulate: figures that add up, against independent computations."""

import json
import sys

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from datasets.console import UserError
from datasets.features import dct_matrix, log_mel_codes
from datasets.wav import write_wav
from datasets.waveforms import labelled_clips, read_clips
from export import simulate
from export.host_features import host_codes
from export.net import save_net
from export.onnx_writer import float_onnx
from export.runs import Run, input_quantizer, resolve
from export.simulate import confusion_matrix, confusion_text, float_predictions, int8_predictions, wilson, with_labels
from export.tflite_reader import read_tflite
from export.witness import onnx_scores, tflm_scores
from kws_grow.deploy import activations
from tests.export.models import LABELS, random_net, small_model
from tests.export.test_runs import write_run


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(0, 256, (40, 49, 40)).astype(np.uint8)


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (1, 1), (3, 10), (950, 1000), (371, 371)])
def test_wilson_is_scipys(hits, total):
    expected = binomtest(hits, total).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(wilson(hits, total), (expected.low, expected.high), atol=1e-6)


def test_wilson_of_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_int8_predictions_are_tflite_micros(codes):
    tflite = small_model()
    inputs = input_quantizer(read_tflite(tflite))(codes)
    np.testing.assert_array_equal(int8_predictions(tflite, codes), tflm_scores(tflite, inputs).argmax(axis=1))


@pytest.mark.parametrize("n_coefficients", [10, 20])
def test_float_scores_are_torchs(codes, n_coefficients):
    """Against the PyTorch forward pass of kws_grow."""
    net = random_net(3, (8, 6, 5), n_coefficients)
    mfcc = codes.astype(np.float32) @ dct_matrix(n_coefficients).T.astype(np.float32)
    logits = activations(list(net.layers), torch.from_numpy(mfcc))[-1]
    np.testing.assert_allclose(onnx_scores(float_onnx(net), mfcc), torch.softmax(logits, 1).numpy(), atol=2e-5)


def test_float_and_int8_mostly_agree(codes, tmp_path):
    """A transposed kernel or a wrong padding in either would show."""
    smooth = (np.linspace(20, 200, 40)[:, None, None] + 30 * np.sin(np.arange(49)[None, :, None] / 5)
              + codes / 8).astype(np.uint8)
    save_net(random_net(0, (8, 6, 5)), tmp_path / "net.npz")
    same = float_predictions(tmp_path / "net.npz", smooth) == int8_predictions(small_model(), smooth)
    assert same.mean() > 0.8


def test_confusion():
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    lines = confusion_text(matrix, ("_silence_", "yes", "no")).splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:4] == ["_silence_", "1", "1", "0"]
    assert "50.0 %" in lines[1]
    assert "100.0 %" in lines[2]


def test_model_needs_its_labels():
    run = Run("any", None, "any.tflite", ("class_0", "class_1"), "unknown", None)
    assert with_labels(run, "yes,no").labels == with_labels(run, " yes, no ,").labels == ("yes", "no")
    with pytest.raises(UserError, match="any.tflite: 2 scores and 0 labels; give LABELS="):
        with_labels(run, None)
    with pytest.raises(UserError, match="2 scores and 3 labels"):
        with_labels(run, "a,b,c")


@pytest.fixture
def clips(tmp_path):
    """The layout of the official test archive: a sub-folder a label."""
    rng = np.random.default_rng(0)
    for word, count in (("yes", 3), ("no", 4), ("_silence_", 2), ("_unknown_", 2), ("bed", 1)):
        (tmp_path / "clips" / word).mkdir(parents=True)
        for i in range(count):
            write_wav(tmp_path / "clips" / word / f"{i}.wav", rng.normal(0, 2000, 16000).astype(np.int16))
    (tmp_path / "clips" / "yes" / "broken.wav").write_bytes(b"RIFF")
    return tmp_path / "clips"


def simulated(monkeypatch, folder, *arguments) -> dict:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["simulate", *map(str, arguments)])
    simulate.main()
    return json.loads((folder / "build" / "one" / "simulate" / "summary.json").read_text())


def test_clips_folder(tmp_path, clips, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "one")
    summary = simulated(monkeypatch, tmp_path, "--clips", clips)
    assert summary["clips"] == 12
    assert {label: row["clips"] for label, row in summary["recall"].items()} == {
        "_silence_": 2, "_unknown_": 3, "yes": 3, "no": 4, "up": 0}
    assert summary["accuracy_int8"] == np.trace(summary["confusion"]) / 12
    assert len(summary["skipped"]) == 1
    assert "broken.wav" in summary["skipped"][0]
    assert (tmp_path / "build" / "one" / "simulate" / "confusion.png").read_bytes()[1:4] == b"PNG"
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "summary: build/one/simulate/summary.json"
    assert f"skipped 1 of 13 clips, the first: {clips / 'yes' / 'broken.wav'}" in said.err


def test_clips_are_what_the_board_would_see(tmp_path, clips):
    """By the firmware's integers, which now and then are a code beside the reference."""
    write_run(tmp_path / "runs" / "one")
    run = resolve("one", None, tmp_path / "runs")
    found = simulate.read_codes(run, None, clips)
    waves, places, _ = read_clips([path for path, _ in labelled_clips(clips, LABELS)])
    np.testing.assert_array_equal(found.codes, host_codes(waves))
    assert (found.codes != np.array([log_mel_codes(wave) for wave in waves])).any()
    assert found.features == simulate.FIRMWARE
    assert len(places) == len(found.codes) == len(found.labels)


def test_without_a_compiler_the_reference_serves_and_is_named(tmp_path, clips, monkeypatch, capsys):
    def none_here():
        raise UserError("no working C compiler")
    monkeypatch.setattr(simulate, "host_compiler", none_here)
    write_run(tmp_path / "runs" / "one")
    summary = simulated(monkeypatch, tmp_path, "--clips", clips)
    assert summary["features"] == simulate.REFERENCE
    assert "instead of the firmware's C: no working C compiler" in capsys.readouterr().err
    waves, _, _ = read_clips([path for path, _ in labelled_clips(clips, LABELS)])
    found = simulate.read_codes(resolve("one"), None, clips)
    np.testing.assert_array_equal(found.codes, [log_mel_codes(wave) for wave in waves])


def test_clips_that_cannot_be_read_are_one_line(tmp_path):
    run = Run("any", None, "any.tflite", ("yes", "no"), "unknown", None)
    (tmp_path / "yes").mkdir()
    for name in ("a", "b"):
        (tmp_path / "yes" / f"{name}.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match="none of its 2 clips can be read; the first: .*a.wav"):
        simulate.read_codes(run, None, tmp_path)


def test_clips_without_any_label(tmp_path, clips):
    run = Run("any", None, "any.tflite", ("up", "down"), "unknown", None)
    with pytest.raises(UserError, match="no sub-folder is one of the labels up, down"):
        simulate.read_codes(run, None, clips)
