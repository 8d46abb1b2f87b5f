"""`make grow-kws`: grow a net for BOARD under BUDGET on DATA; killed at any moment, the same command goes on."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from math import inf
from pathlib import Path

import numpy as np
import torch

from datasets.console import Parser, UserError, atomic_write, commit, finish, run_command
from datasets.dataset import Clips, Dataset
from datasets.load import load, parse_keywords
from datasets.parallel import cores
from export.boards import load_board
from export.budget import BUDGETS, Limits, board_limits, parse_budget
from export.cost import Tariff, summary_of_price
from export.kernels import DEFAULT, NAMES, known_kernels
from export.net import FloatNet, save_net
from export.runs import is_file, run_name
from export.shape import NetShape
from export.simulate import int8_predictions
from export.tflite_reader import read_tflite
from kws_grow.augment import (
    NOISES,
    SILENCES,
    UNKNOWNS,
    USUAL,
    VOICES,
    CodeSource,
    augmentation_of,
    generator_for,
    plain_codes,
)
from kws_grow.checkpoint import load_checkpoint, save_checkpoint
from kws_grow.config import GrowConfig, Quantization, Reference, Schedule
from kws_grow.loop import (
    Growth,
    Task,
    advance,
    final_net,
    growth_of,
    quantized_nets,
    reference_shape,
    seed_growth,
    start_shape,
    state_of,
    trained_on,
)
from kws_grow.methods import METHODS, settings_of
from kws_grow.ranges import RANGES
from kws_grow.report import plot_growth, write_log, write_table
from kws_grow.selection import WIDTH_STEP
from kws_grow.teacher import Teacher, digests_of, names_of, read_nets
from kws_grow.training import accuracy, keep_freed_memory

SCHEDULE_OPTIONS = ("seed_epochs", "round_epochs", "final_epochs", "taught_epochs", "min_epoch_clips", "batch")
RATE_OPTIONS = ("growing_lr", "peak_lr", "taught_lr", "round_factor")
MAX_WIDTH, MAX_DEPTH, MAX_STRIDE = 1024, 16, 2
RANGE_CLIPS = 2048  # training clips that the activation ranges are read off
SPENDS = {"energy": "energy_uj", "macs": "macs"}  # by SPEND, quantities of export.cost.Cost
ALIKE = ("labels", "dataset_sha256", "board", "kernels", "costs_hash")  # of a comparator and its reference
QAT = "qat"         # name of the fine-tuned net among the candidates


@dataclass(frozen=True)
class Spent:
    """Seconds of a run: of the clock, and of the processor in all threads of the process itself, which other work
    beside it leaves alone; None where the run was begun before that was counted."""

    wall_s: float = 0.0
    processor_s: float | None = 0.0

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.monotonic(), time.process_time())

    def since(self, started: "Spent") -> "Spent":
        """This, and what passed since `started`."""
        now = Spent.now()
        counted = self.processor_s is not None
        return Spent(self.wall_s + now.wall_s - started.wall_s,
                     self.processor_s + now.processor_s - started.processor_s if counted else None)


def main() -> None:
    """Read the arguments, grow, deploy, report."""
    arguments = parse_arguments()
    board, limits = load_board(arguments.board), parse_budget(arguments.budget)
    tariff = Tariff.of(board, arguments.kernels)
    method = known_method(arguments.method)
    index = settings_of(method, arguments.index)
    reference, shared = reference_of(arguments.reference, arguments.runs) if arguments.reference else (None, {})
    device = choose_device(arguments.device)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    dataset = load(arguments.data, arguments.keywords)
    config = GrowConfig(
        dataset.name, fingerprint(dataset), dataset.labels, board.name, (board.flash_bytes, board.ram_bytes),
        arguments.kernels, tariff.costs_hash, arguments.budget, method, arguments.seed, device, arguments.threads,
        arguments.spend, seed_widths=arguments.seed_widths, seed_depths=arguments.seed_depths,
        seed_strides=arguments.seed_strides, reference=reference, schedule=schedule_of(arguments),
        teachers=names_of(arguments.teacher), teachers_sha256=digests_of(arguments.teacher),
        index=index, augmentation=augmentation_of(**{name: getattr(arguments, name) for name in USUAL}),
        quantization=Quantization(arguments.ranges, arguments.qat, arguments.qat_epochs))
    check_seed(config)
    if reference:
        check_alike(shared, config)
    task = make_task(config, dataset, limits, tariff, arguments.teacher)
    start_shape(config, task)
    folder = open_run(arguments.runs / (run_name(arguments.run) if arguments.run else config.run_name()), config)
    if is_finished(folder):
        return report_finished(folder)
    growth, spent = grow(config, task, folder)
    facts = {"data": str(dataset.source), "command": shlex.join(["python", "-m", "kws_grow.grow", *sys.argv[1:]])}
    return deploy(growth, config, task, dataset, folder, facts, spent)


def make_task(config: GrowConfig, dataset: Dataset, limits: Limits, tariff: Tariff,
              teachers: tuple[Path, ...] = ()) -> Task:
    """The data on the device, some of it for the ranges; the limits of budget, board and reference; who teaches."""
    limits = limits.tightened(board_limits(tariff.board))
    if config.reference:
        limits = no_dearer(limits, reference_shape(config), tariff, config.spend)
    source = CodeSource(dataset, config.device, config.augmentation, config.schedule.min_epoch_clips)
    nets = read_nets(teachers, config.labels, config.n_coefficients)
    teacher = Teacher(nets, config.device) if nets else None
    return Task(source, plain_codes(dataset.dev, config.device), range_codes(dataset, config.seed).to(config.device),
                limits, tariff, teacher)


def no_dearer(limits: Limits, shape: NetShape, tariff: Tariff, spend: str) -> Limits:
    """At most the price of `shape` in what the budget limits; in `spend` where it limits nothing but memory."""
    price = tariff.shape(shape).whole
    return limits.tightened(Limits(**{name: getattr(price, name) for name in compared_in(limits, spend)}))


def compared_in(limits: Limits, spend: str) -> list[str]:
    """Quantities of a Cost in which a comparator is no dearer than its reference."""
    named = [name for name, value in vars(limits).items() if value < inf and name not in ("flash_bytes", "ram_bytes")]
    return named or [spend]


def reference_of(name: str, runs: Path) -> tuple[Reference, dict]:
    """What a comparator needs of a finished run, and what the two have to share. UserError where there is none."""
    folder = runs / run_name(name)
    try:
        summary = json.loads((folder / "summary.json").read_text())
        return Reference(folder.name, *(tuple(summary[key]) for key in ("widths", "depths", "strides")),
                         summary["epochs"]), {key: summary[key] for key in ALIKE}
    except FileNotFoundError as error:
        raise UserError(f"REFERENCE={name}: no finished run in {runs}/ has that name") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"REFERENCE={name}: its summary.json is damaged, or of another version of kws-grow") from error


def check_alike(shared: dict, config: GrowConfig) -> None:
    """UserError where the reference is of other data, board or costs."""
    if differ := [key for key in ALIKE if shared[key] != json.loads(json.dumps(getattr(config, key)))]:
        raise UserError(f"REFERENCE={config.reference.run}: differs in {', '.join(differ)}; allowed: a run that shares "
                        f"{', '.join(ALIKE)}")


def check_seed(config: GrowConfig) -> None:
    """UserError where the seed's lists do not go together."""
    n = len(config.seed_widths)
    for name, values, wanted in (("SEED_DEPTHS", config.seed_depths, n), ("SEED_STRIDES", config.seed_strides, n - 1)):
        if values and len(values) != wanted:
            raise UserError(f"{name}={','.join(map(str, values))}: {len(values)} numbers; allowed: {wanted}, for "
                            f"the {n} layers of SEED_WIDTHS")


