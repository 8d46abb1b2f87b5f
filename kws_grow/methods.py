"""How the loop decides what to split: one entry a method in METHODS."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from kws_grow.network import DsCnn
from kws_grow.splitting import Batch, Curvature, offsets_of, random_directions, rayleigh_pass


@dataclass(frozen=True)
class IndexSettings:
    """eps: offset of a split, in units of each parameter group's RMS; the finite one that is also indexed with.
    steps, fresh: batches that fit the directions, and that measure lambda afterwards."""

    eps: float = 0.5
    steps: int = 120
    fresh: int = 40


Stream = Callable[[], Iterable[Batch]]
Method = Callable[[DsCnn, Stream, torch.Generator, IndexSettings], Curvature]


def energy_aware(net: DsCnn, batches: Stream, generator: torch.Generator, settings: IndexSettings) -> Curvature:
    """Rayleigh-quotient pass for all paths at once (arXiv 1910.03103); gain -eps^2 lambda / 2."""
    v, values = rayleigh_pass(net, batches, generator, eps=settings.eps, steps=settings.steps, fresh=settings.fresh)
    return Curvature(tuple(-0.5 * settings.eps**2 * x for x in values), offsets_of(net, v, settings.eps))


def random(net: DsCnn, batches: Stream, generator: torch.Generator, settings: IndexSettings) -> Curvature:
    """Comparator: random paths, random directions of the same length, no pass over the data."""
    v = random_directions(net, generator)
    gains = tuple(torch.rand(len(rows[0]), generator=generator, device=rows[0].device) for rows in v)
    return Curvature(gains, offsets_of(net, v, settings.eps), predicts=False)


METHODS: dict[str, Method] = {"energy-aware": energy_aware, "random": random}
