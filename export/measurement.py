"""Layers of a sweep, or whole nets, counted on a core: an image of up to 31 nets, run by unicorn or in QEMU."""

import hashlib
import json
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from datasets.console import atomic_write
from datasets.features import CLIP_SAMPLES, FFT_LENGTH, FRAME_LENGTH, N_FRAMES, MfccQuantizer
from export.boards import Board
from export.c_writer import source, write_c
from export.count import Count
from export.counter import MODELS, Machine
from export.emulator import Session
from export.graph import Graph
from export.image import FIRMWARE, SLOWEST_MS, Features, Image, build_image
from export.kernels import KernelSet
from export.networks import Network, prefixes
from export.plan import make_plan
from export.self_test import NetworkTest, generated_bytes
from export.sweep import FRAME_COEFFICIENTS, SweepLayer
from export.toolchain import run_tool

MOST_NETS = 31  # of an image: the self-test has a bit for each
NOISE_SEED = 0xFF80  # of export.self_test.generated_bytes: all values
FRAME_NAME = "feature frame, {} coefficients"
_DECIDING = ("export/image.py", "export/counter.py", "export/timing.py", "export/measurement.py")


@dataclass(frozen=True)
class Bench:
    """What counts: a board that QEMU plays, of the core in question, and a kernel set."""

    board: Board
    kernels: KernelSet

    @property
    def counted_by(self) -> str:
        return "unicorn" if self.board.core in MODELS else (
            f"QEMU, SysTick: {self.board.emulator.instructions_per_tick} instructions a tick, and up to two ticks more")

    def build(self, graphs: tuple[Graph, ...], folder: Path, features: Features | None = None,
              inference_ms: float = SLOWEST_MS) -> Image:
        """An image of nets, as build_image's. Their self-test at boot fails: nobody computes what it should expect."""
        names = prefixes(len(graphs))
        for graph, prefix in zip(graphs, names, strict=True):
            write_c(graph, folder, prefix, self.kernels.kernel_of(self.board.core))
        networks = tuple(Network(prefix, NetworkTest(NOISE_SEED, np.zeros(1, np.uint8))) for prefix in names)
        return build_image(folder, networks, self.board, folder, features, self.kernels, inference_ms)

    def count(self, graphs: tuple[Graph, ...], folder: Path) -> tuple[Count, ...]:
        """Of each net on one input of noise."""
        image = self.build(graphs, folder)
        inputs = [generated_bytes(NOISE_SEED, graph.input.bytes) for graph in graphs]
        if self.board.core not in MODELS:
            return self._emulated(image, inputs)
        machine = Machine(image, self.board, folder)
        return tuple(sum(machine.infer(graph, prefix, each)[0], Count())
                     for graph, prefix, each in zip(graphs, image.prefixes, inputs, strict=True))

    def _emulated(self, image: Image, inputs: list[np.ndarray]) -> tuple[Count, ...]:
        with Session(image.elf, self.board.emulator) as session:
            hello = session.hello()
            ticks = [session.scores(each, hello, i)[1] for i, each in enumerate(inputs)]
        return tuple(self._of_ticks(each) for each in ticks)

    def _of_ticks(self, ticks: int, times: int = 1) -> Count:
        return Count(round(ticks * self.board.emulator.instructions_per_tick / times), None)

    def count_frame(self, n_coefficients: int, folder: Path) -> Count:
        """Of one feature frame of noise, in the image of a net that takes so many coefficients."""
        net = SweepLayer("CONV_2D", (N_FRAMES, n_coefficients, 1), 4, (3, 3), (2, 2)).graph()
        features = Features(MfccQuantizer.of(4.0, 10, n_coefficients), None)
        image = self.build((net,), folder, features)
        if self.board.core in MODELS:
            samples = np.pad(_noise(FRAME_LENGTH), (0, FFT_LENGTH - FRAME_LENGTH))
            return sum(Machine(image, self.board).frame(samples, FRAME_LENGTH), Count())
        clip = _noise(CLIP_SAMPLES)
        with Session(image.elf, self.board.emulator) as session:
            return self._of_ticks(session.clip(clip, session.hello()).feature_ticks, N_FRAMES)


def _noise(samples: int) -> np.ndarray:
    """int16, a tenth of full scale."""
    return np.random.default_rng(0).integers(-3277, 3277, samples).astype(np.int16)


@dataclass(frozen=True)
class Batch:
    """Layers that one process counts. folder: for image and result; whoever finds a result there that still holds goes
    on from it. coefficients: of a feature frame to count instead."""

    bench: Bench
    folder: Path
    layers: tuple[SweepLayer, ...] = ()
    coefficients: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of what is counted."""
        return tuple(layer.name for layer in self.layers) or (FRAME_NAME.format(self.coefficients),)


def batches(bench: Bench, layers: tuple[SweepLayer, ...], folder: Path) -> tuple[Batch, ...]:
    """The layers in images' worths, each a mixture."""
    several = -(-len(layers) // MOST_NETS)
    return tuple(Batch(bench, folder / f"layers_{i}", layers[i::several]) for i in range(several))


def frame_batches(bench: Bench, folder: Path) -> tuple[Batch, ...]:
    """The feature frames."""
    return tuple(Batch(bench, folder / f"frame_{n}", (), n) for n in FRAME_COEFFICIENTS)


def count_batch(batch: Batch) -> tuple[Count, ...]:
    """Its counts, read where a former run left them."""
    kept, identity = batch.folder / "counts.json", fingerprint(batch)
    if kept.is_file() and (found := json.loads(kept.read_text()))["fingerprint"] == identity:
        return tuple(Count(*count) for count in found["counts"])
    if batch.coefficients:
        counts = (batch.bench.count_frame(batch.coefficients, batch.folder),)
    else:
        counts = batch.bench.count(tuple(layer.graph() for layer in batch.layers), batch.folder)
    with atomic_write(kept) as temporary:
        temporary.write_text(json.dumps({"fingerprint": identity, "counts": list(map(astuple, counts))}))
    return counts


def fingerprint(batch: Batch) -> str:
    """SHA-256 of what decides the counts: layers, their C, firmware, compiler, timings."""
    bench, sources = batch.bench, [FIRMWARE.parent / name for name in _DECIDING]
    kernel_of = bench.kernels.kernel_of(bench.board.core)
    digest = hashlib.sha256(repr((batch.names, bench.board, bench.kernels.name, compiler())).encode())
    digest.update("".join(map(digest_of, (sources, firmware_sources(bench)))).encode())
    for graph in (layer.graph() for layer in batch.layers):
        digest.update(source(graph, make_plan(graph, kernel_of), "network", kernel_of).encode())
    return digest.hexdigest()


def firmware_sources(bench: Bench) -> list[Path]:
    """Kernels and features, and the library where there is one."""
    library = bench.kernels.library(bench.board.core)
    tuned = [path for folder in bench.kernels.folders(bench.board.core) for path in sorted(folder.glob("*.[ch]"))]
    return [*sorted(FIRMWARE.glob("kernels/*.[ch]")), *tuned, *sorted(FIRMWARE.glob("features/*.[ch]")),
            *([library] if library else [])]


def digest_of(paths: list[Path]) -> str:
    """SHA-256 of files, names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def compiler() -> str:
    """Name and version of Arm's compiler."""
    return run_tool(["arm-none-eabi-gcc", "--version"], "asking the compiler's version").splitlines()[0]
