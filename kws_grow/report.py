"""The growth log and the growth curve of a run."""

import json
from pathlib import Path

from datasets.console import atomic_write
from kws_grow.loop import predicted


def write_log(folder: Path, log: tuple[dict, ...]) -> None:
    """growth.jsonl: one line an epoch, one a round and one a candidate for int8, in order."""
    with atomic_write(folder / "growth.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in log))


def write_table(folder: Path, log: tuple[dict, ...]) -> None:
    """growth.md: per round and layer, channels before and after, predicted gain, price, realised change of loss; then
    the candidates for int8."""
    head = ("| round | layer | channels before | after | predicted change of loss | realised | uJ | operations |\n"
            "|---|---|---|---|---|---|---|---|\n")
    ranges = "\n| ranges | int8 accuracy on dev | kept |\n|---|---|---|\n"
    with atomic_write(folder / "growth.md") as temporary:
        temporary.write_text(head + "".join(_round_rows(row) for row in log if "round" in row)
                             + ranges + "".join(_ranges_row(row) for row in log if "ranges" in row))


def _ranges_row(row: dict) -> str:
    return f"| {row['ranges']} | {100 * row['accuracy_int8_dev']:.2f} % | {'yes' if row['kept'] else ''} |\n"


def _round_rows(row: dict) -> str:
    together = {"layer": "all", "before": "", "after": "", "deeper": 0, **row}
    return "".join(f"| {row['round']} | {x['layer']} | {x['before']} | {x['after']}{' and a block' * x['deeper']} "
                   f"| {predicted(x)} "
                   f"| {x['realised_change']:+.4f} | {x['price_energy_uj']:+.1f} | {x['price_operations']:+d} |\n"
                   for x in (*row["layers"], together))


def plot_growth(folder: Path, log: tuple[dict, ...]) -> None:
    """growth.png: accuracy on dev and widths over epochs."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    epochs = [row for row in log if "epoch" in row]
    x = [row["epoch"] for row in epochs]
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(8, 6), layout="constrained")
    top.plot(x, [100 * row["dev_accuracy"] for row in epochs])
    top.set(ylabel="accuracy on dev, %", title="growth curve")
    top.grid(alpha=0.3)
    for i, widths in enumerate(zip(*(row["widths"] for row in epochs), strict=True)):
        bottom.step(x, widths, where="mid", label=f"layer {i}")
    bottom.set(ylabel="channels", xlabel="epoch")
    bottom.legend(fontsize="small", ncols=5)
    with atomic_write(folder / "growth.png") as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
