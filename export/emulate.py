"""The firmware of a net on an emulated Cortex-M: real clips in, every byte that comes back checked by witnesses."""

import sys
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError, commit, finish, progress, run_command
from datasets.features import N_FRAMES, MfccQuantizer, log_mel_codes
from datasets.waveforms import emulation_clips
from export.boards import Board, emulated_board
from export.c_writer import write_c
from export.emulator import ClipResult, Hello, Session
from export.graph import Graph
from export.host import host_scores
from export.host_features import host_codes
from export.image import Image, build_image
from export.onnx_writer import to_onnx
from export.runs import Run, input_quantizer, net_parser, resolve
from export.tflite_reader import read_tflite
from export.witness import onnx_scores, tflm_scores

DEFAULT_BOARD = "mps2-an386"
DEFAULT_LIMIT = 200


@dataclass(frozen=True)
class Emulated:
    """What the image returned for all clips, row for row.

    codes: uint8 [n, 49, 40]. inputs: int8 [n, 49, coefficients]. scores: int8 [n, outputs].
    feature_ticks, inference_ticks: int64 [n], of SysTick. stack_used: bytes, the most of all.
    """

    codes: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    feature_ticks: np.ndarray
    inference_ticks: np.ndarray
    stack_used: int

    @classmethod
    def of(cls, results: list[ClipResult]) -> "Emulated":
        """Rows of single clips, stacked."""
        column = {name: np.array([getattr(result, name) for result in results]) for name in vars(results[0])}
        return cls(**{**column, "stack_used": int(column["stack_used"].max())})


@dataclass(frozen=True)
class Check:
    """One witness. equal: bool [n], whether it agrees with the image on each row."""

    what: str
    equal: np.ndarray


def main() -> None:
    """Build, run, check, report; exit status 1 where one byte differs."""
    arguments = _arguments()
    start_s = time.monotonic()
    board = emulated_board(arguments.board)
    run = resolve(arguments.run, arguments.model)
    graph = read_tflite(run.tflite_path)
    quantizer = input_quantizer(graph)
    waveforms, labels, names = emulation_clips(arguments.data or run.data, arguments.clips, run.labels, arguments.limit)
    folder = arguments.out or Path("build") / run.name / board.name / "emulate"
    image = build_network_image(graph, board, folder, quantizer)
    emulated = emulate(image, board, waveforms)
    checks = check(graph, run.tflite_path.read_bytes(), quantizer, waveforms, emulated)
    print(table(checks))
    summary = summarize(run, board, image, emulated, checks, labels) | {
        "wall_s": round(time.monotonic() - start_s, 1), "commit": commit()}
    finish(summary, folder, f"Emulated {run.name} on {board.title}")
    report_difference(checks, names)


def _arguments() -> Namespace:
    parser = net_parser("export.emulate", __doc__, clips=True)
    parser.add_argument("--board", default=DEFAULT_BOARD, help=f"a board that QEMU plays; default: {DEFAULT_BOARD}")
    parser.add_argument("--limit", type=_count, default=DEFAULT_LIMIT, help=f"most clips; default: {DEFAULT_LIMIT}")
    parser.add_argument("--out", type=Path, help="for the results; default: build/RUN/BOARD/emulate")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"LIMIT={text}: allowed are whole numbers from 1 up")
    return int(text)


def build_network_image(graph: Graph, board: Board, folder: Path, quantizer: MfccQuantizer) -> Image:
    """C of the graph in folder/network, its image for the board in folder."""
    write_c(graph, folder / "network")
    return build_image(folder / "network", board, folder, quantizer)


def emulate(image: Image, board: Board, waveforms: np.ndarray) -> Emulated:
    """Run the image on clips, int16 [n, 16000]. UserError where it goes wrong or is another image."""
    with Session(image.elf, board.emulator) as session:
        hello = check_identity(session.hello(), image)
        return Emulated.of([session.clip(waveform, hello)
                            for waveform in progress(waveforms, f"emulating {board.name}", unit="clip")])


