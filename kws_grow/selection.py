"""Which change of each layer: the most gain whose price stays within every limit, found exactly.

Gains add over layers, costs couple neighbours: label setting over the path layers (DESIGN, Growth 8). No torch.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from functools import cache
from math import inf

import numpy as np

from export.budget import Limits
from export.cost import PEAKS, QUANTITIES, RAM_PARTS, Cost, Priced, Tariff, hello_edge_memory, ram_bytes
from export.layer_memory import ArenaUse
from export.shape import LayerShape, NetShape

TINY = 1e-9  # of a price, so that what costs nothing more comes first
WIDTH_STEP = 4  # kernels on Cortex-M fall off a cliff between multiples of 4 (DESIGN, Growth 9)


@dataclass(frozen=True)
class Option:
    """What a path layer may become: channels, residual blocks; gain: predicted fall of the loss."""

    width: int
    depth: int
    gain: float


@dataclass(frozen=True)
class Selection:
    """chosen: of each path layer, the index of one of its options. gain: of them together."""

    chosen: tuple[int, ...]
    gain: float


def split_options(gains: np.ndarray, width: int, depth: int, step: int = WIDTH_STEP) -> tuple[Option, ...]:
    """A layer as it is, and with the best `step`, 2 `step`... of its paths split, as long as each gains. gains: float
    [C], of each path."""
    best = np.sort(gains[gains > 0])[::-1]
    totals = np.concatenate([[0.0], np.cumsum(best)])
    return tuple(Option(width + k, depth, float(totals[k])) for k in range(0, len(best) + 1, step))


@dataclass(frozen=True)
class _Labels:
    """Partial choices that end in the same _End. costs float [n, quantities]; uses: fields of ArenaUse, int
    [n, fields]; gains [n], chosen int [n, layers]."""

    costs: np.ndarray
    uses: np.ndarray
    gains: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class _End:
    """What the layers to come need to know: channels, and the kinds of layers so far, whose kernels are linked."""

    width: int
    kinds: frozenset[str]


# What limits are made of that are no quantities themselves; the ring of samples grows with latency.
_PARTS = {"memory_bytes": ("model_bytes", "activation_bytes"), "ram_bytes": (*RAM_PARTS, "latency_ms")}
_IS_PEAK = np.array([name in PEAKS for name in QUANTITIES])
_ARENA, _AUDIO, _FLASH, _LATENCY = map(QUANTITIES.index, ("arena_bytes", "audio_bytes", "flash_bytes", "latency_ms"))


def select(shape: NetShape, options: tuple[tuple[Option, ...], ...], limits: Limits, tariff: Tariff,
           spend: str = "energy_uj") -> Selection:
    """The options of largest total gain within `limits`; ties go to those that take less of `spend`, a quantity of
    Cost. Where nothing fits, the first of each.

    shape: its strides, coefficients and labels stay. options: of each path layer; the first leaves it as it is. What
    tuned kernels of equal geometry share counts once within a path layer, but for each layer here; under a flash limit,
    what fits by that alone is then added, best gain for its price first, which need not be the best of all.
    """
    adder = _Adder(tariff, _firmware(shape, tariff), shape.n_labels)
    labels, matters = adder.nothing(), _matters(may_bind(shape, options, limits, tariff), spend)
    for path, of_layer in enumerate(options):
        fitting = _fitting(_extended(shape, path, labels, of_layer, adder), limits)
        labels = {end: _undominated(each, matters) for end, each in fitting.items()}
    labels = _fitting(_headed(shape, labels, adder), limits)
    if not labels:
        found = Selection((0,) * len(options), 0.0)
    else:
        final = _merge(list(labels.values()))
        best = np.lexsort((final.costs[:, QUANTITIES.index(spend)], -final.gains))[0]
        found = Selection(tuple(final.chosen[best].tolist()), float(final.gains[best]))
    return _filled(shape, options, found, limits, tariff, spend) if limits.flash_bytes < inf else found


def _filled(shape: NetShape, options: tuple[tuple[Option, ...], ...], found: Selection, limits: Limits, tariff: Tariff,
            spend: str) -> Selection:
    """With the changes of single layers that gain and still fit by their true price, until there is none."""
    while True:
        price = getattr(tariff.shape(changed(shape, options, found.chosen)).whole, spend)
        best, best_rate = None, 0.0
        for chosen, gain in _single_changes(options, found):
            whole = tariff.shape(changed(shape, options, chosen)).whole
            if not limits.broken_by(whole) and (rate := gain / max(getattr(whole, spend) - price, TINY)) > best_rate:
                best, best_rate = Selection(chosen, found.gain + gain), rate
        if best is None:
            return found
        found = best


def _single_changes(options: tuple[tuple[Option, ...], ...],
                    found: Selection) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every choice that gains more in one layer, and how much more."""
    for i, (of_layer, now) in enumerate(zip(options, found.chosen, strict=True)):
        for k, option in enumerate(of_layer):
            if (more := option.gain - of_layer[now].gain) > 0:
                yield (*found.chosen[:i], k, *found.chosen[i + 1:]), more


