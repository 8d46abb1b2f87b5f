"""Every row through TFLite Micro, ONNX Runtime, host C under sanitizers and the emulated cores: one byte decides."""

import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np

from datasets.console import UserError, commit, finish, progress, run_command
from datasets.parallel import cores
from datasets.waveforms import emulation_clips
from export.boards import Board, board_names, emulated_board, load_board
from export.checks import Check, Witness, choose_witnesses, equal_rows_of, report_difference, rows_equal, table
from export.emulate import SELF_TEST_PASSED, build, row_limit
from export.emulator import Session
from export.host import sanitized_scores, sanitizing_compiler
from export.host_features import host_codes
from export.image import Image
from export.kernels import KernelSet, load_kernels
from export.link import check_identity
from export.mcu import Net, read_nets
from export.op_kernel import KernelOf, portable
from export.runs import (
    clips_name,
    input_quantizer,
    joint_name,
    most_rows,
    net_parser,
    resolve_several,
    whole_number,
)
from export.stimuli import load_inputs, random_stimuli
from export.toolchain import ARM_TOOLS, find_tool
from export.witness import onnx_scores, tflm_runtime, tflm_scores

DEFAULT_LIMIT = 200


@dataclass(frozen=True)
class Stimuli:
    """What all are asked. inputs: [n, ...] for each net, of its input's type; names: [n]; source: where from."""

    inputs: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Case:
    """Nets and the rows that they are asked about. on_host: the kernels of their C on this machine."""

    nets: tuple[Net, ...]
    stimuli: Stimuli
    on_host: KernelOf = portable

    @property
    def name(self) -> str:
        return joint_name(tuple(net.run for net in self.nets))

    def each(self, ask) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
        """ask(net, inputs) of every net; and that no self-test failed, there being none."""
        return tuple(ask(net, inputs) for net, inputs in zip(self.nets, self.stimuli.inputs, strict=True)), ()


@dataclass(frozen=True)
class Answer:
    """What one witness computes: scores [n, outputs] of every net. instructions: of every net, per inference, on an
    emulated core. failed: what went wrong, by whose it is: the witness's, where it has no scores, or its self-test's.
    """

    what: str
    scores: tuple[np.ndarray, ...] = ()
    instructions: tuple[int | None, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, what: str, ask: Callable[[], tuple]) -> "Answer":
        """ask() returns scores, instructions, and the parts of the self-test that failed; or raises a UserError."""
        try:
            scores, instructions, parts = ask()
        except UserError as error:
            return cls(what, failed={what: str(error)})
        return cls(what, scores, instructions, {f"{what}, self-test": ", ".join(parts)} if parts else {})


@dataclass(frozen=True)
class Company:
    """Who can be asked here; left_out: who not, and why."""

    witnesses: tuple[Witness, ...]
    boards: tuple[Board, ...]
    left_out: dict[str, str]


def main() -> None:
    """Ask everyone, compare, report; exit status 1 where one byte differs."""
    arguments = _arguments()
    start_s = time.monotonic()
    runs = resolve_several(arguments.run, arguments.model)
    folder = discard_summary(arguments.out or Path("build") / joint_name(runs) / "verify")
    company = gather(arguments.board)
    kernels = load_kernels(arguments.kernels, arguments.cmsis_nn)
    nets = read_nets(runs)
    case = Case(nets, read_stimuli(arguments, nets), kernels.on_host)
    answers = (*ask_host(company.witnesses, case), *ask_boards(company.boards, case, folder, kernels))
    checks = compare(answers, case)
    print(report(case, answers, checks, company))
    summary = summarize(case, answers, checks, company) | {
        "kernels": kernels.name, "seed": arguments.seed, "wall_s": round(time.monotonic() - start_s, 1),
        "commit": commit()}
    finish(summary, folder, f"Verified {case.name}")
    report_difference(checks, case.stimuli.names, "rows", failures(answers))


def _arguments() -> Namespace:
    parser = net_parser("export.verify", __doc__, kernels=True)
    parser.add_argument("--clips", type=Path, help="folder of WAVs, one sub-folder a label, as inputs")
    parser.add_argument("--inputs", type=Path, help=".npy of inputs, int8 or uint8 [n, ...]; default: random ones")
    parser.add_argument("--board", help="one board that QEMU plays; default: every core")
    parser.add_argument("--limit", type=row_limit, default=DEFAULT_LIMIT, help=f"most rows; default: {DEFAULT_LIMIT}")
    parser.add_argument("--seed", type=seed, default=0, help="of random inputs; default: 0")
    parser.add_argument("--out", type=Path, help="for the results; default: build/RUN/verify")
    return parser.parse_args()


