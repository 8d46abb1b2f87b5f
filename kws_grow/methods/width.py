"""Comparator: the uniform multiplier of the seed's widths that fills the budget (MobileNet, arXiv 1704.04861, 3.3)."""

from kws_grow.methods.starts import uniform


def start(seed, reference, limits, tariff, settings):
    return uniform(seed, limits, tariff)
