"""Clips to run a finished net on."""

import os
import shutil
from collections import Counter

import numpy as np
import pytest

from datasets import features
from datasets.console import UserError
from datasets.load import load
from datasets.wav import read_waveform, write_wav
from datasets.waveforms import emulation_clips, labelled_clips, spread

LABELS = ("_silence_", "_unknown_", "yes", "no")


@pytest.fixture
def clips(tmp_path, make_words):
    """The layout of the official test archive."""
    root = tmp_path / "clips"
    make_words(root, {"_silence_": 3, "_unknown_": 3, "yes": 6, "no": 2, "bed": 1})
    (root / "_background_noise_").mkdir()
    write_wav(root / "_background_noise_" / "hum.wav", np.ones(16000, np.int16))
    return root


def test_a_folder_of_labels(clips):
    found = labelled_clips(clips, LABELS)
    counts = Counter(path.parent.name for path, _ in found)
    assert counts == {"_silence_": 3, "_unknown_": 3, "yes": 6, "no": 2, "bed": 1}
    assert {path.parent.name: index for path, index in found} == {
        "_silence_": 0, "_unknown_": 1, "yes": 2, "no": 3, "bed": 1}


def test_labels_in_another_order_and_without_unknown(clips):
    found = {path.parent.name: index for path, index in labelled_clips(clips, ("no", "yes"))}
    assert found == {"no": 0, "yes": 1, "bed": -1}


def test_folders_that_are_no_label_are_named(tmp_path, make_words, capsys):
    make_words(tmp_path / "clips", {"Yes ": 1, "silence": 1, "bed": 1, "_noise_": 1, "no": 1})
    labelled_clips(tmp_path / "clips", LABELS)
    assert capsys.readouterr().err.splitlines() == [
        "folders that are no label count as _unknown_: Yes , bed, silence",
        "folders that are no label are left out: _noise_",
        "warning: nearly a label, but none: 'Yes ' (label: yes), 'silence' (label: _silence_)"]
    labelled_clips(tmp_path / "clips", ("yes", "no"))
    assert "folders that are no label count for no accuracy: Yes , bed, silence" in capsys.readouterr().err
    make_words(tmp_path / "labels", {"yes": 1, "_unknown_": 1})
    labelled_clips(tmp_path / "labels", LABELS)
    assert capsys.readouterr().err == ""


def test_no_clips(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(UserError, match="a.wav: is no folder; allowed"):
        labelled_clips(tmp_path / "a.wav", LABELS)
    with pytest.raises(UserError, match="nowhere: no such folder; allowed: one sub-folder of WAVs a label"):
        labelled_clips(tmp_path / "nowhere", LABELS)
    with pytest.raises(UserError, match="no clips in it"):
        labelled_clips(tmp_path, LABELS)


def test_a_limit_takes_of_every_label_in_turn_and_always_the_same(clips):
    waves, labels, names = emulation_clips(None, clips, LABELS, 9)
    assert Counter(labels.tolist()) == {0: 3, 1: 2, 2: 2, 3: 2}
    assert (waves.shape, waves.dtype) == ((9, 16000), np.int16)
    for wave, name in zip(waves, names, strict=True):
        np.testing.assert_array_equal(wave, read_waveform(clips / name))
    assert emulation_clips(None, clips, LABELS, 9)[2] == names
    assert len(emulation_clips(None, clips, LABELS)[2]) == 15


def test_the_choice_depends_neither_on_the_order_nor_on_the_place(clips):
    pairs = [(str(path), index) for path, index in labelled_clips(clips, LABELS)]
    assert spread(pairs[::-1], 7) == spread(pairs, 7)
    moved = [(path.replace(str(clips), "/elsewhere"), index) for path, index in pairs]
    assert [path[-20:] for path, _ in spread(moved, 7)] == [path[-20:] for path, _ in spread(pairs, 7)]


def test_a_bad_clip_is_skipped(clips, capsys):
    bad = clips / "yes" / "00000000_nohash_0.wav"
    bad.write_bytes(b"")
    _, labels, names = emulation_clips(None, clips, LABELS)
    assert len(names) == len(labels) == 14
    assert f"skipped 1 of 15 clips, the first: {bad}: is empty" in capsys.readouterr().err


def test_only_bad_clips(tmp_path):
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "a.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the 1 clips can be read; the first: .*a.wav: is empty"):
        emulation_clips(None, tmp_path, LABELS)


def test_validation_clips_have_the_codes_that_accuracy_is_computed_on(official):
    waves, labels, names = emulation_clips(official, None, LABELS)
    validation = load(official, ("yes", "no")).validation
    expected = {name: (codes, label) for name, codes, label in
                zip(validation.names, validation.codes, validation.labels, strict=True)}
    assert set(names) == set(expected)
    for wave, label, name in zip(waves, labels, names, strict=True):
        np.testing.assert_array_equal(features.log_mel_codes(wave, 160), expected[name][0])
        assert label == expected[name][1]


def test_a_net_whose_words_are_not_in_the_data(official):
    _, labels, names = emulation_clips(official, None, ("class_0", "class_1"), 8)
    assert set(labels.tolist()) == {-1}
    assert len(names) == 8
    _, labels, names = emulation_clips(official, None, ("marvin", "_unknown_", "yes"))
    assert {name.split("/")[0]: int(label) for name, label in zip(names, labels, strict=True)} == {
        "yes": 2, "bed": 1, "no": 1}


def test_images_without_waveforms(tmp_path, monkeypatch):
    fields = {"word": ["yes"] * 40 + ["_background_noise_"] * 40, "speaker": [str(k) for k in range(80)],
              "clip": [f"{k}.jpg" for k in range(80)],
              "split": ["training"] * 30 + ["validation"] * 10 + ["noise"] * 40}
    np.savez(tmp_path / "log_mel.npz", x=np.zeros((80, 98, 40), np.uint8), **fields)
    message = f"^{tmp_path}: holds images of clips, no waveforms; allowed: .* or CLIPS=DIR"
    with pytest.raises(UserError, match=message):
        emulation_clips(tmp_path, None, LABELS)
    monkeypatch.setattr("datasets.load.default_data", lambda _: tmp_path)
    with pytest.raises(UserError, match=message):
        emulation_clips(None, None, LABELS)


def test_images_beside_waveforms_without_noise(save_images, official, capsys):
    shutil.rmtree(official / "_background_noise_")
    save_images(official.parent / "log_mel.npz")
    _, labels, names = emulation_clips(official.parent, None, LABELS)
    assert Counter(labels.tolist()) == {1: 10, 2: 10, 3: 10}
    assert {int(name.split("/")[1][:8], 16) for name in names} == set(range(30, 40))
    assert "no silence among the clips" in capsys.readouterr().err


def test_hidden_files_and_names_that_are_not_utf8(clips, capsys):
    (clips / "yes" / "._00000000_nohash_0.wav").write_bytes(b"AppleDouble")
    (clips / "no" / "00000000_nohash_0.wav").rename(clips / "no" / os.fsdecode(b"\xe9.wav"))
    names = emulation_clips(None, clips, LABELS)[2]
    assert len(names) == 15
    assert os.fsdecode(b"no/\xe9.wav") in names
    assert "skipped" not in capsys.readouterr().err