def range_codes(dataset: Dataset, seed: int) -> torch.Tensor:
    """Training clips that activation ranges are read off, codes uint8 [n, 49, 40]."""
    order = torch.randperm(len(dataset.train.codes), generator=generator_for(seed, "ranges"))[:RANGE_CLIPS]
    return torch.from_numpy(dataset.train.codes[order.numpy(), ::2].copy())


def parse_arguments() -> Namespace:
    """The command line; every default is what `make grow-kws` uses."""
    parser = Parser(prog="python -m kws_grow.grow", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of clips; without it data/, a download, or synthetic speech")
    parser.add_argument("--keywords", type=parse_keywords, help="words, separated by commas")
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--kernels", type=known_kernels, default=DEFAULT, help="that will run it: " + ", ".join(NAMES))
    parser.add_argument("--budget", default="small",
                        help=f"{', '.join(BUDGETS)}, or limits like 'ms<=100 uj<=800 ram<=32k flash<=64k'")
    parser.add_argument("--method", default="energy-aware", help=", ".join(METHODS))
    parser.add_argument("--spend", type=spend_of, default="energy", help=f"what rounds pay with: {', '.join(SPENDS)}")
    parser.add_argument("--seed", type=seed_of, default=0, help="a whole number from 0")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=from_one, default=min(cores(), 8), help="of the CPU")
    parser.add_argument("--seed-widths", type=widths_of, default=GrowConfig.seed_widths, help="of the net at the start")
    parser.add_argument("--seed-depths", type=depths_of, default=(), help="residual blocks of each of its layers")
    parser.add_argument("--seed-strides", type=strides_of, default=(), help="1 or 2, of its layers but the last")
    parser.add_argument("--index", default="", help='options of the method, like "eps=0.25 steps=60"')
    parser.add_argument("--reference", help="finished run whose price and epochs a comparator takes")
    parser.add_argument("--silence", type=known_silence, default=USUAL["silence"],
                        help=f"that is learnt: {', '.join(SILENCES)}; default: %(default)s")
    parser.add_argument("--noise", type=known_noise, default=USUAL["noise"],
                        help=f"mixed into words and diverse silences: {', '.join(NOISES)}; default: %(default)s")
    parser.add_argument("--voice", type=known_voice, default=USUAL["voice"], help="that words are learnt in, of many "
                        f"speakers and microphones or as recorded: {', '.join(VOICES)}; default: %(default)s")
    parser.add_argument("--unknown", type=known_unknown, default=USUAL["unknown"], help="words that are learnt: "
                        f"twice as often as a keyword, or as often: {', '.join(UNKNOWNS)}; default: %(default)s")
    parser.add_argument("--teacher", type=files_of, default=(), help="trained nets, .safetensors or a run's net.npz, "
                        "separated by spaces, whose answers are learnt instead of the labels in the final schedule, "
                        "or in TAUGHT_EPOCHS more behind it")
    parser.add_argument("--ranges", type=ranges_of, default=Quantization.ranges,
                        help=f"that compete on dev, separated by commas: {', '.join(RANGES)}; default: all")
    parser.add_argument("--qat", type=switch, default=False, help="1: fine-tune with int8's rounding; default: 0")
    parser.add_argument("--qat-epochs", type=from_one, default=Quantization.qat_epochs)
    parser.add_argument("--run", help="name of the run; by default made of what the run is")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    for name in RATE_OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=factor if name == "round_factor" else positive,
                            default=getattr(Schedule, name))
    for name in SCHEDULE_OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=from_zero if name == "taught_epochs" else from_one,
                            default=getattr(Schedule, name))
    arguments = parser.parse_args()
    if arguments.taught_epochs and not arguments.teacher:
        raise UserError(f"TAUGHT_EPOCHS={arguments.taught_epochs}: nobody teaches; allowed: 0, or TEACHER beside it")
    return arguments


