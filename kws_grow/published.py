"""What others published on the same words, and the plot of ours beside it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.console import atomic_write
from export.budget import BUDGETS
from kws_grow.pareto import PUBLISHED as IN_COMPARISON

MLPERF_OPERATIONS = 2 * 2_656_768  # docs/cost.md; MLPerf Tiny's reference net has the shape of DS-CNN-S
COLOURS = {"int8": "tab:red", "float": "tab:gray"}
TICKS = (5, 10, 20, 50, 100, 200)  # millions of operations


@dataclass(frozen=True)
class PublishedNet:
    """A net of others, on the official test recordings. operations, accuracy: (least, most) where a range is given.
    at_most: where only the budget is known that its operations are within."""

    name: str
    arithmetic: str
    operations: tuple[float, float]
    accuracy: tuple[float, float]
    source: str
    at_most: bool = False


def _net(name: str, arithmetic: str, millions: float, percent: float, source: str) -> PublishedNet:
    return PublishedNet(name, arithmetic, (1e6 * millions,) * 2, (percent / 100,) * 2, source)


_S, _M = (MLPERF_OPERATIONS,) * 2, (BUDGETS["medium"].operations,) * 2
_ARM = "issue 8, of Arm's ML-zoo"
PUBLISHED = (  # accuracies, and operations where nothing else is said, as issue 8 quotes them; none measured here
    PublishedNet("DS-CNN-S", "int8", _S, (0.931,) * 2, f"{_ARM}; operations: docs/cost.md"),
    PublishedNet("DS-CNN-S", "float", _S, (0.942, 0.944), "issue 8; operations: docs/cost.md"),
    PublishedNet("MLPerf Tiny's reference", "int8", _S, (0.901,) * 2, "issue 8; operations: docs/cost.md"),
    PublishedNet("BC-ResNet-1", "float", (5e6, 7e6), (0.969,) * 2, "issue 8"),
    PublishedNet("DS-CNN-M", "int8", _M, (0.939,) * 2, f"{_ARM}; operations: its budget's limit", True),
    _net("MicroNet-S", "int8", 16.4, 95.3, "issue 8"),
    _net("DS-CNN-L", "int8", 56.9, 94.5, f"{_ARM}; operations: issue 6"),
    _net("MicroNet-M", "int8", 30.6, 95.8, "issue 8"),
    _net("BC-ResNet-8", "float", 172, 98.7, "issue 8"),
    *(_net(p.name, "float", p.operations / 1e6, 100 * p.accuracy, p.source) for p in IN_COMPARISON),
)


@dataclass(frozen=True)
class OurNet:
    """accuracies: int8, on validation, of each seed; chosen: of the published one."""

    name: str
    operations: float
    chosen: float
    accuracies: tuple[float, ...]


def plot(ours: Iterable[OurNet], path: Path) -> None:
    """Accuracy against operations; path: of a PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    for net in PUBLISHED:
        _draw_published(axes, net)
    for net in ours:
        axes.plot([net.operations / 1e6] * len(net.accuracies), [100 * a for a in net.accuracies], "x", color="C0")
        axes.plot(net.operations / 1e6, 100 * net.chosen, "o", color="C0", markersize=9)
        axes.annotate(net.name, (net.operations / 1e6, 100 * net.chosen), (7, 5), textcoords="offset points",
                      weight="bold", color="C0")
    axes.set(xscale="log", xlim=(4, 320), xlabel="operations an inference, M", ylabel="accuracy, %",
             title="discs: ours, int8, validation (crosses: each seed); "
                   f"{', '.join(f'{COLOURS[kind][4:]}: published {kind}, test' for kind in COLOURS)}")
    axes.set_xticks(TICKS, map(str, TICKS))
    axes.grid(alpha=0.3, which="both")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)


def _draw_published(axes, net: PublishedNet) -> None:
    x, y = sum(net.operations) / 2e6, 50 * sum(net.accuracy)
    spread = [[abs(end - middle)] for end, middle in ((net.operations[0] / 1e6, x), (net.operations[1] / 1e6, x))]
    axes.errorbar(x, y, [[50 * (net.accuracy[1] - net.accuracy[0])]] * 2, spread, "s", color=COLOURS[net.arithmetic],
                  markerfacecolor="none")
    axes.annotate(f"{net.name}{' (at most)' * net.at_most}", (x, y), (6, 6 if net.arithmetic == "float" else -12),
                  textcoords="offset points", fontsize=8, color=COLOURS[net.arithmetic])
