"""The firmware of a net on a board behind PORT: real clips in, every byte checked as by `make emulate`."""

from argparse import Namespace
from pathlib import Path

from datasets.console import UserError, finish, run_command
from datasets.features import N_FRAMES
from export.boards import ARDUINO_CLI, Board, board_names, load_board
from export.checks import report_difference
from export.emulate import Emulated, ask_image, circumstances, image_facts, judge, row_limit, trial_of, verdict
from export.runs import net_parser
from export.serial_port import BAUD, SerialPort, baud_of

DEFAULT_LIMIT = 20


def main() -> None:
    """Build the image that the board should run, send it clips, check, report; exit status 1 where one byte differs."""
    arguments = _arguments()
    board = board_behind(arguments.board)
    with SerialPort(arguments.port, board) as port:  # one that is not there is told before anything is built
        trial = trial_of(arguments, board, "board-test")
        gave_up = port.hello().waits_given_up()
        answers = ask_image(port, trial.net, trial.image, trial.waveforms, f"asking {board.name}")
    checks = judge(trial, answers)
    if gave_up:
        print(f"gave up waiting at start: {', '.join(gave_up)}")
    finish(verdict(trial, answers, checks) | times(board, answers, gave_up) | image_facts(trial.image, answers)
           | {"port": str(arguments.port), "tested_on": trial.source, "gave_up": list(gave_up)} | circumstances(trial),
           trial.folder, f"Tested {trial.run.name} on {board.title}")
    report_difference(checks, trial.names, "clips")


def _arguments() -> Namespace:
    parser = net_parser("export.board_test", __doc__, clips=True, kernels=True)
    parser.add_argument("--board", default="", help="what is behind the port")
    parser.add_argument("--port", type=_port, default="", help="its serial port, like /dev/ttyACM0")
    parser.add_argument("--limit", type=row_limit, default=DEFAULT_LIMIT, help=f"most clips; default: {DEFAULT_LIMIT}")
    parser.add_argument("--out", type=Path, help="for the results; default: build/RUN/BOARD/board-test")
    return parser.parse_args()


def _port(text: str) -> Path:
    if not text:
        raise UserError("PORT is not given; boards are /dev/ttyACM0 or /dev/ttyUSB0, on macOS /dev/cu.usbmodem...")
    return Path(text)


def board_behind(name: str) -> Board:
    """The board. UserError where none is named, or it has no serial line."""
    if not name:
        with_line = [each for each in board_names() if BAUD in load_board(each).defines]
        raise UserError(f"BOARD is not given; boards with a serial line are {', '.join(with_line)}")
    board = load_board(name)
    baud_of(board)
    if board.flasher == ARDUINO_CLI:
        print(f"note: the sketch of `make flash BOARD={name}` does not answer; {name} is tested with the bare image of "
              f"`make export-mcu BOARD={name}`, by SWD or bossac, on its UART (docs/firmware.md)")
    return board


def times(board: Board, answers: Emulated, gave_up: tuple[str, ...]) -> dict:
    """Of SysTick: on silicon it counts the processor's cycles, in the emulator instructions' worth of them. gave_up:
    waits at start-up; without its PLL a processor is slower."""
    slow_hz = board.defines.get("KWS_SLOW_CLOCK_HZ", board.clock_hz)
    clock_hz = slow_hz if set(gave_up) - {"microphone"} else board.clock_hz
    inference, frame = (float(ticks.mean()) for ticks in (answers.inference_ticks, answers.feature_ticks / N_FRAMES))
    return {"ticks_per_inference": round(inference), "ticks_per_frame": round(frame),
            "latency_ms": round(inference / clock_hz * 1e3, 3)}


if __name__ == "__main__":
    run_command(main)
