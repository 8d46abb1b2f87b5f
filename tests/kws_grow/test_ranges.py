"""Ranges read off values: what they hold, and mean squares against brute force."""

import numpy as np
import pytest
import torch

from kws_grow.fake_quant import squared_error
from kws_grow.ranges import RANGES, mean_square, minmax, percentile

SHAPES = {
    "behind a ReLU, one far out": lambda g: torch.cat([torch.randn(400000, generator=g).clamp(min=0) / 4,
                                                       torch.tensor([3.0])]),
    "two-sided, a long tail up": lambda g: torch.randn(20000, generator=g).exp() - 1,
    "two-sided, a long tail down": lambda g: 1 - torch.randn(20000, generator=g).exp(),
    "even: nothing to gain": lambda g: torch.rand(20000, generator=g)}


def values_of(shape: str) -> torch.Tensor:
    return SHAPES[shape](torch.Generator().manual_seed(0)).double()


def brute_force(values: torch.Tensor) -> float:
    """Least sum of squared errors over a finer grid, value by value."""
    low, high = minmax(values)
    shares = np.linspace(0.1, 1, 60)
    lows = low * shares if low < 0 else [0.0]
    return min(float(squared_error(values, float(a), float(b)).sum()) for a in lows for b in high * shares)


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_square_is_the_least_there_is(shape):
    values = values_of(shape)
    low, high = mean_square(values)
    assert float(squared_error(values, low, high).sum()) <= 1.03 * brute_force(values)
    assert minmax(values)[0] <= low <= 0 < high <= minmax(values)[1]


def test_mean_square_clips_what_lies_far_out_only():
    assert mean_square(values_of("behind a ReLU, one far out"))[1] < 2.5
    assert mean_square(values_of("even: nothing to gain"))[1] > 0.99


@pytest.mark.parametrize("name", [name for group in RANGES.values() for name in group])
def test_every_method_holds_zero_and_has_a_width(name):
    method = next(group[name] for group in RANGES.values() if name in group)
    for values in (torch.zeros(50), torch.full((50,), 3.0), torch.full((50,), -3.0), torch.linspace(-1, 5, 500)):
        low, high = method(values)
        assert low <= 0 < high


def test_minmax_and_percentile_hold_their_share():
    values = torch.linspace(-100, 1000, 11001)
    assert minmax(values) == (-100, 1000)
    low, high = percentile(values, 99.0)
    assert (low, high) == pytest.approx((-89, 989), abs=0.2)
    assert float((values > high).double().mean()) == pytest.approx(0.01, abs=1e-3)
