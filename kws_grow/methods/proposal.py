"""What a growth method tells the loop: what each path layer may become, what that gains, and how it is done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kws_grow.edits import LayerEdit, halved
from kws_grow.network import DsCnn
from kws_grow.selection import Option, split_options
from kws_grow.splitting import CAUTIOUS, GAINS, Batch, Directions, offsets_of

Stream = Callable[[], Iterator[Batch]]  # endless batches of training clips


@dataclass(frozen=True)
class Proposal:
    """options: of each path layer, the first leaves it as it is. edits: of the options chosen, one index a path layer.
    order: of a comparator that predicts no gain, the path layers in the order in which each takes its next option."""

    options: tuple[tuple[Option, ...], ...]
    edits: Callable[[tuple[int, ...]], list[LayerEdit]]
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OffsetSettings:
    """eps: offset of a split, in units of each parameter group's RMS; the one that is also indexed with."""

    eps: float = field(default=0.5, metadata={"above": 0, "below": 10})


@dataclass(frozen=True)
class GainSettings(OffsetSettings):
    """fresh: batches that measure what splits gain. gains: how, an entry of kws_grow.splitting.GAINS."""

    fresh: int = field(default=24, metadata={"above": 0})
    gains: str = field(default=CAUTIOUS, metadata={"allowed": tuple(GAINS)})


@dataclass(frozen=True)
class IndexSettings(GainSettings):
    """steps: batches that fit the directions."""

    steps: int = field(default=48, metadata={"above": 0})


def halves(net: DsCnn, gains: tuple[np.ndarray, ...], v: Directions, eps: float,
           order: tuple[int, ...] | None = None) -> Proposal:
    """Splits into halves at +-eps v, the best paths of a layer first. gains: float [C] a path layer."""
    shape, offsets = net.shape, offsets_of(net, v, eps)
    options = tuple(split_options(g, w, d) for g, w, d in zip(gains, shape.widths, shape.depths, strict=True))

    def edits(chosen: tuple[int, ...]) -> list[LayerEdit]:
        counts = [each[k].width - each[0].width for each, k in zip(options, chosen, strict=True)]
        return [halved(net, i, best_of(g, n).to(offsets[i][0].device), offsets[i])
                for i, (g, n) in enumerate(zip(gains, counts, strict=True))]
    return Proposal(options, edits, order)


def best_of(gains: np.ndarray, count: int) -> Tensor:
    """Indices int64 [count] of the largest, ties in order."""
    return torch.from_numpy(np.argsort(-gains, kind="stable")[:count].copy())


def as_gains(changes: list[Tensor]) -> tuple[np.ndarray, ...]:
    """Predicted changes of the loss -> gains."""
    return tuple(-change.cpu().double().numpy() for change in changes)
