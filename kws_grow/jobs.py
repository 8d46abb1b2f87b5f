"""Units side by side, each in a process of its own that writes to a log."""

import fcntl
import re
import signal
import subprocess
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from datasets.console import Parser, UserError
from datasets.parallel import cores
from export.runs import RUNS, whole_number

POLL_S, TELL_S = 0.2, 10.0
TAIL_BYTES = 4096
MOST_JOBS = 256


class Unit(Protocol):
    """What is run. name: of its log. references: others that it needs the runs of."""

    name: str
    references: "tuple[Unit, ...]"


@dataclass
class Running:
    """told: the line of its log that was printed last."""

    unit: Unit
    process: subprocess.Popen
    log: Path
    told: str = ""


@dataclass
class Pool:
    """What is still to run, what runs, and why units failed, by unit."""

    waiting: list[Unit]
    running: list[Running] = field(default_factory=list)
    failed: dict[Unit, str] = field(default_factory=dict)


def parse_units(parser: Parser) -> Namespace:
    """The command line of a command that runs units, its own options among what all such have."""
    parser.add_argument("--jobs", type=lambda text: whole_number("JOBS", text, 1, MOST_JOBS), default=cores(),
                        help="units at once; default: cores of the machine")
    parser.add_argument("--data", type=Path, help="as for grow-kws")
    parser.add_argument("--device", help="as for grow-kws")
    parser.add_argument("--draw", choices=("0", "1"), default="0", help="1: run nothing, draw what is there")
    parser.add_argument("--rerun", choices=("0", "1"), default="0", help="1: run stale units again")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs; default: %(default)s")
    arguments = parser.parse_args()
    arguments.draw, arguments.rerun = arguments.draw == "1", arguments.rerun == "1"
    return arguments


def run_units(units: list[Unit], at_once: int, logs: Path, command_of: Callable[[Unit], list[str]],
              done: Callable[[Unit], None]) -> dict[Unit, str]:
    """Run all, at most so many at once, comparators after their references; returns why some failed.

    command_of: asked when a unit starts. done: called when it ended well. A UserError of either fails the unit alone.
    """
    pool, told_at = Pool(list(units)), time.monotonic()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the runs are stopped with this
    try:
        while pool.waiting or pool.running:
            _start(pool, at_once, logs, command_of)
            _collect(pool, done)
            if time.monotonic() - told_at >= TELL_S:
                told_at = time.monotonic()
                _tell(pool)
            time.sleep(POLL_S if pool.running else 0)
    finally:
        _stop(pool)
        signal.signal(signal.SIGTERM, before)
    return pool.failed


def _start(pool: Pool, at_once: int, logs: Path, command_of: Callable[[Unit], list[str]]) -> None:
    ahead = {*pool.waiting, *(each.unit for each in pool.running)}
    ready = [unit for unit in pool.waiting if not ahead.intersection(unit.references)]
    for unit in ready[:max(0, at_once - len(pool.running))]:
        pool.waiting.remove(unit)
        log = logs / f"{unit.name}.log"
        try:
            for reference in unit.references:
                if reference in pool.failed:
                    raise UserError(f"its reference {reference.name} failed")
            pool.running.append(Running(unit, _process(command_of(unit), log), log))
            print(f"{unit.name}: started, log in {log}", flush=True)
        except UserError as error:
            _fail(pool, unit, str(error))


def _process(command: list[str], path: Path) -> subprocess.Popen:
    """The log stays locked as long as the process lives, even when this one is killed: nothing runs twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another process runs it and writes {path}; wait for that one, or end it") from error
        log.truncate(0)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _collect(pool: Pool, done: Callable[[Unit], None]) -> None:
    for each in [each for each in pool.running if each.process.poll() is not None]:
        pool.running.remove(each)
        try:
            if each.process.returncode:
                raise UserError(last_line(each.log) or f"ended with status {each.process.returncode}")
            done(each.unit)
            print(f"{each.unit.name}: done", flush=True)
        except UserError as error:
            _fail(pool, each.unit, str(error))


def _fail(pool: Pool, unit: Unit, why: str) -> None:
    pool.failed[unit] = why.removeprefix("error: ")
    print(f"{unit.name}: failed: {pool.failed[unit]}", flush=True)


def _tell(pool: Pool) -> None:
    for each in pool.running:
        line = last_line(each.log)
        if line != each.told:
            each.told = line
            print(f"{each.unit.name}: {line}", flush=True)


def last_line(log: Path) -> str:
    """That is not empty; a progress bar's last state is one."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        lines = re.split(r"[\r\n]+", file.read().decode(errors="replace"))
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _stop(pool: Pool) -> None:
    """Runs resume where they were stopped."""
    for each in pool.running:
        each.process.terminate()
    for each in pool.running:
        each.process.wait()
