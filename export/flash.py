"""A net's firmware onto a board, by the tool that people use for it; no image of another board gets there."""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.console import UserError, commit, finish, run_command
from export.arduino import NAME, PREFIX, SKETCH, arduino_kernels, library_detector, write_library
from export.boards import ARDUINO_CLI, STM32_FLASHERS, Board, board_names, load_board
from export.kernels import KernelSet, load_kernels
from export.mcu import Net, export_nets, read_nets
from export.runs import Run, net_parser, resolve
from export.toolchain import have, install_line, run_tool

NANO_FQBN = "arduino:mbed_nano:nano33ble"
UPLOAD_S = 600.0  # compiling Arduino's core the first time takes minutes


@dataclass(frozen=True)
class Given:
    """An image that `make export-mcu` left. run: name of the net's run; kernels: linked into it; listens: whether it
    has a net and a microphone for it."""

    binary: Path
    run: str
    kernels: str
    listens: bool


@dataclass(frozen=True)
class Job:
    """What is to be flashed, and where to. source: an image, or the net and kernels to build one of. folder: for what
    is built."""

    source: Given | tuple[Run, KernelSet]
    board: Board
    folder: Path
    port: str | None


@dataclass(frozen=True)
class Flasher:
    """One way onto a board. tools: any one of them does. flash: returns the tool that it took, and whether what it
    flashed listens. is_sketch: whether it is the Arduino library's sketch that gets there, and no image."""

    tools: tuple[str, ...]
    flash: Callable[[Job], tuple[str, bool]]
    is_sketch: bool = False


def main() -> None:
    arguments = _arguments()
    start_s = time.monotonic()
    board = load_board(arguments.board)
    flasher = flasher_of(board)
    check_arguments(arguments, board, flasher)
    source = check_image(arguments.image, board) if arguments.image else _net(arguments)
    find_any(flasher.tools)
    run, kernels = (source.run, source.kernels) if arguments.image else (source[0].name, source[1].name)
    folder = Path("build") / run / board.name / "flash"
    tool, listens = flasher.flash(Job(source, board, folder, arguments.port))
    print(next_line(board, listens))
    finish({"run": run, "board": board.name, "tool": tool, "folder": str(arguments.image or folder),
            "kernels": kernels, "wall_s": round(time.monotonic() - start_s, 1), "commit": commit()},
           folder, f"Flashed {run} onto {board.title}")


def _arguments() -> Namespace:
    parser = net_parser("export.flash", __doc__, kernels=True)
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--port", help="serial port of the board, where its flasher needs one")
    parser.add_argument("--image", type=Path, help="a folder of `make export-mcu` instead of building one")
    return parser.parse_args()


def _net(arguments: Namespace) -> tuple[Run, KernelSet]:
    return resolve(arguments.run, arguments.model), load_kernels(arguments.kernels, arguments.cmsis_nn)


def check_arguments(arguments: Namespace, board: Board, flasher: Flasher) -> None:
    """UserError for arguments that would be passed over."""
    if arguments.image and flasher.is_sketch:
        raise UserError(f"IMAGE={arguments.image}: {board.name} is flashed with the Arduino library's sketch; "
                        "allowed: RUN, MODEL; docs/firmware.md says how a bare image gets there")
    if arguments.kernels and flasher.is_sketch:
        arduino_kernels(arguments.kernels)
    if arguments.port and not flasher.is_sketch:
        raise UserError(f"PORT={arguments.port}: {board.name} is flashed by its ST-LINK, which needs none; allowed for "
                        "boards that Arduino flashes")
    named = [name for name in ("run", "model", "kernels", "cmsis_nn") if getattr(arguments, name)]
    if arguments.image and named:
        raise UserError(f"{named[0].upper()}={getattr(arguments, named[0])} and IMAGE={arguments.image}: name one of "
                        "the two; the image has a net and kernels already")


def flasher_of(board: Board) -> Flasher:
    """The board's. UserError for one that is emulated."""
    if board.flasher not in WAYS:
        there = [name for name in board_names() if load_board(name).flasher in WAYS]
        raise UserError(f"BOARD={board.name}: there is nothing to flash, QEMU plays it; `make emulate "
                        f"BOARD={board.name}` runs the image; boards that can be flashed are {', '.join(there)}")
    return WAYS[board.flasher]


