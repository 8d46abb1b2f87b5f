"""`make results`: the nets of kws_grow.recipes on Speech Commands. Grows the seeds that are missing, chooses on dev,
exports, verifies and publishes the best of each, and writes docs/results/NAME and docs/results/index.html. Ablations of
a recipe are grown where they are named, and told beside it in docs/results/ablations."""

import json
import shutil
import sys
from argparse import Namespace
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from datasets.console import Parser, UserError, commit, finish, run_command
from export.boards import load_board
from export.budget import board_limits, parse_budget
from export.cost import Cost
from export.net import load_net, save_net
from export.runs import Run, resolve
from export.shape import NetShape
from kws_grow.ablations import Worth, changed, fine_tuning, write_ablations
from kws_grow.comparison import ACCURACIES, Spread
from kws_grow.deployment import deploy, facts_of
from kws_grow.grow import seeds_of
from kws_grow.jobs import parse_units, run_units
from kws_grow.publish import MODELS
from kws_grow.recipes import ABLATED, ABLATIONS, RECIPES, TEACHERS, Recipe, known_recipes, recipe_of, teacher_file
from kws_grow.results_report import Net, draw_net, write_index
from kws_grow.rows import completed, keep_files, read_files, tariff_of
from kws_grow.teacher import digests_of

OUT, LOGS = Path("docs") / "results", Path("build") / "results"
ABLATED_NETS = "ablations"  # folder beside the nets
KEPT = "model.tflite"  # of a seed, beside its row; the best one's float weights are published


@dataclass(frozen=True)
class Unit:
    """One seed of a recipe."""

    recipe: Recipe
    seed: int

    @property
    def references(self) -> "tuple[Unit, ...]":
        """Who teach it and have to be grown before."""
        teaching = (TEACHERS[name] for name in self.recipe.teachers)
        return tuple(Unit(recipe_of(name), seed) for name, seed in teaching)

    @property
    def name(self) -> str:
        """Of its run; another recipe of the same name runs elsewhere."""
        return f"results-{self.recipe.name}-s{self.seed}-{self.recipe.digest}"


@dataclass(frozen=True)
class Kept:
    """A finished unit, as it lies in docs/results/NAME/sSEED."""

    unit: Unit
    folder: Path
    config: dict
    summary: dict
    log: tuple[dict, ...]

    @cached_property
    def model_sha256(self) -> str:
        return sha256((self.folder / KEPT).read_bytes()).hexdigest()

    @property
    def cost(self) -> Cost:
        """By the present prices."""
        shape = NetShape(*(tuple(self.summary[key]) if key == "widths" else self.config[key]
                           for key in ("widths", "n_coefficients")), len(self.config["labels"]),
                         tuple(self.summary["depths"]), tuple(self.summary["strides"]))
        return tariff_of(self.config["board"], self.config["kernels"]).shape(shape).whole


@dataclass(frozen=True)
class Plan:
    """What is asked for. data, device: as grow-kws takes them, None for its defaults. rerun: stale ones too."""

    units: tuple[Unit, ...]
    out: Path
    runs: Path
    models: Path
    data: Path | None
    device: str | None
    rerun: bool

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """That are asked for."""
        return tuple(dict.fromkeys(unit.recipe for unit in self.units))

    @property
    def all(self) -> tuple[Unit, ...]:
        """With every seed of the recipes' table: the report tells of them too."""
        of_table = (Unit(recipe, seed) for recipe in RECIPES.values() for seed in recipe.seeds)
        return tuple(dict.fromkeys((*self.units, *of_table)))

    def folder(self, unit: Unit) -> Path:
        return self.home(unit.recipe) / f"s{unit.seed}"

    def home(self, recipe: Recipe) -> Path:
        """Of a recipe's seeds."""
        return (self.out / ABLATED_NETS if recipe.name in ABLATIONS else self.out) / recipe.name


@dataclass(frozen=True)
class State:
    """The units that count, why others do not, and those that are not there."""

    fresh: dict[Unit, Kept]
    stale: dict[Unit, str]
    missing: tuple[Unit, ...]

    def of(self, recipe: Recipe) -> list[Kept]:
        """By seed."""
        return sorted((kept for unit, kept in self.fresh.items() if unit.recipe == recipe), key=lambda k: k.unit.seed)

    def best(self, recipe: Recipe) -> Kept | None:
        """On dev, int8; the first seed of equal ones."""
        return max(self.of(recipe), key=lambda kept: kept.summary["accuracy_int8_dev"], default=None)


def main() -> None:
    arguments = parse_arguments()
    plan = plan_of(arguments)
    state = state_of(plan)
    print(told(state), flush=True)
    failed = {}
    if not arguments.draw:
        failed = run(plan, state, arguments.jobs)
        state = state_of(plan)
        failed |= deploy_all(plan, state)
    report(plan, state, failed)
    if failed:
        sys.exit(1)


