"""What finished units tell: each method's mean and spread, and paired differences to the reference."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from export.budget import parse_budget
from export.interval import half_width
from kws_grow.grow import compared_in
from kws_grow.markdown import markdown_table
from kws_grow.rows import REFERENCE, Row, Unit

ACCURACIES = {"accuracy_int8_dev": "int8, dev", "accuracy_float_dev": "float, dev",
              "accuracy_int8": "int8, validation", "accuracy_float": "float, validation"}
FIGURES = {"operations": ("operations, M", 1e-6, 3), "cycles": ("cycles, M", 1e-6, 3),
           "flash_bytes": ("flash, kB", 1e-3, 1), "wall_s": ("wall, min", 1 / 60, 1),
           "processor_s": ("processor, min", 1 / 60, 1)}
SUMMARY_KEYS = {"instructions": "instructions_per_inference"}  # of quantities of a Cost, where they differ
MOST_CHEAPER = 0.02  # beyond it a comparator is not compared at equal cost
Rows = dict[Unit, Row]


@dataclass(frozen=True)
class Spread:
    """Of one figure over the seeds of a method. deviation: of the sample; None for one seed."""

    n: int
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """None where there are no values."""
        values = list(values)
        return cls(len(values), float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None) \
            if values else None


@dataclass(frozen=True)
class Standing:
    """A method at a budget. figures: by their keys in summary.json."""

    method: str
    budget: str
    seeds: tuple[int, ...]
    figures: dict[str, Spread]


@dataclass(frozen=True)
class Gap:
    """Mean of a paired difference. half: of its 95 % interval by Student's t; None for one pair."""

    mean: float
    half: float | None


@dataclass(frozen=True)
class Difference:
    """The reference less another method, over the seeds that both have. gaps: by the accuracy's key.

    cheaper: by what share of the reference's price the other's is lower, a seed each; of several quantities that the
    budget limits, the one in which it is lowered least. slower: what the reference took of the processor, times what
    the other did, of seeds where both rows tell.
    """

    other: str
    budget: str
    seeds: tuple[int, ...]
    gaps: dict[str, Gap]
    cheaper: tuple[float, ...]
    slower: tuple[float, ...]

    @property
    def unequal(self) -> str:
        """Why this is no comparison at equal cost; empty where it is one."""
        dearer, cheaper = min(self.cheaper) < 0, max(self.cheaper) > MOST_CHEAPER
        return " and ".join(["dearer"] * dearer + [f"cheaper by more than {MOST_CHEAPER:.0%}"] * cheaper)


def standings(rows: Rows, methods: Iterable[str], budget: str) -> list[Standing]:
    """Of the methods that have rows at the budget."""
    found = [(method, _of(rows, method, budget)) for method in methods]
    return [_standing(method, budget, its) for method, its in found if its]


def _of(rows: Rows, method: str, budget: str) -> dict[int, Row]:
    """By seed."""
    return {unit.seed: rows[unit] for unit in sorted(rows, key=lambda unit: unit.seed)
            if (unit.method, unit.budget) == (method, budget)}


def _standing(method: str, budget: str, rows: dict[int, Row]) -> Standing:
    """Older rows do not tell everything."""
    figures = {key: Spread.of(row.summary[key] for row in rows.values() if key in row.summary)
               for key in (*ACCURACIES, *FIGURES)}
    return Standing(method, budget, tuple(rows), figures)


def differences(rows: Rows, methods: Iterable[str], budget: str) -> list[Difference]:
    """To every other method that shares a seed with the reference."""
    reference = _of(rows, REFERENCE, budget)
    others = [(method, _of(rows, method, budget)) for method in methods if method != REFERENCE]
    shared = [(method, [(reference[seed], row) for seed, row in its.items() if seed in reference])
              for method, its in others]
    return [_difference(method, budget, pairs) for method, pairs in shared if pairs]


def _difference(other: str, budget: str, pairs: list[tuple[Row, Row]]) -> Difference:
    gaps = {key: gap_of([a.summary[key] - b.summary[key] for a, b in pairs]) for key in ACCURACIES}
    times = [[row.summary.get("processor_s") for row in pair] for pair in pairs]
    return Difference(other, budget, tuple(a.unit.seed for a, _ in pairs), gaps,
                      tuple(_cheaper(a, b) for a, b in pairs), tuple(a / b for a, b in times if a and b))


def gap_of(values: list[float]) -> Gap:
    """Of paired differences."""
    return Gap(float(np.mean(values)), half_width(values) if len(values) > 1 else None)


def _cheaper(reference: Row, other: Row) -> float:
    keys = [SUMMARY_KEYS.get(name, name)
            for name in compared_in(parse_budget(reference.unit.budget), reference.config["spend"])]
    return min(1 - other.summary[key] / reference.summary[key] for key in keys)


def standings_table(found: list[Standing]) -> str:
    """Markdown."""
    head = ["method", "seeds", *(f"{name}, %" for name in ACCURACIES.values()),
            *(name for name, _, _ in FIGURES.values())]
    return markdown_table(head, ([s.method, str(len(s.seeds)),
                                  *(_spread(s.figures[key], 100, 2) for key in ACCURACIES),
                                  *(_spread(s.figures[key], by, digits) for key, (_, by, digits) in FIGURES.items())]
                                 for s in found))


def differences_table(found: list[Difference]) -> str:
    """Markdown."""
    head = [f"{REFERENCE} less", "pairs", *(f"{name}, points" for name in ACCURACIES.values()),
            "cheaper than it by, % (from, to)", "processor time, times its (from, to)", "not at equal cost"]
    return markdown_table(head, ([d.other, str(len(d.seeds)), *(points(d.gaps[key]) for key in ACCURACIES),
                                  _range(d.cheaper, 100, 1), _range(d.slower, 1, 2), d.unequal] for d in found))


def _spread(s: Spread | None, by: float, digits: int) -> str:
    if s is None:
        return ""
    return f"{by * s.mean:.{digits}f}" + ("" if s.deviation is None else f" ± {by * s.deviation:.{digits}f}")


def points(gap: Gap) -> str:
    """"+0.20 (-0.10 to +0.50)"; of one pair without an interval."""
    if gap.half is None:
        return f"{100 * gap.mean:+.2f}"
    return f"{100 * gap.mean:+.2f} ({100 * (gap.mean - gap.half):+.2f} to {100 * (gap.mean + gap.half):+.2f})"


def _range(values: tuple[float, ...], by: float, digits: int) -> str:
    """"1.2 (0.9, 1.5)": the mean, the least and the most; empty of none."""
    return "{:.{d}f} ({:.{d}f}, {:.{d}f})".format(*(by * f(values) for f in (np.mean, min, max)), d=digits) if values \
        else ""
