"""firmware/stream on this machine: the whole-clip path's bits, however samples arrive; decisions by definition."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.console import UserError
from datasets.features import CLIP_SAMPLES, HOP_LENGTH, N_FRAMES
from export.detector import MAX_AVERAGE, MAX_LABELS, SCORE_ONE, Detector
from export.host import FIRMWARE, SANITIZERS, host_scores, sanitizing_compiler
from export.host_features import host_codes
from export.runs import input_quantizer
from export.stream_host import QUEUE_EVENTS, StreamLibrary, compile_stream, inference_ms, stream_library
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export import standin

pytestmark = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))

LABELS = tuple("abcdefghijkl")
EAGER = Detector(LABELS, (0, *(1,) * 11), SCORE_ONE // 4, 5, 2, 20)
COMMITTED = FIRMWARE.parent / "docs" / "results" / "small-energy-aware" / "model.tflite"


def standin_library(folder: Path, extra: str = "") -> StreamLibrary:
    """A stream whose network is tests.export.standin's: quick, and its scores jump. extra: C that runs first."""
    standin.write_network(folder, extra)
    return StreamLibrary(compile_stream(folder, folder / "stream.so", ("-shared", "-fPIC", "-O1")), standin.QUANTIZER)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return standin_library(tmp_path_factory.mktemp("standin"))


def noises(seconds: int, seed: int = 0) -> np.ndarray:
    """int16 [16000 seconds], another loudness and colour every quarter of a second."""
    rng = np.random.default_rng(seed)
    pieces = [np.convolve(rng.normal(0, 10 ** rng.uniform(0, 4), CLIP_SAMPLES // 4), rng.normal(size=5), "same")
              for _ in range(4 * seconds)]
    return np.clip(np.concatenate(pieces), -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def sound():
    return noises(12)


@pytest.fixture(scope="module")
def whole(library, sound):
    """What EAGER hears in it, fed a second at a time."""
    return library.hear(EAGER, sound)


# ------------------------------------------------------------------ bits

@pytest.mark.parametrize("frames_per_inference", [1, 2, 5, 10, 25])
def test_aligned_clips_get_the_whole_clips_scores(frames_per_inference, library, sound):
    heard = library.hear(replace(EAGER, frames_per_inference=frames_per_inference), sound)
    wanted = whole_clips(sound.reshape(-1, CLIP_SAMPLES))
    np.testing.assert_array_equal(aligned(heard.scores, frames_per_inference)[:len(wanted)], wanted)
    assert len(np.unique(wanted, axis=0)) == len(wanted)


def whole_clips(clips: np.ndarray) -> np.ndarray:
    """Scores of int16 [n, 16000] by the path of clips."""
    return np.array([standin.scores(mfcc) for mfcc in standin.QUANTIZER(host_codes(clips))])


def aligned(scores: np.ndarray, frames_per_inference: int) -> np.ndarray:
    """Those of the inferences that end with a clip."""
    return scores[::CLIP_SAMPLES // HOP_LENGTH // frames_per_inference]


def test_a_real_nets_scores_are_its_clips(sound):
    """Of host C by its own vectors against host C by the portable kernels."""
    graph = read_tflite(COMMITTED)
    clips = sound.reshape(-1, CLIP_SAMPLES)
    with stream_library(graph) as library:
        heard = library.hear(Detector.of(LABELS), sound)
    wanted = host_scores(graph, input_quantizer(graph)(host_codes(clips)))
    np.testing.assert_array_equal(aligned(heard.scores, 10)[:len(clips)], wanted)
    assert len(np.unique(wanted, axis=0)) > 3


def test_inferences_between_clips_are_those_of_the_shifted_clip(library, sound):
    heard = library.hear(replace(EAGER, frames_per_inference=7), sound)
    starts = 7 * HOP_LENGTH * np.arange(len(heard.scores) - 1)
    shifted = np.array([sound[start:start + CLIP_SAMPLES] for start in starts if start + CLIP_SAMPLES <= len(sound)])
    np.testing.assert_array_equal(heard.scores[:len(shifted)], whole_clips(shifted))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 700), st.integers(0, 40000)), min_size=1, max_size=60), st.booleans())
