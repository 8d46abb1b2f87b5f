"""Accuracy against what a net costs: finished units, and the nets that growing ones leave on their way."""

from dataclasses import dataclass
from pathlib import Path

from datasets.console import atomic_write
from export.cost import Cost
from export.shape import NetShape
from kws_grow.methods import METHODS
from kws_grow.rows import Row, Unit, tariff_of

QUANTITIES = {"operations": "operations an inference, M", "cycles": "cycles an inference, M (export/costs)"}


@dataclass(frozen=True)
class Published:
    """A point of others: accuracy on the test split, float."""

    name: str
    operations: float
    accuracy: float
    source: str


# As issue 6 quotes them from the splitting papers; neither checked nor measured here.
PUBLISHED = (Published("DS-CNN-L", 56.9e6, 0.9485, "issue 6"),
             Published("splitting steepest descent", 39.2e6, 0.9536, "issue 6"))


@dataclass(frozen=True)
class Point:
    """A net on the way: at the end of a round, of constant learning rate, float, on dev."""

    operations: float
    cycles: float
    accuracy_dev: float


def points_on_the_way(row: Row) -> list[Point]:
    """One for each size that a growing method's net had, in order; none where its log was not kept."""
    if METHODS[row.unit.method].propose is None:
        return []
    ends = {line["phase"]: line for line in row.log if line.get("phase", "").startswith("round ")}
    return [_point(row, line) for line in ends.values()]


def _point(row: Row, line: dict) -> Point:
    cost = _cost(row.config, line["widths"], line["depths"], row.summary["strides"])
    return Point(cost.operations, cost.cycles, line["dev_accuracy"])


def _cost(config: dict, widths: list[int], depths: list[int], strides: list[int]) -> Cost:
    shape = NetShape(tuple(widths), config["n_coefficients"], len(config["labels"]), tuple(depths), tuple(strides))
    return tariff_of(config["board"], config["kernels"]).shape(shape).whole


def plot(rows: dict[Unit, Row], quantity: str, missing: str, path: Path) -> None:
    """Left: dev, with the nets on the way. Right: validation, with published points where `quantity` is operations.

    missing: said below. path: of a PNG.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for colour, method in enumerate(METHODS):
        of_method = [row for unit, row in rows.items() if unit.method == method]
        _draw_way(left, of_method, quantity, f"C{colour}")
        _draw_finished(left, of_method, quantity, "accuracy_int8_dev", f"C{colour}")
        _draw_finished(right, of_method, quantity, "accuracy_int8", f"C{colour}")
    if quantity == "operations":
        _draw_published(right)
    left.set(title="dev: finished, int8; dots: after each round of growth, float")
    right.set(title="validation: finished, int8")
    for axes in (left, right):
        axes.set(xscale="log", xlabel=QUANTITIES[quantity], ylabel="accuracy, %")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small", loc="lower right")
    figure.supxlabel(missing, fontsize="x-small")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


def _draw_way(axes, rows: list[Row], quantity: str, colour: str) -> None:
    for row in rows:
        points = points_on_the_way(row)
        axes.plot([getattr(p, quantity) / 1e6 for p in points], [100 * p.accuracy_dev for p in points], ".-",
                  color=colour, alpha=0.3)


def _draw_finished(axes, rows: list[Row], quantity: str, key: str, colour: str) -> None:
    """A cross a seed, a disc at the mean of each budget."""
    at = [(row.unit.budget, row.summary[quantity] / 1e6, 100 * row.summary[key]) for row in rows]
    axes.plot([x for _, x, _ in at], [y for _, _, y in at], "x", color=colour, alpha=0.5)
    for i, budget in enumerate(dict.fromkeys(budget for budget, _, _ in at)):
        xs, ys = zip(*((x, y) for its, x, y in at if its == budget), strict=True)
        axes.plot(sum(xs) / len(xs), sum(ys) / len(ys), "o", color=colour, markeredgecolor="black",
                  label=None if i else f"{rows[0].unit.method}, n = {len(rows)}")


def _draw_published(axes) -> None:
    for marker, point in zip("s^", PUBLISHED, strict=True):
        axes.plot(point.operations / 1e6, 100 * point.accuracy, marker, color="0.4", markerfacecolor="none",
                  label=f"{point.name}, test, as quoted in {point.source}")
