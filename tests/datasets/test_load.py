"""DATA of every kind, good and bad."""

import json
import os
import sys

import numpy as np
import pytest

from datasets import features
from datasets.console import UserError, run_command
from datasets.load import counts, load, main, parse_keywords
from datasets.wav import read_waveform, write_wav


def test_official_layout(official):
    dataset = load(official, ("yes", "no"))
    assert dataset.name == "speech_commands_v0.02"
    assert dataset.labels == ("_silence_", "_unknown_", "yes", "no")
    assert dataset.wavs == official
    table = counts(dataset)
    assert table["validation"] == table["test"] == {"_silence_": 10, "_unknown_": 10, "yes": 10, "no": 10}
    assert table["train"]["yes"] + table["dev"]["yes"] == 20
    spoken = [name for name in dataset.validation.names if name[0] != "_"]
    assert {int(name.split("/")[1][:8], 16) for name in spoken} == set(range(20, 30))
    name = dataset.train.names[0]
    np.testing.assert_array_equal(dataset.train.codes[0], features.log_mel_codes(read_waveform(official / name), 160))
    assert dataset.noise[0].shape == (1 + (30 * 16000 * 3 // 4 - 480) // 160, 40)


def test_the_folder_around_the_official_layout(official):
    assert load(official.parent, ("yes",)).list_sha256 == load(official, ("yes",)).list_sha256


def test_default_keywords_are_those_there_in_number(official, make_words, capsys):
    make_words(official, {"go": 1})
    assert load(official).labels[2:] == ("yes", "no")
    assert "go (1)" in capsys.readouterr().err


def test_own_folder(tmp_path, make_words, capsys):
    make_words(tmp_path / "mine", {"hallo": 60, "tschüss": 60})
    make_words(tmp_path / "mine", {"_unknown_": 60})
    (tmp_path / "mine" / "_drafts").mkdir()
    dataset = load(tmp_path / "mine")
    assert dataset.name == "mine"
    assert dataset.labels == ("_silence_", "_unknown_", "hallo", "tschüss")
    assert min(min(column.values()) for name, column in counts(dataset).items() if name != "train") > 0
    assert len(dataset.train.names) + len(dataset.dev.names) > 100
    assert "generated noise stands in" in capsys.readouterr().err


def test_own_folder_without_other_words_has_no_unknown(tmp_path, make_words):
    make_words(tmp_path / "mine", {"hallo": 60, "hi": 60})
    assert {column["_unknown_"] for column in counts(load(tmp_path / "mine")).values()} == {0}


def test_images_alone(save_images, tmp_path, capsys):
    x = save_images(tmp_path / "log_mel.npz")
    dataset = load(tmp_path, ("yes", "no"))
    assert counts(dataset)["validation"] == {"_silence_": 10, "_unknown_": 10, "yes": 10, "no": 10}
    assert dataset.wavs is None
    assert len(dataset.noise) == 30
    assert dataset.train.names[0].endswith(".wav")
    k = int(dataset.train.names[0].split("/")[1][:8], 16)
    np.testing.assert_array_equal(dataset.train.codes[0], x[k])
    assert "noise images" in capsys.readouterr().err


def test_images_beside_wavs_take_their_noise_and_test_clips_from_there(save_images, official):
    save_images(official.parent / "log_mel.npz")
    dataset = load(official.parent, ("yes", "no"))
    images = load(official.parent / "log_mel.npz", ("yes", "no"))
    assert images.list_sha256 == dataset.list_sha256
    assert dataset.wavs == official
    assert len(dataset.noise) == 1
    assert counts(dataset)["test"]["yes"] == 10
    place = dataset.test.names.index("yes/0000001e_nohash_0.wav")
    np.testing.assert_array_equal(dataset.test.codes[place], features.log_mel_codes(
        read_waveform(official / "yes/0000001e_nohash_0.wav"), 160))


def test_bad_test_clips_beside_images_are_counted_and_named(save_images, official, capsys):
    save_images(official.parent / "log_mel.npz")
    bad = official / "yes" / "0000001e_nohash_0.wav"
    bad.write_bytes(b"")
    dataset = load(official.parent, ("yes", "no"))
    assert dataset.skipped == (f"{bad}: is empty (0 bytes)",)
    assert counts(dataset)["test"]["yes"] == 9
    assert f"skipped 1 of 150 clips, the first: {bad}" in capsys.readouterr().err


@pytest.mark.parametrize("noises", [0, 1, 4, 19, 20, 21, 30])
def test_few_noise_images(save_images, tmp_path, capsys, noises):
    save_images(tmp_path / "log_mel.npz", noises=noises)
    dataset = load(tmp_path, ("yes", "no"))
    assert {name: table["_silence_"] for name, table in counts(dataset).items()} == {
        "train": 0, "dev": counts(dataset)["dev"]["_unknown_"], "validation": 10, "test": 0}
    assert (f"holds {noises} noise images, not 20" in capsys.readouterr().err) == (noises < 20)


def test_the_folder_that_was_read_is_told(official, tmp_path, monkeypatch):
    assert load(official, ("yes",)).source == official
    assert load(official.parent, ("yes",)).source == official.parent
    monkeypatch.setattr("datasets.load.default_data", lambda keywords: official if keywords == ("no",) else None)
    assert load(None, ("no",)).source == official


def test_file_names_that_are_not_utf8(tmp_path, make_words):
    root = tmp_path / "mine"
    make_words(root, {"hi": 60})
    for k, path in enumerate(sorted((root / "hi").iterdir())):
        path.rename(root / "hi" / os.fsdecode(b"caf\xe9%d.wav" % k))
    for _ in range(2):  # the second from the cache
        dataset = load(root)
        assert dataset.skipped == ()
        assert len(dataset.train.names) > 30
    (root / "hi").rename(root / os.fsdecode(b"\xe9t\xe9"))
    with pytest.raises(UserError, match=r"mine: the name of its folder '\\udce9t\\udce9' is not UTF-8; rename it"):
        load(root)


def test_hidden_folders_are_no_data(official):
    official.rename(official.parent / ".speech_commands_v0.02.partial")
    with pytest.raises(UserError, match="no clips in it"):
        load(official.parent)


def test_one_bad_clip_is_skipped_counted_and_named(official, capsys):
    for name, content in (("yes/00000001_nohash_0.wav", b""), ("no/00000002_nohash_0.wav", b"RIFF")):
        (official / name).write_bytes(content)
    dataset = load(official, ("yes", "no"))
    assert dataset.skipped[0].startswith(f"{official}/no/00000002_nohash_0.wav: cannot be read as WAV (")
    assert dataset.skipped[1:] == (f"{official}/yes/00000001_nohash_0.wav: is empty (0 bytes)",)
    assert not {"yes/00000001_nohash_0.wav", "no/00000002_nohash_0.wav"} & set(dataset.train.names + dataset.dev.names)
    error = capsys.readouterr().err
    assert "skipped 2 of 120 clips, the first: " in error
    assert "00000002_nohash_0.wav" in error


def test_only_bad_clips(tmp_path):
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "a.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of its 1 WAVs can be used; the first: .*yes/a.wav: is empty"):
        load(tmp_path)


def test_missing_and_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; allowed: log_mel.npz"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty" / "yes").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty: no clips in it; allowed: .*one sub-folder of WAVs a word"):
        load(tmp_path / "empty")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UserError, match=r"file.txt: no clips in it"):
        load(tmp_path / "file.txt")


