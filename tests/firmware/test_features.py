"""The integer features: within one code of the float64 reference everywhere; the same bits however they are fed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.features import (
    CLIP_SAMPLES,
    HOP_LENGTH,
    MfccQuantizer,
    log_mel_codes,
    mel_energy,
    mel_filters,
    real_codes,
)
from export import feature_tables
from export.calibrate import core_board
from export.host_features import compile_features, host_codes, host_mfcc
from export.kernels import load_kernels
from export.measurement import Bench
from export.toolchain import have, install_line

pytestmark = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))

TIME = np.arange(CLIP_SAMPLES)


def furthest(waveforms) -> int:
    """The largest difference between the C's codes and the reference's."""
    waveforms = np.array(waveforms, np.int16).reshape(-1, CLIP_SAMPLES)
    reference = np.stack([log_mel_codes(waveform) for waveform in waveforms])
    return int(np.abs(host_codes(waveforms).astype(int) - reference).max())


def sweep(amplitude: float, bins: np.ndarray) -> np.ndarray:
    """A sine at each of `bins` (may be fractional), another phase each."""
    phases = np.arange(len(bins))[:, None] * 0.7
    return np.rint(amplitude * np.sin(2 * np.pi * bins[:, None] * TIME / 512 + phases))


def speech_like(seed: int, amplitude: float) -> np.ndarray:
    """Pulses through wandering resonances with pauses: voiced speech's spectrum and crest."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(CLIP_SAMPLES)
    for start in np.cumsum(rng.integers(60, 200, 120)):
        n = np.arange(max(0, min(1000, CLIP_SAMPLES - start)))
        for hz in rng.normal([500, 1500, 2500], 100):
            sound[start:start + n.size] += np.exp(-n / 80) * np.sin(2 * np.pi * hz * n / 16000)
    return np.rint(amplitude * sound / np.abs(sound).max())


def test_silence_is_zero():
    assert not host_codes(np.zeros((1, CLIP_SAMPLES), np.int16)).any()


@pytest.mark.parametrize("amplitude", [1, 2, 5, 50, 3000, 32767])
def test_sines_at_every_bin(amplitude):
    assert furthest(sweep(amplitude, np.arange(0, 257))) <= 1


@pytest.mark.parametrize("amplitude", [1, 10, 32767])
def test_sines_between_bins(amplitude):
    assert furthest(sweep(amplitude, np.arange(0.5, 257, 4.25))) <= 1


def test_quiet_sounds_lose_little_to_rounding():
    """Products cut off instead of rounded are up to 0.95 codes off here."""
    waveforms = sweep(1, np.arange(0.5, 257, 1.0)).astype(np.int16)
    exact = np.clip(np.stack([real_codes(mel_energy(waveform)) for waveform in waveforms]), 0, 255)
    assert np.abs(host_codes(waveforms) - exact).max() < 0.75


@pytest.mark.parametrize("amplitude", [1, 2, 3, 10, 100, 1000, 32767])
def test_noise(amplitude):
    assert furthest(np.random.default_rng(amplitude).integers(-amplitude, amplitude + 1, (8, CLIP_SAMPLES))) <= 1


@pytest.mark.parametrize("amplitude", [1, 8, 200, 8000, 32767])
def test_speech_like(amplitude):
    assert furthest([speech_like(seed, amplitude) for seed in range(3)]) <= 1


@pytest.mark.parametrize("level", [(-32768, 32767), (-1, 1), (0, 1), (-1, 0), (-32768, 0)])
def test_square_waves(level):
    assert furthest([np.where(TIME % period < period / 2, *level) for period in (2, 3, 5, 16, 64, 333, 1000)]) <= 1


def test_the_largest_sums_do_not_overflow():
    """Full scale with the sign of each bin's cosine and sine: nothing can make that bin larger."""
    phase = 2 * np.pi * np.arange(257)[:, None] * (TIME % HOP_LENGTH) / 512
    signs = np.concatenate([np.cos(phase), np.sin(phase)])
    assert furthest(np.where(signs >= 0, 32767, -32768)) <= 1
    assert furthest([np.full(CLIP_SAMPLES, -32768), np.full(CLIP_SAMPLES, 32767)]) <= 1


@pytest.mark.parametrize("height", [1, -1, 7, 300, 32767, -32768])
def test_single_impulses(height):
    waveforms = np.zeros((16, CLIP_SAMPLES))
    waveforms[np.arange(16), 5000 + 31 * np.arange(16)] = height
    assert furthest(waveforms) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 15), st.integers(1, 400), st.booleans())
