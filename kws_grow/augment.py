"""Batches from cached codes, on the training device: shifts, tempo, formants, colour, loudness, noise in mel power,
masks, then MFCC."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datasets import features
from datasets.dataset import SILENCE, UNKNOWN, Clips, Dataset

SHAPE_KNOTS = 5


@dataclass(frozen=True)
class Augmentation:
    """Ranges are uniform; every draw comes from the epoch's own generator, and what is 0 draws nothing.

    tempo, formants, colour_db: of the words alone, so that they are more than their speakers and microphones: speed
    perturbation (Ko et al., Interspeech 2015), vocal tract length perturbation (Jaitly and Hinton, ICML workshop 2013),
    and a smooth curve over the mel bands.
    unknown_clips, silence_clips: of an epoch, as many as a keyword has times this.
    silence_*: of the class alone, so that it is more than the few recordings that it is cut from: a second recording on
    top, a smooth curve over the mel bands, sudden sounds that die away (of clattering, say), each on these shares of
    its clips; and an amplitude from 0 to 1, as in the official recipe and in validation, instead of noise_db.
    """

    shift_fine_frames: int = 10       # each way, 10 ms a frame
    loudness_db: float = 6.0          # each way
    noise_share: float = 0.5          # of the clips
    noise_db: tuple[float, float] = (-30.0, 0.0)  # gain of the noise recording, as recorded = 0
    time_masks: int = 1
    time_mask_frames: int = 8         # at most, 20 ms a frame
    mel_masks: int = 0
    mel_mask_bands: int = 5           # at most
    tempo: float = 0.0                # each way, 0.1: up to a tenth faster or slower
    formants: float = 0.0             # each way, 0.1: frequencies up to a tenth higher or lower
    colour_db: float = 0.0            # each way, at SHAPE_KNOTS bands
    unknown_clips: float = 1.0
    silence_clips: float = 1.0
    silence_uniform: bool = False     # amplitude
    silence_mixed: float = 0.0        # share
    silence_shaped: float = 0.0       # share
    silence_shape_db: float = 12.0    # each way, at SHAPE_KNOTS bands
    silence_struck: float = 0.0       # share
    silence_strokes: int = 6          # at most
    silence_stroke_db: tuple[float, float] = (0.0, 30.0)  # above the noise
    silence_decay_frames: tuple[float, float] = (0.3, 5.0)  # until a stroke's power is 1/e


DIVERSE = Augmentation(silence_uniform=True, silence_mixed=0.3, silence_shaped=0.5, silence_struck=0.3)
SILENCES = {"ample": replace(DIVERSE, silence_clips=2.0), "diverse": DIVERSE, "plain": Augmentation()}
NOISES = {"loud": Augmentation.noise_db, "mild": (-40.0, -10.0)}  # gains of what is mixed in
VOICES = {"varied": {"tempo": 0.12, "formants": 0.1, "colour_db": 6.0, "mel_masks": 1}, "plain": {}}
UNKNOWNS = {"ample": 2.0, "even": Augmentation.unknown_clips}
USUAL = {"silence": "ample", "noise": "loud", "voice": "varied", "unknown": "ample"}  # where nothing else is asked for


def augmentation_of(silence: str, noise: str, voice: str, unknown: str) -> Augmentation:
    """By entries of SILENCES, NOISES, VOICES and UNKNOWNS."""
    return replace(SILENCES[silence], noise_db=NOISES[noise], unknown_clips=UNKNOWNS[unknown], **VOICES[voice])


def generator_for(seed: int, *what: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator whose numbers depend on (seed, what) alone, so that a resumed run draws the same."""
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "little"))


