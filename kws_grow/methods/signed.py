"""Signed neural splitting (arXiv 2003.10392): copies of positive and negative weight, two, three or four of a path, so
that nets whose splitting matrices have no negative eigenvalue go on growing (DESIGN, Growth 7)."""

from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from kws_grow.edits import LayerEdit, unchanged
from kws_grow.methods.proposal import IndexSettings, Proposal, Stream
from kws_grow.network import DsCnn, Rows
from kws_grow.selection import WIDTH_STEP, Option
from kws_grow.splitting import Probe, offsets_of, per_row, predicted_changes, random_directions, rayleigh_pass


@dataclass(frozen=True)
class SignedSettings(IndexSettings):
    """steps, fresh: for each end of the spectrum. weight: what the absolute weights of a path's copies sum to."""

    steps: int = field(default=15, metadata={"above": 0})
    fresh: int = field(default=6, metadata={"above": 0})
    weight: float = field(default=3.0, metadata={"above": 1})


@dataclass(frozen=True)
class Copies:
    """A way to split a path: (weight, how far along v_min, how far along v_max) of each copy, the path's own first.

    of_fall, of_rise: what it gains of the loss's fall when half and half move along v_min, and of its rise along v_max.
    """

    moves: tuple[tuple[float, float, float], ...]
    of_fall: float
    of_rise: float


def ways(c: float) -> tuple[Copies, ...]:
    """All there are, for absolute weights that sum to at most c: the paper's table, and the positive half-half."""
    low, high = (c - 1) / 2, (c + 1) / 2
    falling, rising = ((high / 2, 1, 0), (high / 2, -1, 0)), ((-low / 2, 0, 1), (-low / 2, 0, -1))
    return (Copies(((1, 0, 0),), 0, 0),
            Copies(((0.5, 1, 0), (0.5, -1, 0)), 1, 0),
            Copies(((-low, 0, 1), (high, 0, low / high)), 0, low / high),
            Copies(((-low, 0, 0), *falling), high, 0),
            Copies(((high, 0, 0), *rising), 0, low),
            Copies((*rising, *falling), high, low))


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: SignedSettings) -> Proposal:
    stream, probe, ends, changes = batches(), Probe(settings.eps), [], []
    for largest in (False, True):
        v = rayleigh_pass(net, stream, random_directions(net, generator), probe, steps=settings.steps, largest=largest)
        ends.append(offsets_of(net, v, settings.eps))
        changes.append(predicted_changes(net, list(islice(stream, settings.fresh)), v, probe, settings.gains))
    table = ways(settings.weight)
    gains = [path_gains(-low.cpu().double().numpy(), high.cpu().double().numpy(), table)
             for low, high in zip(*changes, strict=True)]
    chains = [best_ways(g, table) for g in gains]
    shape = net.shape
    options = tuple(tuple(Option(w + k, d, float(total)) for k, (total, _) in chain.items())
                    for w, d, chain in zip(shape.widths, shape.depths, chains, strict=True))

    def edits(chosen: tuple[int, ...]) -> list[LayerEdit]:
        ways_of = [list(chain.values())[k][1] for chain, k in zip(chains, chosen, strict=True)]
        return [copied(net, i, [table[w] for w in each], ends[0][i], ends[1][i]) for i, each in enumerate(ways_of)]
    return Proposal(options, edits)


def path_gains(fall: np.ndarray, rise: np.ndarray, table: tuple[Copies, ...]) -> np.ndarray:
    """What each way gains at each path: [C, ways]."""
    return np.column_stack([way.of_fall * fall + way.of_rise * rise for way in table])


def best_ways(gains: np.ndarray, table: tuple[Copies, ...]) -> dict[int, tuple[float, np.ndarray]]:
    """For 0, 4, 8... channels more, at most twice as many in all: the largest gain and the way of each path [C].

    A table over paths and channels added, for gain per channel differs between ways. Only ways that gain are taken.
    """
    paths, most = len(gains), len(gains)
    best = np.full(most + 1, -np.inf)
    best[0] = 0.0
    taken = np.zeros((paths, most + 1), int)
    for path in range(paths):
        before, best = best, best.copy()
        for way, copies in enumerate(table):
            added, gain = len(copies.moves) - 1, gains[path, way]
            if not added or gain <= 0:
                continue
            value = before[:most + 1 - added] + gain
            better = np.flatnonzero(value > best[added:]) + added
            best[better], taken[path, better] = value[better - added], way
    return {k: (float(best[k]), _traced(taken, table, k)) for k in range(0, most + 1, WIDTH_STEP)
            if np.isfinite(best[k])}


def _traced(taken: np.ndarray, table: tuple[Copies, ...], added: int) -> np.ndarray:
    chosen = np.zeros(len(taken), int)
    for path in reversed(range(len(taken))):
        chosen[path] = taken[path, added]
        added -= len(table[chosen[path]].moves) - 1
    return chosen


def copied(net: DsCnn, layer: int, chosen: list[Copies], v_min: Rows, v_max: Rows) -> LayerEdit:
    """The edit that copies each path of a layer in its way. v_min, v_max: offsets, in the parameters' own units."""
    rest = unchanged(net, layer)
    rows = [(path, move) for path, way in enumerate(chosen) for move in way.moves[:1]]
    rows += [(path, move) for path, way in enumerate(chosen) for move in way.moves[1:]]
    source = torch.tensor([path for path, _ in rows], device=rest.source.device)
    weight, low, high = (rest.weight.new_tensor([move[i] for _, move in rows]) for i in range(3))
    return LayerEdit(source, weight, [_moved(a[source], low) + _moved(b[source], high)
                                      for a, b in zip(v_min, v_max, strict=True)])


def _moved(offset: Tensor, factor: Tensor) -> Tensor:
    return offset * per_row(factor, offset)
