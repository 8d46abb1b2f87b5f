"""Finished runs side by side; where two ways of growing share seeds, what one saves at equal accuracy.

Only runs under the same costs, board, kernels and data are compared: prices of others mean something else.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from math import exp, log
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from datasets.console import Parser, UserError, atomic_write, commit, finish, run_command
from export.calibrate import core_board
from export.graph import Graph
from export.kernels import load_kernels
from export.layer_costs import short_name
from export.measurement import MOST_NETS, Bench
from export.runs import RUNS, resolve
from export.tflite_reader import read_tflite

SAME = ("costs_hash", "board", "kernels", "dataset_sha256")
FOLDER = Path("build") / "compare"


@dataclass(frozen=True)
class Result:
    """A finished run. way: how it grew. accuracies: of the int8 net. instructions: counted on the emulated core."""

    name: str
    way: str
    budget: str
    seed: int
    accuracy_dev: float
    accuracy: float
    macs: int
    instructions: int


@dataclass(frozen=True)
class Saving:
    """Of `way` against `other` over the seeds that both have, at equal accuracy on dev.

    instructions: 0.15 is 15 % fewer; low, high: its 95 % interval (Student's t over seeds). slope: of the accuracy, a
    factor e of instructions.
    """

    way: str
    other: str
    seeds: int
    slope: float
    instructions: float
    low: float
    high: float


def main() -> None:
    parser = Parser(prog="python -m export.compare", description=__doc__)
    parser.add_argument("--runs", default="", help="names of runs, with spaces between; default: every finished one")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for the results; default: %(default)s")
    arguments = parser.parse_args()
    names = arguments.runs.split() or finished(RUNS)
    summaries = {name: summary_of(name) for name in names}
    check_alike(summaries)
    results = results_of(summaries)
    savings = [saving for pair in combinations(dict.fromkeys(r.way for r in results), 2)
               if (saving := saving_of(results, *pair))]
    text = table(results, savings)
    print(text)
    with atomic_write(arguments.out / "table.md") as temporary:
        temporary.write_text(text + "\n")
    alike = {key: next(iter(summaries.values()))[key] for key in SAME}
    finish({**alike, "runs": [vars(result) for result in results], "savings": [vars(saving) for saving in savings],
            "commit": commit()}, arguments.out, f"{len(results)} runs")


def finished(runs: Path) -> list[str]:
    """Names of the finished runs that tell their costs."""
    folders = sorted(runs.iterdir()) if runs.is_dir() else []
    kept = ("summary.json", "model.tflite", "net.npz")
    names = [folder.name for folder in folders if all((folder / name).is_file() for name in kept)]
    if not names:
        raise UserError(f"{runs}/: no finished run in it; `make grow-kws` makes one")
    return names


def summary_of(name: str) -> dict:
    """UserError where the run does not say what its prices are."""
    summary = json.loads((resolve(name).folder / "summary.json").read_text())
    if missing := [key for key in (*SAME, "seed", "spend", "accuracy_int8_dev") if key not in summary]:
        raise UserError(f"RUNS: {name}: its summary.json has no {missing[0]}; it is of another version of kws-grow, "
                        "grow it again")
    return summary


def check_alike(summaries: dict[str, dict]) -> None:
    """UserError for runs whose prices or data differ."""
    (first, its), *others = summaries.items()
    for name, summary in others:
        for key in SAME:
            if summary[key] != its[key]:
                raise UserError(f"RUNS: {first} and {name} differ in {key} ({its[key]}, {summary[key]}); allowed: runs "
                                f"of the same {', '.join(SAME)}")


def results_of(summaries: dict[str, dict]) -> list[Result]:
    """With instructions counted now, on the emulated core that the runs grew for."""
    graphs = [read_tflite(resolve(name).tflite_path) for name in summaries]
    first = next(iter(summaries.values()))
    counts = counted(graphs, first["core"], first["kernels"])
    return [Result(name, f"{summary['method']}, {summary['spend']}", summary["budget"], summary["seed"],
                   summary["accuracy_int8_dev"], summary["accuracy_int8"], summary["macs"], instructions)
            for (name, summary), instructions in zip(summaries.items(), counts, strict=True)]


def counted(graphs: list[Graph], core: str, kernels: str) -> list[int]:
    """Instructions of an inference each."""
    bench = Bench(core_board(short_name(core)), load_kernels(kernels, None))
    parts = [tuple(graphs[i:i + MOST_NETS]) for i in range(0, len(graphs), MOST_NETS)]
    return [count.instructions for i, part in enumerate(parts) for count in bench.count(part, FOLDER / f"image_{i}")]


def saving_of(results: list[Result], way: str, other: str) -> Saving | None:
    """None where fewer than two seeds are shared, or where accuracy does not rise with instructions.

    Accuracy is taken as a line in the logarithm of instructions, of one slope, with an intercept a seed and one for the
    way; the difference of intercepts over the slope is what equal accuracy saves.
    """
    seeds = sorted({r.seed for r in results if r.way == way} & {r.seed for r in results if r.way == other})
    rows = [r for r in results if r.seed in seeds and r.way in (way, other)]
    if len(seeds) < 2:
        return None
    slope = _slope(rows, seeds, way)
    if slope <= 0:
        return None
    ahead = [_height(rows, seed, way, slope) - _height(rows, seed, other, slope) for seed in seeds]
    half = student.ppf(0.975, len(seeds) - 1) * np.std(ahead, ddof=1) / len(seeds) ** 0.5
    share = [1 - exp(-gap / slope) for gap in (np.mean(ahead), np.mean(ahead) - half, np.mean(ahead) + half)]
    return Saving(way, other, len(seeds), float(slope), *map(float, share))


def _slope(rows: list[Result], seeds: list[int], way: str) -> float:
    design = [[log(r.instructions), r.way == way, *(r.seed == seed for seed in seeds)] for r in rows]
    return np.linalg.lstsq(np.array(design, float), np.array([r.accuracy_dev for r in rows]))[0][0]


def _height(rows: list[Result], seed: int, way: str, slope: float) -> float:
    """Mean accuracy above the line through 1 instruction."""
    return float(np.mean([r.accuracy_dev - slope * log(r.instructions) for r in rows
                          if (r.seed, r.way) == (seed, way)]))


def table(results: list[Result], savings: list[Saving]) -> str:
    """Markdown."""
    head = "| run | grown by, paying with | budget | seed | int8, dev | int8, validation | MACs | instructions |"
    ordered = sorted(results, key=lambda r: (r.budget, r.way, r.seed))
    lines = [f"| {r.name} | {r.way} | {r.budget} | {r.seed} | {100 * r.accuracy_dev:.2f} % | {100 * r.accuracy:.2f} % "
             f"| {r.macs:,} | {r.instructions:,} |" for r in ordered]
    told = [f"At equal accuracy on dev, {s.way} takes {100 * s.instructions:+.1f} % fewer instructions than {s.other} "
            f"(95 % interval {100 * s.low:+.1f} to {100 * s.high:+.1f} %, {s.seeds} paired seeds; a factor e of "
            f"instructions is worth {100 * s.slope:.2f} points)." for s in savings]
    return "\n".join([head, "|" + "---|" * 8, *lines, *(f"\n{line}" for line in told)])


if __name__ == "__main__":
    run_command(main)
