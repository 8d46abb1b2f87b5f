"""The firmware of a net on an emulated Cortex-M: real clips in, every byte that comes back checked by witnesses."""

import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError, commit, finish, progress, run_command
from datasets.features import N_FRAMES, MfccQuantizer, log_mel_codes
from datasets.load import read_data
from datasets.waveforms import emulation_clips
from export.boards import Board, emulated_board
from export.checks import (
    Check,
    Witness,
    all_of_row,
    choose_witnesses,
    equal_rows_of,
    report_difference,
    rows_equal,
    table,
)
from export.emulator import Session
from export.graph import Graph
from export.host import host_scores
from export.host_features import host_codes
from export.image import Image
from export.kernels import KernelSet, load_kernels
from export.link import ClipResult, Link
from export.mcu import Net, export_nets
from export.runs import Run, clips_name, input_quantizer, net_parser, resolve, whole_number
from export.toolchain import find_tool, host_compiler
from export.witness import onnx_scores, tflm_runtime, tflm_scores

DEFAULT_BOARD = "mps2-an386"
DEFAULT_LIMIT = 200
MAX_LIMIT = 100_000
SELF_TEST_PASSED = "self-test: passed"


@dataclass(frozen=True)
class Emulated:
    """What the image returned for all clips, row for row.

    codes: uint8 [n, 49, 40]. inputs: int8 [n, 49, coefficients]. scores: [n, outputs] of the net's type.
    feature_ticks, inference_ticks: int64 [n], of SysTick. stack_used: bytes, the most of all.
    """

    codes: np.ndarray
    inputs: np.ndarray
    scores: np.ndarray
    feature_ticks: np.ndarray
    inference_ticks: np.ndarray
    stack_used: int

    @classmethod
    def of(cls, results: list[ClipResult], graph: Graph) -> "Emulated":
        """Rows of single clips, stacked."""
        column = {name: np.array([getattr(result, name) for result in results]) for name in vars(results[0])}
        return cls(**{**column, "scores": column["scores"].view(graph.output.dtype),
                      "stack_used": int(column["stack_used"].max())})


@dataclass(frozen=True)
class Case:
    """What witnesses are asked about: a net and what its image made of waveforms, int16 [n, 16000]."""

    net: Net
    tflite: bytes
    quantizer: MfccQuantizer
    waveforms: np.ndarray
    emulated: Emulated


@dataclass(frozen=True)
class Trial:
    """What an image is asked, and who judges its answers.

    source: in words, where the clips come from. waveforms: int16 [n, 16000]. labels: int64 [n], below 0 where unknown.
    left_out: witnesses that cannot be had here, and why. folder: of image and results. start_s: time.monotonic().
    """

    run: Run
    board: Board
    kernels: KernelSet
    net: Net
    witnesses: tuple[Witness, ...]
    left_out: dict[str, str]
    source: str
    waveforms: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    folder: Path
    image: Image
    start_s: float


def main() -> None:
    """Build, run, check, report; exit status 1 where one byte differs."""
    arguments = _arguments()
    board = emulated_board(arguments.board)
    find_tool("qemu-system-arm")
    trial = trial_of(arguments, board, "emulate")
    emulated = emulate(trial.net, trial.image, board, trial.waveforms)
    checks = judge(trial, emulated)
    counted = instructions(board, emulated)
    finish(verdict(trial, emulated, checks) | counted | image_facts(trial.image, emulated)
           | {"emulated_on": trial.source} | circumstances(trial),
           trial.folder, f"Emulated {trial.run.name} on {board.title}")
    report_difference(checks, trial.names, "clips")


def trial_of(arguments: Namespace, board: Board, folder: str) -> Trial:
    """By the command line; builds the image last. folder: within that of run and board."""
    start_s = time.monotonic()
    kernels = load_kernels(arguments.kernels, arguments.cmsis_nn)
    run = resolve(arguments.run, arguments.model)
    net = Net.of(run)
    input_quantizer(net.graph)  # a net that takes no features is told before clips are read
    witnesses, left_out = choose_witnesses(WITNESSES)
    data, source = clips_source(arguments, run)
    waveforms, labels, names = emulation_clips(data, arguments.clips, run.labels, arguments.limit)
    place = arguments.out or Path("build") / run.name / board.name / folder
    return Trial(run, board, kernels, net, witnesses, left_out, source, waveforms, labels, names, place,
                 build((net,), board, place, kernels), start_s)


def judge(trial: Trial, emulated: Emulated) -> tuple[Check, ...]:
    """Ask the witnesses, and print what they say."""
    print(SELF_TEST_PASSED)
    case = Case(trial.net, trial.run.tflite_path.read_bytes(), input_quantizer(trial.net.graph), trial.waveforms,
                emulated)
    checks = check(trial.witnesses, case)
    print(table(checks, trial.left_out))
    return checks


def _arguments() -> Namespace:
    parser = net_parser("export.emulate", __doc__, clips=True, kernels=True)
    parser.add_argument("--board", default=DEFAULT_BOARD, help=f"a board that QEMU plays; default: {DEFAULT_BOARD}")
    parser.add_argument("--limit", type=row_limit, default=DEFAULT_LIMIT, help=f"most clips; default: {DEFAULT_LIMIT}")
    parser.add_argument("--out", type=Path, help="for the results; default: build/RUN/BOARD/emulate")
    return parser.parse_args()


