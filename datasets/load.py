"""DATA to a Dataset: finds out what kind of source a folder is, reads it, fixes the splits."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.console import Parser, UserError, finish, run_command
from datasets.dataset import DEFAULT_KEYWORDS, SILENCE, UNKNOWN, Dataset
from datasets.download import default_data
from datasets.log_mel import find_images, read_images
from datasets.material import Material
from datasets.splits import split
from datasets.wav_folder import find_official, find_own, read_official, read_own

RARE = 0.05  # a default keyword with less than this share of the commonest one's clips is left out


@dataclass(frozen=True)
class Source:
    """A kind of data. find: DATA -> what read() takes, or None where DATA is not of this kind."""

    what: str
    find: Callable[[Path], Path | None]
    read: Callable[[Path], Material]


SOURCES = (
    Source("log_mel.npz (alone or beside the WAVs)", find_images, read_images),
    Source("the official Speech Commands layout", find_official, read_official),
    Source("one sub-folder of WAVs a word", find_own, read_own),
)


def load(data: Path | None, keywords: tuple[str, ...] | None = None) -> Dataset:
    """The clips of the folder `data`, labelled for `keywords`.

    keywords None: the ten of Speech Commands as far as the data has them; every word of a folder of one's own.
    UserError where the folder is missing, empty or of no known kind, where nothing in it can be read, and where a
    keyword is not in it.
    """
    material = read_data(data, keywords)
    dataset = split(material, choose_keywords(material, keywords))
    _report(dataset, material)
    return dataset


def read_data(data: Path | None, keywords: tuple[str, ...] | None = None) -> Material:
    """The clips of `data`; without it of data/, of the official archive, or synthetic speech of these keywords."""
    return read_material(Path(data) if data else default_data(keywords))


def read_material(data: Path) -> Material:
    """Ask the SOURCES in turn."""
    allowed = "allowed: " + ", ".join(source.what for source in SOURCES)
    if not data.exists():
        raise UserError(f"{data}: no such folder; {allowed}")
    for source in SOURCES:
        if found := source.find(data):
            return replace(source.read(found), source=data)
    raise UserError(f"{data}: no clips in it; {allowed}")


def choose_keywords(material: Material, keywords: tuple[str, ...] | None) -> tuple[str, ...]:
    """The user's keywords, checked, or the default ones."""
    counts = Counter(name.split("/")[0] for name in material.names)
    words = sorted(set(counts) - {UNKNOWN})
    chosen = keywords or material.default_keywords or _common(counts)
    if not chosen:
        raise UserError(f"{material.wavs}: none of the default keywords is in it; choose from {', '.join(words)}")
    for word in chosen:
        if word not in words:
            raise UserError(f"keyword {word!r} is not in {material.wavs or material.name}; allowed: {', '.join(words)}")
    if len(set(chosen)) < len(chosen):
        raise UserError(f"keywords {','.join(chosen)}: one stands there twice")
    return tuple(chosen)


def _common(counts: Counter) -> tuple[str, ...]:
    """The default keywords that are there in number."""
    most = max(counts[word] for word in DEFAULT_KEYWORDS)
    chosen = tuple(word for word in DEFAULT_KEYWORDS if counts[word] > RARE * most)
    rare = [f"{word} ({counts[word]})" for word in DEFAULT_KEYWORDS if word not in chosen and most]
    if rare:
        print(f"left out as keywords, too few clips: {', '.join(rare)}", file=sys.stderr)
    return chosen


def _report(dataset: Dataset, material: Material) -> None:
    if material.noise.note:
        print(material.noise.note, file=sys.stderr)
    if dataset.skipped:
        print(f"skipped {len(dataset.skipped)} of {len(material.names) + len(dataset.skipped)} clips, the first: "
              f"{dataset.skipped[0]}", file=sys.stderr)


def counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """split -> label -> clips."""
    splits = {name: getattr(dataset, name).labels for name in ("train", "dev", "validation", "test")}
    return {name: dict(zip(dataset.labels, np.bincount(labels, minlength=len(dataset.labels)).tolist(), strict=True))
            for name, labels in splits.items()}


def main() -> None:
    """Print how many clips of each label every split has."""
    parser = Parser(prog="python -m datasets.load", description=main.__doc__)
    parser.add_argument("--data", type=Path, help="folder of clips; without it data/, a download, or synthetic speech")
    parser.add_argument("--keywords", type=parse_keywords, help="words, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("build/data"), help="where summary.json goes")
    arguments = parser.parse_args()
    dataset = load(arguments.data, arguments.keywords)
    table = counts(dataset)
    print("label".ljust(14), *(name.rjust(10) for name in table))
    for label in dataset.labels:
        print(label.ljust(14), *(f"{table[name][label]:10d}" for name in table))
    finish({"dataset": dataset.name, "clips": sum(sum(column.values()) for column in table.values()),
            "skipped": len(dataset.skipped), "validation_list_sha256": dataset.list_sha256,
            "source": str(dataset.source), "wavs": str(dataset.wavs), "counts": table,
            "skipped_clips": list(dataset.skipped)}, arguments.out, "Data")


def parse_keywords(text: str) -> tuple[str, ...] | None:
    """"yes, no" -> ("yes", "no"); None for an empty text. UserError for a name that is not a word's."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        if word in (SILENCE, UNKNOWN) or "/" in word or word.startswith("."):
            raise UserError(f"keyword {word!r}: allowed are words, separated by commas; silence and unknown come by "
                            "themselves")
    return words or None


if __name__ == "__main__":
    run_command(main)
