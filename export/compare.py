"""Finished runs side by side; where two ways of growing share seeds, what one saves at equal accuracy.

Only runs under the same costs, board, kernels and data are compared: prices of others mean something else.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from math import exp, log
from pathlib import Path

import numpy as np

from datasets.console import Parser, UserError, atomic_write, commit, finish, run_command
from export.calibrate import core_board
from export.graph import Graph
from export.interval import half_width
from export.kernels import KernelSet, load_kernels
from export.layer_costs import short_name
from export.measurement import MOST_NETS, Bench
from export.runs import RUNS, Run, resolve
from export.tflite_reader import read_tflite

READ = ("costs_hash", "board", "core", "kernels", "dataset_sha256", "method", "spend", "budget", "seed", "macs",
        "accuracy_int8_dev", "accuracy_int8")
WAY = ("method", "spend")
FREE = (*WAY, "budget", "seed")  # what compared runs may differ in
FOLDER = Path("build") / "compare"
FEWEST_SEEDS, FEWEST_SIZES = 2, 2


@dataclass(frozen=True)
class Compared:
    """A finished run. config: of its config.json, all that it was made by."""

    run: Run
    summary: dict
    config: dict


@dataclass(frozen=True)
class Result:
    """way: how it grew. accuracies: of the int8 net. instructions: counted on the emulated core."""

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
    """Of `way` against `other` at equal accuracy on dev, over the seeds that both have.

    instructions: 0.15 is 15 % fewer; low, high: its 95 % interval by the jackknife over seeds. slope: of the accuracy,
    a factor e of instructions.
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
    parser.add_argument("--cmsis-nn", type=Path, help="your build of CMSIS-NN, where the runs grew for it")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for the results; default: %(default)s")
    arguments = parser.parse_args()
    runs = named(arguments.runs.split()) if arguments.runs else finished(RUNS)
    check_alike(runs)
    summary = runs[0].summary
    kernels = load_kernels(summary["kernels"], arguments.cmsis_nn)
    results = results_of(runs, counted([read_tflite(each.run.tflite_path) for each in runs], summary["core"], kernels,
                                       arguments.out))
    savings = [saving_of(results, *pair) for pair in combinations(dict.fromkeys(r.way for r in results), 2)]
    text = table(results, savings)
    print(text)
    with atomic_write(arguments.out / "table.md") as temporary:
        temporary.write_text(text + "\n")
    alike = {key: summary[key] for key in ("costs_hash", "board", "core", "kernels", "dataset_sha256")}
    finish({**alike, "runs": [vars(result) for result in results],
            "savings": [vars(saving) for saving in savings if isinstance(saving, Saving)], "commit": commit()},
           arguments.out, f"{len(results)} runs")


def finished(runs: Path) -> list[Compared]:
    """Every finished run that can be compared; the others are named."""
    found = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        try:
            found.append(compared(folder.name))
        except UserError as error:
            print(f"left out: {error}")
    if not found:
        raise UserError(f"{runs}/: no finished run in it; `make grow-kws` makes one")
    return found


def named(names: list[str]) -> list[Compared]:
    """Each once."""
    return list({each.run.name: each for each in map(compared, names)}.values())


def compared(name: str) -> Compared:
    """UserError where the run does not say what it is."""
    run = resolve(name)
    summary = json.loads((run.folder / "summary.json").read_text())
    config = run.folder / "config.json"
    missing = [key for key in READ if key not in summary] + ["config.json"] * (not config.is_file())
    if missing:
        raise UserError(f"RUNS: {name}: tells no {missing[0]}; it is of another version of kws-grow, grow it again")
    return Compared(run, summary, json.loads(config.read_text()))


def check_alike(runs: list[Compared]) -> None:
    """UserError for runs of other costs, board, data, schedule or anything else that they should share."""
    first, *others = runs
    for other in others:
        if differ := differing(first.config, other.config, FREE):
            values = ", ".join(str(each.config.get(differ[0]))[:40] for each in (first, other))
            raise UserError(f"RUNS: {first.run.name} and {other.run.name} differ in {', '.join(differ)} ({values}); "
                            f"allowed: runs that differ in {', '.join(FREE)} alone")


