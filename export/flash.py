"""A net's firmware onto a board, by the tool that people use for it; no image of another board gets there."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.console import UserError, commit, finish, run_command
from export.arduino import NAME, PREFIX, SKETCH, library_detector, write_library
from export.boards import Board, load_board
from export.kernels import KernelSet, load_kernels
from export.mcu import Net, export_nets, read_nets
from export.runs import Run, net_parser, resolve
from export.toolchain import have, install_line, run_tool

NANO_FQBN = "arduino:mbed_nano:nano33ble"
UPLOAD_S = 600.0  # compiling Arduino's core the first time takes minutes


@dataclass(frozen=True)
class Job:
    """What is to be flashed, where from and to. is_given: whether `folder` holds an image already."""

    run: Run
    board: Board
    kernels: KernelSet
    folder: Path
    is_given: bool
    port: str | None


@dataclass(frozen=True)
class Flasher:
    """One way onto a board. tools: any one of them does. flash: returns the tool that it took."""

    tools: tuple[str, ...]
    flash: Callable[[Job], str]


def main() -> None:
    parser = net_parser("export.flash", __doc__, kernels=True)
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--port", help="serial port of the board, where its flasher needs one")
    parser.add_argument("--image", type=Path, help="a folder of `make export-mcu` instead of building one")
    arguments = parser.parse_args()
    start_s = time.monotonic()
    board = load_board(arguments.board)
    flasher = flasher_of(board)
    kernels = load_kernels(arguments.kernels, arguments.cmsis_nn)
    find_any(flasher.tools)
    if arguments.image:
        check_image(arguments.image, board)
    run = resolve(arguments.run, arguments.model)
    folder = arguments.image or Path("build") / run.name / board.name / "flash"
    tool = flasher.flash(Job(run, board, kernels, folder, bool(arguments.image), arguments.port))
    print(listen_line(board))
    finish({"run": run.name, "board": board.name, "tool": tool, "folder": str(folder), "kernels": kernels.name,
            "wall_s": round(time.monotonic() - start_s, 1), "commit": commit()},
           Path("build") / run.name / board.name / "flash", f"Flashed {run.name} onto {board.title}")


def flasher_of(board: Board) -> Flasher:
    """The board's. UserError for one that is emulated."""
    if board.name not in FLASHERS:
        raise UserError(f"BOARD={board.name}: there is nothing to flash, QEMU plays it; `make emulate "
                        f"BOARD={board.name}` runs the image; boards that can be flashed are {', '.join(FLASHERS)}")
    return FLASHERS[board.name]


def find_any(tools: tuple[str, ...]) -> str:
    """The first of `tools` that is there. UserError with what to install."""
    found = next((tool for tool in tools if have(tool)), None)
    if found is None:
        raise UserError(f"{' or '.join(tools)} is not installed; {install_line(tools[0])}")
    return found


# ------------------------------------------------------------------ whose image it is

def check_image(folder: Path, board: Board) -> Path:
    """firmware.bin of a folder. UserError where it is another board's, or none, or not the bytes that were linked."""
    binary, summary = Path(folder) / "firmware.bin", Path(folder) / "summary.json"
    try:
        told = json.loads(summary.read_text(encoding="utf-8"))
        name, identity = told["board"], bytes.fromhex(told["image_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: no image of `make export-mcu` in it ({error})") from error
    if name != board.name:
        raise UserError(f"{folder}: its image is for {name}, and BOARD is {board.name}; "
                        f"`make export-mcu BOARD={board.name}` builds one for it")
    if not binary.is_file() or identity not in binary.read_bytes():
        raise UserError(f"{binary}: not the image that summary.json tells of; build it again with `make export-mcu`")
    return binary


def built(job: Job) -> Path:
    """firmware.bin for the board: the one that is given, else built now."""
    if job.is_given:
        return check_image(job.folder, job.board)
    image = export_nets(read_nets((job.run,)), job.board, job.folder, job.kernels)
    if image.image is None:
        raise UserError("; ".join(image.left_out))
    return image.image.bin


# ------------------------------------------------------------------ ways onto boards

def flash_arduino(job: Job) -> str:
    """The sketch, compiled and uploaded by arduino-cli."""
    net = Net.of(job.run, PREFIX)
    library = write_library(net, library_detector(net)[0], job.folder / NAME, job.kernels)
    sketch = library / "examples" / SKETCH
    run_tool(["arduino-cli", "compile", "--fqbn", NANO_FQBN, "--library", library, sketch],
             "compiling the sketch (`arduino-cli core install arduino:mbed_nano` installs the board)", UPLOAD_S)
    port = ["--port", job.port] if job.port else []
    run_tool(["arduino-cli", "upload", "--fqbn", NANO_FQBN, *port, sketch],
             "uploading (name the PORT; press the board's button twice if it does not answer)", UPLOAD_S)
    return "arduino-cli"


def flash_stm32(target: str) -> Callable[[Job], str]:
    """By openocd with the script of a target, else st-flash."""
    def flash(job: Job) -> str:
        tool, binary = find_any(STM32_TOOLS), built(job)
        origin = f"{job.board.region('flash').origin:#x}"
        commands = {
            "openocd": ["openocd", "-f", "interface/stlink.cfg", "-f", f"target/{target}.cfg", "-c",
                        f"program {{{binary.resolve()}}} {origin} verify reset exit"],
            "st-flash": ["st-flash", "--reset", "write", binary, origin]}
        run_tool(commands[tool], f"flashing {job.board.name} (is its ST-LINK plugged in?)", UPLOAD_S)
        return tool
    return flash


STM32_TOOLS = ("openocd", "st-flash")
FLASHERS = {"nano33ble": Flasher(("arduino-cli",), flash_arduino),
            "b_l475e_iot01a": Flasher(STM32_TOOLS, flash_stm32("stm32l4x")),
            "nucleo_l4r5zi": Flasher(STM32_TOOLS, flash_stm32("stm32l4x")),
            "stm32f4_discovery": Flasher(STM32_TOOLS, flash_stm32("stm32f4x"))}


def listen_line(board: Board) -> str:
    """What to do next."""
    if board.microphone == "none":
        return f"next: make board-test BOARD={board.name} PORT=/dev/ttyACM0"
    return "next: open its serial port and speak (docs/firmware.md)"


if __name__ == "__main__":
    run_command(main)
