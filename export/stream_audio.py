"""Long audio to hear through: the clips of a split's speakers, its part of the noise, and babble."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.console import UserError
from datasets.features import CLIP_SAMPLES, SAMPLE_RATE
from datasets.material import Material
from datasets.names import sha1_of
from datasets.noise import REGIONS, Recordings, coloured_noise
from datasets.splits import dev_speakers, speaker_of
from datasets.wav_folder import official_parts, wav_names
from datasets.waveforms import label_index, read_clips
from export.stream_babble import babble

KEYWORDS, OTHER_WORDS, NOISE, BABBLE = "keywords", "other words", "noise", "babble"
SYNTHETIC = (BABBLE,)
# Long enough that no inference hears two words, and an event belongs to the word that began last.
KEYWORD_GAP_S = (1.5, 2.0)
OTHER_GAP_S = (0.1, 0.5)
ROOM_RMS = 8.0  # int16 units of the generated hiss under everything, so that nothing is digital silence
ROOM_S = 60  # repeated
SPEECH_DB, STEP = 20.0, SAMPLE_RATE // 100  # speech ends where the level falls that far below the loudest 10 ms


@dataclass(frozen=True)
class Word:
    """A keyword in the stream. label: its index. start, end: samples of its clip. speech_end: sample."""

    label: int
    start: int
    end: int
    speech_end: int


@dataclass(frozen=True)
class Stretch:
    """A part of the stream. kind: as above. clips: 0 where it is not made of clips."""

    kind: str
    start: int
    end: int
    clips: int = 0

    @property
    def minutes(self) -> float:
        return (self.end - self.start) / SAMPLE_RATE / 60


@dataclass(frozen=True)
class LongAudio:
    """samples: int16 [n]. words: by their start. stretches: one after the other, all of the samples."""

    split: str
    samples: np.ndarray
    words: tuple[Word, ...]
    stretches: tuple[Stretch, ...]
    skipped: tuple[str, ...] = ()

    @property
    def minutes(self) -> float:
        return len(self.samples) / SAMPLE_RATE / 60


def long_audio(material: Material, labels: Sequence[str], split: str, seconds: int) -> LongAudio:
    """The audio of `split`, "dev" or "validation": all its keywords, then at least `seconds` without any: all
    its other words, its noise (each second once), and babble for what is missing. Same arguments, same bytes.

    UserError where the material has no waveforms of a keyword.
    """
    rng = np.random.default_rng(len(split))
    waves, indices, skipped = _clips(material, labels, split)
    spoken = [(wave, index) for wave, index in zip(waves, indices, strict=True) if _is_word(index, labels)]
    others = [(wave, index) for wave, index in zip(waves, indices, strict=True) if not _is_word(index, labels)]
    if not spoken:
        raise UserError(f"{material.source}: no WAV of a keyword among the {split} speakers; allowed: WAVs of "
                        f"{', '.join(label for label in labels if label[0] != '_')}")
    keywords, words = _sequence(spoken, KEYWORD_GAP_S, rng)
    parts = [(KEYWORDS, keywords, len(spoken)), (OTHER_WORDS, _sequence(others, OTHER_GAP_S, rng)[0], len(others)),
             (NOISE, _noise(material, split), 0)]
    missing = seconds - sum(len(samples) for _, samples, _ in parts[1:]) / SAMPLE_RATE
    if missing > 0:
        parts.append((BABBLE, babble(split, int(np.ceil(missing)), labels), 0))
    return LongAudio(split, _in_a_room(np.concatenate([samples for _, samples, _ in parts])), words,
                     _stretches(parts), skipped)


def _is_word(index: int, labels: Sequence[str]) -> bool:
    return index >= 0 and not labels[index].startswith("_")


def _clips(material: Material, labels: Sequence[str], split: str):
    """Waveforms int16 [n, 16000] of the split's speakers, label indices, lines for those that cannot be read."""
    if material.wavs is None:
        raise UserError(f"{material.source}: holds images of clips, no waveforms; allowed: the WAVs beside them")
    names = sorted(_names(material, split), key=lambda name: sha1_of(f"stream/{name}"))
    waves, places, skipped = read_clips([material.wavs / name for name in names])
    return waves, [label_index(names[place].split("/")[0], labels) for place in places], skipped


def _names(material: Material, split: str) -> list[str]:
    """WAVs of the split's speakers (datasets.splits); by the official lists those that are not among the images."""
    part = "training" if split == "dev" else split
    speakers = {speaker for speaker, its in zip(material.speakers, material.parts, strict=True) if its == part}
    chosen = dev_speakers(speakers) if split == "dev" else speakers
    parts = official_parts(material.wavs) | dict(zip(material.names, material.parts, strict=True))
    return [name for name in wav_names(material.wavs)
            if speaker_of(name.split("/")[1]) in chosen and parts.get(name, "training") == part]


def _sequence(clips: list[tuple[np.ndarray, int]], gap_s: tuple[float, float], rng: np.random.Generator):
    """Clips with gaps behind them, int16 [n], and the Words in it."""
    pieces, words, at = [np.zeros(0, np.int16)], [], 0
    for wave, index in clips:
        gap = int(rng.uniform(*gap_s) * SAMPLE_RATE)
        words.append(Word(index, at, at + CLIP_SAMPLES, at + speech_end(wave)))
        pieces += [wave, np.zeros(gap, np.int16)]
        at += CLIP_SAMPLES + gap
    return np.concatenate(pieces), tuple(words)


def speech_end(wave: np.ndarray) -> int:
    """The sample behind the last 10 ms whose level is within SPEECH_DB of the loudest; wave: int16 [16000]."""
    level = (wave.reshape(-1, STEP).astype(np.float64) ** 2).mean(axis=1)
    return STEP * (1 + int(np.flatnonzero(level >= level.max() * 10 ** (-SPEECH_DB / 10))[-1]))


def _noise(material: Material, split: str) -> np.ndarray:
    """The split's part of each recording; none of noise that is there as images."""
    if not isinstance(material.noise, Recordings):
        return np.zeros(0, np.int16)
    first, last = REGIONS[split]
    return np.concatenate([wave[round(len(wave) * first):round(len(wave) * last)] for wave in material.noise.waveforms])


def _in_a_room(samples: np.ndarray) -> np.ndarray:
    """With quiet hiss under it."""
    hiss = coloured_noise(np.random.default_rng(0), ROOM_S * SAMPLE_RATE, 0.5)
    hiss = np.rint(hiss * ROOM_RMS / hiss.std()).astype(np.int16)
    tiled = np.resize(hiss, len(samples))
    return np.clip(samples.astype(np.int32) + tiled, -32768, 32767).astype(np.int16)


def _stretches(parts: list[tuple[str, np.ndarray, int]]) -> tuple[Stretch, ...]:
    found, at = [], 0
    for kind, samples, clips in parts:
        if len(samples):
            found.append(Stretch(kind, at, at + len(samples), clips))
        at += len(samples)
    return tuple(found)


def describe(audio: LongAudio) -> str:
    """What it is made of, on one line."""
    parts = [f"{each.minutes:.1f} min of {each.kind}{f' ({each.clips} clips)' if each.clips else ''}"
             f"{' (synthetic)' if each.kind in SYNTHETIC else ''}" for each in audio.stretches]
    return f"{audio.split}: {', '.join(parts)}"