def differing(first: dict, other: dict, free: tuple[str, ...]) -> list[str]:
    """Names of what two configurations differ in, but for what they may."""
    keys = sorted(first.keys() | other.keys())
    return [key for key in keys if key not in free and first.get(key) != other.get(key)]


def results_of(runs: list[Compared], instructions: list[int]) -> list[Result]:
    figures = ("budget", "seed", "accuracy_int8_dev", "accuracy_int8", "macs")
    return [Result(each.run.name, ", ".join(each.summary[key] for key in WAY),
                   *(each.summary[key] for key in figures), count)
            for each, count in zip(runs, instructions, strict=True)]


def counted(graphs: list[Graph], core: str, kernels: KernelSet, folder: Path) -> list[int]:
    """Instructions of an inference each, on the emulated core."""
    bench = Bench(core_board(short_name(core)), kernels)
    parts = [tuple(graphs[i:i + MOST_NETS]) for i in range(0, len(graphs), MOST_NETS)]
    return [count.instructions for i, part in enumerate(parts) for count in bench.count(part, folder / f"image_{i}")]


def saving_of(results: list[Result], way: str, other: str) -> Saving | str:
    """Or why there is none.

    Accuracy is taken as a line in the logarithm of instructions: one slope, an intercept a seed, and one for the way;
    that one over the slope is what equal accuracy saves. Each seed left out in turn tells how sure both are.
    """
    rows = _shared(results, way, other)
    seeds = sorted({r.seed for r in rows})
    if len(seeds) < FEWEST_SEEDS:
        return f"{way} and {other}: fewer than {FEWEST_SEEDS} seeds have {FEWEST_SIZES} sizes of net of each"
    slope, saved = _fitted(rows, way)
    without = [_fitted([r for r in rows if r.seed != seed], way) for seed in seeds]
    if min(slope, *(each for each, _ in without)) <= 0:
        return f"{way} and {other}: accuracy on dev does not rise with instructions"
    pseudo = [len(seeds) * saved - (len(seeds) - 1) * each for _, each in without]
    half = half_width(pseudo)
    return Saving(way, other, len(seeds), slope, *(1 - exp(-each) for each in (saved, saved - half, saved + half)))


def _shared(results: list[Result], way: str, other: str) -> list[Result]:
    """Those of the seeds that have several sizes of both."""
    def sizes(seed: int, its: str) -> int:
        return len({r.instructions for r in results if (r.seed, r.way) == (seed, its)})

    seeds = {r.seed for r in results}
    several = {seed for seed in seeds if min(sizes(seed, way), sizes(seed, other)) >= FEWEST_SIZES}
    return [r for r in results if r.seed in several and r.way in (way, other)]


def _fitted(rows: list[Result], way: str) -> tuple[float, float]:
    """The slope, and the logarithm of the other way's instructions over this one's at equal accuracy."""
    seeds = sorted({r.seed for r in rows})
    design = [[log(r.instructions), r.way == way, *(r.seed == seed for seed in seeds)] for r in rows]
    slope, ahead, *_ = np.linalg.lstsq(np.array(design, float), np.array([r.accuracy_dev for r in rows]))[0]
    return float(slope), float(ahead / slope)


def table(results: list[Result], savings: list[Saving | str]) -> str:
    """Markdown."""
    head = "| run | grown by, paying with | budget | seed | int8, dev | int8, validation | MACs | instructions |"
    ordered = sorted(results, key=lambda r: (r.budget, r.way, r.seed))
    lines = [f"| {r.name} | {r.way} | {r.budget} | {r.seed} | {100 * r.accuracy_dev:.2f} % | {100 * r.accuracy:.2f} % "
             f"| {r.macs:,} | {r.instructions:,} |" for r in ordered]
    told = [saving if isinstance(saving, str) else _sentence(saving) for saving in savings]
    return "\n".join([head, "|" + "---|" * 8, *lines, *(f"\n{line}" for line in told)])


def _sentence(s: Saving) -> str:
    return (f"At equal accuracy on dev, {s.way} takes {100 * s.instructions:.1f} % fewer instructions than {s.other} "
            f"(95 % interval {100 * s.low:.1f} to {100 * s.high:.1f} %, {s.seeds} paired seeds; a factor e of "
            f"instructions is worth {100 * s.slope:.2f} points).")


if __name__ == "__main__":
    run_command(main)
