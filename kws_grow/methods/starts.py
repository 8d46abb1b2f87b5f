"""Shapes that comparators start with."""

from collections.abc import Callable
from dataclasses import replace

from datasets.console import UserError
from export.budget import Limits
from export.cost import Tariff
from export.shape import NetShape
from kws_grow.selection import WIDTH_STEP

Start = Callable[[NetShape, NetShape | None, Limits, Tariff, object], NetShape]
"""(seed, shape of the reference if there is one, limits, tariff, settings) -> shape."""

MOST = 1024  # channels


def fits(shape: NetShape, limits: Limits, tariff: Tariff) -> bool:
    """Whether no limit is broken."""
    return not limits.broken_by(tariff.shape(shape).whole)


def uniform(seed: NetShape, limits: Limits, tariff: Tariff, times: float = 1.0) -> NetShape:
    """The seed with every width multiplied by one number, the largest that fits, then by `times`; what still fits after
    that goes to single layers, the last first. Multiples of four."""
    shape = seed
    for multiple in range(1, MOST):
        wider = _multiplied(seed, 1 + multiple / 32)
        if not fits(wider, limits, tariff):
            break
        shape = wider
    if times != 1.0:
        return _multiplied(shape, times)
    return filled(shape, limits, tariff)


def filled(shape: NetShape, limits: Limits, tariff: Tariff) -> NetShape:
    """`shape` with four channels more in one layer after another, the last first, as long as any fit."""
    before = None
    while shape != before:
        before = shape
        for layer in reversed(range(len(shape.widths))):
            wider = replace(shape, widths=tuple(w + WIDTH_STEP * (i == layer) for i, w in enumerate(shape.widths)))
            shape = wider if fits(wider, limits, tariff) else shape
    return shape


def _multiplied(shape: NetShape, by: float) -> NetShape:
    return replace(shape, widths=tuple(max(WIDTH_STEP, round(w * by / WIDTH_STEP) * WIDTH_STEP) for w in shape.widths))


def reference_shape(reference: NetShape | None, method: str) -> NetShape:
    """UserError where there is no reference."""
    if reference is None:
        raise UserError(f"METHOD={method}: trains the net of a finished run anew; name it by REFERENCE=RUN")
    return reference
