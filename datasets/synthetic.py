"""Synthetic speech by espeak-ng, written as an official-layout folder: the data of those who have none."""

import ctypes
import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.code_cache import cache_folder
from datasets.console import UserError
from datasets.dataset import DEFAULT_KEYWORDS
from datasets.features import CLIP_SAMPLES, SAMPLE_RATE
from datasets.noise import NOISE_FOLDER, coloured_noise, generated_noise
from datasets.parallel import parallel_map
from datasets.splits import part_of
from datasets.wav import fit_to_second, write_wav
from datasets.wav_folder import LISTS, MARKER

OTHER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "bed", "bird", "cat",
               "dog", "happy", "house", "marvin", "sheila", "tree", "wow", "backward", "forward", "follow", "learn",
               "visual")
DIALECTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
VARIANTS = tuple(f"f{i}" for i in range(1, 6)) + tuple(f"m{i}" for i in range(1, 9)) + (
    "Alicia", "Andy", "Annie", "Michael", "linda", "paul", "steph")
N_SPEAKERS = 160  # every dialect with every variant
KEYWORD_TAKES = 2  # a speaker; other words: one take of every second speaker
RATE_WPM = (120, 220)
PITCH = (15, 85)  # espeak's scale, 50 is the voice's own
LEVEL_DB = (-30.0, -6.0)  # peak against full scale
SNR_DB = (5.0, 40.0)
RECIPE = 1  # to be raised when the way a clip is made changes


@dataclass(frozen=True)
class Speaker:
    """voice: espeak's name; rate: words a minute; pitch: espeak's scale; name: hash of the three, as in file names."""

    voice: str
    rate: int
    pitch: int
    name: str


def synthetic_folder(keywords: Sequence[str] | None = None, seed: int = 0, others: Sequence[str] = (),
                     n_speakers: int = N_SPEAKERS) -> Path:
    """The folder of synthetic speech for these keywords, made where it is not in the cache yet. Returns its path.

    others: words that are to be unknown, by default the other words of Speech Commands. Same arguments, same bytes.
    """
    chosen = tuple(keywords or DEFAULT_KEYWORDS)
    others = tuple(word for word in others or (*DEFAULT_KEYWORDS, *OTHER_WORDS) if word not in chosen)
    for word in chosen:
        if not re.fullmatch(r"\w[\w' -]*", word):
            raise UserError(f"keyword {word!r} cannot be spoken; allowed: letters, digits, apostrophes, hyphens")
    recipe = {"name": "synthetic", "keywords": chosen, "others": others, "speakers": n_speakers, "seed": seed,
              "recipe": RECIPE}
    target = cache_folder() / f"synthetic-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]}"
    if not target.is_dir():
        _make(target, recipe)
    return target


def _make(target: Path, recipe: dict) -> None:
    """Write all clips beside `target` and rename: the folder is there only when whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        jobs = [(str(partial), word, recipe["speakers"], word in recipe["keywords"], recipe["seed"])
                for word in (*recipe["keywords"], *recipe["others"])]
        for _ in parallel_map(speak_word, jobs, "synthetic speech", unit="word", fresh=True):
            pass
        _write_noise(partial / NOISE_FOLDER, recipe["seed"])
        _write_lists(partial)
        (partial / MARKER).write_text(json.dumps(recipe) + "\n")
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_noise(folder: Path, seed: int) -> None:
    folder.mkdir()
    for name, wave in zip(*generated_noise(seed), strict=True):
        write_wav(folder / f"{name}.wav", wave)


def _write_lists(root: Path) -> None:
    names = sorted(f"{path.parent.name}/{path.name}" for path in root.glob("[!_]*/*.wav"))
    for part, file in LISTS.items():
        listed = [name for name in names if part_of(name.split("/")[1].split("_nohash_")[0]) == part]
        (root / file).write_text("".join(f"{name}\n" for name in listed))


def speakers(count: int, seed: int) -> list[Speaker]:
    """The first `count` of all voices in an order fixed by the seed, each with a rate and a pitch of its own."""
    rng = np.random.default_rng([seed, 0])
    voices = rng.permutation([f"{dialect}+{variant}" for dialect in DIALECTS for variant in VARIANTS]).tolist()
    drawn = [(voice, int(rng.integers(*RATE_WPM)), int(rng.integers(*PITCH))) for voice in voices]
    return [Speaker(*traits, hashlib.sha1(repr(traits).encode()).hexdigest()[:8]) for traits in drawn[:count]]


def speak_word(job: tuple[str, str, int, bool, int]) -> None:
    """Write the clips of one word. Run in a process of its own: espeak-ng's output depends on what it said before."""
    folder, word, n_speakers, keyword, seed = job
    target = Path(folder) / word
    target.mkdir()
    espeak = Espeak()
    rng = np.random.default_rng([seed, 1, *word.encode()])
    for speaker in speakers(n_speakers, seed)[:: 1 if keyword else 2]:
        for take in range(KEYWORD_TAKES if keyword else 1):
            path = target / f"{speaker.name}_nohash_{take}.wav"
            write_wav(path, one_take(espeak, speaker, word, rng))


