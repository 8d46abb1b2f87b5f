"""datasets.features' constants as C: kws_feature_tables.{h,c}, and one network's MFCC table."""

from pathlib import Path

import numpy as np

from datasets import features
from datasets.console import atomic_write
from datasets.features import MfccQuantizer

SPECTRUM_BITS = 7  # fraction bits of the firmware's spectrum; see firmware/features/kws_features.c
LOG_BITS = 5  # the logarithm's table has 2^LOG_BITS steps an octave
LOG_SCALE_BITS = 16  # fraction bits of a code before rounding

_HALF = features.FFT_LENGTH // 2
_POWER_SCALE = 4.0**SPECTRUM_BITS  # units of the firmware's power in one |X|^2 of the 512-point FFT


def window_table() -> np.ndarray:
    """int32 [512], the window times 2^(16 + SPECTRUM_BITS), zero behind the frame: sample << 16 times it, high word. In
    the order in which the FFT's first stage takes samples: pairs by their digits of base 4, the lowest first."""
    padded = np.pad(features.window(), (0, features.FFT_LENGTH - features.FRAME_LENGTH))
    taken = padded.reshape(4, 4, 4, 4, 2).transpose(3, 2, 1, 0, 4).ravel()
    return np.rint(taken * 2.0 ** (16 + SPECTRUM_BITS)).astype(np.int32)


