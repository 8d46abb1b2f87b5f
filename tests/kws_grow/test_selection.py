from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import tariff
from hypothesis import given, settings
from hypothesis import strategies as st

from export.budget import Limits
from export.shape import NetShape
from kws_grow import selection
from kws_grow.loop import select_round
from kws_grow.methods.proposal import Proposal
from kws_grow.selection import (
    WIDTH_STEP,
    Option,
    Selection,
    changed,
    may_bind,
    select,
    select_in_turn,
    split_options,
)


def prices_within(shape, options, limits, tariff):
    """The gain of every combination of options that is within the limits."""
    for chosen in product(*options):
        grown = replace(shape, widths=tuple(o.width for o in chosen), depths=tuple(o.depth for o in chosen))
        if not limits.broken_by(tariff.shape(grown).whole):
            yield sum(o.gain for o in chosen)


def brute_force(shape, options, limits):
    return max(prices_within(shape, options, limits, tariff()), default=0.0)


def grown_by(shape, options, found):
    chosen = [each[k] for each, k in zip(options, found.chosen, strict=True)]
    return replace(shape, widths=tuple(o.width for o in chosen), depths=tuple(o.depth for o in chosen))


def splits(shape, gains, step=WIDTH_STEP):
    return tuple(split_options(g, w, d, step) for g, w, d in zip(gains, shape.widths, shape.depths, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 7), min_size=1, max_size=3), st.integers(1, 2), st.integers(0, 10**6),
       st.floats(1.0, 2.5), st.floats(1.0, 2.5), st.floats(1.0, 1.6))
def test_as_good_as_brute_force_and_never_over(widths, step, seed, energy, operations, memory):
    shape = NetShape(tuple(widths), 10, 4)
    rng = np.random.default_rng(seed)
    options = splits(shape, tuple(rng.normal(0.3, 1.0, c) for c in widths), step)
    before = tariff().shape(shape).whole
    limits = Limits(energy_uj=before.energy_uj * energy, operations=before.operations * operations,
                    memory_bytes=before.memory_bytes * memory)
    found = select(shape, options, limits, tariff())
    assert found.gain == pytest.approx(brute_force(shape, options, limits))
    assert found.gain == pytest.approx(sum(each[k].gain for each, k in zip(options, found.chosen, strict=True)))
    assert not limits.broken_by(tariff().shape(grown_by(shape, options, found)).whole)


NO_LIMIT = Limits()
QUANTITIES = ("energy_uj", "flash_bytes", "ram_bytes", "operations")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10**6), st.sampled_from(["portable", "tuned"]),
       st.dictionaries(st.sampled_from(QUANTITIES), st.floats(1.0, 2.0), min_size=1))
def test_depth_is_chosen_as_brute_force_would(layers, seed, kernels, factors):
    """Widths, residual blocks or both, on strided nets; the first ADD brings its kernel along. What tuned layers share
    may hide a choice under a flash limit, never go over."""
    rng, prices = np.random.default_rng(seed), tariff(kernels)
    widths, depths, strides = (tuple(map(int, each)) for each in (
        4 * rng.integers(1, 5, layers), rng.integers(0, 2, layers), rng.integers(1, 3, layers - 1)))
    shape = NetShape(widths, 10, 4, depths, strides)
    options = tuple((Option(w, d, 0.0), *(Option(w + 4 * k, d + deeper, float(rng.normal(0.5, 1.0)))
                                          for k, deeper in ((0, 1), (1, 0), (1, 1), (2, 0))))
                    for w, d in zip(shape.widths, shape.depths, strict=True))
    before = prices.shape(shape).whole
    limits = Limits(**{name: getattr(before, name) * factor for name, factor in factors.items()})
    found, best = select(shape, options, limits, prices), max(prices_within(shape, options, limits, prices), default=0)
    assert not limits.broken_by(prices.shape(grown_by(shape, options, found)).whole)
    assert found.gain == pytest.approx(sum(each[k].gain for each, k in zip(options, found.chosen, strict=True)))
    if kernels == "portable" or "flash_bytes" not in factors:
        assert found.gain == pytest.approx(best)
    assert found.gain <= best + 1e-9


