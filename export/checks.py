"""Row by row, byte by byte: who was asked, who agrees, what was left out; the table and the verdict."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datasets.console import UserError


@dataclass(frozen=True)
class Witness:
    """Something that computes the same another way.

    ask: of what the command is about. needs: raises the UserError that says why this machine cannot ask it.
    """

    what: str
    ask: Callable
    needs: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Check:
    """One comparison. equal: bool [n], whether each row is. instructions: per inference, of an emulated core."""

    what: str
    equal: np.ndarray
    instructions: int | None = None

    @property
    def equal_rows(self) -> int:
        return int(self.equal.sum())


def choose_witnesses(witnesses: tuple[Witness, ...]) -> tuple[tuple[Witness, ...], dict[str, str]]:
    """The witnesses that this machine can ask, and of each other one why not."""
    left_out = {}
    for witness in witnesses:
        try:
            witness.needs()
        except UserError as error:
            left_out[witness.what] = str(error)
    return tuple(witness for witness in witnesses if witness.what not in left_out), left_out


def rows_equal(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool [n] of two arrays of n rows: whether all of a row is equal, whatever its shape."""
    return all_of_row(some == np.asarray(others).reshape(some.shape))


def all_of_row(good: np.ndarray) -> np.ndarray:
    """bool [n] of bool [n, ...]."""
    return good.reshape(len(good), -1).all(axis=1)


def table(checks: tuple[Check, ...], left_out: dict[str, str], failed: dict[str, str] | None = None) -> str:
    """One line a check: rows, equal rows, and instructions where counted; then who failed or was left out, and why."""
    others = {what: f"failed: {why}" for what, why in (failed or {}).items()}
    others |= {what: f"left out: {why}" for what, why in left_out.items()}
    width = max(map(len, (*(each.what for each in checks), *others)))
    counted = any(each.instructions is not None for each in checks)
    head = f"{'':<{width}}  rows  equal_rows{'  instructions' if counted else ''}"
    return "\n".join([head, *(_line(each, width) for each in checks),
                      *(f"{what:<{width}}  {why}" for what, why in others.items())])


def _line(check: Check, width: int) -> str:
    counted = "" if check.instructions is None else f"  {check.instructions:>12}"
    return f"{check.what:<{width}}  {len(check.equal):>4}  {check.equal_rows:>10}{counted}"


def equal_rows_of(checks: tuple[Check, ...]) -> dict[str, int]:
    return {each.what: each.equal_rows for each in checks}


def report_difference(checks: tuple[Check, ...], names: tuple[str, ...], unit: str,
                      failed: dict[str, str] | None = None) -> None:
    """Exit with status 1 and one line where a check or somebody failed (`failed`: why), the rows being called `names`;
    else return."""
    different = [_difference(each, names, unit) for each in checks if not each.equal.all()]
    lines = [*_failures(failed or {}), *different]
    if different:
        lines.append("every byte must agree, so this is a bug of kws-grow: please report it")
    if lines:
        sys.exit(f"error: {' '.join('; '.join(lines).split())}")


def _failures(failed: dict[str, str]) -> list[str]:
    """Why one failed; who, of several: the table says why."""
    if len(failed) > 1:
        return [f"{what} failed" for what in failed]
    return [f"{what} failed: {why}" for what, why in failed.items()]


def _difference(check: Check, names: tuple[str, ...], unit: str) -> str:
    first = names[int(np.argmin(check.equal))]
    return f"{check.what} fails on {int((~check.equal).sum())} of {len(check.equal)} {unit}, first {first}"
