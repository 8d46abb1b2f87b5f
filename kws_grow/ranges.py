"""How the range of a tensor is read off its values: one entry a method in RANGES."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from kws_grow.fake_quant import squared_error

Range = tuple[float, float]  # (low, high), low <= 0 < high

BINS = 1 << 14                     # of the histogram that errors are summed over: 64 to a step of int8
SHRINKS = 0.97 ** np.arange(64)    # of each end, that mean_square tries: down to a seventh
LEAST_HIGH = 1e-3                  # a scale cannot be zero


def minmax(values: Tensor) -> Range:
    """(low, high) that holds every value, and zero."""
    low, high = torch.aminmax(values)
    return min(float(low), 0.0), max(float(high), LEAST_HIGH)


def percentile(values: Tensor, share: float) -> Range:
    """(low, high) that holds `share` % of the values at each end, and zero."""
    low, high = np.percentile(values.flatten().double().cpu().numpy(), [100 - share, share])
    return min(float(low), 0.0), max(float(high), LEAST_HIGH)


def mean_square(values: Tensor) -> Range:
    """Of the ranges that shrink either end of min/max, the one in which int8 has the least mean squared error."""
    low, high = minmax(values)
    counts = torch.histc(values.float(), BINS, low, high).double().cpu()
    centres = low + (high - low) * (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    lows = low * SHRINKS if low < 0 else [0.0]
    return min(product(map(float, lows), map(float, high * SHRINKS)),
               key=lambda ends: float(counts @ squared_error(centres, *ends)))


Method = Callable[[Tensor], Range]

RANGES: dict[str, dict[str, Method]] = {
    "minmax": {"minmax": minmax},
    "percentile": {f"percentile {share}": partial(percentile, share=share) for share in (99.99, 99.9)},
    "mean-square": {"mean-square": mean_square}}
