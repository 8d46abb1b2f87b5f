"""The units of `make compare`, and docs/results/rows, where the finished ones are kept: a folder each.

row.json holds {"config_sha256", "config", "summary"}: of the run's config.json, and that file and summary.json whole.
"""

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from datasets.console import UserError, atomic_write
from export.boards import load_board
from export.cost import Tariff
from kws_grow.config import Schedule, completed
from kws_grow.methods import METHODS

ROWS = Path("docs") / "results" / "rows"
ROW, LOG = "row.json", "growth.jsonl"
WEIGHTS = ("model.tflite", "net.npz")
MOST_BYTES, MOST_LOG_BYTES = 1_000_000, 250_000  # of a committed file
REFERENCE = "energy-aware"
COMPARATORS = tuple(name for name in METHODS if name != REFERENCE)
LIKE_REFERENCE = ("widths", "depths", "strides", "epochs")


@dataclass(frozen=True)
class Unit:
    """One run. budget: as BUDGET is typed."""

    method: str
    seed: int
    budget: str

    @property
    def name(self) -> str:
        """Of its run and its row."""
        return f"compare-{self.method}-{re.sub(r'[^A-Za-z0-9.]+', '-', self.budget)}-s{self.seed}"

    @property
    def reference(self) -> "Unit | None":
        """Whose price and epochs a comparator takes."""
        return Unit(REFERENCE, self.seed, self.budget) if self.method in COMPARATORS else None

    @property
    def references(self) -> "tuple[Unit, ...]":
        """For kws_grow.jobs."""
        return (self.reference,) if self.reference else ()


@dataclass(frozen=True)
class Row:
    """A finished unit. log: of growth.jsonl, empty where that was too large to keep."""

    unit: Unit
    config: dict
    summary: dict
    log: tuple[dict, ...]


def read_rows(folder: Path) -> dict[Unit, Row]:
    """All that are there. UserError names a damaged one."""
    rows = [_read_row(path.parent) for path in sorted(folder.glob(f"*/{ROW}"))]
    return {row.unit: row for row in rows}


def _read_row(folder: Path) -> Row:
    config, summary, log = read_files(folder)
    row = Row(Unit(config["method"], config["seed"], config["budget"]), config, summary, log)
    if row.unit.name != folder.name:
        raise _damaged(folder)
    return row


def read_files(folder: Path) -> tuple[dict, dict, tuple[dict, ...]]:
    """Configuration, completed, summary and log, as keep_files left them. UserError where they are damaged."""
    try:
        facts, log = json.loads((folder / ROW).read_text()), folder / LOG
        found = (facts["config"], facts["summary"],
                 tuple(map(json.loads, log.read_text().splitlines())) if log.exists() else ())
        whole = facts["config_sha256"] == _digest(found[0]) and {"method", "seed", "budget"} <= found[0].keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise _damaged(folder)
    return completed(found[0]), *found[1:]


def _damaged(folder: Path) -> UserError:
    return UserError(f"{folder / ROW}: damaged, or not of that folder; `git checkout` it, or delete the folder and "
                     "the same command runs it again")


def keep_row(run: Path, rows: Path) -> Row:
    """Copy what a row is made of out of a finished run's folder. UserError for a file too large to be committed."""
    keep_files(run, rows / run.name, WEIGHTS)
    return _read_row(rows / run.name)


def keep_files(run: Path, folder: Path, weights: tuple[str, ...]) -> None:
    """These files of a finished run, its log where that is small, its configuration and summary. UserError for a file
    too large to be committed."""
    for name in weights:
        if (size := (run / name).stat().st_size) >= MOST_BYTES:
            raise UserError(f"{run / name}: {size} bytes; a row's files are committed, allowed: fewer than "
                            f"{MOST_BYTES}")
    small = (run / LOG).stat().st_size < MOST_LOG_BYTES
    (folder / LOG).unlink(missing_ok=True)
    for name in (*weights, *([LOG] if small else [])):
        with atomic_write(folder / name) as temporary:
            shutil.copyfile(run / name, temporary)
    config, summary = (json.loads((run / name).read_text()) for name in ("config.json", "summary.json"))
    with atomic_write(folder / ROW) as temporary:  # the last: with it the row is there
        temporary.write_text(json.dumps({"config_sha256": _digest(config), "config": config, "summary": summary},
                                        indent=1, sort_keys=True) + "\n")


def _digest(config: dict) -> str:
    """SHA-256 of config.json as a run writes it; its first eight digits are the summary's `config`."""
    return hashlib.sha256(json.dumps(config, indent=2, sort_keys=True).encode()).hexdigest()


def restore_reference(row: Row, runs: Path) -> None:
    """Give --reference what it reads of a run, where this machine did not run it. UserError where another one has its
    name."""
    path = runs / row.unit.name / "summary.json"
    if not path.exists():
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(row.summary, indent=2) + "\n")
    elif _shape_and_epochs_of(path) != shape_and_epochs(row.summary):
        raise UserError(f"{path.parent}: is not the run of row {row.unit.name}; delete that folder, and the row serves")


def _shape_and_epochs_of(summary: Path) -> list | None:
    """None where it is damaged."""
    try:
        return shape_and_epochs(json.loads(summary.read_text()))
    except (ValueError, AttributeError):
        return None


def shape_and_epochs(facts: dict) -> list:
    """What a comparator takes of its reference, out of either's summary or configuration."""
    return [facts.get(key) for key in LIKE_REFERENCE]


def stale(rows: dict[Unit, Row], schedule: Schedule) -> dict[Unit, str]:
    """Rows that the present code would not make alike, and why."""
    return {unit: why for unit, row in rows.items() if (why := _stale(row, rows, schedule))}


def _stale(row: Row, rows: dict[Unit, Row], schedule: Schedule) -> str:
    reference = rows.get(row.unit.reference)
    return other_settings(row.config, schedule) or (
        "its reference has been run again" if reference and not takes_after(row.config, reference) else "")


def other_settings(config: dict, schedule: Schedule) -> str:
    """How costs or schedule of a config.json differ from the present ones; empty where they do not."""
    present = tariff_of(config["board"], config["kernels"]).costs_hash
    if config["costs_hash"] != present:
        return f"costs_hash {config['costs_hash']}, present {present}"
    theirs = config["schedule"]
    return "; ".join(f"{key} {theirs.get(key)}, present {value}" for key, value in asdict(schedule).items()
                     if theirs.get(key) != value)


def takes_after(config: dict, reference: Row) -> bool:
    """Whether a comparator of that configuration was compared with this run."""
    return shape_and_epochs(config["reference"] or {}) == shape_and_epochs(reference.summary)


@cache
def tariff_of(board: str, kernels: str) -> Tariff:
    """The present one."""
    return Tariff.of(load_board(board), kernels)
