"""Which clip goes where: fixed once, by the official lists or by hashes."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from datasets.console import UserError
from datasets.dataset import SILENCE, UNKNOWN, Clips, Dataset
from datasets.material import Material
from datasets.names import bytes_of, sha1_of

DEV_SHARE = 0.05
VALIDATION_SHARE = TESTING_SHARE = 0.1
HASH_RANGE = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS of the official which_set


def speaker_of(file: str) -> str:
    """What the official which_set hashes: `<speaker>` of `<speaker>_nohash_<n>.wav`, else the whole file name."""
    return re.sub(r"_nohash_.*$", "", file)


def hash_share(text: str) -> float:
    """0 to 1, uniform over texts; the official recipe's SHA-1 hash."""
    return int.from_bytes(sha1_of(text)) % (HASH_RANGE + 1) / HASH_RANGE


def part_of(speaker: str) -> str:
    """The official which_set with 10 % each: the part of a speaker where there are no lists."""
    share = hash_share(speaker)
    if share < VALIDATION_SHARE:
        return "validation"
    return "testing" if share < VALIDATION_SHARE + TESTING_SHARE else "training"


def dev_speakers(training_speakers: set[str]) -> set[str]:
    """5 % of the training speakers, by hash: the same ones in whatever part of the data is at hand; at least one."""
    order = sorted(training_speakers, key=lambda speaker: (_dev_share(speaker), speaker))
    return {speaker for speaker in order if _dev_share(speaker) < DEV_SHARE} or set(order[:1])


def _dev_share(speaker: str) -> float:
    return hash_share(f"dev {speaker}")  # salted: part_of has used the plain hash up


def split(material: Material, keywords: Sequence[str]) -> Dataset:
    """Material to a Dataset for these keywords. UserError where a split has no clip of them."""
    labels = (SILENCE, UNKNOWN, *keywords)
    index = {word: i for i, word in enumerate(labels)}
    label_of = np.array([index.get(name.split("/")[0], 1) for name in material.names], np.int64)
    part, speaker = np.array(material.parts), np.array(material.speakers)
    dev = np.isin(speaker, sorted(dev_speakers(set(speaker[part == "training"].tolist())))) & (part == "training")
    train = np.flatnonzero((part == "training") & ~dev)
    _require_keywords(material, label_of, {"training": train, "dev": np.flatnonzero(dev),
                                           "validation": np.flatnonzero(part == "validation")})
    validation = _reported(material, label_of, part == "validation", "validation", len(keywords))
    return Dataset(material.name, labels, _take(material, label_of, train),
                   _reported(material, label_of, dev, "dev", len(keywords)), validation,
                   _reported(material, label_of, part == "testing", "test", len(keywords)),
                   material.noise.training_codes(), material.wavs, list_hash(validation.names),
                   material.skipped + material.noise.skipped, material.source)


def _require_keywords(material: Material, label_of: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    for name, chosen in splits.items():
        if not (label_of[chosen] > 1).any():
            raise UserError(f"{material.wavs or material.name}: no keyword clip falls into the {name} split of its "
                            f"{len(label_of)} clips; about 50 clips a word are needed, better from many speakers")


def list_hash(names: Sequence[str]) -> str:
    """SHA-256 of the names, one a line."""
    return hashlib.sha256(bytes_of("".join(f"{name}\n" for name in names))).hexdigest()


def _take(material: Material, label_of: np.ndarray, chosen: np.ndarray) -> Clips:
    return Clips(material.codes[chosen], label_of[chosen], tuple(material.names[i] for i in chosen))


def _reported(material: Material, label_of: np.ndarray, mask: np.ndarray, split: str, n_keywords: int) -> Clips:
    """Every keyword clip of the mask, and of unknown and silence as many each as of a keyword on average.

    That is a twelfth of twelve classes, rounded up: 371 for the official validation list, as in the official recipe.
    """
    order = sorted(np.flatnonzero(mask), key=lambda i: material.names[i])
    words = [i for i in order if label_of[i] > 1]
    count = -(-len(words) // n_keywords)
    unknown = sorted((i for i in order if label_of[i] == 1), key=lambda i: unknown_rank(material.names[i]))[:count]
    spoken = _take(material, label_of, np.array(words + unknown, np.int64))
    if not count:
        return spoken
    silences, names = material.noise.silence_codes(split, count)
    return Clips(np.concatenate([spoken.codes, silences]),
                 np.concatenate([spoken.labels, np.zeros(count, np.int64)]), spoken.names + names)


def unknown_rank(name: str) -> tuple[bytes, str]:
    """Unknown clips are taken in this order: SHA-1 of the file name, then the word."""
    word, file = name.split("/")
    return sha1_of(file), word
