from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import tariff
from hypothesis import given, settings
from hypothesis import strategies as st

from export.budget import Limits
from export.shape import NetShape
from kws_grow.loop import select_round
from kws_grow.selection import WIDTH_STEP, select


def brute_force(shape, gains, limits, step):
    """Largest total gain over every combination of counts."""
    best = 0.0
    for counts in product(*(range(0, int((g > 0).sum()) + 1, step) for g in gains)):
        widths = tuple(c + k for c, k in zip(shape.widths, counts, strict=True))
        grown = NetShape(widths, shape.n_coefficients, shape.n_labels)
        if not limits.broken_by(tariff().shape(grown).whole):
            best = max(best, sum(np.sort(g)[::-1][:k].sum() for g, k in zip(gains, counts, strict=True)))
    return best


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 7), min_size=1, max_size=3), st.integers(1, 2), st.integers(0, 10**6),
       st.floats(1.0, 2.5), st.floats(1.0, 2.5), st.floats(1.0, 1.6))
def test_as_good_as_brute_force_and_never_over(widths, step, seed, energy, operations, memory):
    shape = NetShape(tuple(widths), 10, 4)
    rng = np.random.default_rng(seed)
    gains = tuple(rng.normal(0.3, 1.0, c) for c in widths)
    before = tariff().shape(shape).whole
    limits = Limits(energy_uj=before.energy_uj * energy, operations=before.operations * operations,
                    memory_bytes=before.memory_bytes * memory)
    found = select(shape, gains, limits, tariff(), step=step)
    assert found.gain == pytest.approx(brute_force(shape, gains, limits, step))
    assert found.gain == pytest.approx(sum(g[index].sum() for g, index in zip(gains, found.chosen, strict=True)))
    grown = NetShape(tuple(c + len(i) for c, i in zip(widths, found.chosen, strict=True)), 10, 4)
    assert not limits.broken_by(tariff().shape(grown).whole)
    assert all(len(index) % step == 0 and len(set(index.tolist())) == len(index) for index in found.chosen)


def test_splits_the_best_paths():
    gains = (np.array([0.1, 5.0, -1.0, 3.0, 2.0, 4.0, 0.2, 0.3]),)
    limits = Limits(operations=tariff().shape(NetShape((12,), 10, 4)).whole.operations)
    found = select(NetShape((8,), 10, 4), gains, limits, tariff())
    assert sorted(found.chosen[0]) == [1, 3, 4, 5]
    assert WIDTH_STEP == 4


def test_nothing_fits():
    shape = NetShape((8, 8), 10, 4)
    found = select(shape, (np.ones(8), np.ones(8)), Limits(operations=tariff().shape(shape).whole.operations), tariff())
    assert [len(i) for i in found.chosen] == [0, 0]


LIMITED = ("operations", "memory_bytes", "flash_bytes", "ram_bytes", "cycles", "latency_ms", "energy_uj")


@pytest.mark.parametrize("binding", LIMITED)
def test_every_limit_holds_back(binding):
    """Nothing else is near its bound: the choice is as good as brute force's, and smaller than without that limit."""
    shape, gains = NetShape((8, 8, 8), 10, 4), tuple(np.linspace(1, 2, 8) * k for k in (1, 3, 2))
    before = tariff().shape(shape).whole
    large = tariff().shape(NetShape((16, 16, 16), 10, 4)).whole
    bounds = {name: 2 * getattr(large, name) for name in LIMITED}
    middle = (getattr(before, binding) + getattr(large, binding)) / 2
    limits = Limits(**{**bounds, binding: middle})
    found, free = select(shape, gains, limits, tariff()), select(shape, gains, Limits(**bounds), tariff())
    assert 0 < found.gain == pytest.approx(brute_force(shape, gains, limits, WIDTH_STEP))
    assert found.gain < free.gain


def test_rounds_pay_with_what_they_are_told_to():
    """Where a depthwise is slow, who pays with energy takes the last layer's channels, which have none; who pays with
    MACs takes an inner layer's, though each of their gains is a little smaller than what it costs more."""
    shape, usual = NetShape((16, 16, 16, 16), 20, 12), tariff()
    slow = {kind: replace(model, per={name: 9 * value for name, value in model.per.items()}) if kind == "depthwise"
            else model for kind, model in usual.costs.cycles.items()}
    slowly = replace(usual, costs=replace(usual.costs, cycles=slow))
    gains = (np.full(16, -1.0), np.full(16, -1.0), np.full(16, 3.5), np.full(16, 1.0))
    chosen = {}
    for spend in ("energy_uj", "macs"):
        selection = select_round(shape, gains, Limits(), 1.08, slowly, spend)
        chosen[spend] = [len(index) for index in selection.chosen]
        widths = tuple(c + k for c, k in zip(shape.widths, chosen[spend], strict=True))
        price, before = (getattr(slowly.shape(NetShape(each, 20, 12)).whole, spend) for each in (widths, shape.widths))
        assert price <= 1.08 * before
    assert chosen["energy_uj"][2] < chosen["macs"][2]
    assert chosen["energy_uj"][3] > chosen["macs"][3]


@pytest.mark.parametrize("limit", ["flash_bytes", "ram_bytes", "cycles"])
def test_tuned_kernels_bounds_are_kept(limit):
    """Layers of equal geometry share functions, which the search counts for each: it may miss, but never exceeds."""
    shape, tuned = NetShape((8, 12, 16), 10, 4), tariff("tuned")
    gains = tuple(np.linspace(1, 2, width) for width in shape.widths)
    before, large = (getattr(tuned.shape(each).whole, limit) for each in (shape, NetShape((16, 24, 32), 10, 4)))
    bound = (before + large) / 2
    found = select(shape, gains, Limits(**{limit: bound}), tuned)
    grown = NetShape(tuple(c + len(i) for c, i in zip(shape.widths, found.chosen, strict=True)), 10, 4)
    assert found.gain > 0
    assert getattr(tuned.shape(grown).whole, limit) <= bound