def test_no_sample_is_lost_however_they_are_fed(library, sound, whole, pieces, again):
    pieces = pieces * 3 if again else pieces
    with library.open(EAGER, len(sound) // HOP_LENGTH) as stream:
        at, events = 0, []
        for piece in [*pieces, *[CLIP_SAMPLES] * 12]:
            events.append(stream.feed(sound[at:at + piece]))
            at = min(at + piece, len(sound))
        assert stream.counters().lost_events == 0
        np.testing.assert_array_equal(stream.recorded(), whole.scores)
        np.testing.assert_array_equal(np.concatenate(events), whole.events)
    assert len(whole.events) > 10


def test_single_samples(library, sound, whole):
    with library.open(EAGER, 100) as stream:
        for sample in sound[:20000]:
            stream.feed(np.array([sample]))
        recorded = stream.recorded()
        np.testing.assert_array_equal(recorded, whole.scores[:len(recorded)])
        assert stream.counters().frames == (20000 - 480) // 320 + 1


# ------------------------------------------------------------------ counters

@pytest.mark.parametrize("count", [2**32 - 1000, 2**32 - 200, 2**32 - 50, 2**32 - 1])
def test_counters_that_wrap(count, library, sound, whole):
    """As if it had run for years: frames, inferences and milliseconds wrap, words and scores stay the same."""
    twice = np.concatenate([sound, sound])
    plain = library.hear(EAGER, twice)
    with library.open(EAGER, len(twice) // HOP_LENGTH, count_from=count) as stream:
        events = np.concatenate([stream.feed(twice[at:at + 1600]) for at in range(0, len(twice), 1600)])
        np.testing.assert_array_equal(stream.recorded(), plain.scores)
        assert stream.counters().frames == (count + 1199) % 2**32 < count
    np.testing.assert_array_equal(events[["label", "score"]], plain.events[["label", "score"]])
    np.testing.assert_array_equal(events["time_ms"], (plain.events["time_ms"].astype(np.int64) + 20 * count) % 2**32)
    assert len(events) > 6


def test_events_that_nobody_polls_are_counted(library, sound):
    restless = replace(EAGER, threshold=0, frames_per_inference=1, average_inferences=1, refractory_frames=0,
                       min_counts=(1,) * 12)
    heard = library.hear(restless, sound, HOP_LENGTH)
    assert len(heard.events) > 2 * QUEUE_EVENTS
    with library.open(restless) as stream:
        first = stream.feed(sound)
        assert stream.counters().lost_events == len(heard.events) - QUEUE_EVENTS
    np.testing.assert_array_equal(first, heard.events[:QUEUE_EVENTS])


def test_a_network_that_refuses_is_told_and_the_stream_goes_on(tmp_path, sound):
    refusing = standin_library(tmp_path, "static int calls; if (++calls == 3) return 7;")
    with refusing.open(replace(EAGER, frames_per_inference=10), 100) as stream:
        stream.feed(sound[:CLIP_SAMPLES])
        with pytest.raises(UserError, match="the stream fails: error -2 of"):
            stream.feed(sound[CLIP_SAMPLES:])
        counters = stream.counters()
    assert (counters.failures, counters.inferences) == (1, (counters.frames - N_FRAMES) // 10)


# ------------------------------------------------------------------ decisions

def reference(detector: Detector, scores: np.ndarray) -> list[tuple[int, int, int]]:
    """(ms, label, score) by the definition, in Python."""
    history = [[0] * len(detector.labels)] * detector.average_inferences
    events, run, last, told, quiet_until = [], 0, None, False, -1
    for i, row in enumerate(scores.astype(int) + 128):
        history = [*history[1:], row.tolist()]
        sums = [sum(column) for column in zip(*history, strict=True)]
        top, score = sums.index(max(sums)), max(sums) * 256 // len(history)
        frame = i * detector.frames_per_inference
        if score < detector.threshold:
            run, told, last = 0, False, top
            continue
        run, told = (run + 1, told) if top == last and run else (1, False)
        last = top
        if 0 < detector.min_counts[top] <= run and not told and frame >= quiet_until:
            events.append((int(inference_ms(i, detector.frames_per_inference)), top, score))
            told, quiet_until = True, frame + detector.refractory_frames
    return events


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, SCORE_ONE), st.integers(1, N_FRAMES),
       st.integers(1, 9), st.integers(0, 200), st.integers(1, 12))
def test_decisions_are_those_of_the_definition(library, seed, count, threshold, every, average, refractory, hold):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-128, 128, (200 // hold + 1, 5)).repeat(hold, axis=0).astype(np.int8)
    counts = tuple(rng.integers(0, count + 1, 5).tolist())
    detector = Detector(LABELS[:5], counts, threshold, every, average, refractory)
    assert library.decide(detector, scores).tolist() == reference(detector, scores)


def test_decisions_from_recorded_scores_are_the_streams_own(library, whole):
    np.testing.assert_array_equal(library.decide(EAGER, whole.scores), whole.events)


def scores_of(*tops: tuple[int, int]) -> np.ndarray:
    """Rows where one label has a score, and all others nothing."""
    rows = np.full((len(tops), 5), -128, np.int8)
    for row, (label, score) in zip(rows, tops, strict=True):
        row[label] = score
    return rows


def test_one_event_for_each_time_a_word_is_heard(library):
    detector = Detector(LABELS[:5], (0, 0, 1, 1, 2), SCORE_ONE, 10, 1, 0)
    at = [(2, 127), (2, 127), (2, 127), (0, 127), (2, 127), (4, 127), (2, 126), (4, 127), (4, 127), (1, 127)]
    assert library.decide(detector, scores_of(*at))["label"].tolist() == [2, 2, 4]


def test_refractory_time_holds_events_back_until_it_ends(library):
    at = [(2, 127)] + [(3, 127)] * 3
    waits = Detector(LABELS[:5], (0, 0, 1, 1, 1), SCORE_ONE, 10, 1, 20)
    assert library.decide(waits, scores_of(*at)).tolist() == [(990, 2, SCORE_ONE), (1390, 3, SCORE_ONE)]
    assert len(library.decide(replace(waits, refractory_frames=31), scores_of(*at))) == 1


# ------------------------------------------------------------------ what is refused

@pytest.mark.parametrize(("broken", "error"), [
    ({"labels": LABELS[:4], "min_counts": (1,) * 4}, -3), ({"average_inferences": 65}, -5), ({"threshold": 65281}, -6),
    ({"frames_per_inference": 0}, -4), ({"frames_per_inference": 50}, -4)])
def test_the_c_refuses_what_python_would(broken, error, library):
    bad = object.__new__(Detector)
    bad.__dict__.update({**vars(EAGER), **broken})
    with pytest.raises(UserError, match=f"refuses its detector: error {error} "):
        library.open(bad)


def test_python_has_the_headers_limits():
    text = (FIRMWARE / "stream" / "kws_decide.h").read_text() + (FIRMWARE / "stream" / "kws.h").read_text()
    for name, value in (("KWS_SCORE_ONE", SCORE_ONE), ("KWS_MAX_AVERAGE", MAX_AVERAGE),
                        ("KWS_MAX_LABELS", MAX_LABELS), ("KWS_QUEUE_EVENTS", QUEUE_EVENTS)):
        assert f"{name} = {value}" in text


def test_fuzzing_under_sanitizers(tmp_path):
    """Random samples, pieces and configs; every buffer has exactly its size."""
    sanitizing_compiler()
    standin.write_network(tmp_path)
    program = compile_stream(tmp_path, tmp_path / "fuzz", SANITIZERS, (FIRMWARE / "host" / "kws_stream_fuzz.c",))
    for seed in (1, 2):
        done = subprocess.run([program, str(seed), "25"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("compiler", "flags"), [
    ("clang", ("-O2",)), ("arm-none-eabi-gcc", ("-O3", "-mcpu=cortex-m0plus", "-mthumb"))])
def test_other_compilers_take_the_stream_without_a_warning(compiler, flags, tmp_path):
    if not have(compiler):
        pytest.skip(install_line(compiler))
    from export.feature_tables import write_feature_tables
    from export.host import WARNINGS

    write_feature_tables(tmp_path)
    for name in ("kws", "kws_decide"):
        source = Path(FIRMWARE) / "stream" / f"{name}.c"
        subprocess.run([compiler, *WARNINGS, *flags, f"-I{tmp_path}", f"-I{FIRMWARE / 'features'}", "-c", source, "-o",
                        tmp_path / f"{name}.o"], check=True)
