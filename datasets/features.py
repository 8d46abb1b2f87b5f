"""Samples to uint8 log-mel codes to MFCC: the NumPy float64 reference. Every feature constant stands here.

Frame, window, power, mel triangles, code: ../shared/speech_commands/README.md's formulas, fitted to the log-mel images.
The firmware's integer C gets its constants and tables from here (export.feature_tables).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

SAMPLE_RATE = 16000
CLIP_SAMPLES = 16000
FRAME_LENGTH = 480
HOP_LENGTH = 320
FINE_HOP_LENGTH = 160  # of cached codes: the loop shifts clips by 10 ms
FFT_LENGTH = 512
N_MELS = 40
MEL_HIGH_HZ = 4000.0
MEL_SCALE, MEL_CORNER_HZ = 1127.0, 700.0  # mel(f) = 1127 ln(1 + f / 700)
N_FRAMES = 1 + (CLIP_SAMPLES - FRAME_LENGTH) // HOP_LENGTH  # 49
N_FINE_FRAMES = 1 + (CLIP_SAMPLES - FRAME_LENGTH) // FINE_HOP_LENGTH  # 98

# code = clip(round(CODE_GAIN * 0.5 ln(ENERGY_GAIN * E + ENERGY_FLOOR) - CODE_OFFSET), 0, 255)
CODE_GAIN = 19.866
CODE_OFFSET = 19.073
ENERGY_GAIN = 4096.0
ENERGY_FLOOR = 4.0


@cache
def window() -> np.ndarray:
    """Hann, float64 [480], sampled half a step off the ends."""
    n = np.arange(FRAME_LENGTH)
    return 0.5 - 0.5 * np.cos(2 * np.pi * (n + 0.5) / FRAME_LENGTH)


def band_edges_hz() -> np.ndarray:
    """Feet and peaks of the mel triangles, float64 [42]: that of band m stands on [m] and [m + 2] and peaks at
    [m + 1]."""
    top = MEL_SCALE * np.log1p(MEL_HIGH_HZ / MEL_CORNER_HZ)
    return MEL_CORNER_HZ * np.expm1(np.linspace(0, top, N_MELS + 2) / MEL_SCALE)


@cache
def mel_filters() -> np.ndarray:
    """Triangles of height 1, equally spaced on mel(f) = 1127 ln(1 + f / 700), 0 to 4000 Hz, linear in Hz
    between (librosa: htk=True, norm=None); float64 [40, 257]."""
    edges_hz = band_edges_hz()
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    hz = np.arange(FFT_LENGTH // 2 + 1) * SAMPLE_RATE / FFT_LENGTH
    return np.maximum(0, np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)))


def mel_energy(waveform: np.ndarray, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Mel power of every frame that fits. waveform: int16 units [samples]; returns float64 [frames, 40]."""
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(waveform, np.float64), FRAME_LENGTH)[::hop_length]
    spectrum = np.fft.rfft(frames * window(), FFT_LENGTH) / FFT_LENGTH
    return (spectrum.real**2 + spectrum.imag**2) @ mel_filters().T


def real_codes(energy: np.ndarray) -> np.ndarray:
    """Mel power to codes before rounding and clipping; float64, same shape."""
    return CODE_GAIN * 0.5 * np.log(ENERGY_GAIN * energy + ENERGY_FLOOR) - CODE_OFFSET


def energy_of_codes(codes: np.ndarray) -> np.ndarray:
    """The inverse of real_codes; below the floor 0."""
    return np.maximum(0.0, (np.exp((np.asarray(codes, np.float64) + CODE_OFFSET) * 2 / CODE_GAIN) - ENERGY_FLOOR)
                      / ENERGY_GAIN)


def log_mel_codes(waveform: np.ndarray, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """uint8 codes of a waveform; int16 units [samples] -> uint8 [frames, 40] (49 frames for a second, 98 at 10 ms)."""
    return np.clip(np.rint(real_codes(mel_energy(waveform, hop_length))), 0, 255).astype(np.uint8)


def dct_matrix(n_coefficients: int) -> np.ndarray:
    """Orthonormal DCT-II of 40 values, first rows; float64 [n_coefficients, 40]."""
    k, n = np.arange(n_coefficients)[:, None], np.arange(N_MELS)
    rows = np.sqrt(2 / N_MELS) * np.cos(np.pi * k * (2 * n + 1) / (2 * N_MELS))
    rows[0] /= np.sqrt(2)
    return rows


@dataclass(frozen=True)
class MfccQuantizer:
    """codes [.., 40] to int8 MFCC of a network's input tensor, in integers: the same bits here and in C.

    q = clip(((sum_m table[k, m] code[m] + 2^(shift-1)) >> shift) + zero_point, -128, 127); sums fit in 32 bits.
    """

    table: np.ndarray  # int32 [n_coefficients, 40]
    shift: int
    zero_point: int

    @classmethod
    def of(cls, scale: float, zero_point: int, n_coefficients: int) -> "MfccQuantizer":
        """For an input tensor of that scale (real units a step) and zero point."""
        rows = dct_matrix(n_coefficients) / scale
        largest = 255 * np.abs(rows).sum(axis=1).max()
        shift = int(min(20, np.floor(np.log2((2**31 - 2**20) / largest))))
        if shift < 1:
            raise ValueError(f"input scale {scale} is too small for 32-bit sums; allowed: from about 2e-5 up")
        return cls(np.rint(rows * 2.0**shift).astype(np.int32), shift, zero_point)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """uint8 [..., 40] -> int8 [..., n_coefficients]."""
        sums = np.asarray(codes, np.int64) @ self.table.astype(np.int64).T
        q = ((sums + (1 << (self.shift - 1))) >> self.shift) + self.zero_point
        return np.clip(q, -128, 127).astype(np.int8)