def test_keyword_that_is_not_there(official):
    with pytest.raises(UserError, match="keyword 'marvin' is not in .*; allowed: bed, no, yes"):
        load(official, ("yes", "marvin"))
    with pytest.raises(UserError, match="one stands there twice"):
        load(official, ("yes", "yes"))


def test_none_of_the_default_keywords(official, tmp_path):
    for word in ("yes", "no"):
        (official / word).rename(official / f"{word}nt")
    with pytest.raises(UserError, match="none of the default keywords is in it; choose from bed, nont, yesnt"):
        load(official)


@pytest.mark.parametrize(("changes", "message"), [
    ({"x": np.zeros((160, 49, 40), np.uint8)}, r"x is uint8 \[160, 49, 40\]"),
    ({"x": np.zeros((160, 98, 40), np.float32)}, "x is float32"),
    ({"word": np.array(["yes"])}, "one word, clip, speaker and split for each"),
    ({"speaker": None}, "damaged, or not as unpack.py writes it .*speaker"),
    ({"word": np.array([object()] * 160)}, "damaged, or not as unpack.py writes it"),
])
def test_wrong_images(save_images, tmp_path, changes, message):
    save_images(tmp_path / "log_mel.npz", **changes)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("damage", [lambda content: content[:5000], lambda content: b"",
                                    lambda content: content[:2000] + bytes(3000) + content[5000:]])
def test_corrupt_images(save_images, tmp_path, damage):
    save_images(tmp_path / "log_mel.npz")
    (tmp_path / "log_mel.npz").write_bytes(damage((tmp_path / "log_mel.npz").read_bytes()))
    with pytest.raises(UserError, match=r"log_mel.npz: damaged"):
        load(tmp_path)


def test_keywords_of_the_command_line():
    assert parse_keywords(" yes, no,") == ("yes", "no")
    assert parse_keywords("") is None
    for text in ("_silence_", "yes,../etc"):
        with pytest.raises(UserError, match="allowed are words"):
            parse_keywords(text)


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["datasets.load", *map(str, arguments)])
    run_command(main)


def test_command_prints_a_table_and_writes_the_same(official, tmp_path, monkeypatch, capsys):
    call(monkeypatch, "--data", official, "--keywords", "yes,no", "--out", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"summary: {tmp_path / 'out' / 'summary.json'}"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dataset"] == "speech_commands_v0.02"
    assert summary["counts"]["validation"]["yes"] == 10
    assert lines[3].split() == ["yes", *(str(summary["counts"][split]["yes"]) for split in summary["counts"])]


def test_a_mistake_is_one_line_and_status_two(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, "--data", tmp_path / "nowhere")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_eight_bit_stereo_48_khz_folder_is_taken(tmp_path):
    import soundfile

    (tmp_path / "mine" / "hi").mkdir(parents=True)
    for k in range(40):
        wave = 0.3 * np.sin(np.arange(48000) * (0.05 + 0.001 * k))
        soundfile.write(tmp_path / "mine" / "hi" / f"{k}.wav", np.stack([wave, wave], 1), 48000, subtype="PCM_U8")
    dataset = load(tmp_path / "mine")
    assert dataset.skipped == ()
    assert (dataset.train.codes.max(axis=(1, 2)) > 150).all()


def test_clips_of_other_lengths(tmp_path):
    (tmp_path / "mine" / "hi").mkdir(parents=True)
    for k in range(40):
        write_wav(tmp_path / "mine" / "hi" / f"{k}.wav", np.full(4000 + 1500 * k, 1000, np.int16))
    assert load(tmp_path / "mine").train.codes.shape[1:] == (98, 40)
