"""The generated C and our kernels on this machine: a library called by ctypes, and a program under sanitizers."""

import atexit
import ctypes
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from datasets.console import progress
from datasets.parallel import cores
from export.c_writer import write_c
from export.graph import Graph
from export.networks import Network, write_networks
from export.op_kernel import KernelOf, portable
from export.toolchain import host_compiler, run_tool
from export.tuned import HOST
from export.tuned.plain import PLAIN

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
KERNELS = FIRMWARE / "kernels"
KERNEL_FOLDERS = (KERNELS, *HOST.paths, *PLAIN.paths)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")
PROGRAM_SOURCES = ("host/kws_host.c", "app/kws_self_test.c", "app/kws_memory.c", "app/kws_crc.c")
PIECE = 16  # rows that the program takes at a time
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")


def host_scores(graph: Graph, inputs: np.ndarray, kernel_of: KernelOf = portable) -> np.ndarray:
    """[n, outputs] of the C that write_c makes for `graph`; inputs [n, ...]; both of the graph's types."""
    with tempfile.TemporaryDirectory() as folder:
        plan = write_c(graph, Path(folder), kernel_of=kernel_of)
        library = ctypes.CDLL(str(compile_library(Path(folder), Path(folder) / "network.so")))
        return run_library(library, graph, plan.arena_bytes, inputs)


def compile_library(network_dir: Path, out: Path) -> Path:
    """The networks of network_dir and our kernels as a shared library. UserError where no C compiler works."""
    _compile([*network_dir.glob("*.c"), *_kernel_objects()], ["-shared", f"-I{network_dir}", "-o", out])
    return out


@cache
def _kernel_objects() -> tuple[Path, ...]:
    """The kernels, compiled once a process."""
    folder = Path(tempfile.mkdtemp(prefix="kws-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for source in kernel_sources():
        _compile([source], ["-c", "-o", folder / f"{source.stem}.o"])
    return tuple(sorted(folder.glob("*.o")))


def kernel_sources() -> list[Path]:
    """The portable kernels and the tuned ones that this machine can run."""
    return sorted(path for folder in KERNEL_FOLDERS for path in folder.glob("*.c"))


def _compile(sources: list[Path], options: list) -> None:
    includes = [f"-I{folder}" for folder in KERNEL_FOLDERS]
    run_tool([host_compiler(), *WARNINGS, "-O3", "-fPIC", *includes, *options, *sorted(sources)],
             "the network for this machine")


def run_library(library: ctypes.CDLL, graph: Graph, arena_bytes: int, inputs: np.ndarray,
                prefix: str = "network") -> np.ndarray:
    """Scores [n, outputs], on all cores, an arena each; guard bytes around each arena are checked."""
    inputs = np.ascontiguousarray(inputs, graph.input.dtype).reshape(len(inputs), graph.input.elements)
    with ThreadPoolExecutor(cores()) as pool:  # ctypes lets go of Python's lock
        parts = pool.map(lambda part: _run_rows(library[f"{prefix}_run"], graph, arena_bytes, part),
                         np.array_split(inputs, min(cores(), max(1, len(inputs)))))
        return np.concatenate(list(parts))


def _run_rows(run, graph: Graph, arena_bytes: int, inputs: np.ndarray) -> np.ndarray:
    guard = 64
    memory = np.full(arena_bytes + 3 * guard, 0x5A, np.uint8)
    start = guard + -(memory.ctypes.data + guard) % guard
    scores = np.zeros((len(inputs), graph.output.elements), graph.output.dtype)
    for row, result in zip(inputs, scores, strict=True):
        status = run(*(ctypes.c_void_p(p) for p in (memory.ctypes.data + start, row.ctypes.data, result.ctypes.data)))
        if status:
            raise RuntimeError(f"op {status - 1} of {len(graph.ops)}: its kernel refused its arguments")
    if (memory[:start] != 0x5A).any() or (memory[start + arena_bytes:] != 0x5A).any():
        raise RuntimeError("the network wrote outside its arena")
    return scores


def sanitizing_compiler() -> str:
    """host_compiler(), where what it makes of SANITIZERS runs. UserError where it does not."""
    compiler = host_compiler()
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "empty.c", Path(folder) / "empty"
        source.write_text("int main(void) { return 0; }\n")
        run_tool([compiler, *SANITIZERS, source, "-o", program], "the sanitizers")
        run_tool([program], "the sanitizers")
    return compiler


def sanitized_scores(graphs: tuple[Graph, ...], networks: tuple[Network, ...],
                     inputs: tuple[np.ndarray, ...],
                     kernel_of: KernelOf = portable) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """[n, outputs] of each graph, by one program that holds all of them and is watched by the sanitizers; and the
    networks that fail its self-test.

    inputs: [n, ...] for each graph; all of the graphs' types. UserError where a sanitizer finds something.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = compile_program(graphs, networks, Path(folder), kernel_of)
        failed = run_tool([program], "the self-test of the host's program").splitlines()
        return tuple(_program_scores(program, index, graph, rows)
                     for index, (graph, rows) in enumerate(zip(graphs, inputs, strict=True))), tuple(failed)


def compile_program(graphs: tuple[Graph, ...], networks: tuple[Network, ...], folder: Path,
                    kernel_of: KernelOf = portable) -> Path:
    """folder/kws_host: firmware/host/kws_host.c with these networks, under SANITIZERS."""
    for graph, network in zip(graphs, networks, strict=True):
        write_c(graph, folder, network.prefix, kernel_of)
    sources = [write_networks(networks, folder), *(folder / f"{network.prefix}.c" for network in networks),
               *(FIRMWARE / name for name in PROGRAM_SOURCES), *kernel_sources()]
    _compile(sources, [*SANITIZERS, f"-I{folder}", f"-I{FIRMWARE / 'app'}", "-o", folder / "kws_host"])
    return folder / "kws_host"


def _program_scores(program: Path, index: int, graph: Graph, inputs: np.ndarray) -> np.ndarray:
    files = program.parent / "inputs.bin", program.parent / "outputs.bin"
    scores = []
    for start in progress(range(0, len(inputs), PIECE), "host C", unit=f"{PIECE} rows"):
        files[0].write_bytes(np.ascontiguousarray(inputs[start:start + PIECE], graph.input.dtype).tobytes())
        run_tool([program, index, *files], f"network {index} of the host's program, rows from {start}")
        scores.append(np.fromfile(files[1], graph.output.dtype).reshape(-1, graph.output.elements))
    return np.concatenate(scores)
