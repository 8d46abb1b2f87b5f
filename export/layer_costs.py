"""Instructions and cycles of layers: linear models of their amounts of work, fitted to counts, kept as data.

export/costs/CORE-KERNELS.json holds one core and kernel set, as `make calibrate` writes it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from datasets.console import UserError, atomic_write
from export.count import Count
from export.footprint import Footprint, up_to_word
from export.kernels import CMSIS_NN
from export.timing import TIMINGS, stated_timing
from export.work import Function, Work

FOLDER = Path(__file__).resolve().parent / "costs"


@dataclass(frozen=True)
class LinearCost:
    """Of the layers of one kind. per: cost of one of each amount. mean_error, worst_error: of the `layers` that it was
    fitted to, as fractions of their counts."""

    per: dict[str, float]
    layers: int
    mean_error: float
    worst_error: float

    def __call__(self, work: Work) -> float:
        return sum(self.per.get(name, 0.0) * amount for name, amount in work.amounts.items())


def fit(works: Sequence[Work], counts: Sequence[float]) -> LinearCost:
    """The costs, none negative, whose relative errors have the least sum of squares."""
    names = tuple(dict.fromkeys(name for work in works for name in work.amounts))
    counts = np.asarray(counts, np.float64)
    amounts = np.array([[work.amounts.get(name, 0) for name in names] for work in works], np.float64)
    solution = nnls(amounts / counts[:, None], np.ones(len(counts)))[0]
    errors = np.abs(amounts @ solution / counts - 1)
    per = {name: float(f"{value:.6g}") for name, value in zip(names, solution, strict=True) if value}
    return LinearCost(per, len(works), round(float(errors.mean()), 5), round(float(errors.max()), 5))


@dataclass(frozen=True)
class LayerCosts:
    """One core and kernel set.

    core: as GCC's -mcpu names it; kernels: their set; compiler, flags: of image and kernels; sources_sha256: of
    firmware/kernels and firmware/features, and of a library; command: makes the file. counted_by: unicorn or QEMU.
    cycles_source: of the timings. instructions, cycles: by kind; the latter {} where cycles_per_instruction is stated.
    counts: instructions and cycles of some layers of the sweep by name, for tests to count again.
    footprint: bytes of code; functions: those of functions of generated code (export.work.Function), by kind.
    """

    core: str
    kernels: str
    compiler: str
    flags: tuple[str, ...]
    sources_sha256: str
    command: str
    counted_by: str
    cycles_source: str
    cycles_per_instruction: float | None
    instructions: dict[str, LinearCost]
    cycles: dict[str, LinearCost]
    counts: dict[str, tuple[int, int | None]]
    footprint: Footprint
    functions: dict[str, LinearCost] = field(default_factory=dict)

    def instructions_of(self, work: Work) -> float:
        """Of one layer. UserError where its kind was not measured."""
        return self._model(self.instructions, work)(work)

    def cycles_of(self, work: Work) -> float:
        """The same of cycles, with zero wait states."""
        if self.cycles_per_instruction is not None:
            return self.cycles_per_instruction * self.instructions_of(work)
        return self._model(self.cycles, work)(work)

    def bytes_of(self, function: Function) -> int:
        """Of code, whole words."""
        return up_to_word(round(self._model(self.functions, function.work)(function.work)))

    def _model(self, models: dict[str, LinearCost], work: Work) -> LinearCost:
        if work.kind not in models:
            raise UserError(f"costs of {self.core}, {self.kernels}: no layer of kind {work.kind}; there are "
                            f"{', '.join(models)}")
        return models[work.kind]

    def write(self, folder: Path = FOLDER) -> Path:
        """To folder/CORE-KERNELS.json."""
        path = costs_path(self.core, self.kernels, folder)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def costs_path(core: str, kernels: str, folder: Path = FOLDER) -> Path:
    return folder / f"{short_name(core)}-{kernels}.json"


def short_name(core: str) -> str:
    """cortex-m4 as CORE names it: m4."""
    return core.removeprefix("cortex-")


def load_costs(core: str, kernels: str, folder: Path = FOLDER) -> LayerCosts:
    """UserError where core and kernels were not measured."""
    path = costs_path(core, kernels, folder)
    if not path.is_file():
        raise UserError(f"{path}: not there; `{calibration(core, kernels)}` writes it")
    try:
        return _read(path.resolve(), path.stat().st_mtime_ns)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged, or of another version ({type(error).__name__}); "
                        f"`{calibration(core, kernels)}` writes it again") from error


def calibration(core: str, kernels: str) -> str:
    """The command that makes a file."""
    library = " CMSIS_NN=DIR" if kernels == CMSIS_NN else ""
    return f"make calibrate CORE={short_name(core)} KERNELS={kernels}{library}"


@lru_cache(64)
def _read(path: Path, _written_ns: int) -> LayerCosts:
    table = json.loads(path.read_text())
    for what in ("instructions", "cycles", "functions"):
        table[what] = {kind: LinearCost(**fields) for kind, fields in table.get(what, {}).items()}
    counts = {name: tuple(count) for name, count in table["counts"].items()}
    return LayerCosts(**{**table, "flags": tuple(table["flags"]), "counts": counts,
                         "footprint": Footprint.of_json(table["footprint"])})


def fit_all(works: Sequence[Work], counts: Sequence[Count], core: str, kernels: str) -> dict:
    """The fields of LayerCosts that are fitted: instructions, cycles and what the latter rest on."""
    instructions = {kind: fit(*_of_kind(kind, works, [count.instructions for count in counts]))
                    for kind in dict.fromkeys(work.kind for work in works)}
    if core not in TIMINGS:
        stated = stated_timing(core, kernels)
        return {"instructions": instructions, "cycles": {}, "cycles_source": stated.source,
                "cycles_per_instruction": stated.cycles_per_instruction}
    cycles = {kind: fit(*_of_kind(kind, works, [count.cycles for count in counts])) for kind in instructions}
    return {"instructions": instructions, "cycles": cycles, "cycles_source": TIMINGS[core].source,
            "cycles_per_instruction": None}


def fit_functions(sizes: Sequence[tuple[Work, int]]) -> dict[str, LinearCost]:
    """LayerCosts.functions, of works and bytes."""
    works, counts = [work for work, _ in sizes], [size for _, size in sizes]
    return {kind: fit(*_of_kind(kind, works, counts)) for kind in dict.fromkeys(work.kind for work in works)}


def _of_kind(kind: str, works: Iterable[Work], counts: Iterable[float]) -> tuple[list[Work], list[float]]:
    pairs = [(work, count) for work, count in zip(works, counts, strict=True) if work.kind == kind]
    return [work for work, _ in pairs], [count for _, count in pairs]
