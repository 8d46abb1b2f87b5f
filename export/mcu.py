"""Everything a board needs of a net: .tflite, ONNX, C, tables, the firmware image and its memory map."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets.console import UserError, atomic_write, commit, finish, run_command
from export.boards import Board, load_board
from export.c_writer import write_c
from export.cost import Cost, layer_cost
from export.feature_tables import write_feature_tables, write_mfcc_table
from export.graph import Graph, layer_shapes
from export.image import KERNELS, Image, build_image, discard_image
from export.onnx_writer import to_onnx
from export.plan import Plan
from export.runs import Run, input_quantizer, net_parser, resolve
from export.tflite_reader import read_tflite
from export.toolchain import ARM_TOOLS, have, install_line


@dataclass(frozen=True)
class Exported:
    """What export_run wrote. image: None where left_out says why; left_out: a line for each thing not written."""

    folder: Path
    graph: Graph
    plan: Plan
    image: Image | None
    left_out: tuple[str, ...]


def main() -> None:
    parser = net_parser("export.mcu", __doc__)
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--out", type=Path, help="where all goes; default: build/RUN/BOARD")
    arguments = parser.parse_args()
    run, board = resolve(arguments.run, arguments.model), load_board(arguments.board)
    exported = export_run(run, board, arguments.out or Path("build") / run.name / board.name)
    print(memory_map(exported, board))
    for line in exported.left_out:
        print(f"left out: {line}")
    finish(summarize(run, exported, board), exported.folder, f"Exported {run.name} for {board.title}")


def export_run(run: Run, board: Board, folder: Path) -> Exported:
    """Write model.tflite, model.onnx, network.[ch], the feature tables and firmware.{elf,bin,hex,map} to `folder`.

    Without Arm's compiler, or where the net's input is not our features, the firmware is left out.
    """
    graph = read_tflite(run.tflite_path)
    discard_image(folder)
    _copy(run.tflite_path, folder / "model.tflite")
    with atomic_write(folder / "model.onnx") as temporary:
        temporary.write_bytes(to_onnx(graph).SerializeToString())
    plan = write_c(graph, folder)
    try:
        quantizer = input_quantizer(graph)
    except UserError as error:
        return Exported(folder, graph, plan, None, (f"feature tables and firmware image: {error}",))
    if not have(*ARM_TOOLS):
        write_feature_tables(folder / "firmware")
        write_mfcc_table(quantizer, folder / "firmware")
        return Exported(folder, graph, plan, None, (f"firmware image: {install_line(ARM_TOOLS[0])}",))
    return Exported(folder, graph, plan, build_image(folder, board, folder, quantizer), ())


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def memory_map(exported: Exported, board: Board) -> str:
    """Bytes by purpose, against what the board has; of the network alone where there is no image."""
    image, plan, graph = exported.image, exported.plan, exported.graph
    if image is None:
        return f"network: arena {plan.arena_bytes} B, constants {_price(graph, board).flash_bytes} B"
    rows = [("flash", image.flash_bytes, board.flash_bytes), ("RAM", image.ram_bytes, board.ram_bytes)]
    lines = [f"{name:<6}{used:>8} of {there} B ({100 * used / there:.1f} %)" for name, used, there in rows]
    parts = (("arena", image.arena_bytes), ("buffers", image.buffer_bytes), ("stack", image.stack_bytes))
    return "\n".join([*lines, *(f"  {name:<8}{size:>8} B" for name, size in parts)])


def _price(graph: Graph, board: Board) -> Cost:
    return sum((layer_cost(layer, board) for layer in layer_shapes(graph)), Cost())


def summarize(run: Run, exported: Exported, board: Board) -> dict:
    """What summary.json says: image bytes are the linker's. Time and energy are for `make emulate` to measure:
    export.cost prices other kernels than these."""
    price, image = _price(exported.graph, board), exported.image
    sizes = {"constant_bytes": price.flash_bytes, "arena_bytes": exported.plan.arena_bytes}
    if image is not None:
        sizes |= {"flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, "stack_bytes": image.stack_bytes,
                  "image": str(image.elf), "image_sha256": image.identity}
    return {"run": run.name, "board": board.name, "core": board.core, "kernels": KERNELS, **sizes,
            "operations": price.operations, "macs": price.macs, "model_sha256": exported.graph.sha256,
            "labels": list(run.labels), "dataset": run.dataset, "left_out": list(exported.left_out), "commit": commit()}


if __name__ == "__main__":
    run_command(main)