def changed(shape: NetShape, options: tuple[tuple[Option, ...], ...], chosen: tuple[int, ...]) -> NetShape:
    """The shape with these options."""
    taken = [of_layer[k] for of_layer, k in zip(options, chosen, strict=True)]
    return replace(shape, widths=tuple(o.width for o in taken), depths=tuple(o.depth for o in taken))


def select_in_turn(shape: NetShape, options: tuple[tuple[Option, ...], ...], order: Iterable[int], limits: Limits,
                   most: Limits, tariff: Tariff) -> Selection:
    """Path layers take their next option in this order, a layer once for each time that it stands there, until one is
    over `most`; those that break `limits` are passed over."""
    chosen = [0] * len(options)
    for i in order:
        if chosen[i] + 1 == len(options[i]):
            continue
        further = (*chosen[:i], chosen[i] + 1, *chosen[i + 1:])
        whole = tariff.shape(changed(shape, options, further)).whole
        if limits.broken_by(whole):
            continue
        if most.broken_by(whole) and any(chosen):
            break
        chosen[i] += 1
    return Selection(tuple(chosen), 0.0)


Firmware = Callable[[frozenset[str]], Cost]


def _firmware(shape: NetShape, tariff: Tariff) -> Firmware:
    """By the kinds of a net's layers."""
    return cache(lambda kinds: tariff.firmware(kinds, (shape.input_bytes, shape.n_labels), shape.n_coefficients,
                                               shape.n_labels))


def may_bind(shape: NetShape, options: tuple[tuple[Option, ...], ...], limits: Limits, tariff: Tariff) -> list[str]:
    """Names of the limits that some choice of options might exceed; all others never hold anything back. By a label for
    each end that has the most of everything, which no choice has more of."""
    adder = _Adder(tariff, _firmware(shape, tariff), shape.n_labels)
    most = adder.nothing()
    for path, of_layer in enumerate(options):
        most = {end: _most(_merge(each)) for end, each in _extended(shape, path, most, of_layer, adder).items()}
    heads = [each for of_end in _headed(shape, most, adder).values() for each in of_end]
    over = (_limited(_merge(heads).costs, limits) > np.array(astuple(limits))).any(0)
    return [field.name for field, might in zip(fields(limits), over, strict=True) if might]


def _matters(binding: list[str], spend: str) -> np.ndarray:
    """Of a label's costs and uses, which ones decide what comes of it."""
    needed = {spend}.union(*(_PARTS.get(name, (name,)) for name in binding))
    return np.array([name in needed for name in QUANTITIES] + ["ram_bytes" in binding] * len(fields(ArenaUse)))


def _most(labels: _Labels) -> _Labels:
    """One label that has the most of each."""
    return _Labels(*(each.max(0, keepdims=True) for each in _fields(labels)))


def _headed(shape: NetShape, labels: dict[_End, _Labels], adder: "_Adder") -> dict[_End, list[_Labels]]:
    """Whole nets."""
    return {end: [adder.add(end, label, shape.head_layers(end.width))[1]] for end, label in labels.items()}


def _extended(shape: NetShape, path: int, labels: dict[_End, _Labels], options: tuple[Option, ...],
              adder: "_Adder") -> dict[_End, list[_Labels]]:
    """Labels behind path layer `path`."""
    parts: dict[_End, list[_Labels]] = {}
    for index, option in enumerate(options):
        for end, label in labels.items():
            layers = shape.path_layers(path, end.width, option.width, option.depth)
            behind, added = adder.add(end, label, layers)
            parts.setdefault(behind, []).append(_chosen(added, index, option.gain))
    return parts