def row_limit(text: str) -> int:
    """LIMIT."""
    return whole_number("LIMIT", text, 1, MAX_LIMIT)


def clips_source(arguments: Namespace, run: Run) -> tuple[Path | None, str]:
    """The data to take validation clips of (None with CLIPS), and what the summary says they are."""
    if arguments.clips:
        return None, clips_name(arguments.clips)
    words = tuple(label for label in run.labels if not label.startswith("_")) if run.named_labels else None
    material = read_data(arguments.data or run.data, words)
    return material.source, f"validation of {material.name}"


def build(nets: tuple[Net, ...], board: Board, folder: Path, kernels: KernelSet) -> Image:
    """The image that `make export-mcu` makes for this board, in `folder`. UserError where it is left out."""
    exported = export_nets(nets, board, folder, kernels)
    if exported.image is None:
        raise UserError("; ".join(exported.left_out))
    return exported.image


def emulate(net: Net, image: Image, board: Board, waveforms: np.ndarray) -> Emulated:
    """Run the image on clips, int16 [n, 16000]. UserError where it goes wrong or fails its self-test."""
    with Session(image.elf, board.emulator) as session:
        return ask_image(session, net, image, waveforms, f"emulating {board.name}")


def ask_image(link: Link, net: Net, image: Image, waveforms: np.ndarray, what: str) -> Emulated:
    """Send clips, int16 [n, 16000], to what runs `image`. UserError where it goes wrong or failed its self-test."""
    hello = link.check(image)
    clips = progress(waveforms, what, unit="clip")
    return Emulated.of([link.clip(waveform, hello) for waveform in clips], net.graph)


def check(witnesses: tuple[Witness, ...], case: Case) -> tuple[Check, ...]:
    """Ask every witness on which rows it agrees."""
    return tuple(Check(witness.what, witness.ask(case)) for witness in witnesses)


def _codes_within_one(case: Case) -> np.ndarray:
    reference = np.array([log_mel_codes(waveform) for waveform in case.waveforms]).astype(int)
    return all_of_row(np.abs(case.emulated.codes - reference) <= 1)


def _inputs_equal(case: Case) -> np.ndarray:
    return rows_equal(case.emulated.inputs, case.quantizer(case.emulated.codes))


def _scores_equal(case: Case, witness: np.ndarray) -> np.ndarray:
    return rows_equal(case.emulated.scores, witness)


WITNESSES = (  # scores are checked on the image's own inputs
    Witness("codes = host C", lambda case: rows_equal(case.emulated.codes, host_codes(case.waveforms)), host_compiler),
    Witness("codes = float64 within one", _codes_within_one),
    Witness("inputs = NumPy", _inputs_equal),
    Witness("scores = TFLite Micro", lambda case: _scores_equal(case, tflm_scores(case.tflite, case.emulated.inputs)),
            tflm_runtime),
    Witness("scores = ONNX Runtime",
            lambda case: _scores_equal(case, onnx_scores(case.net.model, case.emulated.inputs))),
    Witness("scores = host C", lambda case: _scores_equal(case, host_scores(case.net.graph, case.emulated.inputs)),
            host_compiler),
)


def verdict(trial: Trial, emulated: Emulated, checks: tuple[Check, ...]) -> dict:
    """How many rows are equal, by every witness, and how many right; keys as everywhere (DESIGN, "What they type")."""
    run, board, labels = trial.run, trial.board, trial.labels
    known = labels >= 0
    accuracy = (emulated.scores.argmax(axis=1) == labels)[known].mean() if known.any() else None
    return {
        "run": run.name, "board": board.name, "core": board.core, "dataset": run.dataset,
        "clips": len(labels), "rows": len(labels),
        "equal_rows": int(np.logical_and.reduce([each.equal for each in checks]).sum()),
        **({} if accuracy is None else {"accuracy_int8": float(accuracy)}),
        "equal_rows_of": equal_rows_of(checks), "self_test": "passed",
    }


def instructions(board: Board, emulated: Emulated) -> dict:
    """Means of what the emulator counted."""
    per_tick = board.emulator.instructions_per_tick
    return {"instructions_per_inference": round(float(emulated.inference_ticks.mean()) * per_tick),
            "instructions_per_frame": round(float(emulated.feature_ticks.mean()) * per_tick / N_FRAMES)}


def circumstances(trial: Trial) -> dict:
    """With which kernels, without which witnesses, how long and by which code."""
    return {"kernels": trial.kernels.name, "left_out": [f"{what}: {why}" for what, why in trial.left_out.items()],
            "wall_s": round(time.monotonic() - trial.start_s, 1), "commit": commit()}


def image_facts(image: Image, emulated: Emulated) -> dict:
    """Bytes of the image, and of the stack what it used."""
    return {"flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, "arena_bytes": image.arena_bytes,
            "buffer_bytes": image.buffer_bytes, "stack_bytes": image.stack_bytes, "image_sha256": image.identity,
            "stack_used_bytes": emulated.stack_used}


if __name__ == "__main__":
    run_command(main)