def one_take(espeak: "Espeak", speaker: Speaker, word: str, rng: np.random.Generator) -> np.ndarray:
    """One utterance, a little faster or higher each time, coloured, somewhere in a second of noise; int16 [16000]."""
    rate = round(speaker.rate * rng.uniform(0.85, 1.15))
    pitch = int(np.clip(speaker.pitch + rng.integers(-8, 9), 0, 99))
    speech = _in_a_second(_trim(espeak.say(word, speaker.voice, rate, pitch)), rng)
    coloured = _colour(speech, rng.uniform(-0.3, 0.5))
    noise = coloured_noise(rng, CLIP_SAMPLES, rng.uniform(0, 1))
    coloured /= max(np.sqrt(np.mean(coloured**2)), 1e-9)
    mixed = coloured + noise / noise.std() * 10 ** (-rng.uniform(*SNR_DB) / 20)
    level = 32767 * 10 ** (rng.uniform(*LEVEL_DB) / 20)
    return np.rint(mixed / np.abs(mixed).max() * level).astype(np.int16)


def _trim(speech: np.ndarray) -> np.ndarray:
    """Without the pauses before and after."""
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max(initial=1))
    return speech[loud[0] : loud[-1] + 1] if len(loud) else speech


def _colour(speech: np.ndarray, pole: float) -> np.ndarray:
    """One pole's tilt over frequency: below 0 brighter, above 0 duller; [16000], wrapped around."""
    turn = np.exp(-2j * np.pi * np.arange(CLIP_SAMPLES // 2 + 1) / CLIP_SAMPLES)
    return np.fft.irfft(np.fft.rfft(speech) / (1 - pole * turn), CLIP_SAMPLES)


def resample(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """To 16 kHz by cutting the spectrum; float64. For utterances with pauses around: the ends wrap."""
    divisor = math.gcd(SAMPLE_RATE, rate_hz)
    turns = -(-len(wave) * divisor // rate_hz)
    length, new_length = turns * rate_hz // divisor, turns * SAMPLE_RATE // divisor
    spectrum = np.fft.rfft(wave, length)[: new_length // 2 + 1]
    return np.fft.irfft(spectrum, new_length) * new_length / length


def _in_a_second(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    free = CLIP_SAMPLES - len(speech)
    start = int(free * rng.uniform(0.2, 0.8)) if free > 0 else 0
    return fit_to_second(np.concatenate([np.zeros(start), speech]))


class Espeak:
    """espeak-ng through the library that PyPI's espeakng-loader carries. One a process: the library is global."""

    _RATE, _PITCH, _RETRIEVE_SYNCHRONOUSLY, _UTF8 = 1, 3, 2, 1

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._library = _load_library()
        data = _loader().get_data_path()
        self.rate_hz = self._library.espeak_Initialize(self._RETRIEVE_SYNCHRONOUSLY, 0,
                                                       str(Path(data).parent).encode(), 0)
        if self.rate_hz <= 0:
            raise UserError(f"espeak-ng does not start with the voices in {data}; install espeakng-loader anew "
                            "or give DATA=DIR")
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._take_block)  # kept alive as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else the time of day

    def _take_block(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, word: str, voice: str, rate: int, pitch: int) -> np.ndarray:
        """float64 [samples] at 16 kHz, int16 units. rate: words a minute; pitch: 0 to 99."""
        self._blocks.clear()
        self._library.espeak_SetVoiceByName(voice.encode())
        self._library.espeak_SetParameter(self._RATE, rate, 0)
        self._library.espeak_SetParameter(self._PITCH, pitch, 0)
        text = word.encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, 1, 0, self._UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._blocks:
            raise UserError(f"espeak-ng says nothing for the keyword {word!r}; allowed: words it can pronounce")
        return resample(np.concatenate(self._blocks).astype(np.float64), self.rate_hz)


def _loader():
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError("espeakng-loader is not installed; install it with `pip install espeakng-loader`, "
                        "or give DATA=DIR") from error
    return espeakng_loader


def _load_library() -> ctypes.CDLL:
    path = _loader().get_library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise UserError(f"{path}: espeak-ng cannot be loaded ({error}); give DATA=DIR instead") from error
    library.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
                                     ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    return library