def test_the_first_block_pays_for_the_kernel_of_its_sum():
    """Flash that holds one more block's constants, and not the ADD kernel that no layer needs yet."""
    shape, prices = NetShape((8, 8), 10, 4), tariff()
    flat, deep = (prices.shape(each) for each in (shape, replace(shape, depths=(1, 0))))
    kernel = deep.firmware.flash_bytes - flat.firmware.flash_bytes
    assert kernel > 0
    options = ((Option(8, 0, 0.0), Option(8, 1, 1.0)), (Option(8, 0, 0.0),))
    for flash, chosen in ((deep.whole.flash_bytes, (1, 0)), (deep.whole.flash_bytes - 1, (0, 0))):
        assert select(shape, options, Limits(flash_bytes=flash), prices).chosen == chosen


def test_blocks_of_one_layer_share_what_is_alike():
    """Under the flash that the deeper net takes, tuned: its blocks' functions and tables are paid once."""
    shape, prices = NetShape((16,), 10, 4), tariff("tuned")
    deep = prices.shape(replace(shape, depths=(3,))).whole
    options = ((Option(16, 0, 0.0), Option(16, 3, 1.0)),)
    assert select(shape, options, Limits(flash_bytes=deep.flash_bytes), prices).chosen == (1,)


def test_splits_the_best_paths():
    gains = np.array([0.1, 5.0, -1.0, 3.0, 2.0, 4.0, 0.2, 0.3])
    assert split_options(gains, 8, 2) == (Option(8, 2, 0.0), Option(12, 2, pytest.approx(14.0)))
    assert [(o.width, o.gain) for o in split_options(gains, 8, 0, 3)] == [
        (8, 0), (11, pytest.approx(12)), (14, pytest.approx(14.5))]
    limits = Limits(operations=tariff().shape(NetShape((12,), 10, 4)).whole.operations)
    assert select(NetShape((8,), 10, 4), (split_options(gains, 8, 0),), limits, tariff()).chosen == (1,)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_nothing_fits(share):
    """Not even what is there, where share is below 1."""
    shape = NetShape((8, 8), 10, 4)
    limits = Limits(operations=tariff().shape(shape).whole.operations * share)
    assert select(shape, splits(shape, (np.ones(8), np.ones(8))), limits, tariff()) == Selection((0, 0), 0.0)


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
    options = splits(shape, gains)
    found, free = (select(shape, options, each, tariff()) for each in (limits, Limits(**bounds)))
    assert 0 < found.gain == pytest.approx(brute_force(shape, options, limits))
    assert found.gain < free.gain
    assert may_bind(shape, options, limits, tariff()) == [binding]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=3), st.sampled_from(["portable", "tuned"]),
       st.dictionaries(st.sampled_from(QUANTITIES), st.floats(1.0, 3.0), min_size=1))
def test_what_may_not_bind_never_does(widths, kernels, factors):
    shape, prices = NetShape(tuple(widths), 10, 4), tariff(kernels)
    options = tuple((Option(w, 0, 0.0), Option(w + 1, 0, 1.0), Option(w, 1, 1.0), Option(2 * w, 1, 2.0))
                    for w in widths)
    before = prices.shape(shape).whole
    limits = Limits(**{name: getattr(before, name) * factor for name, factor in factors.items()})
    named = may_bind(shape, options, limits, prices)
    for chosen in product(*(range(len(of_layer)) for of_layer in options)):
        assert set(limits.broken_by(prices.shape(changed(shape, options, chosen)).whole)) <= set(named)


def test_what_cannot_bind_is_not_compared(monkeypatch):
    """The same choice from fewer labels."""
    shape, kept = NetShape((24, 20, 32, 32), 20, 12), {True: 0, False: 0}
    options = splits(shape, tuple(np.random.default_rng(0).uniform(0, 1, c) for c in shape.widths))
    limits = Limits(energy_uj=1.7 * tariff().shape(shape).whole.energy_uj, flash_bytes=1e6, ram_bytes=2e5)
    undominated, found = selection._undominated, []
    for all_matters in kept:
        def counted(labels, matters, all_matters=all_matters):
            left = undominated(labels, matters | all_matters)
            kept[all_matters] += len(left.gains)
            return left
        monkeypatch.setattr(selection, "_undominated", counted)
        found.append(select(shape, options, limits, tariff()))
    assert found[0] == found[1]
    assert found[0].gain > 0
    assert kept[False] < kept[True]


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
        options = splits(shape, gains)
        selection = select_round(shape, Proposal(options, None), Limits(), 1.08, slowly, spend)
        chosen[spend] = selection.chosen
        grown = grown_by(shape, options, selection)
        price, before = (getattr(slowly.shape(each).whole, spend) for each in (grown, shape))
        assert price <= 1.08 * before
    assert chosen["energy_uj"][2] < chosen["macs"][2]
    assert chosen["energy_uj"][3] > chosen["macs"][3]