class CodeSource:
    """The training split on the device. One pass: every keyword clip once; unknown and silence as many as a keyword,
    times what the augmentation says of each.

    An epoch is one pass, or as many as make `at_least` clips.
    """

    def __init__(self, dataset: Dataset, device: str | torch.device, augmentation: Augmentation, at_least: int = 0):
        self.augmentation, self.at_least = augmentation, at_least
        self.device = torch.device(device)
        self.pad = pad = augmentation.shift_fine_frames + math.ceil(augmentation.tempo * features.N_FINE_FRAMES / 2)
        codes = torch.from_numpy(dataset.train.codes).to(self.device)
        self.codes = torch.nn.functional.pad(codes, (0, 0, pad, pad))  # uint8 [n, pad + 98 + pad, 40]
        self.labels = torch.from_numpy(dataset.train.labels).to(self.device)
        self.silence, self.unknown = dataset.labels.index(SILENCE), dataset.labels.index(UNKNOWN)
        self.noise = torch.from_numpy(np.concatenate(dataset.noise)).to(self.device)  # uint8 [frames, 40]
        self.noise_starts = torch.from_numpy(_starts([len(n) for n in dataset.noise])).to(self.device)
        self.band_hz = torch.from_numpy(features.band_edges_hz()[1:-1]).float().to(self.device)  # [40]
        self.energy = torch.from_numpy(features.energy_of_codes(np.arange(256))).float().to(self.device)
        self.keyword_clips = torch.nonzero((self.labels != self.unknown) & (self.labels != self.silence))[:, 0]
        self.unknown_clips = torch.nonzero(self.labels == self.unknown)[:, 0]
        of_keyword = len(self.keyword_clips) // max(len(dataset.labels) - 2, 1)
        self.n_silence = round(augmentation.silence_clips * of_keyword)
        self.n_unknown = round(augmentation.unknown_clips * of_keyword) * bool(len(self.unknown_clips))

    def __len__(self) -> int:
        """Clips an epoch."""
        return self._passes * self._pass_clips

    @property
    def _pass_clips(self) -> int:
        return len(self.keyword_clips) + self.n_silence + self.n_unknown

    @property
    def _passes(self) -> int:
        return max(1, math.ceil(self.at_least / self._pass_clips))

    def epoch(self, generator: torch.Generator) -> Tensor:
        """Clip indices of one epoch, each pass in random order, int64; -1 is silence."""
        return torch.cat([self._pass(generator) for _ in range(self._passes)])

    def _pass(self, generator: torch.Generator) -> Tensor:
        parts = [self.keyword_clips, torch.full((self.n_silence,), -1, device=self.device)]
        if self.n_unknown:
            order = torch.randint(len(self.unknown_clips), (self.n_unknown,), generator=generator, device=self.device)
            if self.n_unknown <= len(self.unknown_clips):
                order = torch.randperm(len(self.unknown_clips), generator=generator, device=self.device)
            parts.append(self.unknown_clips[order[: self.n_unknown]])
        clips = torch.cat(parts)
        return clips[torch.randperm(len(clips), generator=generator, device=self.device)]

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """(codes float32 [b, 49, 40], labels [b]) over one epoch; the incomplete last batch is dropped."""
        order = self.epoch(generator)
        size = min(size, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield self.augmented(order[start : start + size], generator)

    def augmented(self, clips: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes and labels of these clips (-1: silence), augmented; codes stay real-valued."""
        a, n = self.augmentation, len(clips)
        silent = clips < 0
        energy = self.energy[self._rows(clips.clamp(min=0), g).long()]  # [b, 49, 40]
        if a.formants:
            energy = self._moved(energy, g)
        if a.colour_db:
            energy = energy * self._curve(n, a.colour_db, g)
        energy = energy * self._gain(n, -a.loudness_db, a.loudness_db, g)
        noise_gain = self._gain(n, *a.noise_db, g)
        noisy = torch.rand(n, generator=g, device=self.device) < a.noise_share
        energy = torch.where(silent[:, None, None], 0.0, energy)
        if a.silence_uniform:
            amplitude = torch.rand(n, 1, 1, generator=g, device=self.device)
            noise_gain = torch.where(silent[:, None, None], amplitude.square(), noise_gain)
        energy = energy + self._noise(n, g) * noise_gain * (noisy | silent)[:, None, None]
        if a.silence_mixed or a.silence_shaped or a.silence_struck:
            energy[silent] = self._diverse(energy[silent], g)
        codes = codes_of_energy(energy)
        self._mask(codes, 1, a.time_masks, a.time_mask_frames, g)
        self._mask(codes, 2, a.mel_masks, a.mel_mask_bands, g)
        return codes, torch.where(silent, self.silence, self.labels[clips.clamp(min=0)])

    def _rows(self, clips: Tensor, g: torch.Generator) -> Tensor:
        """uint8 [b, 49, 40]: every second fine frame, shifted; nearer or further apart about the middle by tempo."""
        shift = self.augmentation.shift_fine_frames
        start = torch.randint(2 * shift + 1, (len(clips), 1), generator=g, device=self.device)
        frames = 2 * torch.arange(features.N_FRAMES, device=self.device)
        if self.augmentation.tempo:
            middle = features.N_FRAMES - 1
            frames = middle + torch.round((frames - middle) * self._rate(len(clips), self.augmentation.tempo, g)).long()
        return self.codes[clips[:, None], self.pad - shift + start + frames]

    def _rate(self, n: int, most: float, g: torch.Generator) -> Tensor:
        """1 - most to 1 + most, [n, 1]."""
        return 1 + most * (2 * torch.rand(n, 1, generator=g, device=self.device) - 1)

    def _moved(self, energy: Tensor, g: torch.Generator) -> Tensor:
        """Mel power [n, 49, 40] as of a longer or a shorter vocal tract: what a band hears is a rate times as high."""
        rate = self._rate(len(energy), self.augmentation.formants, g)
        last = features.N_MELS - 1
        at = band_at_hz(self.band_hz * rate).clamp(0, last)  # [n, 40]
        low = at.floor().clamp(max=last - 1)
        share = (at - low)[:, None]
        index = low.long()[:, None].expand_as(energy)
        return torch.lerp(energy.gather(2, index), energy.gather(2, index + 1), share.expand_as(energy))

    def _gain(self, n: int, low_db: float, high_db: float, g: torch.Generator) -> Tensor:
        """Power gains [n, 1, 1]."""
        db = low_db + (high_db - low_db) * torch.rand(n, generator=g, device=self.device)
        return torch.exp(db * (math.log(10) / 10))[:, None, None]

    def _noise(self, n: int, g: torch.Generator) -> Tensor:
        """Mel power [n, 49, 40] of random seconds of the noise recordings."""
        pick = torch.randint(len(self.noise_starts), (n,), generator=g, device=self.device)
        frames = self.noise_starts[pick][:, None] + 2 * torch.arange(features.N_FRAMES, device=self.device)
        return self.energy[self.noise[frames].long()]

    def _diverse(self, energy: Tensor, g: torch.Generator) -> Tensor:
        """Mel power [n, 49, 40] of silences, made unlike their recordings."""
        a, n = self.augmentation, len(energy)
        mixed, shaped, struck = (self._chosen(n, share, g)
                                 for share in (a.silence_mixed, a.silence_shaped, a.silence_struck))
        energy = energy + mixed * self._noise(n, g) * self._gain(n, *a.noise_db, g)
        energy = torch.where(shaped, energy * self._curve(n, a.silence_shape_db, g), energy)
        return torch.where(struck, energy * (1 + self._strokes(n, g)), energy)

    def _chosen(self, n: int, share: float, g: torch.Generator) -> Tensor:
        """Which of n clips, bool [n, 1, 1]."""
        return (torch.rand(n, generator=g, device=self.device) < share)[:, None, None]

    def _curve(self, n: int, most_db: float, g: torch.Generator) -> Tensor:
        """Power gains [n, 1, 40], straight in dB between SHAPE_KNOTS bands."""
        knots = most_db * (2 * torch.rand(n, 1, SHAPE_KNOTS, generator=g, device=self.device) - 1)
        db = torch.nn.functional.interpolate(knots, features.N_MELS, mode="linear", align_corners=True)
        return torch.exp(db * (math.log(10) / 10))

    def _strokes(self, n: int, g: torch.Generator) -> Tensor:
        """Power [n, 49, 40] of sudden sounds, each of its own colour, over that of what they are struck in."""
        a, total = self.augmentation, torch.zeros(n, features.N_FRAMES, features.N_MELS, device=self.device)
        frames = torch.arange(features.N_FRAMES, device=self.device)
        for i in range(a.silence_strokes):
            since = frames - torch.randint(features.N_FRAMES, (n, 1), generator=g, device=self.device)  # [n, 49]
            low, high = a.silence_decay_frames
            decay = low + (high - low) * torch.rand(n, 1, generator=g, device=self.device)
            shape = torch.where(since >= 0, torch.exp(-since / decay), 0.0)[:, :, None]
            there = self._chosen(n, 1 - i / a.silence_strokes, g)  # one at least, as many as there may be at times
            total += there * shape * self._gain(n, *a.silence_stroke_db, g) * self._curve(n, a.silence_shape_db, g)
        return total

    def _mask(self, codes: Tensor, axis: int, count: int, longest: int, g: torch.Generator) -> None:
        """Set runs of frames (axis 1) or bands (axis 2) to the clip's mean code, in place."""
        size = codes.shape[axis]
        where = torch.arange(size, device=self.device)
        mean = codes.mean((1, 2), keepdim=True)
        for _ in range(count):
            length = torch.randint(longest + 1, (len(codes), 1), generator=g, device=self.device)
            start = torch.randint(size, (len(codes), 1), generator=g, device=self.device)
            masked = (where >= start) & (where < start + length)  # [b, size]
            torch.where(masked.unsqueeze(3 - axis), mean, codes, out=codes)


def _starts(lengths: list[int]) -> np.ndarray:
    """First frames, int64, of all the whole seconds inside recordings laid end to end."""
    offsets = np.cumsum([0, *lengths[:-1]])
    return np.concatenate([offset + np.arange(max(length - features.N_FINE_FRAMES, 1))
                           for offset, length in zip(offsets, lengths, strict=True)])


def band_at_hz(hz: Tensor) -> Tensor:
    """Real-valued index of the mel band that peaks at this frequency: mel(f) counted in the distance of two bands."""
    distance = math.log1p(features.MEL_HIGH_HZ / features.MEL_CORNER_HZ) / (features.N_MELS + 1)
    return torch.log1p(hz / features.MEL_CORNER_HZ) / distance - 1


def codes_of_energy(energy: Tensor) -> Tensor:
    """datasets.features.real_codes in torch, clipped to 0..255, not rounded."""
    codes = features.CODE_GAIN * 0.5 * torch.log(features.ENERGY_GAIN * energy + features.ENERGY_FLOOR)
    return (codes - features.CODE_OFFSET).clamp(0, 255)


def mfcc(codes: Tensor, n_coefficients: int) -> Tensor:
    """Codes [..., 40] -> MFCC float32 [..., n]."""
    matrix = torch.from_numpy(features.dct_matrix(n_coefficients)).float().to(codes.device)
    return codes.float() @ matrix.T


def plain_codes(clips: Clips, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """A split without augmentation: codes uint8 [n, 49, 40], labels [n]."""
    return (torch.from_numpy(np.ascontiguousarray(clips.codes[:, ::2])).to(device),
            torch.from_numpy(clips.labels).to(device))