def seed_of(text: str) -> int:
    """A seed, or a UserError."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise UserError(f"SEED={text}: allowed are whole numbers from 0 to {2**63 - 1}")
    return int(text)


def seeds_of(text: str) -> tuple[int, ...]:
    """"0 1 2" -> (0, 1, 2), none twice. UserError for what is no seed."""
    return tuple(dict.fromkeys(seed_of(each) for each in text.split()))


def from_zero(text: str, least: int = 0) -> int:
    """A count, or a UserError."""
    if not text.isdecimal() or not least <= int(text) < 2**31:
        raise UserError(f"{text!r}: allowed are whole numbers from {least} to {2**31 - 1}")
    return int(text)


def from_one(text: str) -> int:
    """A count of threads, epochs or clips, or a UserError."""
    return from_zero(text, 1)


def factor(text: str) -> float:
    """By which a round makes the net dearer, or a UserError."""
    if (number := positive(text)) <= 1:
        raise UserError(f"{text!r}: a round makes the net dearer; allowed are numbers above 1 and below 1000")
    return number


def positive(text: str) -> float:
    """A learning rate, or a UserError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e3:
        raise UserError(f"{text!r}: allowed are numbers above 0 and below 1000")
    return number


def widths_of(text: str) -> tuple[int, ...]:
    """"16,16,16" -> (16, 16, 16). UserError where that is no list of widths."""
    widths = _numbers("SEED_WIDTHS", text, WIDTH_STEP, MAX_WIDTH)
    if any(width % WIDTH_STEP for width in widths):
        raise UserError(f"SEED_WIDTHS={text}: allowed are multiples of {WIDTH_STEP}")
    return widths


