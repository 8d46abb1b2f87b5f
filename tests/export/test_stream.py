"""make stream: audio of the right speakers and seconds, figures that add up, the threshold kept for the firmware."""

import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from datasets.console import UserError
from datasets.load import read_data
from datasets.noise import REGIONS
from datasets.splits import dev_speakers
from datasets.wav import read_recording, read_waveform, write_wav
from export import stream, stream_audio, stream_babble, stream_host
from export.detector import FILE, RULES, SCORE_ONE, Detector, detector_of
from export.runs import resolve
from export.stream import Trial, choose
from export.stream_audio import BABBLE, KEYWORDS, NOISE, OTHER_WORDS, LongAudio, Stretch, Word, long_audio, speech_end
from export.stream_babble import WORDS, babble, talkers
from export.stream_host import EVENT, Heard
from export.stream_score import Outcome, Rate, false_accepts, judge, pick
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export.models import LABELS
from tests.export.test_runs import write_run

SECOND = 16000


def speech(number: int) -> np.ndarray:
    """int16 [16000] of a short loud tone that no other number has, in hiss."""
    rng, time = np.random.default_rng(number), np.arange(SECOND)
    loud = (time > 3000) & (time < 9000 + 10 * number)
    tone = 9000 * np.sin(2 * np.pi * (200 + 13 * number) * time / SECOND) * loud
    return np.rint(tone + rng.normal(0, 30, SECOND)).astype(np.int16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An official-layout folder: yes, no, up, bed by 60 speakers, 10 of them in the validation list; 40 s of noise."""
    root = tmp_path_factory.mktemp("data") / "speech_commands_v0.02"
    listed = []
    for w, word in enumerate(("yes", "no", "up", "bed")):
        (root / word).mkdir(parents=True)
        for k in range(60):
            name = f"{word}/{k:08x}_nohash_0.wav"
            write_wav(root / name, speech(60 * w + k))
            listed += [name] * (k < 10)
    (root / "validation_list.txt").write_text("".join(f"{name}\n" for name in listed))
    (root / "_background_noise_").mkdir()
    for i in range(2):
        write_wav(root / "_background_noise_" / f"{i}.wav",
                  np.random.default_rng(i).integers(-2000, 2000, 40 * SECOND).astype(np.int16))
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KWS_GROW_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def material(data):
    return read_data(data, LABELS[2:])


@pytest.fixture
def quiet(monkeypatch):
    """No hiss, and babble of ones."""
    monkeypatch.setattr(stream_audio, "_in_a_room", lambda samples: samples)
    monkeypatch.setattr(stream_audio, "babble", lambda split, seconds, labels: np.ones(seconds * SECOND, np.int16))


def part(audio: LongAudio, kind: str) -> np.ndarray:
    (stretch,) = [each for each in audio.stretches if each.kind == kind]
    return audio.samples[stretch.start:stretch.end]


# ------------------------------------------------------------------ audio

@pytest.mark.parametrize("split", ["dev", "validation"])
def test_every_clip_of_the_splits_speakers_is_there_once(split, material, data, quiet):
    audio = long_audio(material, LABELS, split, 60)
    validation = {f"{k:08x}" for k in range(10)}
    theirs = validation if split == "validation" else dev_speakers({f"{k:08x}" for k in range(10, 60)})
    clips = {read_waveform(path).tobytes(): path for path in data.glob("[!_]*/*.wav")
             if path.name.partition("_")[0] in theirs}
    heard = [clips.pop(audio.samples[word.start:word.end].tobytes()) for word in audio.words]
    assert [path.parent.name for path in heard] == [LABELS[word.label] for word in audio.words]
    assert {path.parent.name for path in clips.values()} == {"bed"}
    assert len(audio.words) == 3 * len(theirs)
    others = part(audio, OTHER_WORDS).tobytes()
    assert all(clip in others for clip in clips)
    gaps = np.diff([word.start for word in audio.words]) - SECOND
    assert (gaps >= 1.5 * SECOND).all()
    assert len(np.unique(gaps % 3200)) > 1


@pytest.mark.parametrize("split", ["dev", "validation"])
def test_each_held_out_second_of_noise_is_there_once(split, material, data, quiet):
    first, last = (round(40 * SECOND * bound) for bound in REGIONS[split])
    recordings = [read_recording(data / "_background_noise_" / f"{i}.wav")[first:last] for i in range(2)]
    np.testing.assert_array_equal(part(long_audio(material, LABELS, split, 60), NOISE), np.concatenate(recordings))


def test_babble_fills_up_what_is_missing(material, quiet):
    audio = long_audio(material, LABELS, "dev", 60)
    without = [each for each in audio.stretches if each.kind != KEYWORDS]
    assert 60 <= (without[-1].end - without[0].start) / SECOND < 61
    assert set(part(audio, BABBLE).tolist()) == {1}
    assert audio.stretches[-1].end == len(audio.samples)
    assert BABBLE not in [each.kind for each in long_audio(material, LABELS, "dev", 1).stretches]


def test_the_same_audio_every_time_and_nothing_digitally_silent(material, monkeypatch):
    monkeypatch.setattr(stream_audio, "babble", lambda split, seconds, labels: np.zeros(seconds * SECOND, np.int16))
    audio, again = (long_audio(material, LABELS, "validation", 20) for _ in range(2))
    np.testing.assert_array_equal(audio.samples, again.samples)
    assert audio.words == again.words
    whole = audio.samples[:len(audio.samples) // 16 * 16].reshape(-1, 16)
    assert (np.abs(whole).max(axis=1) > 0).mean() > 0.99


def test_images_without_waveforms_are_refused(material):
    with pytest.raises(UserError, match="holds images of clips, no waveforms"):
        long_audio(replace(material, wavs=None), LABELS, "dev", 60)


def test_a_split_without_keywords_is_refused(material):
    with pytest.raises(UserError, match="no WAV of a keyword among the dev speakers; allowed: WAVs of left"):
        long_audio(material, ("_silence_", "_unknown_", "left"), "dev", 60)


def test_the_end_of_speech():
    assert abs(speech_end(speech(7)) - 9070) <= 160
    assert speech_end(np.zeros(SECOND, np.int16)) == SECOND


def test_babble_says_none_of_the_words_and_splits_have_their_own_talkers(monkeypatch):
    monkeypatch.setattr(stream_babble, "JOB_S", 10)
    dev, longer = babble("dev", 8, LABELS), babble("dev", 12, LABELS)
    np.testing.assert_array_equal(dev, longer[:len(dev)])
    assert (len(dev), len(longer)) == (8 * SECOND, 12 * SECOND)
    assert (babble("validation", 8, LABELS) != dev).mean() > 0.9
    assert (dev != 0).mean() > 0.5
    assert not {speaker.name for speaker in talkers("dev")} & {speaker.name for speaker in talkers("validation")}
    assert not set(WORDS) & {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}


# ------------------------------------------------------------------ figures

@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904)])
def test_intervals_are_those_of_the_tables(count, low, high):
    """Garwood 1936, for a count in one hour; per hour they halve where it is two."""
    np.testing.assert_allclose(Rate(count, 60).interval, (low, high), atol=1e-4)
    np.testing.assert_allclose(Rate(count, 120).interval, (low / 2, high / 2), atol=1e-4)


def some_audio() -> LongAudio:
    """Three words 3 s apart, then a minute of noise and one of babble."""
    words = tuple(Word(2 + i, 3 * SECOND * i, 3 * SECOND * i + SECOND, 3 * SECOND * i + SECOND // 2) for i in range(3))
    ends = [9 * SECOND, 69 * SECOND, 129 * SECOND]
    stretches = (Stretch(KEYWORDS, 0, ends[0], 3), Stretch(NOISE, ends[0], ends[1]), Stretch(BABBLE, ends[1], ends[2]))
    return LongAudio("dev", np.zeros(ends[2], np.int16), words, stretches)


def events(*told: tuple[int, int]) -> np.ndarray:
    return np.array([(ms, label, SCORE_ONE) for ms, label in told], EVENT)


def test_events_are_judged_by_the_word_that_began_last():
    told = events((1100, 2), (2900, 2), (3500, 2), (5000, 3), (20000, 3), (69001, 2), (100000, 4))
    outcome = judge(some_audio(), told, 7)
    assert (outcome.keywords, outcome.found, outcome.rejects) == (3, 2, 1)
    assert (outcome.wrong_words, outcome.repeats) == (1, 1)
    assert outcome.accepts == {NOISE: 1, BABBLE: 2}
    assert outcome.latency_ms.tolist() == [600, 1500]
    assert false_accepts(some_audio(), outcome) == Rate(3, 2.0)


def test_nothing_told():
    outcome = judge(some_audio(), events(), 7)
    assert (outcome.found, outcome.false_accepts, outcome.reject_rate) == (0, 0, 1.0)
    assert outcome.latency_ms.size == 0


def curve(*counts: int) -> list[Outcome]:
    return [Outcome(i, 3, 3, 0, 0, {NOISE: count}, np.zeros(3)) for i, count in enumerate(counts)]


@pytest.mark.parametrize(("counts", "per_hour", "threshold", "reached"), [
    ((9, 4, 2, 1, 0), 60, 2, True), ((9, 2, 3, 1, 0), 60, 3, True), ((9, 4, 2, 1, 1), 1, 4, False),
    ((0, 0, 0), 1, 0, True), ((9, 4, 2, 1, 0), 29, 4, True)])
def test_the_lowest_threshold_from_which_on_the_rate_is_kept(counts, per_hour, threshold, reached):
    chosen, kept = pick(curve(*counts), some_audio(), per_hour)
    assert (chosen.threshold, kept) == (threshold, reached)


@dataclass
class ToldBy:
    """A library that tells the first so many words of some_audio, and so many times in noise:
    average_inferences -> threshold -> (words, noise)."""

    told: dict[int, dict[int, tuple[int, int]]]

    def decide(self, detector: Detector, _) -> np.ndarray:
        words, noise = self.told[detector.average_inferences][detector.threshold]
        return events(*((3000 * i + 900, 2 + i) for i in range(words)), *((9500 + 2000 * i, 2) for i in range(noise)))


@pytest.mark.parametrize(("told", "chosen"), [
    ({2: {8: (3, 2), 9: (2, 1)}, 1: {8: (3, 1), 9: (1, 0)}}, (1, 8)),  # fewer missed at the rate of 30 an hour
    ({2: {8: (3, 2), 9: (2, 1)}, 1: {8: (3, 2), 9: (2, 0)}}, (2, 9)),  # as many: the first
    ({2: {8: (3, 2), 9: (3, 2)}, 1: {8: (1, 1), 9: (0, 0)}}, (1, 8))])  # the rate comes first
def test_of_two_rules_the_one_that_misses_fewer_words_at_the_rate(told, chosen, monkeypatch):
    monkeypatch.setattr(stream, "THRESHOLDS", (8, 9))
    detectors = [Detector.of(LABELS, average, in_a_row) for average, in_a_row in RULES]
    detector, reached = choose(ToldBy(told), detectors, Trial(some_audio(), Heard(np.zeros(0), events()), 1.0), 30.0)
    assert (detector.average_inferences, detector.threshold, reached) == (*chosen, True)
    assert max(detector.min_counts) == dict(RULES)[detector.average_inferences]


# ------------------------------------------------------------------ the command

@pytest.fixture
def command(monkeypatch, tmp_path, data):
    """command(*arguments): python -m export.stream of a small net on the data; returns its summary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stream_host, "OPTIMIZATION", ("-O1",))
    write_run(tmp_path / "runs" / "one")

    def call(*arguments: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["stream", "--data", str(data), "--minutes", "1", *arguments])
        stream.main()
        return json.loads((tmp_path / "build" / "one" / "stream" / "summary.json").read_text())

    return call


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
def test_the_threshold_picked_on_dev_is_reported_on_validation_and_kept(command, quiet, tmp_path, capsys):
    summary = command("--fa-per-hour", "60")
    out = capsys.readouterr().out
    assert out.rstrip().splitlines()[-1] == "summary: build/one/stream/summary.json"
    assert "min of babble (synthetic)" in out
    run = resolve("one", None, tmp_path / "runs")
    kept, where = detector_of(run, read_tflite(run.tflite_path))
    assert kept == replace(Detector.of(LABELS, summary["average_inferences"], summary["min_count"]),
                           threshold=summary["threshold"])
    assert where == str(tmp_path / "runs" / "one" / FILE)
    assert summary["keywords"] == summary["validation"]["keywords"] == 30
    assert summary["minutes"] == pytest.approx(1, abs=0.02)
    at = [each for each in summary["dev"]["curve"] if each["threshold"] >= kept.threshold]
    assert all(each["false_accepts"] <= summary["fa_per_hour_wanted"] / 60 * 1.02 for each in at)
    assert summary["validation"]["false_accepts_in"]["babble"]["synthetic"]
    assert not summary["validation"]["false_accepts_in"]["noise"]["synthetic"]
    assert summary["host_s_per_hour"] > 0
    assert (tmp_path / "build" / "one" / "stream" / "curve.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
@pytest.mark.parametrize("knees", [{"dev": 30, "validation": 60}, {"dev": 60, "validation": 30}])
def test_it_is_dev_that_picks(knees, command, quiet, monkeypatch):
    """Validation's curve, which would pick another threshold, has no say."""
    def curve_of(audio, decide, thresholds):
        knee = thresholds[knees[audio.split]]
        return [Outcome(each, 30, 30, 0, 0, {NOISE: 9 * (each < knee)}, np.zeros(30)) for each in thresholds]

    monkeypatch.setattr(stream, "curve_of", curve_of)
    assert command("--fa-per-hour", "60")["threshold"] == stream.THRESHOLDS[knees["dev"]]


@pytest.mark.parametrize(("arguments", "message"), [
    (("--fa-per-hour", "0"), "FA_PER_HOUR=0: allowed are numbers from 0.1 to 100"),
    (("--fa-per-hour", "few"), "FA_PER_HOUR=few: allowed"), (("--fa-per-hour", "nan"), "FA_PER_HOUR=nan: allowed"),
    (("--minutes", "0"), "MINUTES=0: allowed are whole numbers from 1 to 600"),
    (("--labels", "yes,no"), "5 scores and 2 labels")])
def test_mistakes_are_one_line(arguments, message, command):
    with pytest.raises(UserError, match=message):
        command(*arguments)
