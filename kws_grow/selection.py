"""Which paths split: the most gain whose price stays within every limit, found exactly.

Gains add within a layer, costs couple neighbours: label setting over the path layers (DESIGN, Growth 8). No torch.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np

from export.budget import Limits
from export.cost import PEAKS, QUANTITIES, Cost, Tariff, hello_edge_memory, ram_bytes
from export.layer_memory import ArenaUse
from export.shape import LayerShape, NetShape

WIDTH_STEP = 4  # kernels on Cortex-M fall off a cliff between multiples of 4 (DESIGN, Growth 9)


@dataclass(frozen=True)
class Selection:
    """chosen: indices int64 [k] of the paths that split, one array a path layer. gain: their predicted gain."""

    chosen: tuple[np.ndarray, ...]
    gain: float


@dataclass(frozen=True)
class _Labels:
    """Partial choices that end in the same width. costs float [n, quantities]; uses: fields of ArenaUse, int
    [n, fields]; gains [n], counts int [n, layers]."""

    costs: np.ndarray
    uses: np.ndarray
    gains: np.ndarray
    counts: np.ndarray


_IS_PEAK = np.array([name in PEAKS for name in QUANTITIES])
_ARENA = QUANTITIES.index("arena_bytes")


def select(shape: NetShape, gains: tuple[np.ndarray, ...], limits: Limits, tariff: Tariff, spend: str = "energy_uj",
           step: int = WIDTH_STEP) -> Selection:
    """The split of largest total gain within `limits`; ties go to the one that takes less of `spend`, a quantity of
    Cost. Only positive gains split.

    gains: float [C] a path layer. Widths grow in multiples of `step`. The empty selection where nothing fits. Functions
    that tuned kernels of equal geometry share count for each layer here: under a flash limit, a choice that fits by
    that alone is missed.
    """
    options = [_options(g, step) for g in gains]
    firmware = np.array([astuple(tariff.shape(shape).firmware)], float)
    labels = {1: _Labels(firmware, np.array([astuple(ArenaUse())]), np.zeros(1), np.zeros((1, 0), int))}
    for path, choices in enumerate(options):
        labels = _extend(shape, path, labels, choices, limits, tariff)
    ends = [_add(label, shape.head_layers(width), tariff, 0.0, None) for width, label in labels.items()]
    final = _within(_merge(ends), limits)
    if not len(final.gains):
        return Selection(tuple(np.array([], np.int64) for _ in gains), 0.0)
    best = np.lexsort((final.costs[:, QUANTITIES.index(spend)], -final.gains))[0]
    chosen = tuple(np.argsort(-g, kind="stable")[:k] for g, k in zip(gains, final.counts[best], strict=True))
    return Selection(chosen, float(final.gains[best]))


def _options(gains: np.ndarray, step: int) -> list[tuple[int, int, float]]:
    """(width, paths split, gain) for 0, step, 2 step... of the best paths."""
    best = np.sort(gains[gains > 0])[::-1]
    totals = np.concatenate([[0.0], np.cumsum(best)])
    return [(len(gains) + k, k, float(totals[k])) for k in range(0, len(best) + 1, step)]


def _extend(shape: NetShape, path: int, labels: dict[int, _Labels], choices, limits: Limits,
            tariff: Tariff) -> dict[int, _Labels]:
    """Labels behind path layer `path`, by its width."""
    def behind(width: int, count: int, gain: float) -> _Labels:
        parts = [_add(label, shape.path_layers(path, in_c, width), tariff, gain, count)
                 for in_c, label in labels.items()]
        return _undominated(_within(_merge(parts), limits))
    return {width: behind(width, count, gain) for width, count, gain in choices}


def _add(labels: _Labels, layers: tuple[LayerShape, ...], tariff: Tariff, gain: float, count: int | None) -> _Labels:
    """These layers behind those of each label."""
    known, use = [tariff.layer(layer) for layer in layers], ArenaUse(*labels.uses.T)
    price = np.array(astuple(sum((each.cost for each in known), Cost())), float)
    costs = np.where(_IS_PEAK, np.maximum(labels.costs, price), labels.costs + price)
    for layer, each in zip(layers, known, strict=True):
        use = each.memory.occupy(layer, use)
    costs[:, _ARENA] = np.maximum(costs[:, _ARENA], use.arena_bytes)
    counts = labels.counts if count is None else np.column_stack([labels.counts, np.full(len(costs), count)])
    return _Labels(costs, np.column_stack(astuple(use)), labels.gains + gain, counts)


def _merge(labels: list[_Labels]) -> _Labels:
    return _Labels(*(np.concatenate(parts) for parts in zip(*map(_fields, labels), strict=True)))


def _keep(labels: _Labels, keep: np.ndarray) -> _Labels:
    return _Labels(*(each[keep] for each in _fields(labels)))


def _fields(labels: _Labels) -> tuple[np.ndarray, ...]:
    return labels.costs, labels.uses, labels.gains, labels.counts


def _limited(costs: np.ndarray, limits: Limits) -> np.ndarray:
    """The limited quantities of each label: [n, limits]."""
    prices = dict(zip(QUANTITIES, costs.T, strict=True))
    prices["memory_bytes"] = hello_edge_memory(prices["model_bytes"], prices["activation_bytes"])
    prices["ram_bytes"] = ram_bytes(prices["arena_bytes"], prices["buffer_bytes"], prices["stack_bytes"])
    return np.column_stack([prices[f.name] for f in fields(limits)])


def _within(labels: _Labels, limits: Limits) -> _Labels:
    return _keep(labels, (_limited(labels.costs, limits) <= np.array(astuple(limits))).all(1))


def _undominated(labels: _Labels) -> _Labels:
    """Drop every label that another one beats or equals in gain, in every quantity and in the memory that it leaves."""
    order = np.lexsort((labels.costs[:, QUANTITIES.index("energy_uj")], -labels.gains))
    prices, kept = np.column_stack([labels.costs, labels.uses]), []
    for i in order:
        if not kept or not (prices[kept] <= prices[i]).all(1).any():
            kept.append(i)
    return _keep(labels, np.array(kept, int))