def check_identity(hello: Hello, image: Image) -> Hello:
    """`hello`, where it comes from `image`."""
    if hello.identity != image.identity:
        raise UserError(f"{image.elf}: what runs is another image ({hello.identity[:12]} for {image.identity[:12]}); "
                        "build and load it again")
    return hello


def check(graph: Graph, tflite: bytes, quantizer: MfccQuantizer, waveforms: np.ndarray,
          emulated: Emulated) -> tuple[Check, ...]:
    """Features against host C and float64, inputs against NumPy, scores against three witnesses on those inputs."""
    reference = np.array([log_mel_codes(waveform) for waveform in waveforms]).astype(int)
    return (
        Check("codes = host C", _rows_equal(emulated.codes, host_codes(waveforms))),
        Check("codes = float64 within one", _all_of_row(np.abs(emulated.codes - reference) <= 1)),
        Check("inputs = NumPy", _rows_equal(emulated.inputs, quantizer(emulated.codes))),
        Check("scores = TFLite Micro", _rows_equal(emulated.scores, tflm_scores(tflite, emulated.inputs))),
        Check("scores = ONNX Runtime", _rows_equal(emulated.scores, onnx_scores(to_onnx(graph), emulated.inputs))),
        Check("scores = host C", _rows_equal(emulated.scores, host_scores(graph, emulated.inputs))),
    )


def _rows_equal(image: np.ndarray, witness: np.ndarray) -> np.ndarray:
    return _all_of_row(image == np.asarray(witness).reshape(image.shape))


def _all_of_row(good: np.ndarray) -> np.ndarray:
    return good.reshape(len(good), -1).all(axis=1)


def table(checks: tuple[Check, ...]) -> str:
    """One line a witness: rows, equal rows."""
    width = max(len(each.what) for each in checks)
    return "\n".join([f"{'':<{width}}  rows  equal_rows"] + [
        f"{each.what:<{width}}  {len(each.equal):>4}  {int(each.equal.sum()):>10}" for each in checks])


def summarize(run: Run, board: Board, image: Image, emulated: Emulated, checks: tuple[Check, ...],
              labels: np.ndarray) -> dict:
    """What summary.json says; keys as everywhere (DESIGN, "What they type"). equal_rows: equal by every witness."""
    per_tick = board.emulator.instructions_per_tick
    known = labels >= 0
    accuracy = (emulated.scores.argmax(axis=1) == labels)[known].mean() if known.any() else None
    return {
        "run": run.name, "board": board.name, "core": board.core, "kernels": "portable", "dataset": run.dataset,
        "clips": len(labels), "rows": len(labels),
        "equal_rows": int(np.logical_and.reduce([each.equal for each in checks]).sum()),
        **({} if accuracy is None else {"accuracy_int8": float(accuracy)}),
        "instructions_per_inference": round(float(emulated.inference_ticks.mean()) * per_tick),
        "instructions_per_frame": round(float(emulated.feature_ticks.mean()) * per_tick / N_FRAMES),
        "flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, "arena_bytes": image.arena_bytes,
        "buffer_bytes": image.buffer_bytes, "stack_bytes": image.stack_bytes,
        "stack_used_bytes": emulated.stack_used, "equal_rows_of": {each.what: int(each.equal.sum()) for each in checks},
    }


def report_difference(checks: tuple[Check, ...], names: tuple[str, ...]) -> None:
    """Exit with status 1 and one line where a check failed; else return."""
    for each in checks:
        if not each.equal.all():
            first = names[int(np.argmin(each.equal))]
            sys.exit(f"error: {each.what} fails on {int((~each.equal).sum())} of {len(names)} clips, first {first}; "
                     "every byte must agree, so this is a bug of kws-grow: please report it")


if __name__ == "__main__":
    run_command(main)
