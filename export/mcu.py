"""Everything a board needs of a net: .tflite, ONNX, C, tables, the firmware image and its memory map."""

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from datasets.console import UserError, atomic_write, commit, finish, run_command
from export.boards import Board, load_board
from export.c_writer import write_c
from export.cost import Price, Tariff, summary_of_price
from export.cost_report import layer_table
from export.detector import check_graph, detector_of
from export.duty import DutyCycle
from export.graph import Graph, layer_shapes
from export.image import SLOWEST_MS, WORK, Features, Image, build_image, discard_image, write_tables
from export.kernels import CMSIS_NN, KernelSet, load_kernels
from export.layer_memory import array_bytes
from export.networks import Network, prefixes
from export.onnx_writer import to_onnx
from export.plan import Plan, op_bytes
from export.runs import Run, input_quantizer, net_parser, resolve
from export.self_test import FEATURES_FAILED, chirp_crc, network_test
from export.stack import worst_stack_bytes
from export.tflite_reader import read_tflite
from export.toolchain import ARM_TOOLS, have, install_line


@dataclass(frozen=True)
class Net:
    """A net to export. model: its ONNX; network: its prefix and self-test, the same on every board."""

    run: Run
    graph: Graph
    model: onnx.ModelProto
    network: Network

    @classmethod
    def of(cls, run: Run, prefix: str = "network") -> "Net":
        """The net of a run. UserError where it cannot be read."""
        graph = read_tflite(run.tflite_path)
        model = to_onnx(graph)
        return cls(run, graph, model, Network(prefix, network_test(graph, model)))


@dataclass(frozen=True)
class Exported:
    """What export_nets wrote.

    plans: of the nets' arenas, in order. constant_bytes: of all their arrays. image: None where left_out says why;
    left_out: a line for each thing not written.
    """

    folder: Path
    nets: tuple[Net, ...]
    plans: tuple[Plan, ...]
    constant_bytes: int
    image: Image | None
    left_out: tuple[str, ...]


def main() -> None:
    parser = net_parser("export.mcu", __doc__, kernels=True)
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--out", type=Path, help="where all goes; default: build/RUN/BOARD")
    arguments = parser.parse_args()
    run, board = resolve(arguments.run, arguments.model), load_board(arguments.board)
    kernels = load_kernels(arguments.kernels, arguments.cmsis_nn)
    exported = export_nets(read_nets((run,)), board, arguments.out or Path("build") / run.name / board.name, kernels)
    bill, unpriced = price_of(exported.nets[0], board, kernels)
    if bill:
        print(layer_table(bill))
    print(memory_map(exported, board))
    for line in (*exported.left_out, *unpriced):
        print(f"left out: {line}")
    finish(summarize(run, exported, board, kernels, bill), exported.folder, f"Exported {run.name} for {board.title}")


def listening_share(net: Net, board: Board, bill: Price) -> dict:
    """Of the core, for a second of audio: its frames, and as many inferences as the net's detector makes. Nothing where
    the net does not listen."""
    try:
        rate = detector_of(net.run, net.graph)[0].inferences_per_s
    except UserError:
        return {}
    duty = DutyCycle(board, bill.frame.cycles, bill.whole.cycles, rate)
    return {"inferences_per_s": rate, "core_share": round(duty.share, 4), "keeps_up": duty.keeps_up}


def threshold_of(net: Net) -> dict:
    """The detector's threshold, and where it is from. Nothing where the net does not listen."""
    try:
        detector, source = detector_of(net.run, net.graph)
    except UserError:
        return {}
    return {"threshold": detector.threshold, "threshold_from": source}


def price_of(net: Net, board: Board, kernels: KernelSet) -> tuple[Price | None, tuple[str, ...]]:
    """What the net is predicted to cost; or None, and why not."""
    try:
        return Tariff.of(board, kernels.name).graph(net.graph), ()
    except UserError as error:
        return None, (f"instructions, cycles, time and energy: {error}",)


def read_nets(runs: tuple[Run, ...]) -> tuple[Net, ...]:
    """Nets that can be linked together. UserError for more than the self-test has bits for."""
    if len(runs) > FEATURES_FAILED:
        raise UserError(f"MODEL: {len(runs)} nets; allowed are at most {FEATURES_FAILED} in one image")
    return tuple(Net.of(run, prefix) for run, prefix in zip(runs, prefixes(len(runs)), strict=True))


def export_nets(nets: tuple[Net, ...], board: Board, folder: Path, kernels: KernelSet) -> Exported:
    """Write model.tflite, model.onnx, network.[ch] of the first net, model_1.tflite, ... of the next, and one image of
    all of them, firmware.{elf,bin,hex,map}, to `folder`.

    Without Arm's compiler the image is left out; where the first net's input is not our features, they are.
    UserError where a net does not fit the board.
    """
    discard_image(folder)
    plans = tuple(_write_net(net, board, folder, kernels) for net in nets)
    constants = sum(sum(array_bytes(net.graph, kernels.kernel_of(board.core))) for net in nets)
    networks = tuple(net.network for net in nets)
    features, left_out = _features(nets[0])
    if not have(*ARM_TOOLS):
        write_tables(networks, features, folder / WORK)
        untold = (*left_out, f"firmware image: {install_line(ARM_TOOLS[0])}")
        return Exported(folder, nets, plans, constants, None, untold)
    features, untested = _with_self_test(features)
    price, _ = price_of(nets[0], board, kernels)
    image = build_image(folder, networks, board, folder, features, kernels,
                        price.whole.latency_ms if price else SLOWEST_MS)
    return Exported(folder, nets, plans, constants, image, (*left_out, *untested))


