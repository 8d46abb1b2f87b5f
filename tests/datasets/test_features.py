"""The reference features, checked by librosa and SciPy and, where they are at hand, by the real images."""

import librosa
import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from datasets import features


@pytest.fixture(scope="module")
def speech_like():
    """Noise whose level and colour wander; int16 [16000]."""
    rng = np.random.default_rng(5)
    wave = rng.standard_normal(16000) * np.exp(2 * np.sin(np.arange(16000) / 900)) * 300
    return np.clip(np.convolve(wave, [1, 0.9, 0.4], "same"), -32768, 32767).astype(np.int16)


def test_mel_filters_are_librosas():
    expected = librosa.filters.mel(sr=16000, n_fft=512, n_mels=40, fmin=0, fmax=4000, htk=True, norm=None,
                                   dtype=np.float64)
    np.testing.assert_allclose(features.mel_filters(), expected, atol=1e-9)


def test_mel_energy_is_librosas(speech_like):
    shifted = np.pad(speech_like.astype(np.float64), 16)  # librosa centres the window in the 512 points
    expected = librosa.feature.melspectrogram(
        y=shifted, sr=16000, n_fft=512, hop_length=320, win_length=480, window=features.window(), center=False,
        power=2.0, n_mels=40, fmin=0, fmax=4000, htk=True, norm=None).T / 512**2
    np.testing.assert_allclose(features.mel_energy(speech_like), expected[:49], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [10, 20, 40])
def test_dct_is_scipys(n):
    expected = scipy.fft.dct(np.eye(40), type=2, norm="ortho", axis=0)[:n]
    np.testing.assert_allclose(features.dct_matrix(n), expected, atol=1e-12)


def test_every_second_fine_frame_is_what_the_net_sees(speech_like):
    fine = features.log_mel_codes(speech_like, features.FINE_HOP_LENGTH)
    assert fine.shape == (98, 40)
    np.testing.assert_array_equal(fine[::2], features.log_mel_codes(speech_like))


def test_codes_and_energy_are_inverse():
    codes = np.arange(256)
    np.testing.assert_array_equal(np.rint(features.real_codes(features.energy_of_codes(codes))), codes)


def test_ten_times_the_amplitude_is_twenty_decibels(speech_like):
    quiet = features.real_codes(features.mel_energy(speech_like / 100.0 + 0.0))
    loud = features.real_codes(features.mel_energy(speech_like / 10.0))
    assert np.median(loud - quiet) == pytest.approx(20 / 0.437, abs=0.2)  # 1 code = 0.437 dB


@given(st.floats(0.01, 20), st.integers(-128, 127), st.integers(0, 2**32 - 1), st.sampled_from([10, 20]))
def test_quantized_mfcc_is_within_a_step_of_the_real_one(scale, zero_point, seed, n):
    codes = np.random.default_rng(seed).integers(0, 256, (7, 40)).astype(np.uint8)
    quantized = features.MfccQuantizer.of(scale, zero_point, n)(codes)
    real = codes @ features.dct_matrix(n).T / scale + zero_point
    assert np.abs(quantized - np.clip(real, -128, 127)).max() <= 0.51


@given(st.floats(3e-5, 50), st.sampled_from([10, 20]))
def test_quantizers_sums_fit_in_32_bits(scale, n):
    quantizer = features.MfccQuantizer.of(scale, 0, n)
    worst = 255 * np.abs(quantizer.table.astype(np.int64)).sum(axis=1).max() + (1 << (quantizer.shift - 1))
    assert worst < 2**31


def test_quantizer_refuses_a_scale_too_small_for_32_bits():
    with pytest.raises(ValueError, match="too small for 32-bit sums"):
        features.MfccQuantizer.of(1e-7, 0, 10)


@pytest.mark.shared
def test_codes_match_the_real_images(shared_audio, shared_fields):
    """The README of the recordings states 4.4 codes as the median RMS error, nearly all of it JPEG's."""
    fields, image = shared_fields
    index = {f"{word}/{clip[:-4]}.flac": i for i, (word, clip) in enumerate(
        zip(fields["word"].tolist(), fields["clip"].tolist(), strict=True))}
    errors = []
    for name in [name for name in shared_audio.names if name in index][::40]:
        samples = shared_audio(name)
        if len(samples) == 16000:  # shorter ones are centred in the images
            difference = features.log_mel_codes(samples, features.FINE_HOP_LENGTH) - image(index[name]).astype(float)
            errors.append(np.sqrt(np.mean(difference**2)))
    assert len(errors) > 100
    assert np.median(errors) < 4.7
