"""Comparator: the net that another run grew, trained from new weights."""

from kws_grow.methods.starts import reference_shape


def start(seed, reference, limits, tariff, settings):
    return reference_shape(reference, "scratch")
