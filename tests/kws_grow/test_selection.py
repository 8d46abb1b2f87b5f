from itertools import product

import numpy as np
import pytest
from helpers import board
from hypothesis import given, settings
from hypothesis import strategies as st

from export.cost import Limits, cost
from export.shape import NetShape
from kws_grow.selection import WIDTH_STEP, select


def brute_force(shape, gains, limits, step):
    """Largest total gain over every combination of counts."""
    best = 0.0
    for counts in product(*(range(0, int((g > 0).sum()) + 1, step) for g in gains)):
        widths = tuple(c + k for c, k in zip(shape.widths, counts, strict=True))
        grown = NetShape(widths, shape.n_coefficients, shape.n_labels)
        if not limits.broken_by(cost(grown, board())):
            best = max(best, sum(np.sort(g)[::-1][:k].sum() for g, k in zip(gains, counts, strict=True)))
    return best


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 7), min_size=1, max_size=3), st.integers(1, 2), st.integers(0, 10**6),
       st.floats(1.0, 2.5), st.floats(1.0, 2.5), st.floats(1.0, 1.6))
def test_as_good_as_brute_force_and_never_over(widths, step, seed, energy, operations, memory):
    shape = NetShape(tuple(widths), 10, 4)
    rng = np.random.default_rng(seed)
    gains = tuple(rng.normal(0.3, 1.0, c) for c in widths)
    before = cost(shape, board())
    limits = Limits(energy_uj=before.energy_uj * energy, operations=before.operations * operations,
                    memory_bytes=before.memory_bytes * memory)
    found = select(shape, gains, limits, board(), step)
    assert found.gain == pytest.approx(brute_force(shape, gains, limits, step))
    assert found.gain == pytest.approx(sum(g[index].sum() for g, index in zip(gains, found.chosen, strict=True)))
    grown = NetShape(tuple(c + len(i) for c, i in zip(widths, found.chosen, strict=True)), 10, 4)
    assert not limits.broken_by(cost(grown, board()))
    assert all(len(index) % step == 0 and len(set(index.tolist())) == len(index) for index in found.chosen)


def test_splits_the_best_paths():
    gains = (np.array([0.1, 5.0, -1.0, 3.0, 2.0, 4.0, 0.2, 0.3]),)
    limits = Limits(operations=cost(NetShape((12,), 10, 4), board()).operations)
    found = select(NetShape((8,), 10, 4), gains, limits, board())
    assert sorted(found.chosen[0]) == [1, 3, 4, 5]
    assert WIDTH_STEP == 4


def test_nothing_fits():
    shape = NetShape((8, 8), 10, 4)
    found = select(shape, (np.ones(8), np.ones(8)), Limits(operations=cost(shape, board()).operations), board())
    assert [len(i) for i in found.chosen] == [0, 0]
