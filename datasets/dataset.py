"""What a source of data becomes before it reaches training: labelled uint8 codes, splits fixed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SILENCE = "_silence_"
UNKNOWN = "_unknown_"
DEFAULT_KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@dataclass(frozen=True)
class Clips:
    """One split.

    codes: uint8 [n, 98, 40], log-mel codes every 10 ms (datasets.features); every second row is what the net sees.
    labels: int64 [n], index into Dataset.labels (0 is silence, 1 is unknown).
    names: n strings, word/file, for lists and messages.
    """

    codes: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Training, dev, validation and test clips of one source.

    name: "speech_commands_v0.02", "synthetic", or the folder's name.
    labels: (SILENCE, UNKNOWN, *keywords).
    train: no silence in it (the loop cuts it from `noise`); its unknown clips are every other word there is
        (the loop samples from them).
    dev: 5 % of the training speakers by hash; silence and unknown about a twelfth of it each.
    validation, test: see datasets.splits; test is empty where the source has none.
    noise: one uint8 [frames, 40] array a recording, 10 ms frames, its first three quarters; dev's silences come
        from the next twentieth, validation's and test's, at other places, from the last fifth.
    wavs: folder with one sub-folder per word, where the source has waveforms; else None.
    list_sha256: hash of the validation list.
    skipped: one line for every clip that could not be used: its path and why.
    source: the folder (or .npz) that was read: the one given, data/, or that of the synthetic speech.
    """

    name: str
    labels: tuple[str, ...]
    train: Clips
    dev: Clips
    validation: Clips
    test: Clips
    noise: tuple[np.ndarray, ...]
    wavs: Path | None
    list_sha256: str
    skipped: tuple[str, ...]
    source: Path
