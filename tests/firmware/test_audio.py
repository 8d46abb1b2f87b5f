"""The ring between microphone and detector, and PDM to PCM: the boards' C on this machine."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.host import WARNINGS
from export.image import FIRMWARE
from export.toolchain import have, install_line, run_tool

pytestmark = pytest.mark.skipif(not have("gcc"), reason=install_line("gcc"))
SIZE, SHIFT = 101, 3
PDM = FIRMWARE / "boards" / "stm32f4_discovery"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    (folder / "kws_image.h").write_text(f"#define KWS_AUDIO_SAMPLES {SIZE}\n")
    sources = [FIRMWARE / "app" / "kws_audio.c", PDM / "kws_pdm.c"]
    run_tool(["gcc", *WARNINGS, "-O2", "-shared", "-fPIC", f"-DKWS_MICROPHONE_SHIFT={SHIFT}", f"-I{folder}",
              f"-I{FIRMWARE / 'app'}", *sources, "-o", folder / "audio.so"], "audio")
    return folder / "audio.so"


class Ring:
    """A freshly opened ring."""

    def __init__(self, library: ctypes.CDLL):
        self.c = library
        self.c.kws_audio_peek.restype = ctypes.c_size_t
        self.c.kws_audio_open()
        self.lost = self.overruns

    @property
    def overruns(self) -> int:
        return ctypes.c_uint32.in_dll(self.c, "kws_audio_overruns").value

    def put(self, samples: np.ndarray) -> None:
        samples = np.ascontiguousarray(samples, np.int16)
        self.c.kws_audio_put(samples.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(samples)))

    def take(self, most: int) -> np.ndarray:
        pointer = ctypes.POINTER(ctypes.c_int16)()
        count = min(most, self.c.kws_audio_peek(ctypes.byref(pointer)))
        samples = np.array(pointer[:count], np.int16)
        self.c.kws_audio_drop(ctypes.c_size_t(count))
        return samples


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=60))
def test_samples_come_out_in_order_and_what_finds_no_room_is_counted(compiled, steps):
    """SIZE - 1 samples fit. Two pieces at most hold everything."""
    ring, held, lost = Ring(ctypes.CDLL(str(compiled))), 0, 0
    for put, take in steps:
        ring.put(np.zeros(put))
        fits = held + put <= SIZE - 1
        held, lost = (held + put, lost) if fits else (held, lost + put)
        got = len(ring.take(take))
        got += len(ring.take(take - got))
        assert got == min(take, held)
        held -= got
        assert (ring.overruns - ring.lost) % 2**32 == lost


def test_order_is_kept_where_the_ring_wraps(compiled):
    ring, heard = Ring(ctypes.CDLL(str(compiled))), []
    for i in range(40):
        ring.put(np.array([3000, -3000] * (i % 7)))
        heard += [*ring.take(99), *ring.take(99)]
    assert len(heard) == sum(2 * (i % 7) for i in range(40))
    assert (np.sign(heard) == np.tile([1, -1], len(heard) // 2)).all()


def test_a_ramp_stays_a_ramp_where_the_ring_wraps(compiled):
    """Whatever the pieces, no sample changes its place: but for the slow constant part, which a fresh library lacks."""
    ring, heard = Ring(ctypes.CDLL(str(compiled))), []
    ramp = np.tile(np.arange(-1000, 1000, 40), 40)
    for at in range(0, len(ramp), 37):
        ring.put(ramp[at:at + 37])
        heard += [*ring.take(99), *ring.take(99)]
    steps = np.diff(np.array(heard, int).reshape(40, 50))
    assert (np.abs(steps - (40 << SHIFT)) <= 4 << SHIFT).all()


def test_overruns_wrap_and_only_an_open_ring_misses(compiled):
    ring = Ring(ctypes.CDLL(str(compiled)))
    counter = ctypes.c_uint32.in_dll(ring.c, "kws_audio_overruns")
    counter.value = 2**32 - 3
    ring.c.kws_audio_miss(ctypes.c_size_t(40))
    assert ring.overruns == 37
    ring.put(np.zeros(SIZE))
    assert ring.overruns == 37 + SIZE
    ring.c.kws_audio_close()
    assert not ring.c.kws_audio_is_open()
    ring.c.kws_audio_miss(ctypes.c_size_t(40))
    assert ring.overruns == 37 + SIZE


def test_a_closed_ring_takes_nothing_and_loses_nothing(compiled):
    ring = Ring(ctypes.CDLL(str(compiled)))
    ring.c.kws_audio_close()
    ring.put(np.ones(50))
    assert (len(ring.take(99)), ring.overruns) == (0, ring.lost)


def test_the_constant_part_goes_and_the_rest_is_louder(compiled):
    """A tone of 500 on 2000: 500 << SHIFT around zero; full scale stays full scale."""
    ring, heard = Ring(ctypes.CDLL(str(compiled))), []
    tone = 2000 + 500 * np.sin(np.arange(16_000) * 0.3)
    for at in range(0, 16_000, 50):
        ring.put(np.rint(tone[at:at + 50]))
        heard += [*ring.take(99), *ring.take(99)]
    late = np.array(heard[8_000:], int)
    assert len(heard) == 16_000
    assert abs(late.mean()) < 200
    assert late.max() == pytest.approx(500 << SHIFT, rel=0.05)
    ring.put(np.array([32767, -32768]))
    assert set(ring.take(9)) == {32767, -32768}


def pdm_of(wave: np.ndarray) -> np.ndarray:
    """uint16 words of a second-order modulator, of samples in -1..1 at the PDM rate."""
    bits, first, second, out = [], 0.0, 0.0, 1.0
    for sample in wave:
        first += sample - out
        second += first - out
        out = 1.0 if second >= 0 else -1.0
        bits.append(out > 0)
    return np.packbits(bits).view(">u2").astype(np.uint16)


def pcm(library: ctypes.CDLL, words: np.ndarray) -> np.ndarray:
    state, samples = (ctypes.c_uint32 * 8)(), np.zeros(len(words) // 4, np.int16)
    words = np.ascontiguousarray(words, np.uint16)
    library.kws_pdm_samples(state, words.ctypes.data_as(ctypes.c_void_p), samples.ctypes.data_as(ctypes.c_void_p),
                            ctypes.c_size_t(len(samples)))
    return samples


def test_pdm_is_a_sinc_of_order_four(compiled):
    """To the bit, by convolution; sums that wrap do no harm."""
    words = np.random.default_rng(1).integers(0, 2**16, 4000).astype(np.uint16)
    bits = np.unpackbits(words.astype(">u2").view(np.uint8)).astype(np.int64) * 2 - 1
    kernel = np.array([1])
    for _ in range(4):
        kernel = np.convolve(kernel, np.ones(64, np.int64))
    expected = np.convolve(bits, kernel)[63:len(bits):64] >> 9
    np.testing.assert_array_equal(pcm(ctypes.CDLL(str(compiled)), words), np.minimum(expected, 32767))


def test_all_ones_saturate(compiled):
    assert pcm(ctypes.CDLL(str(compiled)), np.full(100, 0xFFFF))[-1] == 32767
    assert pcm(ctypes.CDLL(str(compiled)), np.zeros(100))[-1] == -32768


def test_a_tone_keeps_its_pitch_and_level(compiled):
    """1 kHz at half of full scale: sinc^4 takes 0.2 dB there."""
    wave = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(64 * 1600) / 1_024_000)
    heard = pcm(ctypes.CDLL(str(compiled)), pdm_of(wave))[160:].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 16_000 / len(heard) == pytest.approx(1000, abs=12)
    assert np.sqrt(2) * heard.std() == pytest.approx(0.5 * 32768, rel=0.05)
