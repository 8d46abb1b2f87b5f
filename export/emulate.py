"""The firmware of a net on an emulated Cortex-M: real clips in, every byte that comes back checked by witnesses."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError, commit, finish, progress, run_command
from datasets.features import N_FRAMES, MfccQuantizer, log_mel_codes
from datasets.load import read_data
from datasets.waveforms import emulation_clips
from export.boards import Board, emulated_board
from export.emulator import ClipResult, Hello, Session
from export.graph import Graph
from export.host import host_scores
from export.host_features import host_codes
from export.image import KERNELS, Image
from export.mcu import export_run
from export.onnx_writer import to_onnx
from export.runs import Run, clips_name, input_quantizer, net_parser, resolve
from export.tflite_reader import read_tflite
from export.toolchain import find_tool, host_compiler
from export.witness import onnx_scores, tflm_runtime, tflm_scores

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
class Case:
    """What witnesses are asked about: a net and what its image made of waveforms, int16 [n, 16000]."""

    graph: Graph
    tflite: bytes
    quantizer: MfccQuantizer
    waveforms: np.ndarray
    emulated: Emulated


@dataclass(frozen=True)
class Witness:
    """Something that computes the same without the image.

    agrees: of a Case, bool [n]. needs: raises the UserError that says why this machine cannot ask it.
    """

    what: str
    agrees: Callable[[Case], np.ndarray]
    needs: Callable[[], object] = lambda: None


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
    find_tool("qemu-system-arm")
    witnesses, left_out = choose_witnesses()
    data, source = clips_source(arguments, run)
    waveforms, labels, names = emulation_clips(data, arguments.clips, run.labels, arguments.limit)
    folder = arguments.out or Path("build") / run.name / board.name / "emulate"
    image = build(run, board, folder)
    emulated = emulate(image, board, waveforms)
    checks = check(witnesses, Case(graph, run.tflite_path.read_bytes(), quantizer, waveforms, emulated))
    print(table(checks, left_out))
    summary = summarize(run, board, image, emulated, checks, labels) | {
        "emulated_on": source, "left_out": [f"{what}: {why}" for what, why in left_out.items()],
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


def clips_source(arguments: Namespace, run: Run) -> tuple[Path | None, str]:
    """The data to take validation clips of (None with CLIPS), and what the summary says they are."""
    if arguments.clips:
        return None, clips_name(arguments.clips)
    words = tuple(label for label in run.labels if not label.startswith("_")) if run.named_labels else None
    material = read_data(arguments.data or run.data, words)
    return material.source, f"validation of {material.name}"


def build(run: Run, board: Board, folder: Path) -> Image:
    """The image that `make export-mcu` makes for this board, in `folder`. UserError where it is left out."""
    exported = export_run(run, board, folder)
    if exported.image is None:
        raise UserError("; ".join(exported.left_out))
    return exported.image


def choose_witnesses() -> tuple[tuple[Witness, ...], dict[str, str]]:
    """The witnesses that this machine can ask, and of each other one why not."""
    left_out = {}
    for witness in WITNESSES:
        try:
            witness.needs()
        except UserError as error:
            left_out[witness.what] = str(error)
    return tuple(witness for witness in WITNESSES if witness.what not in left_out), left_out


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


def check(witnesses: tuple[Witness, ...], case: Case) -> tuple[Check, ...]:
    """Ask every witness."""
    return tuple(Check(witness.what, witness.agrees(case)) for witness in witnesses)


def _codes_within_one(case: Case) -> np.ndarray:
    reference = np.array([log_mel_codes(waveform) for waveform in case.waveforms]).astype(int)
    return _all_of_row(np.abs(case.emulated.codes - reference) <= 1)


def _inputs_equal(case: Case) -> np.ndarray:
    return _rows_equal(case.emulated.inputs, case.quantizer(case.emulated.codes))


def _scores_equal(case: Case, witness: np.ndarray) -> np.ndarray:
    return _rows_equal(case.emulated.scores, witness)


def _rows_equal(image: np.ndarray, witness: np.ndarray) -> np.ndarray:
    return _all_of_row(image == np.asarray(witness).reshape(image.shape))


def _all_of_row(good: np.ndarray) -> np.ndarray:
    return good.reshape(len(good), -1).all(axis=1)


WITNESSES = (  # scores are checked on the image's own inputs
    Witness("codes = host C", lambda case: _rows_equal(case.emulated.codes, host_codes(case.waveforms)), host_compiler),
    Witness("codes = float64 within one", _codes_within_one),
    Witness("inputs = NumPy", _inputs_equal),
    Witness("scores = TFLite Micro", lambda case: _scores_equal(case, tflm_scores(case.tflite, case.emulated.inputs)),
            tflm_runtime),
    Witness("scores = ONNX Runtime",
            lambda case: _scores_equal(case, onnx_scores(to_onnx(case.graph), case.emulated.inputs))),
    Witness("scores = host C", lambda case: _scores_equal(case, host_scores(case.graph, case.emulated.inputs)),
            host_compiler),
)


def table(checks: tuple[Check, ...], left_out: dict[str, str]) -> str:
    """One line a witness: rows and equal rows, or why it was left out."""
    width = max(map(len, (*(each.what for each in checks), *left_out)))
    return "\n".join([
        f"{'':<{width}}  rows  equal_rows",
        *(f"{each.what:<{width}}  {len(each.equal):>4}  {int(each.equal.sum()):>10}" for each in checks),
        *(f"{what:<{width}}  left out: {why}" for what, why in left_out.items())])


def summarize(run: Run, board: Board, image: Image, emulated: Emulated, checks: tuple[Check, ...],
              labels: np.ndarray) -> dict:
    """What summary.json says; keys as everywhere (DESIGN, "What they type"). equal_rows: equal by every witness."""
    per_tick = board.emulator.instructions_per_tick
    known = labels >= 0
    accuracy = (emulated.scores.argmax(axis=1) == labels)[known].mean() if known.any() else None
    return {
        "run": run.name, "board": board.name, "core": board.core, "kernels": KERNELS, "dataset": run.dataset,
        "clips": len(labels), "rows": len(labels),
        "equal_rows": int(np.logical_and.reduce([each.equal for each in checks]).sum()),
        **({} if accuracy is None else {"accuracy_int8": float(accuracy)}),
        "instructions_per_inference": round(float(emulated.inference_ticks.mean()) * per_tick),
        "instructions_per_frame": round(float(emulated.feature_ticks.mean()) * per_tick / N_FRAMES),
        "flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, "arena_bytes": image.arena_bytes,
        "buffer_bytes": image.buffer_bytes, "stack_bytes": image.stack_bytes, "image_sha256": image.identity,
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
