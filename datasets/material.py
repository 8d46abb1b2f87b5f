"""What a source of data reads: every clip with its word, speaker and part, and the noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.noise import Images, Recordings


@dataclass(frozen=True)
class Material:
    """All clips of a source, before keywords are chosen.

    name: as in Dataset.
    names: n strings, word/file.wav.
    speakers: n strings.
    parts: n of "training", "validation", "testing".
    codes: uint8 [n, 98, 40].
    default_keywords: those taken where the user names none; None for the ten official ones, as far as they are there.
    source: as in Dataset; datasets.load sets it.
    """

    name: str
    names: tuple[str, ...]
    speakers: tuple[str, ...]
    parts: tuple[str, ...]
    codes: np.ndarray
    noise: Recordings | Images
    wavs: Path | None
    default_keywords: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    source: Path = Path(".")