def test_random_pieces(seed, shift, hold, bursts):
    rng = np.random.default_rng(seed)
    steps = rng.integers(-32768, 32768, CLIP_SAMPLES // hold + 1).repeat(hold)[:CLIP_SAMPLES] >> shift
    assert furthest(steps * (rng.random(CLIP_SAMPLES) < 0.1) if bursts else steps) <= 1


@pytest.mark.parametrize("piece", [1, 7, 160, 320, 479, 480, 481, 5000])
def test_the_same_codes_however_samples_arrive(piece):
    noise = np.random.default_rng(1).integers(-900, 900, (1, CLIP_SAMPLES))
    np.testing.assert_array_equal(host_codes(noise, piece), host_codes(noise))


def test_each_bin_weighs_in_two_filters_by_one_number():
    """The table of rising weights and segments is the filter bank, whole."""
    ends, rising = feature_tables.segment_ends(), feature_tables.rising_table() / 2.0**32
    weights = np.zeros((42, len(rising)))
    bins = np.arange(len(rising))
    segment = np.searchsorted(ends, bins, side="right")
    weights[segment + 1, bins], weights[segment, bins] = rising, 1 - rising
    filters = mel_filters()
    np.testing.assert_allclose(weights[1:41], filters[:, :len(rising)], atol=1e-9)
    assert not filters[:, len(rising):].any()


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 60.0), st.integers(-128, 127), st.sampled_from([1, 10, 20, 40]), st.integers(0, 2**32 - 1))
def test_mfcc_equals_the_quantizer(scale, zero_point, n, seed):
    quantizer = MfccQuantizer.of(scale, zero_point, n)
    rng = np.random.default_rng(seed)
    codes = np.concatenate([rng.integers(0, 256, (20, 40)), rng.choice([0, 255], (20, 40))])
    np.testing.assert_array_equal(host_mfcc(quantizer, codes), quantizer(codes.astype(np.uint8)))


# Codes of loud and quiet clips by a library of one's own; in a process of its own, as a trap would end it.
OTHER_LIBRARY = """
import ctypes, sys
import numpy as np
from export import host_features
host_features._library = lambda: ctypes.CDLL(sys.argv[1])
np.save(sys.argv[3], host_features.host_codes(np.load(sys.argv[2])))
"""


@pytest.mark.parametrize(("compiler", "flags"), [
    ("gcc", ("-O0",)), ("gcc", ("-O3", "-Wconversion", "-pedantic")), ("clang", ("-O2", "-Wconversion", "-pedantic")),
    ("gcc", ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")),
    ("gcc", ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-DKWS_SHORT_PRODUCTS")),
])
def test_the_same_codes_by_every_compiler_and_no_overflow(compiler, flags, tmp_path):
    if not have(compiler):
        pytest.skip(f"{compiler} is not installed")
    phase = 2 * np.pi * np.arange(0, 257, 16)[:, None] * (TIME % HOP_LENGTH) / 512
    loud = np.where(np.cos(phase) >= 0, 32767, -32768)
    quiet = np.random.default_rng(4).integers(-3, 4, (2, CLIP_SAMPLES))
    waveforms = np.concatenate([loud, quiet, np.full((1, CLIP_SAMPLES), -32768)]).astype(np.int16)
    np.save(tmp_path / "clips.npy", waveforms)
    arguments = [compile_features(tmp_path, compiler, flags), tmp_path / "clips.npy", tmp_path / "codes.npy"]
    subprocess.run([sys.executable, "-c", OTHER_LIBRARY, *arguments], check=True, cwd=Path(__file__).parents[2])
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), host_codes(waveforms))


@pytest.mark.emulator
@pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))
@pytest.mark.parametrize(("core", "n_coefficients", "instructions"), [
    ("m4", 10, 26_300), ("m4", 20, 28_000), ("m0plus", 10, 184_000)])
def test_instructions_of_a_frame(core, n_coefficients, instructions, tmp_path):
    """On M4 at most 35,000 are wanted; CMSIS-DSP's real FFT of 512 points alone takes 18.3 k (q15) to 37.1 k (q31)."""
    bench = Bench(core_board(core), load_kernels("portable", None))
    assert bench.count_frame(n_coefficients, tmp_path).instructions <= instructions
