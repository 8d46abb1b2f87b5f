"""A drawing of a net as it grew: a panel a round, a bar a layer, its length the channels."""

from dataclasses import dataclass
from pathlib import Path

from datasets.console import atomic_write

COLUMNS = 6  # of panels
LEAST_INCHES = 8.0  # of width, which the words below need


@dataclass(frozen=True)
class Stage:
    """The net between two rounds. title: the phases of training it at this size. accuracy_dev: after the last epoch
    of them."""

    title: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    accuracy_dev: float


def stages_of(log: tuple[dict, ...]) -> tuple[Stage, ...]:
    """One for each size, in order; the epochs of a growth log."""
    stages, phases = {}, {}
    for line in log:
        if "epoch" not in line:
            continue
        widths = tuple(line["widths"])
        depths = tuple(line.get("depths") or (0,) * len(widths))
        phases.setdefault((widths, depths), {})[line["phase"]] = None
        stages[widths, depths] = Stage(", ".join(phases[widths, depths]), widths, depths, line["dev_accuracy"])
    return tuple(stages.values())


def draw(stages: tuple[Stage, ...], strides: list[int], path: Path) -> None:
    """path: of a PNG. strides: between layers, 1 or 2."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    rows, columns = -(-len(stages) // COLUMNS), min(len(stages), COLUMNS)
    layers = max(len(stage.widths) for stage in stages)
    figure, panels = plt.subplots(rows, columns, squeeze=False, sharex=True, sharey=True,
                                  figsize=(max(LEAST_INCHES, 2.4 * columns + 0.8), rows * (0.42 * layers + 1.2)),
                                  layout="constrained")
    for axes, stage in zip(panels.flat, stages, strict=False):
        _panel(axes, stage, strides)
    for axes in panels.flat[len(stages):]:
        axes.axis("off")
    panels[0, 0].invert_yaxis()
    figure.supxlabel("channels; a dot is a residual block on them; /2: a stride of two behind the layer",
                     fontsize="small")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)


def _panel(axes, stage: Stage, strides: list[int]) -> None:
    places = range(len(stage.widths))
    axes.barh(places, stage.widths, height=0.72, color=[f"C{i % 10}" for i in places], alpha=0.75)
    for i, (width, depth) in enumerate(zip(stage.widths, stage.depths, strict=True)):
        halved = " /2" if i < len(strides) and strides[i] == 2 else ""
        axes.text(0.5, i, f" {width}{' ' * bool(depth)}{'•' * depth}{halved}", va="center", fontsize=9)
    axes.set_yticks(places, ["first", *map(str, range(1, len(stage.widths)))])
    axes.set_title(f"{stage.title}\n{100 * stage.accuracy_dev:.1f} % on dev", fontsize=9)
