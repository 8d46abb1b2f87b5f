"""WAVs of any kind become the same int16 second; broken ones are named."""

import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from datasets.console import UserError
from datasets.wav import fit_to_second, read_recording, read_waveform, write_wav


def sine(rate: int, seconds: float = 1.0) -> np.ndarray:
    """440 Hz at a quarter of full scale; float64."""
    return 0.25 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_width_rate_and_channels(tmp_path, subtype, rate, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sine(rate)] * channels, axis=1), rate, subtype=subtype)
    wave = read_waveform(path)
    assert wave.shape == (16000,)
    assert wave.dtype == np.int16
    inner = slice(200, -200)  # resampling filters ring at the ends
    tolerance = 400 if subtype == "PCM_U8" else 20
    assert np.abs(wave[inner] - 32768 * sine(16000)[inner]).max() < tolerance


def test_stereo_is_mixed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([sine(16000), -sine(16000)], axis=1), 16000)
    assert np.abs(read_waveform(tmp_path / "a.wav")).max() <= 1


def test_sixteen_bits_pass_unchanged(tmp_path):
    samples = np.random.default_rng(1).integers(-32768, 32768, 16000).astype(np.int16)
    write_wav(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(read_waveform(tmp_path / "a.wav"), samples)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], samples)


def test_too_loud_and_undefined_floats(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0, np.nan, 0.5]), 16000, subtype="FLOAT")
    assert read_recording(tmp_path / "a.wav").tolist() == [32767, -32768, 0, 16384]


def test_short_is_padded_at_its_end_and_long_cut_around_the_loudest_second():
    short = fit_to_second(np.full(4000, 7, np.int16))
    assert short[:4000].tolist() == [7] * 4000
    assert not short[4000:].any()
    long = np.ones(80000, np.int16)
    long[40000:56000] = 1000
    assert fit_to_second(long).tolist() == [1000] * 16000


@given(st.integers(1, 50000))
def test_a_second_is_a_second(length):
    assert len(fit_to_second(np.ones(length, np.int16))) == 16000


def test_wav_written_to_a_pipe(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, np.arange(16000, dtype=np.int16))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_waveform(path), np.arange(16000))


def whole() -> bytes:
    data = np.arange(16000, dtype="<i2").tobytes()
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16,
                       b"data", len(data)) + data


@pytest.mark.parametrize("stray", [bytes(1), b"\n", bytes(7), b"LIST", b"LIST\2\0\0\0ab"])
def test_bytes_after_the_samples_do_no_harm(tmp_path, stray):
    path = tmp_path / "a.wav"
    path.write_bytes(whole() + stray)
    np.testing.assert_array_equal(read_recording(path), np.arange(16000))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"),
    (whole()[:9000], "is truncated"),
    (whole()[:-1], "is truncated"),
    (whole()[:30], "cannot be read as WAV"),
    (whole()[:40] + bytes(4), "holds no samples"),
    (b"<html>no such clip</html>", "is not a WAV file"),
    (whole()[:20] + b"\x99\x99" + whole()[22:], "cannot be read as WAV"),
], ids=["empty", "truncated", "one byte short", "header cut", "no samples", "not a WAV", "unknown coding"])
def test_broken_files_are_named(tmp_path, content, message):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_waveform(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    for name in ("missing.wav", "folder.wav"):
        with pytest.raises(UserError, match=f"{name}: cannot be read as WAV"):
            read_waveform(tmp_path / name)
