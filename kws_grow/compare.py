"""`make compare`: one run for each method, seed and budget; runs what is missing, keeps it as a row of
docs/results/rows, and draws table and plots from the rows that are there."""

import json
import shutil
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets.console import Parser, UserError, atomic_write, commit, finish, run_command
from export.budget import parse_budget
from export.compare import differing
from kws_grow.comparison import Rows, differences, differences_table, standings, standings_table
from kws_grow.config import Schedule
from kws_grow.grow import RATE_OPTIONS, SCHEDULE_OPTIONS, known_method, seeds_of
from kws_grow.jobs import parse_units, run_units
from kws_grow.methods import METHODS
from kws_grow.pareto import QUANTITIES, plot
from kws_grow.rows import (
    ROWS,
    Row,
    Unit,
    keep_row,
    other_settings,
    read_rows,
    restore_reference,
    stale,
    takes_after,
)
from kws_grow.splitting import TOGETHER

SCHEDULE = Schedule(seed_epochs=2, round_epochs=1, final_epochs=13)  # of every unit
# Of a method's units, where not its defaults. energy-aware: half an epoch a round. gains: as the first rows have them.
INDEX = {name: f"{steps}gains={TOGETHER}" for name, steps in (
    ("energy-aware", "steps=30 fresh=12 "), ("splitting", "fresh=12 "), ("signed", ""), ("firefly", ""))}
SILENCE, VOICE, UNKNOWN = "plain", "plain", "even"  # of every row: the first ones were learnt so
OUT, LOGS = Path("docs") / "results" / "compare", Path("build") / "compare"
FREE = ("method", "seed", "budget", "device", "threads", "reference")  # what rows of a method may differ in


@dataclass(frozen=True)
class Plan:
    """What is asked for. data, device: as grow-kws takes them, None for its defaults. rerun: stale ones too."""

    wanted: tuple[Unit, ...]
    rows: Path
    runs: Path
    data: Path | None
    device: str | None
    rerun: bool


@dataclass(frozen=True)
class State:
    """The rows that can be averaged, why others cannot, and the units that have none."""

    fresh: Rows
    stale: dict[Unit, str]
    missing: tuple[Unit, ...]


def main() -> None:
    arguments = parse_arguments()
    plan = plan_of(arguments)
    state = state_of(plan)
    print(told(state))
    failed = {}
    if not arguments.draw:
        failed = run(plan, state, arguments.jobs)
        state = state_of(plan)
    draw(plan, state, failed, arguments.out)
    if failed:
        sys.exit(1)


