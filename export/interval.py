"""How sure a mean is."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95


def half_width(values: Sequence[float]) -> float:
    """Of Student's 95 % interval of their mean. NaN of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
