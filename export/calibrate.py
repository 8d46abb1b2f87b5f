"""What layers cost on a core: a sweep of one-op nets, counted, and the linear models fitted to it."""

from dataclasses import replace
from pathlib import Path

from datasets.console import Parser, UserError, commit, finish, run_command
from datasets.parallel import parallel_map
from export.boards import Board, board_names, load_board
from export.count import Count
from export.footprint import Footprint
from export.image import OPTIMIZATION
from export.kernels import DEFAULT, NAMES, PORTABLE, TUNED, KernelSet, load_kernels
from export.layer_costs import FOLDER, LayerCosts, LinearCost, calibration, fit_all, fit_functions, short_name
from export.measurement import (
    Batch,
    Bench,
    batches,
    compiler,
    count_batch,
    digest_of,
    firmware_sources,
    frame_batches,
)
from export.sizing import counted_functions, footprint
from export.sweep import SweepLayer, sweep, tuned_sweep
from export.work import Work
from export.workload import frame_work, works_of


def main() -> None:
    parser = Parser("export.calibrate", description=__doc__)
    parser.add_argument("--core", default="m4", help=f"one of {', '.join(map(short_name, core_boards()))}")
    parser.add_argument("--kernels", help=f"{' or '.join(NAMES)}; default: {DEFAULT}")
    parser.add_argument("--cmsis-nn", type=Path, help="your build of CMSIS-NN, for KERNELS=cmsis-nn")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the costs; default: %(default)s")
    arguments = parser.parse_args()
    bench = Bench(core_board(arguments.core), load_kernels(arguments.kernels, arguments.cmsis_nn))
    folder = folder_of(bench)
    parts = parts_of(bench)
    counts = tuple(parallel_map(count_batch, parts, f"counting on {bench.board.core}", "image"))
    code = footprint(bench, boards_of(bench.board.core), layers_of_kinds(parts), folder)
    costs = costs_of(bench, parts, counts, code)
    print(table(costs))
    path = costs.write(arguments.out)
    finish(summarize(costs, path), folder, f"Calibrated {costs.core} with {costs.kernels} kernels")


def core_boards() -> dict[str, Board]:
    """The board on which each core's images run, by core: those whose clips need no serial line."""
    boards = (load_board(name) for name in board_names())
    return {board.core: board for board in boards if board.emulator and board.emulator.channel == "semihosting"}


def core_board(name: str) -> Board:
    """Of CORE. UserError names the cores there are."""
    boards = {short_name(core): board for core, board in core_boards().items()}
    if name not in boards:
        raise UserError(f"CORE={name}: allowed: {', '.join(boards)}")
    return boards[name]


def boards_of(core: str) -> tuple[Board, ...]:
    """All boards of a core, emulated or not."""
    return tuple(board for board in map(load_board, board_names()) if board.core == core)


def folder_of(bench: Bench) -> Path:
    """Of images and counts."""
    return Path("build") / "calibrate" / f"{short_name(bench.board.core)}-{bench.kernels.name}"


def parts_of(bench: Bench) -> tuple[Batch, ...]:
    """All that is counted. Whatever tuned kernels do not take runs on portable ones, which are counted without them."""
    if bench.kernels.name == TUNED:
        untuned = replace(bench, kernels=KernelSet(PORTABLE))
        return (*batches(bench, tuned_sweep(), folder_of(bench)), *parts_of(untuned))
    return (*batches(bench, sweep(), folder_of(bench)), *frame_batches(bench, folder_of(bench)))


def layers_of_kinds(parts: tuple[Batch, ...]) -> dict[str, tuple[Bench, SweepLayer]]:
    """The first layer of each kind, and what it is counted with."""
    found: dict[str, tuple[Bench, SweepLayer]] = {}
    for part in parts:
        for layer, work in zip(part.layers, _works(part), strict=False):
            found.setdefault(work.kind, (part.bench, layer))
    return found


def costs_of(bench: Bench, parts: tuple[Batch, ...], counts: tuple[tuple[Count, ...], ...],
             code: Footprint) -> LayerCosts:
    """The models, with what they hold for."""
    works = [work for part in parts for work in _works(part)]
    flat = [count for each in counts for count in each]
    core, kernels = bench.board.core, bench.kernels.name
    return LayerCosts(
        core=core, kernels=kernels, compiler=compiler(), flags=(*bench.board.cpu_flags, OPTIMIZATION),
        sources_sha256=digest_of(firmware_sources(bench)), counted_by=bench.counted_by,
        command=calibration(core, kernels), counts=_kept(bench, parts, counts),
        footprint=code, functions=fit_functions([each for part in parts for each in counted_functions(part)]),
        **fit_all(works, flat, core, kernels))


def _works(part: Batch) -> list[Work]:
    if part.coefficients:
        return [frame_work(part.coefficients)]
    kernel_of = part.bench.kernels.kernel_of(part.bench.board.core)
    return [work for layer in part.layers for work in works_of(layer.graph(), kernel_of)]


def _kept(bench: Bench, parts: tuple[Batch, ...], counts: tuple[tuple[Count, ...], ...],
          ) -> dict[str, tuple[int, int | None]]:
    """The first layer of each kind; of the portable kernels beside tuned ones, which have a file of their own, none."""
    own = [(part, each) for part, each in zip(parts, counts, strict=True) if part.bench == bench]
    first: dict[str, tuple[str, Count]] = {}
    for part, each in own:
        for work, name, count in zip(_works(part), part.names, each, strict=True):
            first.setdefault(work.kind, (name, count))
    return {name: (count.instructions, count.cycles) for name, count in first.values()}


def table(costs: LayerCosts) -> str:
    """Errors by kind."""
    lines = [f"{'kind':<22}{'layers':>7}{'instructions: mean':>20}{'worst error':>13}{'cycles: worst':>15}"]
    for kind, model in costs.instructions.items():
        cycles = f"{100 * costs.cycles[kind].worst_error:.2f} %" if kind in costs.cycles else "stated"
        lines.append(f"{kind:<22}{model.layers:>7}{100 * model.mean_error:>18.2f} %{100 * model.worst_error:>11.2f} %"
                     f"{cycles:>15}")
    for kind, model in costs.functions.items():
        lines.append(f"{kind + ', bytes':<22}{model.layers:>7}{100 * model.mean_error:>18.2f} %"
                     f"{100 * model.worst_error:>11.2f} %")
    return "\n".join(lines)


def summarize(costs: LayerCosts, path: Path) -> dict:
    def errors(models: dict[str, LinearCost]) -> dict[str, float]:
        return {kind: model.worst_error for kind, model in models.items()}

    return {"core": costs.core, "kernels": costs.kernels, "compiler": costs.compiler, "counted_by": costs.counted_by,
            "cycles_source": costs.cycles_source, "layers": sum(model.layers for model in costs.instructions.values()),
            "worst_errors": errors(costs.instructions), "worst_cycle_errors": errors(costs.cycles),
            "costs": str(path), "commit": commit()}


if __name__ == "__main__":
    run_command(main)