def test_the_ring_of_samples_is_paid_as_the_net_gets_slower():
    """A last layer that widens takes no more arena, only more time; the board listens meanwhile."""
    shape, prices = NetShape((16, 16, 4), 10, 4), tariff()
    before, wide = (prices.shape(each).whole for each in (shape, replace(shape, widths=(16, 16, 8))))
    assert (wide.arena_bytes, wide.ram_bytes > before.ram_bytes) == (before.arena_bytes, True)
    options = ((Option(16, 0, 0.0),), (Option(16, 0, 0.0),), (Option(4, 0, 0.0), Option(8, 0, 1.0)))
    for ram, chosen in ((wide.ram_bytes, (0, 0, 1)), (wide.ram_bytes - 1, (0, 0, 0))):
        assert select(shape, options, Limits(ram_bytes=ram), prices).chosen == chosen


@pytest.mark.parametrize("limit", ["flash_bytes", "ram_bytes", "cycles"])
def test_tuned_kernels_bounds_are_kept(limit):
    """Layers of equal geometry share functions, which the search counts for each: it may miss, but never exceeds."""
    shape, tuned = NetShape((8, 12, 16), 10, 4), tariff("tuned")
    gains = tuple(np.linspace(1, 2, width) for width in shape.widths)
    before, large = (getattr(tuned.shape(each).whole, limit) for each in (shape, NetShape((16, 24, 32), 10, 4)))
    bound = (before + large) / 2
    options = splits(shape, gains)
    found = select(shape, options, Limits(**{limit: bound}), tuned)
    assert found.gain > 0
    assert getattr(tuned.shape(grown_by(shape, options, found)).whole, limit) <= bound


@pytest.mark.parametrize("room", [1.01, 1.05, 1.2])
def test_flash_that_only_shared_functions_leave_is_used(room):
    """A net of one width, whose layers of tuned kernels all share: each further one would seem to bring its own."""
    shape, tuned = NetShape((16,) * 5, 10, 12), tariff("tuned")
    options = splits(shape, tuple(np.linspace(1, 2, width) for width in shape.widths))
    limits = Limits(flash_bytes=tuned.shape(shape).whole.flash_bytes * room)
    within = [replace(shape, widths=(16,) * i + (20,) + (16,) * (4 - i)) for i in range(5)]
    some_fit = any(not limits.broken_by(tuned.shape(each).whole) for each in within)
    found = select(shape, options, limits, tuned)
    assert (found.gain > 0) == some_fit
    assert not limits.broken_by(tuned.shape(grown_by(shape, options, found)).whole)
    assert found.gain == pytest.approx(sum(each[k].gain for each, k in zip(options, found.chosen, strict=True)))


def test_in_turn_until_one_is_too_dear_and_past_those_that_never_fit():
    shape = NetShape((8, 8, 8), 10, 4)
    options = splits(shape, (np.ones(8),) * 3)

    def chosen(order, limits=NO_LIMIT, most=NO_LIMIT):
        return select_in_turn(shape, options, order, limits, most, tariff()).chosen

    def price(*widths):
        return tariff().shape(replace(shape, widths=widths)).whole.operations
    assert chosen((1, 1, 0, 1, 2)) == (1, 2, 1)  # a layer has two options beside what it is
    two = price(8, 16, 8)
    assert chosen((1, 1, 0, 2), most=Limits(operations=two)) == (0, 2, 0)
    assert chosen((1, 1, 0, 2), Limits(operations=two)) == (0, 2, 0)
    last = price(8, 12, 12)
    assert price(12, 12, 8) > last
    assert chosen((1, 0, 2), Limits(operations=last)) == (0, 1, 1)
    assert chosen((1, 0, 2), most=Limits(operations=last)) == (0, 1, 0)
    assert chosen((0, 1), most=Limits(operations=1)) == (1, 0, 0)