def depths_of(text: str) -> tuple[int, ...]:
    """"0,1,1" -> (0, 1, 1). UserError where that is no list of depths."""
    return _numbers("SEED_DEPTHS", text, 0, MAX_DEPTH)


def strides_of(text: str) -> tuple[int, ...]:
    """"2,1" -> (2, 1). UserError where that is no list of strides."""
    return _numbers("SEED_STRIDES", text, 1, MAX_STRIDE)


def _numbers(name: str, text: str, least: int, most: int) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and least <= int(part) <= most for part in parts):
        raise UserError(f"{name}={text}: allowed are whole numbers from {least} to {most}, separated by commas")
    return tuple(int(part) for part in parts)


def ranges_of(text: str) -> tuple[str, ...]:
    """"minmax,percentile" -> ("minmax", "percentile"), in the order of RANGES. UserError for names that it lacks."""
    names = [part.strip() for part in text.split(",")]
    if unknown := [name for name in names if name not in RANGES]:
        raise UserError(f"RANGES={text}: no such ranges: {unknown[0]!r}; allowed: {', '.join(RANGES)}")
    return tuple(name for name in RANGES if name in names)


def spend_of(text: str) -> str:
    """"macs" -> the name in Cost. UserError where rounds cannot pay with that."""
    if text not in SPENDS:
        raise UserError(f"SPEND={text}: allowed: {', '.join(SPENDS)}")
    return SPENDS[text]


def switch(text: str) -> bool:
    """0 or 1, or a UserError."""
    if text not in ("0", "1"):
        raise UserError(f"QAT={text}: allowed are 0 and 1")
    return text == "1"


def schedule_of(arguments: Namespace) -> Schedule:
    """The schedule with what was asked for."""
    names = (*SCHEDULE_OPTIONS, *RATE_OPTIONS)
    return replace(Schedule(), **{name: getattr(arguments, name) for name in names})


def known(what: str, table: Mapping[str, object]) -> Callable[[str], str]:
    """A check that a name is in the table: the name, or a UserError with those that are known."""
    def check(name: str) -> str:
        if name not in table:
            raise UserError(f"{what.upper()}={name!r}: no such {what}; allowed: {', '.join(table)}")
        return name
    return check


known_method, known_silence, known_noise, known_voice, known_unknown = (
    known(*each) for each in (("method", METHODS), ("silence", SILENCES), ("noise", NOISES), ("voice", VOICES),
                              ("unknown", UNKNOWNS)))


def files_of(text: str) -> tuple[Path, ...]:
    """"a.safetensors b.safetensors" -> their paths. UserError for what is no file."""
    names = text.split() or [text]
    if missing := [name for name in names if not is_file(name)]:
        raise UserError(f"TEACHER={text}: no such file: {missing[0]!r}; allowed: models/NAME.safetensors, or a "
                        "finished run's net.npz")
    return tuple(map(Path, names))


def choose_device(name: str) -> str:
    """'cuda' where there is one and auto or cuda was asked for. UserError where cuda was and is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"DEVICE={name!r}: no such device; allowed: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("DEVICE=cuda: this PyTorch sees no CUDA device; allowed here: auto, cpu")
    if name != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False  # its 10 bits are of the order of what splits are judged by
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over labels, codes and noise: what a run learns from."""
    digest = hashlib.sha256(repr(dataset.labels).encode())
    arrays = chain.from_iterable((clips.codes, clips.labels) for clips in (dataset.train, dataset.dev))
    for array in (*arrays, *dataset.noise):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def open_run(folder: Path, config: GrowConfig) -> Path:
    """The run's folder, made or found again. UserError where another configuration lives in it."""
    path = folder / "config.json"
    if path.exists() and path.read_text() != config.to_json():
        raise UserError(f"{folder}: holds a run of another configuration ({differences(path, config)}); "
                        "choose another RUN, or delete that folder")
    if not path.exists():
        with atomic_write(path) as temporary:
            temporary.write_text(config.to_json())
    return folder


def differences(path: Path, config: GrowConfig) -> str:
    """Names of the fields that differ."""
    try:
        old, new = json.loads(path.read_text()), json.loads(config.to_json())
    except ValueError:
        return "its config.json is damaged"
    return "differs in " + ", ".join(sorted(key for key in new if old.get(key) != new[key]))