def parse_arguments() -> Namespace:
    parser = Parser(prog="python -m kws_grow.results", description=__doc__)
    parser.add_argument("--names", default=" ".join(RECIPES), help="of the nets; default: %(default)s")
    parser.add_argument("--seeds", default="", help="default: those of each recipe")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--models", type=Path, default=MODELS, help="default: %(default)s")
    return parse_units(parser)


def plan_of(arguments: Namespace) -> Plan:
    """UserError for unknown nets and for what is no seed."""
    seeds = seeds_of(arguments.seeds)
    units = [Unit(recipe, seed) for recipe in known_recipes(arguments.names) for seed in seeds or recipe.seeds]
    return Plan(tuple(units), arguments.out, arguments.runs, arguments.models, arguments.data, arguments.device,
                arguments.rerun)


def state_of(plan: Plan) -> State:
    """Of all nets, and of every seed of theirs that is there. UserError names a damaged one."""
    found = [read_kept(folder.parent, recipe) for recipe in (*RECIPES.values(), *ABLATIONS.values())
             for folder in sorted(plan.home(recipe).glob("s*/row.json"))]
    stale = {kept.unit: why for kept in found if (why := why_stale(kept) or other_data(kept, found))}
    return State({kept.unit: kept for kept in found if kept.unit not in stale}, stale,
                 tuple(unit for unit in plan.all if unit not in {kept.unit for kept in found}))


def read_kept(folder: Path, recipe: Recipe) -> Kept:
    config, summary, log = read_files(folder)
    return Kept(Unit(recipe, config["seed"]), folder, config, summary, log)


def why_stale(kept: Kept) -> str:
    """Why a seed does not count; empty where it does. Other prices alone are no reason, while the net fits."""
    if wrong := kept.unit.recipe.differs(kept.config):
        return f"grown by another recipe (differs in {wrong})"
    files = tuple(map(teacher_file, kept.unit.recipe.teachers))
    if all(map(Path.is_file, files)) and list(digests_of(files)) != kept.config["teachers_sha256"]:
        return f"taught by another net than {', '.join(map(str, files))} now is"
    limits = parse_budget(kept.unit.recipe.budget).tightened(board_limits(load_board(kept.config["board"])))
    broken = limits.broken_by(kept.cost)
    return f"exceeds its budget by the present prices ({', '.join(broken)})" if broken else ""


def other_data(kept: Kept, found: list[Kept]) -> str:
    """Whether the first seed of its net that is no other recipe's learnt from other clips; empty where it did not."""
    first = next(each for each in found if each.unit.recipe == kept.unit.recipe and not why_stale(each))
    same = kept.config["dataset_sha256"] == first.config["dataset_sha256"]
    return "" if same else (f"learnt from other clips than seed {first.unit.seed}: delete the folder of the one whose "
                            "clips are no longer meant")


def told(state: State) -> str:
    """Which seeds are there, stale or missing."""
    lines = [f"seeds: {len(state.fresh)} there, {len(state.stale)} stale, {len(state.missing)} missing"]
    lines += [f"  stale    {unit.recipe.name}, seed {unit.seed}: {why}; RERUN=1 runs it again"
              for unit, why in state.stale.items()]
    return "\n".join(lines + [f"  missing  {unit.recipe.name}, seed {unit.seed}" for unit in state.missing])


def run(plan: Plan, state: State, jobs: int) -> dict[str, str]:
    """Grow what is missing, and what is stale where that was asked for; returns why units failed."""
    todo = [unit for unit in plan.units if unit in state.missing or (plan.rerun and unit in state.stale)]
    if todo:
        print(f"growing {len(todo)} nets, {min(jobs, len(todo))} at once", flush=True)
    failed = run_units(todo, jobs, LOGS, lambda unit: prepared(unit, plan, unit in state.stale),
                       lambda unit: keep(unit, plan))
    return {f"{unit.recipe.name}, seed {unit.seed}": why for unit, why in failed.items()}


def keep(unit: Unit, plan: Plan) -> None:
    """Copy what is kept out of a finished run: the float weights of one that others learn from, then its row."""
    run = plan.runs / unit.name
    for name, of in TEACHERS.items():
        if of == (unit.recipe.name, unit.seed):
            save_net(load_net(run / "net.npz"), teacher_file(name))
    keep_files(run, plan.folder(unit), (KEPT,))


def prepared(unit: Unit, plan: Plan, stale: bool) -> list[str]:
    """The command, once the run that made a stale seed is out of its way; one that was begun since goes on."""
    run = plan.runs / unit.name
    if stale and (run / "config.json").is_file():
        config, *_ = read_files(plan.folder(unit))
        if completed(json.loads((run / "config.json").read_text())) == config:
            print(f"{run}: stale, deleted")
            shutil.rmtree(run)
    return command_of(unit, plan)


def command_of(unit: Unit, plan: Plan) -> list[str]:
    given = {"--seed": unit.seed, "--run": unit.name, "--runs": plan.runs, "--data": plan.data, "--device": plan.device}
    options = [str(text) for pair in given.items() if pair[1] is not None for text in pair]
    return [sys.executable, "-m", "datasets.launch", "kws_grow.grow", *unit.recipe.options, *options]