def discard_summary(folder: Path) -> Path:
    """`folder`, without the summary of an older command: where this one fails, it would look current."""
    (folder / "summary.json").unlink(missing_ok=True)
    return folder


def seed(text: str) -> int:
    """SEED."""
    return whole_number("SEED", text, 0, 2**32 - 1)


def read_stimuli(arguments: Namespace, nets: tuple[Net, ...]) -> Stimuli:
    """Rows for every net: clips, an .npy, or random ones."""
    if arguments.clips and arguments.inputs:
        raise UserError(f"CLIPS={arguments.clips} and INPUTS={arguments.inputs}: name one of the two")
    if arguments.clips:
        return _stimuli_of_clips(arguments.clips, nets, arguments.limit)
    if arguments.inputs:
        inputs = tuple(load_inputs(arguments.inputs, net.graph, arguments.limit) for net in nets)
        return Stimuli(inputs, _numbers(inputs), str(arguments.inputs))
    rows = min(arguments.limit, *(most_rows(net.graph) for net in nets))
    inputs = tuple(random_stimuli(net.graph, rows, arguments.seed) for net in nets)
    return Stimuli(inputs, _numbers(inputs), f"random, SEED={arguments.seed}")


def _numbers(inputs: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    return tuple(f"row {i}" for i in range(len(inputs[0])))


def _stimuli_of_clips(clips: Path, nets: tuple[Net, ...], limit: int) -> Stimuli:
    quantizers = [input_quantizer(net.graph) for net in nets]
    waveforms, _, names = emulation_clips(None, clips, nets[0].run.labels, limit)
    codes = host_codes(waveforms)
    return Stimuli(tuple(quantizer(codes) for quantizer in quantizers), names, clips_name(clips))


def gather(board: str | None) -> Company:
    """All that this machine has; `board`: of the boards, that one alone. UserError where there are not two."""
    boards, boards_out = choose_boards(board)
    witnesses, witnesses_out = choose_witnesses(WITNESSES)
    left_out = witnesses_out | boards_out
    if len(witnesses) + len(boards) < 2:
        raise UserError(f"{witnesses[0].what} alone cannot be compared; left out: "
                        + "; ".join(f"{what}: {why}" for what, why in left_out.items()))
    return Company(witnesses, boards, left_out)


def choose_boards(name: str | None) -> tuple[tuple[Board, ...], dict[str, str]]:
    """The named board, or one of each emulated core that talks fast; or none, and why not."""
    boards = (emulated_board(name),) if name else tuple(
        board for board in map(load_board, board_names())
        if board.emulator and board.emulator.channel == "semihosting")
    try:
        for tool in (*ARM_TOOLS, "qemu-system-arm"):
            find_tool(tool)
    except UserError as error:
        return (), {_what(board): str(error) for board in boards}
    return boards, {}


def _what(board: Board) -> str:
    return f"{board.name} ({board.core})"


WITNESSES = (  # the first that is there is the reference
    Witness("TFLite Micro", lambda case: case.each(
        lambda net, inputs: tflm_scores(net.run.tflite_path.read_bytes(), inputs)), tflm_runtime),
    Witness("ONNX Runtime", lambda case: case.each(lambda net, inputs: onnx_scores(net.model, inputs))),
    Witness("host C, sanitizers", lambda case: sanitized_scores(
        tuple(net.graph for net in case.nets), tuple(net.network for net in case.nets), case.stimuli.inputs,
        case.on_host),
        sanitizing_compiler),
)


def ask_host(witnesses: tuple[Witness, ...], case: Case) -> tuple[Answer, ...]:
    """What this machine computes."""
    return tuple(Answer.of(witness.what, lambda witness=witness: _ask_witness(witness, case)) for witness in witnesses)


def _ask_witness(witness: Witness, case: Case) -> tuple:
    scores, failed = witness.ask(case)
    return scores, (None,) * len(case.nets), failed


def ask_boards(boards: tuple[Board, ...], case: Case, folder: Path, kernels: KernelSet) -> tuple[Answer, ...]:
    """What the boards compute, side by side on the cores of this machine; their images go to folder/BOARD."""
    rows, stop = sum(map(len, case.stimuli.inputs)), Event()
    with ThreadPoolExecutor(cores()) as pool, progress(None, "emulating", len(boards) * rows, "row") as bar:

        def ask(board: Board) -> tuple:
            image = build(case.nets, board, folder / board.name, kernels)
            return _ask_image(image, board, case, lambda: _step(bar, stop))

        futures = [pool.submit(Answer.of, _what(board), partial(ask, board)) for board in boards]
        try:
            done = wait(futures, return_when=FIRST_EXCEPTION).done
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        for future in done:
            future.result()
        return tuple(future.result() for future in futures)


def _step(bar, stop: Event) -> None:
    """One row more; an error of nobody's interest where the command is ending."""
    bar.update()
    if stop.is_set():
        raise UserError("stopped")


def _ask_image(image: Image, board: Board, case: Case, step: Callable[[], None]) -> tuple:
    """Every row of every net through one image, as Answer.of takes it. UserError where it goes wrong."""
    scores, instructions = [], []
    with Session(image.elf, board.emulator) as session:
        hello = check_identity(session.hello(), image)
        for index, (net, inputs) in enumerate(zip(case.nets, case.stimuli.inputs, strict=True)):
            results = [(session.scores(row, hello, index), step())[0] for row in inputs]
            scores.append(np.array([row for row, _ in results]).view(net.graph.output.dtype))
            ticks = np.mean([ticks for _, ticks in results])
            instructions.append(round(float(ticks) * board.emulator.instructions_per_tick))
    return tuple(scores), tuple(instructions), hello.failures() or (hex(hello.self_test),) * bool(hello.self_test)


def compare(answers: tuple[Answer, ...], case: Case) -> tuple[Check, ...]:
    """The scores of every net by all who answered, against the first's of them."""
    reference, *others = answered(answers)
    return tuple(
        Check(_title(answer.what, net, case), rows_equal(scores, expected), instructions)
        for answer in others
        for net, scores, expected, instructions in zip(case.nets, answer.scores, reference.scores, answer.instructions,
                                                       strict=True))


def answered(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Those with scores; the first is the reference. ONNX Runtime always is among them."""
    return tuple(answer for answer in answers if answer.scores)


def failures(answers: tuple[Answer, ...]) -> dict[str, str]:
    """All that went wrong, by whose it is."""
    return {who: why for answer in answers for who, why in answer.failed.items()}


def _title(what: str, net: Net, case: Case) -> str:
    return what if len(case.nets) == 1 else f"{what}, {net.network.prefix} {net.run.name}"


def report(case: Case, answers: tuple[Answer, ...], checks: tuple[Check, ...], company: Company) -> str:
    """What was asked, whether every board passed its self-test, and the table."""
    failed = failures(answers)
    head = f"{len(case.stimuli.names)} rows, {case.stimuli.source}; reference: {answered(answers)[0].what}"
    passed = [SELF_TEST_PASSED] if company.boards and not failed else []
    return "\n".join([head, *passed, table(checks, company.left_out, failed)])


def summarize(case: Case, answers: tuple[Answer, ...], checks: tuple[Check, ...], company: Company) -> dict:
    """What summary.json says; keys as everywhere (DESIGN, "What they type"). equal_rows: equal by everyone
    who was asked, so none where one did not answer."""
    everyone = len(answered(answers)) == len(answers)
    equal = int(np.logical_and.reduce([each.equal for each in checks]).sum()) if everyone else 0
    failed = failures(answers)
    counted = {each.what: each.instructions for each in checks if each.instructions is not None}
    return {
        "run": case.name, "boards": [board.name for board in company.boards], "rows": len(case.stimuli.names),
        "equal_rows": equal, "stimuli": case.stimuli.source, "reference": answered(answers)[0].what,
        "equal_rows_of": equal_rows_of(checks), "instructions_per_inference_of": counted,
        "model_sha256": [net.graph.sha256 for net in case.nets],
        "failed": [f"{what}: {why}" for what, why in failed.items()],
        "left_out": [f"{what}: {why}" for what, why in company.left_out.items()],
    }


if __name__ == "__main__":
    run_command(main)
