"""Splits: no speaker twice, the same ones every time, and no noise trained on that is reported on."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import features, splits
from datasets.console import UserError
from datasets.dataset import DEFAULT_KEYWORDS
from datasets.material import Material
from datasets.noise import Images, Recordings, generated_noise, read_noise
from datasets.wav import write_wav

POSITIONS = Recordings(("ramp", "back"), (np.arange(30000, dtype=np.int16).repeat(20),
                                          np.arange(30000, dtype=np.int16)[::-1].repeat(20)))


def material(names, parts, noise=POSITIONS) -> Material:
    speakers = tuple(splits.speaker_of(name.split("/")[1]) for name in names)
    codes = np.zeros((len(names), 98, 40), np.uint8)
    codes[:, 0, 0] = np.arange(len(names)) % 256
    return Material("made", tuple(names), speakers, tuple(parts), codes, noise, Path("made"))


def hand_made(n_speakers: int = 200) -> Material:
    names = [f"{word}/{k:08x}_nohash_{take}.wav" for word in ("yes", "no", "bed", "cat")
             for k in range(n_speakers) for take in (0, 1)]
    return material(names, [splits.part_of(splits.speaker_of(name.split("/")[1])) for name in names])


def speakers(clips) -> set[str]:
    return {splits.speaker_of(name.split("/")[1]) for name in clips.names if not name.startswith("_silence_")}


def test_no_speaker_is_in_two_splits():
    dataset = splits.split(hand_made(), ("yes", "no"))
    sets = [speakers(clips) for clips in (dataset.train, dataset.dev, dataset.validation, dataset.test)]
    assert all(sets)
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_shares_are_about_those_of_the_recipe():
    dataset = splits.split(hand_made(1000), ("yes", "no"))
    spoken = {name: len(speakers(getattr(dataset, name))) / 1000 for name in ("train", "dev", "validation", "test")}
    assert spoken == pytest.approx({"train": 0.76, "dev": 0.04, "validation": 0.1, "test": 0.1}, abs=0.03)


def test_every_clip_keeps_its_codes_and_label():
    source = hand_made()
    dataset = splits.split(source, ("yes", "no"))
    place = {name: i for i, name in enumerate(source.names)}
    for clips in (dataset.train, dataset.dev, dataset.validation, dataset.test):
        for code, label, name in zip(clips.codes, clips.labels, clips.names, strict=True):
            if label:
                assert code[0, 0] == place[name] % 256
                assert dataset.labels[label] == {"yes": "yes", "no": "no"}.get(name.split("/")[0], "_unknown_")


def test_train_has_no_silence_and_every_unknown():
    dataset = splits.split(hand_made(), ("yes", "no"))
    words = Counter(name.split("/")[0] for name in dataset.train.names)
    assert len(set(words.values())) == 1
    assert set(words) == {"yes", "no", "bed", "cat"}


def test_unknown_and_silence_are_an_average_keyword_each():
    dataset = splits.split(hand_made(), ("yes", "no"))
    for clips in (dataset.dev, dataset.validation, dataset.test):
        counts = np.bincount(clips.labels)
        assert counts[0] == counts[1] == -(-int(counts[2:].sum()) // 2)


def test_unknown_are_those_of_the_smallest_hashes():
    source = hand_made()
    validation = splits.split(source, ("yes", "no")).validation
    chosen = {name for name, label in zip(validation.names, validation.labels, strict=True) if label == 1}
    left = {name for name, part in zip(source.names, source.parts, strict=True)
            if part == "validation" and name[:3] in ("bed", "cat")} - chosen
    assert left
    assert max(map(splits.unknown_rank, chosen)) < min(map(splits.unknown_rank, left))


def test_the_list_is_the_same_whatever_the_order_and_changes_with_a_clip():
    source = hand_made()
    whole = splits.split(source, ("yes", "no")).list_sha256
    backwards = material(source.names[::-1], source.parts[::-1])
    assert splits.split(backwards, ("yes", "no")).list_sha256 == whole
    keyword = next(i for i, part in enumerate(source.parts) if part == "validation" and source.names[i][:3] == "yes")
    fewer = [i for i in range(len(source.names)) if i != keyword]
    assert splits.split(material([source.names[i] for i in fewer], [source.parts[i] for i in fewer]),
                        ("yes", "no")).list_sha256 != whole


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60))
def test_dev_of_a_part_of_the_data_is_within_dev_of_all(names):
    dev, some = splits.dev_speakers(names), set(sorted(names)[::2])
    assert dev
    assert dev <= names
    by_hash = {name for name in some if splits._dev_share(name) < splits.DEV_SHARE}
    assert by_hash <= dev


def test_names_that_are_not_utf8_are_split_by_their_bytes():
    names = [f"{word}/{os.fsdecode(bytes([0xE4, k]))}.wav" for word in ("yes", "bed") for k in range(97, 250)]
    source = material(names, [splits.part_of(splits.speaker_of(name.split("/")[1])) for name in names])
    dataset = splits.split(source, ("yes",))
    assert sum(len(getattr(dataset, part).names) for part in ("train", "dev", "validation", "test")) > 200
    assert splits.hash_share(os.fsdecode(b"\xe4")) == int(hashlib.sha1(b"\xe4").hexdigest(), 16) % 2**27 / (2**27 - 1)


def test_known_hashes():
    """So that no later change moves a clip from one split to another."""
    names = ("00000001", "439c84f4", "my clip.wav", "bb05582b")
    assert [splits.part_of(name) for name in names] == ["training", "validation", "training", "testing"]
    assert splits.speaker_of("439c84f4_nohash_1.wav") == "439c84f4"
    assert splits.speaker_of("my clip.wav") == "my clip.wav"


def test_too_few_clips_for_splits_is_an_error():
    with pytest.raises(UserError, match="no keyword clip falls into the validation split of its 3 clips"):
        splits.split(material(["yes/a.wav", "yes/b.wav", "yes/c.wav"], ["training"] * 3), ("yes",))


def position_bounds(waves, gains) -> np.ndarray:
    """Where a silence of the ramp was cut, as a share of the recording: first and last sample over gain."""
    return np.array([wave[[0, -1]] / gain / 30000 for wave, gain in zip(waves, gains, strict=True) if gain > 0.2])


@pytest.mark.parametrize(("split", "low", "high"), [("dev", 0.75, 0.8), ("validation", 0.8, 1), ("test", 0.8, 1)])
def test_silences_come_from_their_region(split, low, high):
    waves, names = POSITIONS.silences(split, 50)
    ramp = [i for i, name in enumerate(names) if "_ramp_" in name]
    cut = position_bounds(waves[ramp], [float(names[i].rsplit("_", 1)[1]) for i in ramp])
    assert len(cut) > 10
    assert cut.min() > low - 0.001
    assert cut.max() < high + 0.001


def cuts(split: str, count: int) -> set[str]:
    """Recording and first sample of every silence."""
    return {name.removeprefix(f"_silence_/{split}_").rsplit("_", 1)[0] for name in POSITIONS.silences(split, count)[1]}


@pytest.mark.parametrize("count", [1, 2, 5, 50, 371])
def test_tests_silences_are_not_cut_where_validations_are(count):
    assert len(cuts("test", count)) == count
    assert not cuts("test", count) & cuts("validation", count)


def test_validations_silences_stay_where_they_are():
    """Their names are part of the validation list, whose hash stands with every figure."""
    assert cuts("validation", 5) == {"ramp_0", "back_0", "ramp_52000", "back_52000", "ramp_104000"}


def test_training_noise_ends_at_three_quarters():
    wave = np.zeros(16000 * 40, np.int16)
    wave[16000 * 30:] = 20000 * np.sin(np.arange(16000 * 10) / 3)
    noise = Recordings(("late",), (wave,))
    assert not noise.training_codes()[0].any()
    assert noise.training_codes()[0].shape == (1 + (480000 - 480) // 160, 40)
    assert noise.silence_codes("dev", 3)[0].any()


def test_gains_are_fixed_and_spread():
    waves, names = POSITIONS.silences("validation", 371)
    again, same = POSITIONS.silences("validation", 371)
    np.testing.assert_array_equal(waves, again)
    assert names == same
    gains = np.array([float(name.rsplit("_", 1)[1]) for name in names])
    assert np.histogram(gains, 5, (0, 1))[0].min() > 40
    assert len(set(names)) == 371


def test_test_takes_other_noise_images_than_validation():
    noise = Images(tuple(f"i{k}" for k in range(40)), np.zeros((40, 98, 40), np.uint8))
    validation, test = ({name.split("_")[3] for name in noise.silence_codes(split, 4)[1]}
                        for split in ("validation", "test"))
    assert (validation, test) == ({"i32", "i33", "i34", "i35"}, {"i39", "i38", "i37", "i36"})


def test_image_noise_is_split_and_scaled_in_mel_power():
    wave = np.random.default_rng(0).standard_normal(16000) * 3000
    codes = np.array([features.log_mel_codes(wave, 160)] * 20)
    codes[15:, 0, 0], codes[16:, 0, 1] = 1, 2  # marks: where dev and validation begin
    noise = Images(tuple(f"i{k}" for k in range(20)), codes)
    assert len(noise.training_codes()) == 15
    assert noise.training_codes()[14][0, 0] != 1
    silences, names = noise.silence_codes("validation", 12)
    assert {name.split("_")[3] for name in names} == {"i16", "i17", "i18", "i19"}
    for silence, name in zip(silences, names, strict=True):
        gain = float(name.rsplit("_", 1)[1])
        expected = features.log_mel_codes(gain * wave, 160).astype(int)
        assert np.abs(silence[1:].astype(int) - expected[1:]).max() <= 2


def test_short_noises_are_joined_and_missing_ones_generated(tmp_path):
    folder = tmp_path / "_background_noise_"
    folder.mkdir()
    for i in range(3):
        write_wav(folder / f"{i}.wav", np.full(16000 * 8, i, np.int16))
    (folder / "bad.wav").write_bytes(b"")
    noise = read_noise(tmp_path)
    assert noise.names == ("joined",)
    assert len(noise.waveforms[0]) == 16000 * 24
    (folder / "._hidden.wav").write_bytes(b"")
    assert noise.skipped == read_noise(tmp_path).skipped == (f"{folder / 'bad.wav'}: is empty (0 bytes)",)
    (folder / "2.wav").unlink()
    assert read_noise(tmp_path).names == generated_noise(0)[0]
    assert "generated noise" in read_noise(tmp_path).note


def test_generated_noises_fall_as_their_names_say():
    slopes = {}
    for name, wave in zip(*generated_noise(0), strict=True):
        power = np.abs(np.fft.rfft(wave[:160000].astype(float)))**2
        low, high = power[1000:2000].mean(), power[10000:20000].mean()  # 100..200 Hz, 1..2 kHz: a decade
        slopes[name] = 10 * np.log10(high / low)
    assert slopes["white"] == pytest.approx(0, abs=1)
    assert slopes["pink"] == pytest.approx(-10, abs=1)
    assert slopes["brown"] == pytest.approx(-20, abs=1)


@pytest.mark.shared
def test_hash_gives_the_official_lists(shared_audio):
    """which_set made them: an outside check of part_of."""
    for part in ("validation", "testing"):
        names = shared_audio(f"{part}_list.txt").split()
        assert len(names) > 9000
        assert {splits.part_of(splits.speaker_of(name.split("/")[1])) for name in names} == {part}


@pytest.mark.shared
def test_the_validation_list_is_the_one_that_figures_stand_for(shared_fields):
    fields, _ = shared_fields
    spoken = fields["split"] != "noise"
    names = [f"{word}/{clip[:-4]}.wav" for word, clip in
             zip(fields["word"][spoken].tolist(), fields["clip"][spoken].tolist(), strict=True)]
    dataset = splits.split(material(names, fields["split"][spoken].tolist()), DEFAULT_KEYWORDS)
    counts = np.bincount(dataset.validation.labels)
    assert counts[:2].tolist() == [371, 371]
    assert len(dataset.validation.names) == 4445
    share = sum(counts.sum() for counts in [np.bincount(dataset.dev.labels)[2:]]) / (
        np.bincount(dataset.train.labels)[2:].sum() + np.bincount(dataset.dev.labels)[2:].sum())
    assert share == pytest.approx(0.05, abs=0.01)