def is_finished(folder: Path) -> bool:
    """Whether all that a run ends in is there."""
    return all((folder / name).exists() for name in ("summary.json", "model.tflite", "net.npz"))


def report_finished(folder: Path) -> None:
    """Nothing to do: say so, and show what is there."""
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except ValueError as error:
        raise UserError(f"{folder}/summary.json: damaged ({error}); delete it, and the same command writes it "
                        "again") from error
    print(f"{folder} is finished; delete it, or choose another SEED, METHOD, BUDGET or RUN, to grow again")
    finish(summary, folder, "Grown")


def grow(config: GrowConfig, task: Task, folder: Path) -> tuple[Growth, Spent]:
    """Advance until done, a checkpoint after every epoch and split; returns the growth and what it took in all."""
    saved = load_checkpoint(folder, task.source.device) or grown_alike(folder.parent, config, task.source.device)
    growth = resumed(saved, config, task, folder) if saved else seed_growth(config, task)
    spent = Spent(saved["wall_s"], saved.get("processor_s")) if saved else Spent()
    print(f"{'resuming' if saved else 'growing'} {folder}: {config.method}, budget {task.limits}, "
          f"{task.source.device}, {len(task.source)} clips an epoch", flush=True)
    while growth.phase != "done":
        started, before = Spent.now(), spent
        line = advance(growth, config, task)
        spent = before.since(started)
        save_checkpoint(folder, {"config": config.digest(), "growth": state_of(growth), **asdict(spent)})
        write_log(folder, growth.log)
        print(f"{line} [{spent.wall_s - before.wall_s:.1f} s]", flush=True)
    return growth, spent


def grown_alike(runs: Path, config: GrowConfig, device: torch.device) -> dict | None:
    """The end of a finished run in `runs` that differs in quantization alone, or is this one until the teachers come,
    made this run's own; None where there is none. Rather of one that was not fine-tuned: the time that took stays
    counted."""
    alike = [path.parent for path in sorted(runs.glob("*/config.json")) if config.grows_like(path.read_text())]
    ended = {folder: saved for folder in alike if (saved := whole_checkpoint(folder, device))
             and saved["growth"]["phase"] == "done" and "tuned" in saved["growth"]}
    if not ended:
        return None
    folder = min(ended, key=lambda folder: ended[folder]["growth"]["tuned"] is not None)  # the first of equal ones
    print(f"{folder} grew the same net: going on from its end", flush=True)
    return ended[folder] | {"config": config.digest(), "growth": trained_on(ended[folder]["growth"], config)}


def whole_checkpoint(folder: Path, device: torch.device) -> dict | None:
    """The checkpoint of another run, None where it is missing or damaged."""
    try:
        return load_checkpoint(folder, device)
    except UserError:
        return None


def resumed(saved: dict, config: GrowConfig, task: Task, folder: Path) -> Growth:
    """The growth of a checkpoint. UserError where another run, or another version of kws-grow, wrote it."""
    if saved.get("config") != config.digest():
        raise UserError(f"{folder}: its checkpoint is of another run; delete {folder} to start again")
    try:
        return growth_of(saved["growth"], config, task)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: its checkpoint is of another version of kws-grow ({type(error).__name__}); delete "
                        f"{folder} to start again, or finish it with that version") from error


def deploy(growth: Growth, config: GrowConfig, task: Task, dataset: Dataset, folder: Path, facts: dict,
           spent: Spent) -> None:
    """Fold, choose ranges on dev, convert to int8 .tflite, measure on validation, write everything down.

    facts: of the command, for the summary: data (the folder learnt from), command (as typed). spent: so far.
    """
    started = Spent.now()
    rows = choose_int8(candidates(growth, config, task), dataset, folder)
    growth.log += rows
    write_log(folder, growth.log)
    plot_growth(folder, growth.log)
    write_table(folder, growth.log)
    summary = summary_of(growth, config, task, dataset, folder, rows)
    taken = {name: round(seconds, 1) for name, seconds in asdict(spent.since(started)).items() if seconds is not None}
    finish(summary | facts | taken, folder, "Grown")


def candidates(growth: Growth, config: GrowConfig, task: Task) -> dict[str, FloatNet]:
    """The net by every method of ranges that was asked for, and the fine-tuned one where there is one."""
    methods = {name: method for group in config.quantization.ranges for name, method in RANGES[group].items()}
    nets = quantized_nets(growth, config, task, methods)
    return nets if growth.tuned is None else nets | {QAT: growth.tuned.float_net()}


