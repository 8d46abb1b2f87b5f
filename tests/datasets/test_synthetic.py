"""Synthetic speech: the same bytes every time, words that differ, marked as what it is."""

import hashlib

import numpy as np
import pytest

from datasets import features, synthetic
from datasets.console import UserError
from datasets.load import counts, load
from datasets.synthetic import Espeak, one_take, resample, speakers, synthetic_folder
from datasets.wav import read_recording

FEW = {"others": ("stop",), "n_speakers": 40}


def content(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small folder: yes, moin and stop by 40 speakers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KWS_GROW_CACHE", str(tmp_path_factory.mktemp("made")))
        return synthetic_folder(("yes", "moin"), **FEW)


def test_same_arguments_same_bytes(made):
    again = synthetic_folder(("yes", "moin"), **FEW)
    assert again != made
    assert content(again) == content(made)


def test_a_words_clips_do_not_depend_on_the_words_beside_it():
    """espeak-ng's output does depend on what it said before."""
    first, second = (content(synthetic_folder((word, "moin"), others=others, n_speakers=4))
                     for word, others in (("yes", ("stop",)), ("go", ("stop", "left", "right"))))
    words = ("moin/", "stop/")
    assert {name: hash for name, hash in first.items() if name.startswith(words)} == {
        name: hash for name, hash in second.items() if name.startswith(words)}


def test_a_folder_that_is_there_is_not_made_again(made, monkeypatch):
    monkeypatch.setenv("KWS_GROW_CACHE", str(made.parent))
    monkeypatch.setattr(synthetic, "_make", lambda *_: pytest.fail("made again"))
    assert synthetic_folder(("yes", "moin"), **FEW) == made


def test_another_seed_gives_other_speakers_and_another_folder(monkeypatch):
    assert not {speaker.name for speaker in speakers(160, 0)} & {speaker.name for speaker in speakers(160, 1)}
    targets = []
    monkeypatch.setattr(synthetic, "_make", lambda target, recipe: targets.append(target))
    for seed in (0, 1):
        synthetic_folder(("yes",), seed=seed)
    assert len(set(targets)) == 2


def test_loads_as_synthetic_with_every_split(made):
    dataset = load(made, ("yes", "moin"))
    assert dataset.name == "synthetic"
    assert dataset.skipped == ()
    table = counts(dataset)
    assert sum(table[split]["moin"] for split in table) == 80
    assert sum(table[split]["_unknown_"] for split in ("train", "dev")) > 10
    assert min(table[split]["yes"] for split in table) > 0
    assert len(dataset.noise) == 4


def test_clips_differ_in_level_and_are_never_clipped(made):
    peaks = [int(np.abs(read_recording(path).astype(int)).max()) for path in sorted((made / "yes").iterdir())]
    assert max(peaks) < 32767
    assert max(peaks) > 5 * min(peaks)


def spectrum_over_time(wave: np.ndarray) -> np.ndarray:
    """MFCC means of four equal stretches of the louder part; float64 [40]."""
    codes = features.log_mel_codes(wave, 160).astype(float)
    loud = np.flatnonzero(codes.mean(axis=1) > np.percentile(codes.mean(axis=1), 60))
    mfcc = codes[loud[0] : loud[-1] + 1] @ features.dct_matrix(11)[1:].T
    return np.concatenate([stretch.mean(axis=0) for stretch in np.array_split(mfcc, 4)])


def test_words_can_be_told_apart():
    """Nearest mean, learned on half the speakers, without noise: far better than chance for the other half."""
    espeak, people = Espeak(), speakers(40, 0)
    vectors = {word: np.array([spectrum_over_time(espeak.say(word, person.voice, 150, 50)) for person in people])
               for word in ("yes", "moin", "stop")}
    means = np.array([vectors[word][:20].mean(axis=0) for word in vectors])
    right = [np.argmin(((means - vector) ** 2).sum(axis=1)) == k
             for k, word in enumerate(vectors) for vector in vectors[word][20:]]
    assert np.mean(right) > 0.9


def test_a_take_is_a_second_and_no_two_are_equal():
    espeak, rng = Espeak(), np.random.default_rng(0)
    takes = [one_take(espeak, speakers(1, 0)[0], "yes", rng) for _ in range(3)]
    assert {(take.shape, take.dtype) for take in takes} == {((16000,), np.dtype(np.int16))}
    assert (takes[0] != takes[1]).any()
    assert (takes[1] != takes[2]).any()


def test_resampling_keeps_a_tone():
    time = np.arange(22050) / 22050
    wave = 1000 * np.sin(2 * np.pi * 1000 * time)
    expected = 1000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(resample(wave, 22050), expected, atol=1)


@pytest.mark.parametrize("word", ["../etc", "a/b", "", "."])
def test_a_word_that_is_none(word):
    with pytest.raises(UserError, match="cannot be spoken"):
        synthetic_folder((word,))


def test_nothing_half_made_is_left_behind(cache, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "parallel_map", stop)
    with pytest.raises(KeyboardInterrupt):
        synthetic_folder(("yes",), **FEW)
    assert list(cache.iterdir()) == []


def test_a_library_that_cannot_be_loaded_is_told(monkeypatch, tmp_path):
    class Loader:
        get_library_path = staticmethod(lambda: str(tmp_path / "none.so"))
        get_data_path = staticmethod(lambda: str(tmp_path))

    monkeypatch.setattr(synthetic, "_loader", Loader)
    with pytest.raises(UserError, match=r"none.so: espeak-ng cannot be loaded .*give DATA=DIR"):
        Espeak()