def find_any(tools: tuple[str, ...]) -> str:
    """The first of `tools` that is there. UserError with what to install."""
    found = next((tool for tool in tools if have(tool)), None)
    if found is None:
        raise UserError(f"{' or '.join(tools)} is not installed; {install_line(tools[0])}")
    return found


# ------------------------------------------------------------------ whose image it is

def check_image(folder: Path, board: Board) -> Given:
    """The image of a folder. UserError where it is another board's, or none, or not the bytes that were linked."""
    binary, summary = Path(folder) / "firmware.bin", Path(folder) / "summary.json"
    try:
        told = json.loads(summary.read_text(encoding="utf-8"))
        given = Given(binary, str(told["run"]), str(told["kernels"]), told.get("audio_bytes", 0) > 0)
        name, sha256 = told["board"], told["bin_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: no image of `make export-mcu` in it ({error!r})") from error
    if name != board.name:
        raise UserError(f"{folder}: its image is for {name}, and BOARD is {board.name}; "
                        f"`make export-mcu BOARD={board.name}` builds one for it")
    if not binary.is_file() or hashlib.sha256(binary.read_bytes()).hexdigest() != sha256:
        raise UserError(f"{binary}: not the image that summary.json tells of; build it again with `make export-mcu`")
    return given


def built(job: Job) -> tuple[Path, bool]:
    """firmware.bin for the board, and whether it listens: the one that is given, else built now."""
    if isinstance(job.source, Given):
        return job.source.binary, job.source.listens
    run, kernels = job.source
    image = export_nets(read_nets((run,)), job.board, job.folder, kernels)
    if image.image is None:
        raise UserError("; ".join(image.left_out))
    for line in image.left_out:
        print(f"left out: {line}")
    return image.image.bin, image.image.audio_bytes > 0


# ------------------------------------------------------------------ ways onto boards

def flash_arduino(job: Job) -> tuple[str, bool]:
    """The sketch, compiled and uploaded by arduino-cli."""
    run, kernels = job.source
    net = Net.of(run, PREFIX)
    library = write_library(net, library_detector(net)[0], job.folder / NAME, kernels)
    sketch = library / "examples" / SKETCH
    run_tool([ARDUINO_CLI, "compile", "--fqbn", NANO_FQBN, "--library", library, sketch],
             "compiling the sketch (`arduino-cli core install arduino:mbed_nano` installs the board)", UPLOAD_S)
    port = ["--port", job.port] if job.port else []
    run_tool([ARDUINO_CLI, "upload", "--fqbn", NANO_FQBN, *port, sketch],
             "uploading (name the PORT; press the board's button twice if it does not answer)", UPLOAD_S)
    return ARDUINO_CLI, True


def flash_stm32(target: str) -> Callable[[Job], tuple[str, bool]]:
    """By openocd with the script of a target, else st-flash."""
    def flash(job: Job) -> tuple[str, bool]:
        tool, (binary, listens) = find_any(STM32_TOOLS), built(job)
        origin = f"{job.board.region('flash').origin:#x}"
        commands = {
            "openocd": ["openocd", "-f", "interface/stlink.cfg", "-f", f"target/{target}.cfg", "-c",
                        f"program {{{binary.resolve()}}} {origin} verify reset exit"],
            "st-flash": ["st-flash", "--reset", "write", binary, origin]}
        run_tool(commands[tool], f"flashing {job.board.name} (is its ST-LINK plugged in?)", UPLOAD_S)
        return tool, listens
    return flash


STM32_TOOLS = ("openocd", "st-flash")
WAYS = {ARDUINO_CLI: Flasher((ARDUINO_CLI,), flash_arduino, is_sketch=True),
        **{name: Flasher(STM32_TOOLS, flash_stm32(target)) for name, target in STM32_FLASHERS.items()}}


def next_line(board: Board, listens: bool) -> str:
    """What to do next."""
    if not listens:
        return f"next: make board-test BOARD={board.name} PORT=/dev/ttyACM0"
    return "next: open its serial port and speak (docs/firmware.md)"


if __name__ == "__main__":
    run_command(main)