def parse_arguments() -> Namespace:
    parser = Parser(prog="python -m kws_grow.compare", description=__doc__)
    parser.add_argument("--methods", default=" ".join(METHODS), help="default: %(default)s")
    parser.add_argument("--seeds", default="0 1 2 3 4", help="default: %(default)s")
    parser.add_argument("--budget", default="ops<=2M", help="default: %(default)s")
    parser.add_argument("--rows", type=Path, default=ROWS, help="folder of the rows; default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="for table and plots; default: %(default)s")
    return parse_units(parser)


def plan_of(arguments: Namespace) -> Plan:
    """Every method with every seed, and the references that comparators need. UserError for unknown ones."""
    parse_budget(arguments.budget)
    methods = [known_method(name) for name in arguments.methods.split()]
    seeds = seeds_of(arguments.seeds)
    if not (methods and seeds):
        raise UserError("METHODS and SEEDS: at least one of each")
    units = [Unit(method, seed, arguments.budget) for method in methods for seed in seeds]
    references = [unit.reference for unit in units if unit.reference]
    return Plan(tuple(dict.fromkeys([*references, *units])), arguments.rows, arguments.runs, arguments.data,
                arguments.device, arguments.rerun)


def state_of(plan: Plan) -> State:
    """UserError where rows cannot stand in one table."""
    rows = read_rows(plan.rows)
    old = stale(rows, SCHEDULE)
    fresh = {unit: row for unit, row in rows.items() if unit not in old}
    check_alike(fresh)
    return State(fresh, old, tuple(unit for unit in plan.wanted if unit not in rows))


def check_alike(rows: Rows) -> None:
    """UserError for rows of other data, board or anything else that a table's should share; methods have settings of
    their own."""
    firsts = {}
    for unit, row in rows.items():
        for first, free in ((next(iter(rows.values())), (*FREE, "index")),
                            (firsts.setdefault(unit.method, row), FREE)):
            if differ := differing(first.config, row.config, free):
                raise UserError(f"rows {first.unit.name} and {unit.name} differ in {', '.join(differ)}; delete those "
                                "that are not meant, the same command runs them again")


def told(state: State) -> str:
    """Which rows are there, stale or missing."""
    lines = [f"rows: {len(state.fresh)} there, {len(state.stale)} stale, {len(state.missing)} missing"]
    lines += [f"  there    {grouped(state.fresh)}"] * bool(state.fresh)
    lines += [f"  stale    {unit.name}: {why}" for unit, why in state.stale.items()]
    lines += [f"  missing  {grouped(state.missing)}"] * bool(state.missing)
    return "\n".join(lines)


def grouped(units: Iterable[Unit]) -> str:
    """"ops<=2M, seeds 0 1: width, random; seeds 3: width"."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for unit in sorted(units, key=lambda unit: unit.seed):
        seeds.setdefault((unit.budget, unit.method), []).append(str(unit.seed))
    methods: dict[str, list[str]] = {}
    for (budget, method), its in seeds.items():
        methods.setdefault(f"{budget}, seeds {' '.join(its)}", []).append(method)
    return "; ".join(f"{which}: {', '.join(its)}" for which, its in methods.items())


def run(plan: Plan, state: State, jobs: int) -> dict[Unit, str]:
    """Run what is missing, and what is stale where that was asked for; returns why units failed."""
    again = [unit for unit in plan.wanted if unit in state.stale] if plan.rerun else []
    again += [unit for unit in plan.wanted if plan.rerun and unit.reference in again and unit not in again]
    todo = [unit for unit in plan.wanted if unit in state.missing or unit in again]
    if todo:
        print(f"running {len(todo)} units, {min(jobs, len(todo))} at once", flush=True)
    return run_units(todo, jobs, LOGS, lambda unit: prepared(unit, plan, state, unit.reference in todo),
                     lambda unit: keep_row(plan.runs / unit.name, plan.rows))


def prepared(unit: Unit, plan: Plan, state: State, reference_ran: bool) -> list[str]:
    """The command that runs a unit, once its reference is where it looks for it, and no stale run in its way.

    UserError where the reference is stale.
    """
    reference = unit.reference
    if reference in state.stale and not reference_ran:
        raise UserError(f"its reference {reference.name} is stale ({state.stale[reference]}); RERUN=1 runs it again")
    if reference in state.fresh and not reference_ran:
        restore_reference(state.fresh[reference], plan.runs)
    if plan.rerun:
        clear_stale(plan.runs / unit.name, read_rows(plan.rows).get(reference))
    return command_of(unit, plan)


def clear_stale(run: Path, reference: Row | None) -> None:
    """Delete a run's folder unless the present command would go on with it. reference: its row, None without."""
    try:
        config = json.loads((run / "config.json").read_text())
        keep = not other_settings(config, SCHEDULE) and (reference is None or takes_after(config, reference))
    except (FileNotFoundError, ValueError, KeyError):
        keep = False
    if not keep and run.is_dir():
        print(f"{run}: stale, deleted")
        shutil.rmtree(run)


def command_of(unit: Unit, plan: Plan) -> list[str]:
    """One CPU thread: units run side by side."""
    options = {"method": unit.method, "seed": unit.seed, "budget": unit.budget, "threads": 1, "run": unit.name,
               "runs": plan.runs, "data": plan.data, "device": plan.device, "index": INDEX.get(unit.method),
               "silence": SILENCE, "voice": VOICE, "unknown": UNKNOWN,
               "reference": unit.reference and unit.reference.name,
               **{name: getattr(SCHEDULE, name) for name in (*SCHEDULE_OPTIONS, *RATE_OPTIONS)}}
    given = [[f"--{name.replace('_', '-')}", str(value)] for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "datasets.launch", "kws_grow.grow", *sum(given, [])]


def draw(plan: Plan, state: State, failed: dict[Unit, str], out: Path) -> None:
    """table.md, the Pareto plots, summary.json."""
    budgets = list(dict.fromkeys(unit.budget for unit in (*plan.wanted, *state.fresh)))
    text = document(state, budgets)
    print(f"\n{text}")
    with atomic_write(out / "table.md") as temporary:
        temporary.write_text(text + "\n")
    for quantity in QUANTITIES:
        plot(state.fresh, quantity, missing_of(state), out / f"pareto_{quantity}.png")
    finish(summary_of(state, budgets) | {"failed": {unit.name: why for unit, why in failed.items()}}, out, "Compared")
    for unit, why in failed.items():
        print(f"failed: {unit.name}: {why}", file=sys.stderr)


def document(state: State, budgets: list[str]) -> str:
    """Markdown."""
    head = ["# Methods compared", "", "Written by `make compare`. Mean ± standard deviation over seeds; differences "
            "are paired by seed, with Student's 95 % interval."]
    parts = [part for budget in budgets for part in section(state, budget)]
    old = [f"- stale, left out: {unit.name}: {why}" for unit, why in state.stale.items()]
    return "\n".join([*head, *parts, "", f"Missing: {missing_of(state)}", *commits_of(state), *old])


def commits_of(state: State) -> list[str]:
    """Of the code that made the rows; settings are compared, code is not."""
    made = Counter(row.summary["commit"] for row in state.fresh.values() if "commit" in row.summary)
    return [f"\nRows by the code of commits {', '.join(f'{commit} ({n})' for commit, n in made.items())}."] * bool(made)


def section(state: State, budget: str) -> list[str]:
    """Of one budget; nothing where no row is there."""
    found, gaps = standings(state.fresh, METHODS, budget), differences(state.fresh, METHODS, budget)
    if not found:
        return []
    return ["", f"## {budget}", "", standings_table(found), *(["", differences_table(gaps)] if gaps else [])]


def missing_of(state: State) -> str:
    return f"not run yet: {grouped(state.missing)}" if state.missing else "none"


def summary_of(state: State, budgets: list[str]) -> dict:
    """Every figure of the table, unrounded."""
    shared = ("dataset", "dataset_sha256", "board", "kernels", "costs_hash")
    config = next(iter(state.fresh.values())).config if state.fresh else {}
    gaps = [gap for budget in budgets for gap in differences(state.fresh, METHODS, budget)]
    return {**{key: config.get(key) for key in shared}, "rows": len(state.fresh),
            "rows_missing": len(state.missing), "rows_stale": len(state.stale), "schedule": asdict(SCHEDULE),
            "methods": [asdict(each) for budget in budgets for each in standings(state.fresh, METHODS, budget)],
            "differences": [asdict(gap) | {"unequal": gap.unequal} for gap in gaps],
            "missing": [unit.name for unit in state.missing],
            "stale": {unit.name: why for unit, why in state.stale.items()}, "commit": commit()}


if __name__ == "__main__":
    run_command(main)