def deploy_all(plan: Plan, state: State) -> dict[str, str]:
    """Publish the best of each net where that has not been done; returns why some could not be."""
    failed = {}
    for recipe in (recipe for recipe in plan.recipes if recipe.name in RECIPES):
        best = state.best(recipe)
        if best is None or facts_of(best.model_sha256, recipe, plan.home(recipe), plan.models):
            continue
        print(f"{recipe.name}: seed {best.unit.seed} is best on dev", flush=True)
        try:
            deploy(run_of(best, plan), best.model_sha256, recipe, plan.home(recipe), plan.models, plan.data, LOGS)
        except UserError as error:
            failed[recipe.name] = str(error)
    return failed


def run_of(best: Kept, plan: Plan) -> Run:
    """UserError where its folder is gone."""
    if not (plan.runs / best.unit.name).is_dir():
        raise UserError(f"{plan.runs / best.unit.name} is gone, and its float weights with it; delete {best.folder}, "
                        "and the same command grows it again")
    return resolve(best.unit.name, None, plan.runs)


def report(plan: Plan, state: State, failed: dict[str, str]) -> None:
    """Pictures and summaries of every net, index.html, docs/results/summary.json."""
    nets = [net_of(recipe, plan, state) for recipe in RECIPES.values()]
    for net in nets:
        if net.summary:
            draw_net(net, plan.out / net.name, plan.models)
    write_ablations(worths_of(state), plan.out / ABLATED_NETS)
    write_index(nets, failed, plan.out, plan.models)
    finish({"nets": sum(bool(net.summary) for net in nets), "seeds": len(state.fresh),
            "seeds_missing": len(state.missing), "seeds_stale": len(state.stale), "failed": failed,
            "report": str(plan.out / "index.html"), "results": {net.name: net.summary for net in nets},
            "missing": [f"{unit.recipe.name}, seed {unit.seed}" for unit in state.missing], "commit": commit()},
           plan.out, "Results")
    for name, why in failed.items():
        print(f"failed: {name}: {why}", file=sys.stderr)


def worths_of(state: State) -> list[Worth]:
    """What the ablations that are there tell, and what fine-tuning of every recipe does."""
    tuned = [fine_tuning(recipe.name, [kept.summary for kept in state.of(recipe)])
             for recipe in RECIPES.values() if recipe.qat]
    return tuned + [ablation(state, recipe_of(whole), ABLATIONS[without]) for without, whole in ABLATED.items()]


def ablation(state: State, whole: Recipe, without: Recipe) -> Worth:
    """Over the seeds that both have, of the same clips."""
    pairs = [(kept, bare) for kept in state.of(whole) for bare in state.of(without) if kept.unit.seed == bare.unit.seed
             and kept.config["dataset_sha256"] == bare.config["dataset_sha256"]]
    return Worth(whole.name, changed(whole, without), tuple((kept.summary, bare.summary) for kept, bare in pairs))


def net_of(recipe: Recipe, plan: Plan, state: State) -> Net:
    """Everything that is known of a net. Facts of another seed than the chosen one are not its."""
    best, kept = state.best(recipe), state.of(recipe)
    absent = [f"seed {unit.seed} is missing" for unit in state.missing if unit.recipe == recipe]
    absent += [f"seed {unit.seed} is stale: {why}" for unit, why in state.stale.items() if unit.recipe == recipe]
    if best is None:
        return Net(recipe.name, recipe.board, {}, {}, (), (), tuple(absent))
    facts = facts_of(best.model_sha256, recipe, plan.home(recipe), plan.models)
    absent += [] if facts else ["its best seed is not published yet"]
    absent += [f"seed {each.unit.seed} is of before dev chose whether fine-tuning stays: it was kept, and dev liked "
               "another better" for each in kept if otherwise_now(each.summary)]
    return Net(recipe.name, recipe.board, summary_of(best, kept), facts, best.log,
               tuple(each.summary["accuracy_int8"] for each in kept), tuple(absent))


def otherwise_now(summary: dict) -> bool:
    """Whether dev would keep another int8 net of the run than the fine-tuned one."""
    return summary["accuracy_int8_dev"] < summary["accuracy_int8_dev_without_qat"]


def summary_of(best: Kept, kept: list[Kept]) -> dict:
    """Of the chosen seed, by present prices, and of all."""
    price, keys = best.cost, ("operations", "flash_bytes", "ram_bytes", "memory_bytes")
    present = {key: getattr(price, key) for key in keys} | {
        "latency_ms": round(price.latency_ms, 3), "energy_uj": round(price.energy_uj, 1)}
    return {**best.summary, **present, "recipe": asdict(best.unit.recipe), "model_sha256": best.model_sha256,
            "costs_hash": tariff_of(best.config["board"], best.config["kernels"]).costs_hash,
            "seeds": [each.unit.seed for each in kept], "wall_s_each": [each.summary["wall_s"] for each in kept],
            "over_seeds": {key: asdict(Spread.of(each.summary[key] for each in kept)) for key in ACCURACIES}}


if __name__ == "__main__":
    run_command(main)
