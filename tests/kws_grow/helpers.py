"""Small nets and made-up clips for the tests of kws_grow."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.nn import functional as F

from datasets.dataset import SILENCE, UNKNOWN, Clips, Dataset
from export.boards import load_board
from export.cost import Tariff
from export.net import FloatNet
from export.shape import NetShape
from kws_grow.augment import mfcc, plain_codes
from kws_grow.deploy import folded_layers, with_ranges
from kws_grow.network import DsCnn
from kws_grow.ranges import minmax


def small_net(widths=(4, 6, 5), seed: int = 0, n_coefficients: int = 10, n_labels: int = 4, **shape) -> DsCnn:
    """float64, with norms that are neither at their start nor alike."""
    torch.manual_seed(seed)
    net = DsCnn(NetShape(tuple(widths), n_coefficients, n_labels, **shape)).double()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def small_batch(net: DsCnn, n: int = 8, seed: int = 1):
    """(MFCC float64 [n, 49, c], labels [n])."""
    g = torch.Generator().manual_seed(seed)
    mfcc = 64 * torch.randn(n, 49, net.n_coefficients, generator=g, dtype=torch.float64)
    return mfcc, torch.randint(net.n_labels, (n,), generator=g)


def made_up_clips(per_label: int, seed: int = 0, labels: tuple[int, ...] = (1, 2, 3)) -> Clips:
    """Codes in which every label has a band of its own; learnable within an epoch or two."""
    rng = np.random.default_rng(seed)
    y = np.repeat(labels, per_label).astype(np.int64)
    codes = rng.integers(60, 120, (len(y), 98, 40))
    for code, label in zip(codes, y, strict=True):
        code[:, 10 * label : 10 * label + 6] += 80
    return Clips(codes.astype(np.uint8), y, tuple(f"{label}/{i}.wav" for i, label in enumerate(y)))


def made_up_dataset() -> Dataset:
    """Two keywords, unknown and silence."""
    noise = (np.random.default_rng(5).integers(20, 90, (300, 40)).astype(np.uint8),)
    rest = (0, 1, 2, 3)
    return Dataset("made-up", (SILENCE, UNKNOWN, "one", "two"), made_up_clips(60), made_up_clips(20, 1, rest),
                   made_up_clips(20, 2, rest), made_up_clips(0), noise, None, "0" * 64, (), Path("made-up"))


def write_tones(folder: Path) -> Path:
    """A folder of one's own: three words, each a tone of its own, 40 speakers."""
    rng = np.random.default_rng(0)
    for hertz in (400, 900, 1700):
        (folder / f"tone{hertz}").mkdir()
        for speaker in range(40):
            time_s = np.arange(16000) / 16000
            tone = 3000 * np.sin(2 * np.pi * hertz * rng.uniform(0.95, 1.05) * time_s) * (time_s < 0.6)
            samples = (tone + rng.normal(0, 80, 16000)).astype(np.int16)
            soundfile.write(folder / f"tone{hertz}" / f"{speaker:08x}_nohash_0.wav", samples, 16000)
    return folder


def learn(net: torch.nn.Module, parameters: list, steps: int, lr: float) -> tuple[float, float]:
    """Fit these parameters to made-up clips; loss before and after."""
    codes, labels = plain_codes(made_up_dataset().train, "cpu")
    x, optimizer = mfcc(codes, net.n_coefficients), torch.optim.Adam(parameters, lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def fitted_net() -> FloatNet:
    """A net that tells made-up clips apart."""
    net = small_net((8, 8, 8)).float()
    assert learn(net, list(net.parameters()), 60, 2e-2)[1] < 0.1
    dataset = made_up_dataset()
    x = mfcc(plain_codes(dataset.train, "cpu")[0], net.n_coefficients)
    return with_ranges(folded_layers(net), x, dataset.labels, dataset.name, {"minmax": minmax})["minmax"]


def tariff(kernels: str = "portable") -> Tariff:
    """What nets cost on the default board."""
    return Tariff.of(load_board("nano33ble"), kernels)