def choose_int8(nets: dict[str, FloatNet], dataset: Dataset, folder: Path) -> tuple[dict, ...]:
    """Convert every candidate; keep net and .tflite of the one that does best on dev; of equal ones the fine-tuned one,
    else the first. Returns a row each for the log."""
    print(f"converting to int8 by ranges of {len(nets)} kinds", flush=True)
    convert({candidate(folder, name): net for name, net in nets.items()})
    tried = {}
    for name in nets:
        tried[name] = int8_accuracy(candidate(folder, name), dataset.dev)
        print(f"ranges {name}: int8 {100 * tried[name]:.2f} % on dev", flush=True)
    kept = max(tried, key=lambda name: (tried[name], name == QAT))
    save_net(nets[kept], folder / "net.npz")
    candidate(folder, kept).replace(folder / "model.tflite")
    for name in nets:
        candidate(folder, name).unlink(missing_ok=True)
    return tuple({"ranges": name, "accuracy_int8_dev": share, "kept": name == kept} for name, share in tried.items())


def candidate(folder: Path, name: str) -> Path:
    """Where the .tflite of a candidate waits."""
    return folder / f"candidate-{name.replace(' ', '-')}.tflite"


def convert(nets: dict[Path, FloatNet]) -> None:
    """FloatNets to .tflite at these paths, in a process of its own: TensorFlow and PyTorch keep their threads apart."""
    sources = [path.with_suffix(".npz") for path in nets]
    for source, net in zip(sources, nets.values(), strict=True):
        save_net(net, source)
    done = subprocess.run([sys.executable, "-m", "export.quantize", *map(str, sources)], capture_output=True, text=True)
    for source in sources:
        source.unlink()
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"converting {sources[0].parent} to int8 failed: {message}")


def int8_accuracy(path: Path, clips: Clips) -> float:
    """Share of clips that the .tflite gets right, simulated bit for bit."""
    codes = np.ascontiguousarray(clips.codes[:, ::2])
    return float((int8_predictions(path.read_bytes(), codes) == clips.labels).mean())


def accuracies(growth: Growth, config: GrowConfig, dataset: Dataset, folder: Path, rows: tuple[dict, ...]) -> dict:
    """On validation and dev: of the float net as it was before any fine-tuning, and of the int8 net that was kept."""
    net = final_net(growth)
    kept = next(row for row in rows if row["kept"])
    return {
        "accuracy_float": accuracy(net, *plain_codes(dataset.validation, config.device)),
        "accuracy_int8": int8_accuracy(folder / "model.tflite", dataset.validation),
        "accuracy_float_dev": accuracy(net, *plain_codes(dataset.dev, config.device)),
        "accuracy_int8_dev": kept["accuracy_int8_dev"], "ranges": kept["ranges"],
        "accuracy_int8_dev_without_qat": max(row["accuracy_int8_dev"] for row in rows if row["ranges"] != QAT),
        "ranges_tried": {row["ranges"]: row["accuracy_int8_dev"] for row in rows}}


def summary_of(growth: Growth, config: GrowConfig, task: Task, dataset: Dataset, folder: Path,
               rows: tuple[dict, ...]) -> dict:
    """What summary.json says of a finished run, costs of the very .tflite among it; keys as everywhere (DESIGN, "What
    they type")."""
    board, shape = task.tariff.board, growth.net.shape
    price = task.tariff.graph(read_tflite((folder / "model.tflite").read_bytes()))
    return accuracies(growth, config, dataset, folder, rows) | {
        "clips": len(dataset.validation.labels), "clips_dev": len(dataset.dev.labels), **summary_of_price(price),
        "widths": list(shape.widths), "depths": list(shape.depths), "strides": list(shape.strides),
        "reference": config.reference and config.reference.run, "config": config.digest(),
        "rounds": growth.rounds, "epochs": growth.epochs,
        "stopped_by": growth.stopped_by, "method": config.method,
        "budget": config.budget, "board": board.name, "core": board.core, "kernels": config.kernels,
        "spend": config.spend, "costs_hash": config.costs_hash,
        "dataset": dataset.name, "dataset_sha256": config.dataset_sha256, "list_sha256": dataset.list_sha256,
        "skipped_clips": list(dataset.skipped), "labels": list(config.labels), "seed": config.seed,
        "device": config.device, "commit": commit(), "finished": True}


if __name__ == "__main__":
    run_command(main)
