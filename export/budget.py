"""What a user may spend: upper bounds on a price, as BUDGET names them, and the memory of the board."""

import re
from dataclasses import asdict, astuple, dataclass
from math import inf

from datasets.console import UserError
from export.boards import Board
from export.cost import Cost


@dataclass(frozen=True)
class Limits:
    """Upper bounds on a Cost, by the names of its attributes; infinite where nothing is asked."""

    operations: float = inf
    macs: float = inf
    memory_bytes: float = inf
    flash_bytes: float = inf
    ram_bytes: float = inf
    instructions: float = inf
    cycles: float = inf
    latency_ms: float = inf
    energy_uj: float = inf

    def broken_by(self, price: Cost) -> tuple[str, ...]:
        """Names of the limits that `price` exceeds."""
        return tuple(name for name, limit in vars(self).items() if getattr(price, name) > limit)

    def tightened(self, other: "Limits") -> "Limits":
        """The smaller of each pair."""
        return Limits(*map(min, astuple(self), astuple(other)))

    def __str__(self) -> str:
        return " ".join(f"{name}<={value:g}" for name, value in asdict(self).items() if value < inf) or "no limit"


def board_limits(board: Board) -> Limits:
    """The board's memory; what the firmware itself takes of it is in the price."""
    return Limits(flash_bytes=board.flash_bytes, ram_bytes=board.ram_bytes)


# The first three: "Hello Edge" (arXiv 1711.07128), table 1. board: nothing but its memory, which always bounds.
BUDGETS = {
    "small": Limits(operations=6e6, memory_bytes=80e3),
    "medium": Limits(operations=20e6, memory_bytes=200e3),
    "large": Limits(operations=80e6, memory_bytes=500e3),
    "board": Limits(),
}
LIMIT_NAMES = {"ops": "operations", "macs": "macs", "mem": "memory_bytes", "flash": "flash_bytes", "ram": "ram_bytes",
               "instructions": "instructions", "cycles": "cycles", "ms": "latency_ms", "uj": "energy_uj"}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "ki": 1024.0, "mi": 1024.0**2}
_MEASURED_IN = {"latency_ms": "ms", "energy_uj": "uj"}
_LIMIT = re.compile(r"([a-z]+)<=([0-9]*\.?[0-9]+(?:e[0-9]+)?)([a-z]*)", re.ASCII)


def parse_budget(text: str) -> Limits:
    """'small', limits such as "ops<=2M mem<=40k ms<=100", or both: "small ms<=50". UserError names the part that is
    wrong."""
    parts = text.split() or [text]
    limits = Limits()
    for part in parts:
        limits = limits.tightened(BUDGETS.get(part.lower()) or Limits(**dict([_parse_limit(part, text)])))
    _refuse_contradictions(parts, text)
    return limits


def _parse_limit(part: str, text: str) -> tuple[str, float]:
    found = _LIMIT.fullmatch(part.lower())
    if not found or found[1] not in LIMIT_NAMES:
        raise _refusal(part, text)
    name, number = LIMIT_NAMES[found[1]], float(found[2]) * _factor(found[1], found[3], part, text)
    if not 0 < number < inf:
        raise _refusal(part, text)
    return name, number


def _factor(name: str, unit: str, part: str, text: str) -> float:
    """k, M, Ki or Mi, but for times and energies, where 100m may mean a thousandth; bytes may also say so: kB."""
    factors, allowed = _units(LIMIT_NAMES[name])
    if unit not in factors:
        raise UserError(f"BUDGET={text!r}: {part!r} has the unit {unit!r}; allowed behind {name}: none, {allowed}")
    return factors[unit]


def _units(quantity: str) -> tuple[dict[str, float], str]:
    """Factors of the units that may stand behind a limit, and their names for people."""
    if quantity in _MEASURED_IN:
        return {"": 1.0, _MEASURED_IN[quantity]: 1.0}, _MEASURED_IN[quantity]
    if quantity.endswith("_bytes"):
        return _PREFIXES | {f"{prefix}b": factor for prefix, factor in _PREFIXES.items()}, \
            "k, M, Ki, Mi, with or without B"
    return _PREFIXES, "k, M, Ki, Mi"


def _refuse_contradictions(parts: list[str], text: str) -> None:
    """No two sizes, and no quantity twice: it would not be clear which is meant."""
    names = ["size" if part.lower() in BUDGETS else part.lower().partition("<=")[0] for part in parts]
    for name in names:
        if names.count(name) > 1:
            both = " and ".join(part for part, its in zip(parts, names, strict=True) if its == name)
            raise UserError(f"BUDGET={text!r}: {both} contradict each other; allowed: one of {', '.join(BUDGETS)}, and "
                            "each limit once")


def _refusal(part: str, text: str) -> UserError:
    return UserError(f"BUDGET={text!r}: {part!r} is not understood; allowed: {', '.join(BUDGETS)}, or limits like "
                     f"'ops<=6M mem<=80k' with any of {', '.join(LIMIT_NAMES)} and a positive number (k, M, Ki, Mi), "
                     "separated by spaces and without blanks inside: ms<=100, not ms <= 100")