def _write_net(net: Net, board: Board, folder: Path, kernels: KernelSet) -> Plan:
    """Everything that is one net's own."""
    name = net.network.prefix.replace("network", "model")
    _copy(net.run.tflite_path, folder / f"{name}.tflite")
    with atomic_write(folder / f"{name}.onnx") as temporary:
        temporary.write_bytes(net.model.SerializeToString())
    plan = write_c(net.graph, folder, net.network.prefix, kernels.kernel_of(board.core))
    check_arena(net.graph, plan, board)
    return plan


def check_arena(graph: Graph, plan: Plan, board: Board) -> None:
    """UserError where the arena alone is larger than the board's RAM; names the op that needs the most."""
    if plan.arena_bytes <= board.ram_bytes:
        return
    needs = op_bytes(graph, plan)
    worst = max(range(len(needs)), key=needs.__getitem__)
    raise UserError(f"BOARD={board.name}: the arena takes {plan.arena_bytes} bytes of ram, and there are "
                    f"{board.ram_bytes}; op {worst} {graph.ops[worst].kind} has {needs[worst]} in use; "
                    "take a smaller net or a larger board")


def _features(net: Net) -> tuple[Features | None, tuple[str, ...]]:
    """Our features for the input of a net, with its detector; or none, and why not."""
    try:
        quantizer = input_quantizer(net.graph)
    except UserError as error:
        return None, (f"features and the clip command: {error}",)
    try:
        check_graph(net.graph)
    except UserError as error:
        return Features(quantizer, None), (f"detector of words in a stream: {error}",)
    return Features(quantizer, None, detector_of(net.run, net.graph)[0]), ()


def _with_self_test(features: Features | None) -> tuple[Features | None, tuple[str, ...]]:
    """`features` with the checksum of their self-test; or without, and why."""
    if features is None:
        return None, ()
    try:
        return replace(features, chirp_crc=chirp_crc()), ()
    except UserError as error:
        return features, (f"self-test of the features: {error}",)


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def memory_map(exported: Exported, board: Board) -> str:
    """Bytes by purpose, against what the board has; of the network alone where there is no image."""
    image = exported.image
    if image is None:
        return (f"networks: arena {max(plan.arena_bytes for plan in exported.plans)} B, constants "
                f"{exported.constant_bytes} B")
    rows = [("flash", image.flash_bytes, board.flash_bytes), ("RAM", image.ram_bytes, board.ram_bytes)]
    lines = [f"{name:<6}{used:>8} of {there} B ({100 * used / there:.1f} %)" for name, used, there in rows]
    parts = (("arena", image.arena_bytes), ("audio", image.audio_bytes), ("buffers", image.buffer_bytes),
             ("stack", image.stack_bytes))
    return "\n".join([*lines, *(f"  {name:<8}{size:>8} B" for name, size in parts)])


def summarize(run: Run, exported: Exported, board: Board, kernels: KernelSet, bill: Price | None) -> dict:
    """What summary.json says: bytes of an image are the linker's, everything else is predicted, where there is a
    bill; `make emulate` counts."""
    image, (net,) = exported.image, exported.nets
    macs = sum(layer.macs for layer in layer_shapes(net.graph))
    costs_hash = {"costs_hash": Tariff.of(board, kernels.name).costs_hash} if bill else {}
    sizes = {**(summary_of_price(bill) if bill else {}), **costs_hash, "operations": 2 * macs, "macs": macs,
             "constant_bytes": exported.constant_bytes, "arena_bytes": exported.plans[0].arena_bytes}
    sizes |= listening_share(net, board, bill) if bill else {}
    sizes |= threshold_of(net) if image is not None else {}
    if image is not None:
        worst = {} if kernels.name == CMSIS_NN else {"stack_worst_bytes": worst_stack_bytes(image)}
        sizes |= worst | {
            "audio_bytes": image.audio_bytes, "flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes,
            "buffer_bytes": image.buffer_bytes, "stack_bytes": image.stack_bytes,
            "image": str(image.elf), "image_sha256": image.identity,
            "bin_sha256": hashlib.sha256(image.bin.read_bytes()).hexdigest()}
    return {"run": run.name, "board": board.name, "core": board.core, "kernels": kernels.name, **sizes,
            "model_sha256": net.graph.sha256,
            "labels": list(run.labels), "dataset": run.dataset, "left_out": list(exported.left_out), "commit": commit()}


if __name__ == "__main__":
    run_command(main)
