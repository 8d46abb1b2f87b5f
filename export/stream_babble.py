"""Synthetic speech that says none of the words: what fills a stream up where recordings are few."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.code_cache import cache_folder
from datasets.console import atomic_write
from datasets.features import SAMPLE_RATE
from datasets.parallel import parallel_map
from datasets.synthetic import LEVEL_DB, N_SPEAKERS, Espeak, Speaker, speakers

SEEDS = {"dev": 1, "validation": 2}
MOST_TALKERS = 4
BLOCK_S = 10  # with the same talkers
JOB_S = 60
SENTENCE_WORDS = (4, 12)
RECIPE = 1  # to be raised when the way babble is made changes
_TEXT = """
about after again always animal another answer around ask away back because become before begin best better between
blue book both boy bring brother build business buy car carry change children city clean close colour come cook could
country dance day different dinner door dream early earth east easy eat enough evening every example eyes face family
far farmer father feet few find fire first fish flower food forest found friend garden girl give glass good great
green group half hand hard head help high hold home horse hour idea important inside island keep kind kitchen language
large later laugh learn letter library life light listen little live long look lunch machine many market maybe money
month morning mother mountain move much music name near never new night number often old open orange order other own
page paper part people picture place plant point problem question quick rain read really remember river road room run
same school science sea second sentence short should show side simple sing sister sit sleep small sound space spell
spring square stand start still story street strong study such summer sun sweet table talk teacher tell thing think
third time today together town travel under until use very village visit voice walk want warm watch water weather week
west white why window winter with woman wood word work world would year yellow young
"""
WORDS = tuple(_TEXT.split())


@dataclass(frozen=True)
class _Job:
    """JOB_S of babble. words: to be said. split: whose talkers."""

    split: str
    number: int
    words: tuple[str, ...]


def babble(split: str, seconds: int, labels: Sequence[str]) -> np.ndarray:
    """int16 [16000 seconds] of one to four talkers at a time who say none of `labels`; dev and validation have talkers
    of their own. Same arguments, same bytes; kept in the cache."""
    words = tuple(word for word in WORDS if word not in labels)
    recipe = json.dumps([split, words, RECIPE])
    path = cache_folder() / f"babble-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.npy"
    made = np.load(path) if path.is_file() else np.zeros(0, np.int16)
    if len(made) < seconds * SAMPLE_RATE:
        jobs = [_Job(split, number, words) for number in range(-(-seconds // JOB_S))]
        made = np.concatenate(list(parallel_map(speak, jobs, f"babble for {split}", unit="min", fresh=True)))
        with atomic_write(path) as temporary:
            np.save(temporary, made)
    return made[:seconds * SAMPLE_RATE]


def talkers(split: str) -> list[Speaker]:
    """Half of the voices each."""
    return speakers(N_SPEAKERS, 0)[SEEDS[split] % 2::2]


def speak(job: _Job) -> np.ndarray:
    """Run in a process of its own: espeak-ng's output depends on what it said before. int16 [16000 JOB_S]."""
    espeak, rng = Espeak(), np.random.default_rng([SEEDS[job.split], job.number])
    return np.concatenate([_block(espeak, rng, job) for _ in range(JOB_S // BLOCK_S)])


def _block(espeak: Espeak, rng: np.random.Generator, job: _Job) -> np.ndarray:
    """Each talker at a level of its own; int16 [16000 BLOCK_S]."""
    there = rng.choice(len(talkers(job.split)), rng.integers(1, MOST_TALKERS + 1), replace=False)
    voices = [_talk(espeak, rng, talkers(job.split)[i], job.words) for i in there]
    levels = [32767 * 10 ** (rng.uniform(*LEVEL_DB) / 20) / max(np.abs(voice).max(), 1) for voice in voices]
    mixed = sum(level * voice for level, voice in zip(levels, voices, strict=True))
    return np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)


def _talk(espeak: Espeak, rng: np.random.Generator, talker: Speaker, words: tuple[str, ...]) -> np.ndarray:
    """One voice that says sentence after sentence; float64 [16000 BLOCK_S]."""
    said, length = [], 0
    while length < BLOCK_S * SAMPLE_RATE:
        sentence = " ".join(rng.choice(words, rng.integers(*SENTENCE_WORDS)))
        said.append(espeak.say(sentence, talker.voice, talker.rate, talker.pitch))
        length += len(said[-1])
    return np.concatenate(said)[:BLOCK_S * SAMPLE_RATE]