def _chosen(labels: _Labels, index: int, gain: float) -> _Labels:
    chosen = np.column_stack([labels.chosen, np.full(len(labels.gains), index)])
    return _Labels(labels.costs, labels.uses, labels.gains + gain, chosen)


@dataclass(frozen=True)
class _Adder:
    """Puts layers behind labels."""

    tariff: Tariff
    firmware: Firmware
    n_labels: int

    def nothing(self) -> dict[_End, _Labels]:
        """Before the first layer."""
        price = np.array([astuple(self.firmware(frozenset()))], float)
        use, gain, chosen = np.array([astuple(ArenaUse())]), np.zeros(1), np.zeros((1, 0), int)
        return {_End(1, frozenset()): _Labels(price, use, gain, chosen)}

    def add(self, end: _End, labels: _Labels, layers: tuple[LayerShape, ...]) -> tuple[_End, _Labels]:
        """These layers behind those of each label, and where that ends."""
        known, use = [self.tariff.layer(layer) for layer in layers], ArenaUse(*labels.uses.T)
        behind = _End(layers[-1].outputs[2], end.kinds.union(each.kind for each in known))
        price = np.array(astuple(sum((each.cost for each in known), Cost())), float)
        price[_FLASH] += self._code(behind) - self._code(end) - self._repeated(known)
        costs = np.where(_IS_PEAK, np.maximum(labels.costs, price), labels.costs + price)
        for layer, each in zip(layers, known, strict=True):
            use = each.memory.occupy(layer, use)
        costs[:, _ARENA] = np.maximum(costs[:, _ARENA], use.arena_bytes)
        costs[:, _AUDIO] = self.tariff.audio_bytes(costs[:, _LATENCY], self.n_labels)
        return behind, _Labels(costs, np.column_stack(astuple(use)), labels.gains, labels.chosen)

    def _code(self, end: _End) -> int:
        return self.firmware(end.kinds).flash_bytes

    def _repeated(self, known: list[Priced]) -> int:
        """Flash that the costs of these layers hold twice."""
        return sum(each.cost.flash_bytes for each in known) - sum(self.tariff.flash_in_turn(known))


def _merge(labels: list[_Labels]) -> _Labels:
    return _Labels(*(np.concatenate(parts) for parts in zip(*map(_fields, labels), strict=True)))


def _keep(labels: _Labels, keep: np.ndarray) -> _Labels:
    return _Labels(*(each[keep] for each in _fields(labels)))


def _fields(labels: _Labels) -> tuple[np.ndarray, ...]:
    return labels.costs, labels.uses, labels.gains, labels.chosen


def _limited(costs: np.ndarray, limits: Limits) -> np.ndarray:
    """The limited quantities of each label: [n, limits]."""
    prices = dict(zip(QUANTITIES, costs.T, strict=True))
    prices["memory_bytes"] = hello_edge_memory(prices["model_bytes"], prices["activation_bytes"])
    prices["ram_bytes"] = ram_bytes(*(prices[name] for name in RAM_PARTS))
    return np.column_stack([prices[f.name] for f in fields(limits)])


def _fitting(parts: dict[_End, list[_Labels]], limits: Limits) -> dict[_End, _Labels]:
    """The ends where any label is within the limits, with those labels."""
    found = {end: _within(_merge(each), limits) for end, each in parts.items()}
    return {end: each for end, each in found.items() if len(each.gains)}


def _within(labels: _Labels, limits: Limits) -> _Labels:
    return _keep(labels, (_limited(labels.costs, limits) <= np.array(astuple(limits))).all(1))


def _undominated(labels: _Labels, matters: np.ndarray) -> _Labels:
    """Drop every label that another one beats or equals in gain and in all that matters of its costs and uses."""
    order = np.lexsort((labels.costs[:, QUANTITIES.index("energy_uj")], -labels.gains))
    prices = np.column_stack([labels.costs, labels.uses])
    prices = prices[:, matters & (prices != prices[:1]).any(0)]
    best, kept = np.empty_like(prices), []
    for i in order:
        if not kept or not (best[:len(kept)] <= prices[i]).all(1).any():
            best[len(kept)] = prices[i]
            kept.append(i)
    return _keep(labels, np.array(kept, int))
