"""Noise and the silences cut from it: three quarters to train with, a twentieth for dev, a fifth to report on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError
from datasets.features import (
    CLIP_SAMPLES,
    FINE_HOP_LENGTH,
    SAMPLE_RATE,
    energy_of_codes,
    log_mel_codes,
    real_codes,
)
from datasets.names import sha1_of
from datasets.wav import read_recording

NOISE_FOLDER = "_background_noise_"
REGIONS = {"train": (0.0, 0.75), "dev": (0.75, 0.8), "validation": (0.8, 1.0), "test": (0.8, 1.0)}
SHORTEST_S = 20  # so that a twentieth holds a second
FEWEST_IMAGES = 20  # so that a twentieth is one
GENERATED_S = 60


@dataclass(frozen=True)
class Recordings:
    """Noise as waveforms.

    waveforms: int16 [samples] each, at least SHORTEST_S long.
    skipped: a line for every file that could not be read.
    note: what the user should know of where the noise comes from.
    """

    names: tuple[str, ...]
    waveforms: tuple[np.ndarray, ...]
    skipped: tuple[str, ...] = ()
    note: str = ""

    def training_codes(self) -> tuple[np.ndarray, ...]:
        """uint8 [frames, 40] a recording: its first three quarters, every 10 ms."""
        return tuple(log_mel_codes(_region(wave, "train"), FINE_HOP_LENGTH) for wave in self.waveforms)

    def silences(self, split: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """Seconds at fixed offsets of the split's region, gain 0 to 1 fixed by hash; int16 [count, 16000], names."""
        cuts = [self._cut(split, i, -(-count // len(self.waveforms))) for i in range(count)]
        return (np.array([wave for wave, _ in cuts], np.int16).reshape(-1, CLIP_SAMPLES),
                tuple(name for _, name in cuts))

    def silence_codes(self, split: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """The same as uint8 [count, 98, 40], names."""
        waves, names = self.silences(split, count)
        return np.array([log_mel_codes(wave, FINE_HOP_LENGTH) for wave in waves], np.uint8), names

    def _cut(self, split: str, i: int, per_recording: int) -> tuple[np.ndarray, str]:
        turn, which = divmod(i, len(self.waveforms))
        region = _region(self.waveforms[which], split)
        start = self._offset(split, which, turn, len(region) - CLIP_SAMPLES, per_recording)
        gain = fixed_gain(f"{split}/{self.names[which]}/{start}")
        wave = np.rint(gain * region[start : start + CLIP_SAMPLES]).astype(np.int16)
        return wave, f"_silence_/{split}_{self.names[which]}_{start}_{gain:.4f}"


    def _offset(self, split: str, which: int, turn: int, last: int, per_recording: int) -> int:
        """Evenly spaced from 0 to last; for test, which has validation's region, once somewhere in equal stretches."""
        if split == "test":
            return int((turn + fixed_gain(f"offset/{self.names[which]}/{turn}")) * last / per_recording)
        return last * turn // max(1, per_recording - 1)


@dataclass(frozen=True)
class Images:
    """Noise that is there only as images of a second.

    codes: uint8 [n, 98, 40], at least FEWEST_IMAGES; names [n]; the rest as Recordings.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    skipped: tuple[str, ...] = ()
    note: str = "no noise recordings beside the images: noise and silence come from the noise images"

    def training_codes(self) -> tuple[np.ndarray, ...]:
        """uint8 [98, 40] an image, the first three quarters of the images."""
        return tuple(_region(self.codes, "train"))

    def silence_codes(self, split: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """Images of the split's region in turn (test's backwards), with the gain applied to their mel power."""
        order = slice(None, None, -1 if split == "test" else 1)
        codes, names = _region(self.codes, split)[order], _region(np.array(self.names), split)[order]
        picks = [(i % len(codes), fixed_gain(f"{split}/{names[i % len(codes)]}/{i}")) for i in range(count)]
        scaled = [np.rint(real_codes(gain**2 * energy_of_codes(codes[which]))) for which, gain in picks]
        return (np.clip(np.array(scaled).reshape(-1, *codes.shape[1:]), 0, 255).astype(np.uint8),
                tuple(f"_silence_/{split}_{names[which]}_{gain:.4f}" for which, gain in picks))


def _region(array: np.ndarray, split: str) -> np.ndarray:
    first, last = (round(len(array) * bound) for bound in REGIONS[split])
    return array[first:last]


def fixed_gain(name: str) -> float:
    """0 to 1, uniform over names, four digits: the official recipe draws it uniformly, too."""
    return round(int.from_bytes(sha1_of(name)[:4]) / 2**32, 4)


def read_noise(root: Path) -> Recordings:
    """The WAVs of root/_background_noise_; short ones joined; generated noise where they do not make 20 seconds."""
    recordings, bad = _read_recordings(noise_files(root))
    long = {name: wave for name, wave in recordings.items() if len(wave) >= SHORTEST_S * SAMPLE_RATE}
    short = [wave for name, wave in recordings.items() if name not in long]
    joined = np.concatenate(short) if short else np.zeros(0, np.int16)
    if len(joined) >= SHORTEST_S * SAMPLE_RATE:
        long["joined"] = joined
    if not long:
        return stand_in(f"{root / NOISE_FOLDER}: not {SHORTEST_S} s of noise there", tuple(bad))
    return Recordings(tuple(long), tuple(long.values()), tuple(bad))


def stand_in(lack: str, skipped: tuple[str, ...] = ()) -> Recordings:
    """Generated noise for want of any other; `lack` says of what."""
    return Recordings(*generated_noise(0), skipped, f"{lack}; generated noise stands in")


def noise_files(root: Path) -> list[Path]:
    """The WAVs of root/_background_noise_, sorted."""
    return sorted(path for path in (root / NOISE_FOLDER).glob("*") if path.suffix.lower() == ".wav"
                  and path.name[0] != ".")


def _read_recordings(paths: list[Path]) -> tuple[dict[str, np.ndarray], list[str]]:
    recordings, bad = {}, []
    for path in paths:
        try:
            recordings[path.stem] = read_recording(path)
        except UserError as error:
            bad.append(str(error))
    return recordings, bad


def generated_noise(seed: int) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """Names and waveforms of a minute each of white, pink and brown noise and mains hum; int16 [960000]."""
    rng = np.random.default_rng(seed)
    n = GENERATED_S * SAMPLE_RATE
    waves = {name: coloured_noise(rng, n, slope) for name, slope in (("white", 0.0), ("pink", 0.5), ("brown", 1.0))}
    time = np.arange(n) / SAMPLE_RATE
    waves["hum"] = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5, 7)) \
        + 0.05 * rng.standard_normal(n)
    scaled = (np.rint(3000 * wave / wave.std()).clip(-32768, 32767).astype(np.int16) for wave in waves.values())
    return tuple(waves), tuple(scaled)


def coloured_noise(rng: np.random.Generator, n: int, slope: float) -> np.ndarray:
    """Gaussian noise whose amplitude falls as frequency^-slope above 20 Hz; float64 [n]."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * np.maximum(hz, 20.0) ** -slope, n)
