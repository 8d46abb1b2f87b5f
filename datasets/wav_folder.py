"""Folders of WAVs, one sub-folder a word: the official layout and the user's own."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.code_cache import cached_codes
from datasets.console import UserError
from datasets.dataset import UNKNOWN
from datasets.material import Material
from datasets.names import is_utf8
from datasets.noise import read_noise
from datasets.splits import part_of, speaker_of

LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
MARKER = "synthetic.json"  # stands in a folder that datasets.synthetic made


def find_official(data: Path) -> Path | None:
    """DATA itself or the newest version in it, where a folder has at least one of the official lists."""
    if not data.is_dir():
        return None
    folders = [data, *sorted((path for path in data.iterdir() if path.is_dir() and path.name[0] != "."), reverse=True)]
    return next((folder for folder in folders if any((folder / name).is_file() for name in LISTS.values())), None)


def read_official(root: Path) -> Material:
    """Clips of a folder with official lists: what is in no list is for training."""
    parts = official_parts(root)
    return read_wavs(root, lambda name: parts.get(name, "training"))


def find_own(data: Path) -> Path | None:
    """DATA itself, where a sub-folder has a WAV."""
    return data if data.is_dir() and wav_names(data) else None


def read_own(root: Path) -> Material:
    """Clips of any other folder: split by a hash of the speaker or file name, every word a keyword by default."""
    return read_wavs(root, lambda name: part_of(speaker_of(name.split("/")[1])), every_word=True)


def official_parts(root: Path) -> dict[str, str]:
    """word/file.wav -> "validation" or "testing", as the lists have it."""
    lists = {part: root / name for part, name in LISTS.items() if (root / name).is_file()}
    return {name: part for part, path in lists.items() for name in path.read_text("utf-8", "surrogateescape").split()}


def wav_names(root: Path) -> list[str]:
    """word/file.wav of every WAV below root, sorted; no word is a folder that starts with '_' or '.', but _unknown_."""
    words = [path for path in root.iterdir() if path.is_dir() and (path.name == UNKNOWN or path.name[0] not in "_.")]
    for word in words:
        if not is_utf8(word.name):
            raise UserError(f"{root}: the name of its folder {word.name!r} is not UTF-8; rename it")
    return sorted(f"{word.name}/{path.name}" for word in words for path in word.iterdir()
                  if path.suffix.lower() == ".wav" and path.name[0] != ".")


def read_wavs(root: Path, part: Callable[[str], str], every_word: bool = False) -> Material:
    """Material of a folder; UserError where not one of its WAVs is usable."""
    names = wav_names(root)
    codes, reasons = cached_codes(root, names)
    good = [i for i, reason in enumerate(reasons) if not reason]
    skipped = skipped_lines(root, names, reasons)
    if not good:
        raise UserError(f"{root}: none of its {len(names)} WAVs can be used; the first: {(*skipped, 'none there')[0]}")
    kept = tuple(names[i] for i in good)
    keywords = tuple(sorted({name.split("/")[0] for name in kept} - {UNKNOWN})) if every_word else None
    return Material(source_name(root), kept, tuple(speaker_of(name.split("/")[1]) for name in kept),
                    tuple(map(part, kept)), codes[good], read_noise(root), root, keywords, skipped)


def skipped_lines(root: Path, names: Sequence[str], reasons: Sequence[str]) -> tuple[str, ...]:
    """Path and reason of every clip that has a reason not to be used."""
    return tuple(f"{root / name}: {reason}" for name, reason in zip(names, reasons, strict=True) if reason)


def source_name(root: Path) -> str:
    """"synthetic" where the marker says so, else the folder's name."""
    marker = root / MARKER
    return json.loads(marker.read_text())["name"] if marker.is_file() else root.resolve().name
