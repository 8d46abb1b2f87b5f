"""The firmware's features, compiled for this machine: the same C, the same bits."""

import ctypes
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from datasets.features import CLIP_SAMPLES, N_FRAMES, N_MELS, MfccQuantizer
from export.feature_tables import write_feature_tables
from export.toolchain import host_compiler, run_tool

FEATURES = Path(__file__).resolve().parent.parent / "firmware" / "features"

# A whole clip at once, pushed in pieces of `piece` samples.
_DRIVER = """
#include "kws_features.h"
void codes_of_clip(const int16_t *samples, size_t count, size_t piece, uint8_t *codes) {
    kws_features state;
    kws_features_init(&state);
    for (size_t at = 0; at < count;) {
        at += kws_features_push(&state, samples + at, count - at < piece ? count - at : piece);
        if (!kws_features_ready(&state)) continue;
        kws_features_frame(&state, codes);
        codes += KWS_N_MELS;
    }
}
void mfcc_of_codes(const int32_t *table, int32_t n, int32_t shift, int32_t zero_point,
                   const uint8_t *codes, size_t rows, int8_t *mfcc) {
    const kws_mfcc quantizer = {table, n, shift, zero_point};
    for (size_t r = 0; r < rows; r++) kws_mfcc_row(&quantizer, codes + r * KWS_N_MELS, mfcc + r * (size_t)n);
}
"""


def compile_features(folder: Path, compiler: str | None = None, flags: tuple[str, ...] = ("-O2",)) -> Path:
    """Compile firmware/features and their tables into folder/features.so, by default by the host's compiler."""
    write_feature_tables(folder)
    (folder / "driver.c").write_text(_DRIVER)
    library = folder / "features.so"
    run_tool([compiler or host_compiler(), "-std=c99", *flags, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
              f"-I{FEATURES}", f"-I{folder}", folder / "driver.c", FEATURES / "kws_features.c",
              folder / "kws_feature_tables.c", "-o", library], "features for the host")
    return library


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(str(compile_features(Path(folder))))


def host_codes(waveforms: np.ndarray, piece: int = CLIP_SAMPLES) -> np.ndarray:
    """int16 [n, 16000] -> uint8 codes [n, 49, 40] by the firmware's C; `piece` samples are pushed at a time."""
    waveforms = np.ascontiguousarray(waveforms, np.int16).reshape(-1, CLIP_SAMPLES)
    codes = np.zeros((len(waveforms), N_FRAMES, N_MELS), np.uint8)
    for samples, rows in zip(waveforms, codes, strict=True):
        _library().codes_of_clip(_pointer(samples), ctypes.c_size_t(CLIP_SAMPLES), ctypes.c_size_t(piece),
                                 _pointer(rows))
    return codes


def host_mfcc(quantizer: MfccQuantizer, codes: np.ndarray) -> np.ndarray:
    """uint8 [..., 40] -> int8 [..., n_coefficients] by the firmware's C."""
    codes = np.ascontiguousarray(codes, np.uint8)
    table = np.ascontiguousarray(quantizer.table, np.int32)
    mfcc = np.zeros((*codes.shape[:-1], len(table)), np.int8)
    _library().mfcc_of_codes(_pointer(table), len(table), quantizer.shift, quantizer.zero_point, _pointer(codes),
                             ctypes.c_size_t(codes.size // N_MELS), _pointer(mfcc))
    return mfcc


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
