"""One net on the emulated cores by every kernel set: instructions by layer, in all and a MAC; bytes."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.console import Parser, atomic_write, commit, finish, progress, run_command
from export.calibrate import core_board, core_boards
from export.cost_document import MLPERF_TINY, markdown
from export.count import Count
from export.counter import MODELS, Machine
from export.graph import Graph, Op, layer_shapes
from export.image import Image
from export.kernels import CMSIS_NN, NAMES, PORTABLE, KernelSet, load_kernels
from export.layer_costs import short_name
from export.measurement import MOST_NETS, NOISE_SEED, Bench
from export.runs import resolve
from export.self_test import generated_bytes
from export.shape_graph import graph_of
from export.sizing import is_kernel, sections_of
from export.tflite_reader import read_tflite

FOLDER = Path("build") / "bench"
ARRAYS = "network.o:.rodata.network_"  # sections of the arrays that Constants names


@dataclass(frozen=True)
class Measured:
    """One net, core and kernel set. layers: a count an op, RESHAPE's is 0. code_bytes: of kernels, libraries and the
    network without its arrays. constant_bytes: of those arrays. arena_bytes: scratch included."""

    core: str
    kernels: str
    layers: tuple[Count, ...]
    total: Count
    code_bytes: int
    constant_bytes: int
    arena_bytes: int


def main() -> None:
    arguments = _arguments()
    name, graph = net_of(arguments)
    sets = kernel_sets(arguments.cmsis_nn)
    cores = tuple(arguments.cores.split(",")) if arguments.cores else tuple(map(short_name, core_boards()))
    cases = [Bench(board, kernels) for board in map(core_board, cores) for kernels in sets]
    measured = [measure(graph, case) for case in progress(cases, "counting")]
    text = tables(graph, measured)
    print(text)
    with atomic_write(arguments.out / "table.md") as temporary:
        temporary.write_text(text + "\n")
    plot(measured, arguments.out / "bench.png")
    finish({"net": name, "macs": macs_of(graph), "model_sha256": graph.sha256,
            "results": [summary_of(graph, each) for each in measured], "chart": str(arguments.out / "bench.png"),
            "commit": commit()}, arguments.out, f"Kernels on {name}")


def _arguments():
    parser = Parser(prog="python -m export.kernel_bench", description=__doc__)
    parser.add_argument("--run", help="a folder of runs/; without RUN and MODEL: MLPerf Tiny's DS-CNN shape")
    parser.add_argument("--model", type=Path, help="any int8 .tflite instead")
    parser.add_argument("--cores", help="some of m0plus, m3, ..., with commas between; default: all")
    parser.add_argument("--cmsis-nn", type=Path, help="your build of CMSIS-NN, to measure it too")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for the results; default: %(default)s")
    return parser.parse_args()


def net_of(arguments) -> tuple[str, Graph]:
    """Name and graph of what is measured."""
    if arguments.run or arguments.model:
        run = resolve(arguments.run, arguments.model)
        return run.name, read_tflite(run.tflite_path)
    return "MLPerf Tiny's DS-CNN shape, random weights", graph_of(MLPERF_TINY)


def kernel_sets(cmsis_nn: Path | None) -> tuple[KernelSet, ...]:
    """All there are; CMSIS-NN where the user has it."""
    return tuple(load_kernels(name, cmsis_nn if name == CMSIS_NN else None) for name in NAMES
                 if name != CMSIS_NN or cmsis_nn)


def measure(graph: Graph, bench: Bench) -> Measured:
    """Linked and counted on one input of noise."""
    folder = FOLDER / f"{short_name(bench.board.core)}-{bench.kernels.name}"
    image = bench.build((graph,), folder)
    layers, total = _counts(graph, bench, image, folder)
    sections = sections_of(image)
    arrays = sum(size for name, size in sections.items() if name.startswith(ARRAYS))
    code = sum(size for name, size in sections.items() if is_kernel(name) or name.startswith("network.o:")) - arrays
    return Measured(bench.board.core, bench.kernels.name, layers, total, code, arrays, image.arena_bytes)


def _counts(graph: Graph, bench: Bench, image: Image, folder: Path) -> tuple[tuple[Count, ...], Count]:
    """Of each op, and of all. Where only QEMU counts, an op is linked and run alone."""
    inputs = generated_bytes(NOISE_SEED, graph.input.bytes)
    if bench.board.core in MODELS:
        layers = Machine(image, bench.board, folder).infer(graph, image.prefixes[0], inputs)[0]
        return layers, sum(layers, Count())
    alone = {i: alone_graph(graph, op) for i, op in enumerate(graph.ops) if op.kind != "RESHAPE"}
    parts = [list(alone)[i:i + MOST_NETS] for i in range(0, len(alone), MOST_NETS)]
    counts = {i: count for n, part in enumerate(parts)
              for i, count in zip(part, bench.count(tuple(alone[i] for i in part), folder / f"alone_{n}"), strict=True)}
    (total,) = bench.count((graph,), folder)
    return tuple(counts.get(i, Count(0, None)) for i in range(len(graph.ops))), total


def alone_graph(graph: Graph, op: Op) -> Graph:
    """One op of a graph as a net; of two inputs the second is the first."""
    computed = [i for i in op.inputs if i >= 0 and graph.tensors[i].data is None]
    inputs = tuple(computed[0] if i in computed else i for i in op.inputs)
    return replace(graph, ops=(replace(op, inputs=inputs),), inputs=(computed[0],), outputs=op.outputs)


def macs_of(graph: Graph) -> int:
    return sum(layer.macs for layer in layer_shapes(graph))


def tables(graph: Graph, measured: list[Measured]) -> str:
    """Markdown: all of it by core and kernel set, then the layers of each core."""
    cores = tuple(dict.fromkeys(each.core for each in measured))
    return "\n\n".join([_overview(graph, measured),
                        *(_layers(graph, [each for each in measured if each.core == core]) for core in cores)])


def _overview(graph: Graph, measured: list[Measured]) -> str:
    base = {each.core: each.total.instructions for each in measured if each.kernels == PORTABLE}
    rows = [(short_name(each.core), each.kernels, f"{each.total.instructions:,}", _cycles(each.total),
             f"{each.total.instructions / macs_of(graph):.2f}", f"{each.total.instructions / base[each.core]:.3f}",
             f"{each.code_bytes:,}", f"{each.constant_bytes:,}", f"{each.arena_bytes:,}") for each in measured]
    return markdown(("core", "kernels", "instructions", "cycles", "instructions a MAC", f"of {PORTABLE}", "code B",
                     "constants B", "arena B"), rows)


def _layers(graph: Graph, of_core: list[Measured]) -> str:
    head = (f"{short_name(of_core[0].core)}: op", "MACs", *(each.kernels for each in of_core))
    macs = {int(shape.name.partition(":")[0]): shape.macs for shape in layer_shapes(graph)}
    return markdown(head, [(f"{i} {op.kind}", f"{macs[i]:,}", *(f"{each.layers[i].instructions:,}" for each in of_core))
                           for i, op in enumerate(graph.ops) if op.kind != "RESHAPE"])


def _cycles(count: Count) -> str:
    return "-" if count.cycles is None else f"{count.cycles:,}"


def summary_of(graph: Graph, each: Measured) -> dict:
    return {"core": each.core, "kernels": each.kernels, "instructions_per_inference": each.total.instructions,
            "cycles": each.total.cycles, "instructions_per_mac": each.total.instructions / macs_of(graph),
            "code_bytes": each.code_bytes, "constant_bytes": each.constant_bytes, "arena_bytes": each.arena_bytes,
            "layers": [{"op": op.kind, "instructions": count.instructions, "cycles": count.cycles}
                       for op, count in zip(graph.ops, each.layers, strict=True)]}


def plot(measured: list[Measured], path: Path) -> None:
    """Bars: millions of instructions by core and kernel set."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    cores, sets = (tuple(dict.fromkeys(getattr(each, name) for each in measured)) for name in ("core", "kernels"))
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for k, kernels in enumerate(sets):
        heights = [each.total.instructions / 1e6 for each in measured if each.kernels == kernels]
        bars = axes.bar(np.arange(len(cores)) + k / (len(sets) + 1), heights, 1 / (len(sets) + 1), label=kernels)
        axes.bar_label(bars, fmt="%.1f", fontsize="small")
    axes.set_xticks(np.arange(len(cores)) + 0.3, tuple(map(short_name, cores)))
    axes.set(ylabel="million instructions")
    axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


if __name__ == "__main__":
    run_command(main)
