"""Waveforms to run a finished net on: labelled folders of WAVs, and the validation clips that have one."""

import sys
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from datasets.console import UserError, progress
from datasets.dataset import SILENCE, UNKNOWN, Clips
from datasets.features import CLIP_SAMPLES
from datasets.load import read_data
from datasets.material import Material
from datasets.names import sha1_of
from datasets.noise import Images, Recordings
from datasets.splits import split
from datasets.wav import read_waveform

LAYOUT = f"allowed: one sub-folder of WAVs a label, with {UNKNOWN} and {SILENCE}"


def emulation_clips(data: Path | None, clips: Path | None, labels: Sequence[str],
                    limit: int | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Clips of the folder `clips`, or validation clips of `data` (as load() takes it), spread over the labels.

    labels: of the net, in the order of its scores. Returns waveforms int16 [n, 16000], label indices int64 [n] (-1 for
    a word that is none of the labels where they have no unknown), names [n]. At most `limit`, always the same ones.
    """
    if clips is not None:
        pairs = [(str(path), index) for path, index in labelled_clips(clips, labels)]
        return _read(spread(pairs, limit), {})
    material = read_data(data, _words(labels))
    if material.wavs is None:
        raise UserError(f"{material.source}: holds images of clips, no waveforms; allowed: the WAVs beside them, "
                        "or CLIPS=DIR")
    return _validation_clips(material, labels, limit)


def labelled_clips(folder: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    """(path, label index) of every WAV of a folder with one sub-folder a label, sorted.

    Words that are no label count as unknown (-1 where there is no such label); _silence_ and folders that start with
    '_' are left out where they are no label; a line on stderr says which. UserError where nothing is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}; {LAYOUT}")
    wavs = [path for path in sorted(folder.glob("*/[!.]*")) if path.suffix.lower() == ".wav"]
    found = [(path, label_index(path.parent.name, labels)) for path in wavs
             if path.parent.name in labels or path.parent.name[0] not in "_."]
    if not found:
        raise UserError(f"{folder}: no clips in it; {LAYOUT}")
    tell_strangers(sorted({path.parent.name for path in wavs} - set(labels)), labels)
    return found


def tell_strangers(names: Sequence[str], labels: Sequence[str]) -> None:
    """What becomes of folders that are no label, and which of them were perhaps meant to be one."""
    left_out = [name for name in names if name[0] in "_."]
    words = [name for name in names if name not in left_out]
    for those, fate in ((words, f"count as {UNKNOWN}" if UNKNOWN in labels else "count for no accuracy"),
                        (left_out, "are left out")):
        if those:
            print(f"folders that are no label {fate}: {', '.join(those)}", file=sys.stderr)
    plain = {_plain(label): label for label in labels}
    if nearly := [f"{name!r} (label: {plain[_plain(name)]})" for name in names if _plain(name) in plain]:
        print(f"warning: nearly a label, but none: {', '.join(nearly)}", file=sys.stderr)


def _plain(name: str) -> str:
    return name.strip("_ ").lower()


def label_index(word: str, labels: Sequence[str]) -> int:
    """The word's index, or that of unknown, or -1."""
    known = word if word in labels else UNKNOWN
    return labels.index(known) if known in labels else -1


def read_clips(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Waveforms int16 [m, 16000] of the usable ones, their places [m] in `paths`, and a line for each of the others."""
    waves, places, skipped = [], [], []
    for place, path in enumerate(progress(paths, "reading clips", unit="clip")):
        try:
            waves.append(read_waveform(Path(path)))
            places.append(place)
        except UserError as error:
            skipped.append(str(error))
    return np.array(waves, np.int16).reshape(-1, CLIP_SAMPLES), np.array(places, np.int64), tuple(skipped)


def spread(pairs: Sequence[tuple[str, int]], limit: int | None) -> list[tuple[str, int]]:
    """The first `limit` when one of every label is taken in turn, those of a label in the order of a hash."""
    order = sorted(pairs, key=lambda pair: sha1_of("/".join(Path(pair[0]).parts[-2:])))
    groups = [[pair for pair in order if pair[1] == label] for label in sorted({label for _, label in pairs})]
    turns = (pair for pair in chain.from_iterable(zip_longest(*groups)) if pair is not None)
    return [pair for pair, _ in zip(turns, range(len(pairs) if limit is None else limit), strict=False)]


def _words(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if label not in (SILENCE, UNKNOWN))


def _validation_clips(material: Material, labels: Sequence[str], limit: int | None):
    there = {name.split("/")[0] for name in material.names}
    known = tuple(word for word in _words(labels) if word in there)
    validation = split(material, known or tuple(sorted(there - {UNKNOWN}))).validation
    silences = _silences(material.noise, validation) if SILENCE in labels else {}
    pairs = [(name, labels.index(SILENCE)) for name in silences]
    for name in validation.names:
        if (material.wavs / name).is_file():
            pairs.append((str(material.wavs / name), label_index(name.split("/")[0], labels)))
    return _read(spread(pairs, limit), silences)


def _silences(noise: Recordings | Images, validation: Clips) -> dict[str, np.ndarray]:
    """name -> int16 [16000] of the validation split's silences; none, and said so, where noise is there as images."""
    if isinstance(noise, Images):
        print("no silence among the clips: their noise is there only as images", file=sys.stderr)
        return {}
    waves, names = noise.silences("validation", int((validation.labels == 0).sum()))
    return dict(zip(names, waves, strict=True))


def _read(pairs: Sequence[tuple[str, int]], made: dict[str, np.ndarray]):
    """Waveforms, labels, names of (path or name of a made clip, label index); what cannot be read is skipped."""
    paths = [Path(name) for name, _ in pairs if name not in made]
    waves, places, skipped = read_clips(paths)
    if skipped:
        print(f"skipped {len(skipped)} of {len(pairs)} clips, the first: {skipped[0]}", file=sys.stderr)
    made = made | {str(paths[place]): wave for place, wave in zip(places, waves, strict=True)}
    kept = [(name, label) for name, label in pairs if name in made]
    if not kept:
        raise UserError(f"none of the {len(pairs)} clips can be read; the first: {(*skipped, 'none there')[0]}")
    return (np.array([made[name] for name, _ in kept], np.int16), np.array([label for _, label in kept], np.int64),
            tuple("/".join(Path(name).parts[-2:]) for name, _ in kept))
