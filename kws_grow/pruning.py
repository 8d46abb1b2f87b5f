"""Which paths of a net stay when it has to fit: for the comparators that prune."""

from dataclasses import replace

import numpy as np

from datasets.console import UserError
from export.budget import Limits
from export.cost import Tariff
from export.shape import NetShape
from kws_grow.methods.starts import fits
from kws_grow.selection import WIDTH_STEP


def best_that_fit(shape: NetShape, scores: list[np.ndarray], limits: Limits, tariff: Tariff) -> list[np.ndarray]:
    """Indices int64 of the paths that stay, in order: those of the largest scores over all layers that fit, widths a
    multiple of four; what still fits after that goes to the best of those left out, four of a layer at a time.

    UserError where not even four channels a layer fit.
    """
    widths = _fitting(shape, scores, limits, tariff)
    order = [np.argsort(-s, kind="stable") for s in scores]
    while wider := _widened(shape, widths, order, scores, limits, tariff):
        widths = wider
    return [np.sort(best[:w]) for best, w in zip(order, widths, strict=True)]


def _fitting(shape: NetShape, scores: list[np.ndarray], limits: Limits, tariff: Tariff) -> tuple[int, ...]:
    for threshold in np.sort(np.concatenate(scores)):
        widths = tuple(max(WIDTH_STEP, int((s > threshold).sum()) // WIDTH_STEP * WIDTH_STEP) for s in scores)
        if fits(replace(shape, widths=widths), limits, tariff):
            return widths
    raise UserError(f"pruning: not even {WIDTH_STEP} channels a layer fit {limits}; allowed: a larger BUDGET")


def _widened(shape, widths, order, scores, limits, tariff) -> tuple[int, ...] | None:
    """Four more of the layer whose next path scores best, of those layers where they fit."""
    fitting = []
    for layer, (w, best, s) in enumerate(zip(widths, order, scores, strict=True)):
        wider = tuple(v + WIDTH_STEP * (i == layer) for i, v in enumerate(widths))
        if w + WIDTH_STEP <= len(s) and fits(replace(shape, widths=wider), limits, tariff):
            fitting.append((s[best[w]], wider))
    return max(fitting)[1] if fitting else None
