"""The boards there are, and which nets fit them.

Without RUN or MODEL the nets are the committed one and DS-CNNs of the widths of "Hello Edge" (arXiv 1711.07128), whose
plane and strides are ours: 25 x 5 behind the first convolution.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from datasets.console import UserError, commit, finish, run_command
from export.boards import Board, board_names, load_board
from export.budget import board_limits
from export.cost import Price, Tariff, cost, summary_of_price
from export.duty import RATES_PER_S, DutyCycle
from export.graph import Graph
from export.kernels import DEFAULT, NAMES, known_kernels
from export.runs import net_parser, resolve
from export.shape import NetShape
from export.tflite_reader import read_tflite

COMMITTED = Path(__file__).resolve().parent.parent / "docs" / "results" / "small-energy-aware" / "model.tflite"
HELLO_EDGE = {"DS-CNN-S": NetShape((64,) * 5, 10), "DS-CNN-M": NetShape((172,) * 5, 10),
              "DS-CNN-L": NetShape((276,) * 6, 10)}
NOTE = 'DS-CNN-S, -M, -L: widths of "Hello Edge"; plane and strides are ours'
SHORT = {"flash_bytes": "flash", "ram_bytes": "RAM"}


@dataclass(frozen=True)
class Fit:
    """A net on a board. price: None where it is unknown, and unpriced says why. cycles_source: of the price's."""

    board: Board
    net: str
    price: Price | None
    unpriced: str = ""
    cycles_source: str = ""

    @property
    def lacking(self) -> tuple[str, ...]:
        """The memories that the image exceeds, "flash_bytes" or "ram_bytes"."""
        return board_limits(self.board).broken_by(self.price.whole)

    @property
    def duty(self) -> DutyCycle:
        """At the least rate; a net that does not take our features without them."""
        frame = self.price.frame.cycles if self.price.frame else 0
        return DutyCycle(self.board, frame, self.price.whole.cycles, RATES_PER_S[0])

    def __str__(self) -> str:
        if self.price is None:
            return "unknown"
        if self.lacking:
            return "no: " + ", ".join(f"{SHORT[field]} {self.percent(field)} %" for field in self.lacking)
        shares = "/".join(str(self.percent(field)) for field in SHORT)
        stated = "~" if self.cycles_source.startswith("stated") else ""
        return f"{stated}{self.price.whole.latency_ms:,.0f} ms, {shares} %" + ("" if self.duty.keeps_up else " *")

    def percent(self, field: str) -> int:
        """Of the board's, rounded up."""
        return ceil(100 * getattr(self.price.whole, field) / getattr(self.board, field))


def main() -> None:
    parser = net_parser("export.board_list", __doc__)
    parser.add_argument("--kernels", type=known_kernels, default=DEFAULT, help=", ".join(NAMES))
    arguments = parser.parse_args()
    boards = [load_board(name) for name in board_names()]
    nets = nets_of(arguments.run, arguments.model)
    fits = [[fit(board, name, net, arguments.kernels) for name, net in nets.items()] for board in boards]
    print(f"{board_table(boards)}\n\n{fit_table(fits)}")
    if nets.keys() >= HELLO_EDGE.keys():
        print(NOTE)
    for reason in dict.fromkeys(each.unpriced for row in fits for each in row if each.unpriced):
        print(f"unknown: {reason}")
    finish(summarize(fits, arguments.kernels), Path("build") / "boards", "Boards")


def nets_of(run: str | None, model: Path | None) -> dict[str, Graph | NetShape]:
    """The net that is named; or those of the module's description."""
    if run or model:
        named = resolve(run, model)
        return {named.name: read_tflite(named.tflite_path)}
    return {COMMITTED.parent.name: read_tflite(COMMITTED), **HELLO_EDGE}


def fit(board: Board, name: str, net: Graph | NetShape, kernels: str) -> Fit:
    try:
        return Fit(board, name, cost(net, board, kernels),
                   cycles_source=Tariff.of(board, kernels).costs.cycles_source)
    except UserError as error:
        return Fit(board, name, None, str(error))


def board_table(boards: list[Board]) -> str:
    """A line a board. Memory is what is left for an image."""
    head = ("board", "core", "MHz", "flash KiB", "RAM KiB", "microphone", "emulator", "flasher", "title")
    return table([head, *((board.name, board.core.removeprefix("cortex-"), f"{board.clock_hz / 1e6:g}",
                           f"{board.flash_bytes / 1024:g}", f"{board.ram_bytes / 1024:g}", board.microphone,
                           board.emulator.machine if board.emulator else "none", board.flasher, board.title)
                          for board in boards)])


def fit_table(fits: list[list[Fit]]) -> str:
    """A line a board, a column a net."""
    rows = table([("what fits", *(each.net for each in fits[0])),
                  *((row[0].board.name, *map(str, row)) for row in fits)])
    return f"""{rows}
predicted: time of an inference, flash/RAM of its image; *: too slow for {RATES_PER_S[0]:g} inference a second; \
~: of stated cycles, as the core's timings are not public"""


def table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def summarize(fits: list[list[Fit]], kernels: str) -> dict:
    return {"boards": len(fits), "nets": ", ".join(each.net for each in fits[0]), "kernels": kernels,
            "commit": commit(), "table": [board_summary(row, kernels) for row in fits]}


def board_summary(row: list[Fit], kernels: str) -> dict:
    board = row[0].board
    known = costs_summary(Tariff.of(board, kernels)) if any(each.price for each in row) else {}
    return {"board": board.name, "title": board.title, "core": board.core, "clock_hz": board.clock_hz,
            "flash_bytes": board.flash_bytes, "ram_bytes": board.ram_bytes, "wait_states": board.wait_states,
            "pj_per_cycle": board.pj_per_cycle, "pj_per_cycle_source": board.power.pj_per_cycle_source,
            "sleep_uw": board.power.sleep_uw, "capture_uw": board.power.capture_uw,
            "microphone_uw": board.power.microphone_uw, "microphone": board.microphone, "flasher": board.flasher,
            "emulator": board.emulator.machine if board.emulator else None, **known,
            "nets": [fit_summary(each) for each in row]}


def costs_summary(tariff: Tariff) -> dict:
    return {"costs_hash": tariff.costs_hash, "cycles_source": tariff.costs.cycles_source}


def fit_summary(each: Fit) -> dict:
    if each.price is None:
        return {"net": each.net, "fits": None, "unknown": each.unpriced}
    return {"net": each.net, "fits": not each.lacking, **summary_of_price(each.price),
            "keeps_up": each.duty.keeps_up}


if __name__ == "__main__":
    run_command(main)