def twiddle_table() -> np.ndarray:
    """int32 Q31 [64, 3, 2], cos and sin of 2 pi (j, 2j, 3j) / 256: the order in b, c, d of a radix-4 butterfly."""
    angles = 2 * np.pi * np.arange(_HALF // 4)[:, None] * np.arange(1, 4) / _HALF
    return _q31(np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def split_table() -> np.ndarray:
    """int32 Q31 [bins, 2], cos and sin of 2 pi k / 512, for the bins that the mel filters use."""
    angles = 2 * np.pi * np.arange(segment_ends()[-1]) / features.FFT_LENGTH
    return _q31(np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def _position() -> np.ndarray:
    """Where each bin lies between the centres of filters, in filters; below the first centre down to -1. [257]"""
    filters = features.mel_filters()
    missing = 1 - filters.sum(axis=0)  # what a filter before the first or behind the last would weigh
    below = np.arange(filters.shape[1]) < _HALF // 4
    return np.arange(features.N_MELS) @ filters + missing * np.where(below, -1, features.N_MELS)


def segment_ends() -> np.ndarray:
    """int [41]: segment s, between the centres of filters s - 1 and s, holds the bins before end s."""
    return np.array([(_position() < s).sum() for s in range(features.N_MELS + 1)])


def rising_table() -> np.ndarray:
    """uint32 Q32 [bins]: weight of each bin in the filter that rises there."""
    rising = np.mod(_position()[:segment_ends()[-1]], 1)
    return np.minimum(np.rint(rising * 2.0**32), 2.0**32 - 1).astype(np.uint32)


def bin_table() -> np.ndarray:
    """int32 [bins, 3]: split_table, and the bits of rising_table."""
    return np.column_stack([split_table(), rising_table().view(np.int32)])


def first_bin() -> int:
    """The lowest bin of nonzero weight."""
    return int(np.flatnonzero(features.mel_filters().any(axis=0))[0])


def log_octave() -> int:
    """What doubling the power adds to a code, times 2^LOG_SCALE_BITS."""
    return round(features.CODE_GAIN * 0.5 * np.log(2) * 2**LOG_SCALE_BITS)


def log_table() -> np.ndarray:
    """int32 [2^LOG_BITS + 1]: code of power 1 + i / 2^LOG_BITS in the firmware's units, times 2^LOG_SCALE_BITS."""
    mantissas = 1 + np.arange(2**LOG_BITS + 1) / 2**LOG_BITS
    power_of_energy = features.FFT_LENGTH**2 / features.ENERGY_GAIN * _POWER_SCALE
    code = features.CODE_GAIN * 0.5 * np.log(mantissas / power_of_energy) - features.CODE_OFFSET
    return np.rint(code * 2**LOG_SCALE_BITS).astype(np.int32)


def power_floor() -> int:
    """ENERGY_FLOOR in the firmware's units of power."""
    return round(features.ENERGY_FLOOR * features.FFT_LENGTH**2 / features.ENERGY_GAIN * _POWER_SCALE)


def _q31(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 2.0**31), -(2.0**31), 2.0**31 - 1).astype(np.int32)


def _tables() -> dict[str, tuple[str, np.ndarray]]:
    return {
        "kws_window": ("int32_t", window_table()),
        "kws_twiddle": ("int32_t", twiddle_table()),
        "kws_bins": ("int32_t", bin_table()),
        "kws_segment_end": ("uint8_t", segment_ends()),
        "kws_log_table": ("int32_t", log_table()),
    }


def _defines() -> dict[str, int]:
    return {
        "KWS_SAMPLE_RATE": features.SAMPLE_RATE,
        "KWS_CLIP_SAMPLES": features.CLIP_SAMPLES,
        "KWS_FRAME_LENGTH": features.FRAME_LENGTH,
        "KWS_HOP_LENGTH": features.HOP_LENGTH,
        "KWS_FFT_LENGTH": features.FFT_LENGTH,
        "KWS_N_MELS": features.N_MELS,
        "KWS_N_FRAMES": features.N_FRAMES,
        "KWS_SPECTRUM_BITS": SPECTRUM_BITS,
        "KWS_FIRST_BIN": first_bin(),
        "KWS_POWER_FLOOR": power_floor(),
        "KWS_LOG_BITS": LOG_BITS,
        "KWS_LOG_SCALE_BITS": LOG_SCALE_BITS,
        "KWS_LOG_OCTAVE": log_octave(),
    }


_NOTICE = "/* Written by export.feature_tables from datasets.features; change the constants there. */\n"


def write_feature_tables(folder: Path) -> None:
    """Write kws_feature_tables.h and .c into `folder`."""
    defines = "".join(f"#define {name} {value}\n" for name, value in _defines().items())
    externs = "".join(f"extern const {kind} {name}[{table.size}];\n" for name, (kind, table) in _tables().items())
    header = (f"{_NOTICE}#ifndef KWS_FEATURE_TABLES_H\n#define KWS_FEATURE_TABLES_H\n\n#include <stdint.h>\n\n"
              f"{defines}\n{externs}\n#endif\n")
    body = "".join(c_array(name, kind, table) for name, (kind, table) in _tables().items())
    write_text(Path(folder) / "kws_feature_tables.h", header)
    write_text(Path(folder) / "kws_feature_tables.c", f'{_NOTICE}#include "kws_feature_tables.h"\n{body}')


def write_mfcc_table(quantizer: MfccQuantizer, folder: Path) -> None:
    """Write kws_mfcc_table.h into `folder`: the kws_mfcc of one network's input tensor, as `kws_network_mfcc`."""
    header = (f"{_NOTICE}#ifndef KWS_MFCC_TABLE_H\n#define KWS_MFCC_TABLE_H\n\n#include \"kws_features.h\"\n"
              f"{c_array('kws_network_mfcc_table', 'int32_t', quantizer.table, 'static ')}\n"
              f"#define KWS_MFCC_COEFFICIENTS {len(quantizer.table)}\n"
              f"static const kws_mfcc kws_network_mfcc = {{kws_network_mfcc_table, KWS_MFCC_COEFFICIENTS, "
              f"{quantizer.shift}, {quantizer.zero_point}}};\n\n#endif\n")
    write_text(Path(folder) / "kws_mfcc_table.h", header)


def c_array(name: str, kind: str, table: np.ndarray, storage: str = "") -> str:
    """A constant array definition, twelve values a line."""
    values = [str(value) for value in np.ravel(table)]
    lines = ",\n".join("    " + ", ".join(values[i:i + 12]) for i in range(0, len(values), 12))
    return f"\n{storage}const {kind} {name}[{len(values)}] = {{\n{lines}}};\n"


def write_text(path: Path, text: str) -> None:
    """Write atomically, and only where it changes something, so that make sees old dates."""
    if not path.is_file() or path.read_text() != text:
        with atomic_write(path) as temporary:
            temporary.write_text(text)
