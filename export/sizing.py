"""Bytes of code, read off the linker's maps of images of one-layer nets."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.features import N_FRAMES, MfccQuantizer
from datasets.parallel import parallel_map
from export.boards import Board
from export.footprint import Firmware, Footprint, up_to_word
from export.image import FIRMWARE, Features, Image
from export.layer_memory import array_bytes
from export.measurement import Batch, Bench
from export.networks import prefixes
from export.sweep import FRAME_COEFFICIENTS, SweepLayer
from export.work import Work

_PIECE = re.compile(r"^ (\.[\w.$*]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
FUNCTIONS = ("tile", "gather", "filter")  # of export.op_kernel.OpKernel
_CODE = (".text", ".rodata", ".vectors", ".ARM.exidx")


@dataclass(frozen=True)
class Sized:
    """An image of a net of one layer, whose parts are measured. coefficients: of our features in it; 0: without."""

    bench: Bench
    layer: SweepLayer
    coefficients: int
    folder: Path


@dataclass(frozen=True)
class Parts:
    """Flash bytes of an image. network: of the network's object, without `functions`, which are by kind; shared: by
    section, of kernels and libraries; rest: of everything else. buffer_bytes: of RAM, without the network's input and
    output."""

    network: int
    functions: dict[str, int]
    shared: dict[str, int]
    rest: int
    buffer_bytes: int


def parts_of(sized: Sized) -> Parts:
    """Build it, and read its map."""
    graph = sized.layer.graph()
    features = Features(MfccQuantizer.of(4.0, 10, sized.coefficients), 0) if sized.coefficients else None
    image = sized.bench.build((graph,), sized.folder, features)
    sections = sections_of(image)
    functions = functions_of(sections, "network")
    network = sum(size for name, size in sections.items() if name.startswith("network.o:")) - sum(functions.values())
    shared = {name: size for name, size in sections.items() if is_kernel(name)}
    held = sum(map(up_to_word, (graph.input.bytes, graph.output.bytes)))
    rest = image.flash_bytes - network - sum(functions.values()) - sum(shared.values())
    return Parts(network, functions, shared, rest, image.buffer_bytes - held)


def functions_of(sections: dict[str, int], prefix: str) -> dict[str, int]:
    """Bytes of the functions that the first op of a network was given, by the last word of their names."""
    own = re.compile(rf"{prefix}\.o:\.text\.{prefix}_0_\w+_({'|'.join(FUNCTIONS)})")
    return {found[1]: size for name, size in sections.items() if (found := own.fullmatch(name))}


def counted_functions(batch: Batch) -> list[tuple[Work, int]]:
    """What the bytes of each function are linear in, and its bytes, of a batch that was counted."""
    kernel_of = batch.bench.kernels.kernel_of(batch.bench.board.core)
    graphs = [layer.graph() for layer in batch.layers]
    works = [[function.work for function in kernel_of(graph, graph.ops[0]).functions] for graph in graphs]
    if not any(works):
        return []
    sections = _sections_in((batch.folder / "firmware.map").read_text())
    sizes = [functions_of(sections, prefix) for prefix in prefixes(len(graphs))]
    return [(work, size[work.kind]) for of_layer, size in zip(works, sizes, strict=True) for work in of_layer]


def sections_of(image: Image) -> dict[str, int]:
    """Bytes of code and constants by "object:section", of GNU ld's map."""
    return _sections_in(image.map.read_text())


def _sections_in(linker_map: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for section, size, path in _PIECE.findall(linker_map[linker_map.index("Linker script and memory map"):]):
        name = f"{path.rpartition('/')[2]}:{section}"
        if section.startswith(_CODE) and int(size, 16):
            found[name] = found.get(name, 0) + int(size, 16)
    return found


def _is_library(section: str) -> bool:
    return ".a(" in section


def is_kernel(section: str) -> bool:
    """Of a library, or of an object of firmware/kernels."""
    return _is_library(section) or any(FIRMWARE.joinpath("kernels").rglob(f"{section.partition('.o:')[0]}.c"))


def footprint(bench: Bench, boards: tuple[Board, ...], layers: dict[str, tuple[Bench, SweepLayer]],
              folder: Path) -> Footprint:
    """Of the kinds that `layers` has one of each, with what measures it, and of the firmware of `boards`, all of the
    same core."""
    kinds = {kind: Sized(*measured, 0, folder / f"kind_{kind}") for kind, measured in layers.items()}
    images = {(board.name, n): Sized(Bench(board, bench.kernels), _net(n), n, folder / f"board_{board.name}_{n}")
              for board in boards for n in (0, *FRAME_COEFFICIENTS)}
    found = tuple(parallel_map(parts_of, [*kinds.values(), *images.values()], "measuring code", "image"))
    of_kinds = dict(zip(kinds, found, strict=False))
    of_images = dict(zip(images, found[len(kinds):], strict=True))
    calls = {kind: parts.network - _array_bytes(kinds[kind]) for kind, parts in of_kinds.items()}
    plain = {board.name: _firmware(of_images[board.name, 0]) for board in boards}
    featured = {board.name: _featured(*(of_images[board.name, n] for n in FRAME_COEFFICIENTS)) for board in boards}
    return Footprint({kind: parts.shared for kind, parts in of_kinds.items()}, calls, featured, plain)


def _array_bytes(sized: Sized) -> int:
    bench = sized.bench
    return array_bytes(sized.layer.graph(), bench.kernels.kernel_of(bench.board.core))[0]


def _net(coefficients: int) -> SweepLayer:
    return SweepLayer("CONV_2D", (N_FRAMES, coefficients or FRAME_COEFFICIENTS[0], 1), 4, (3, 3), (2, 2))


def _firmware(parts: Parts) -> Firmware:
    return Firmware(parts.rest, dict(filter(lambda item: _is_library(item[0]), parts.shared.items())),
                    parts.buffer_bytes)


def _featured(few: Parts, many: Parts) -> Firmware:
    """From two images that differ in their coefficients alone."""
    low, high = FRAME_COEFFICIENTS
    each = round((many.rest - few.rest) / (high - low))
    return replace(_firmware(few), flash_bytes=few.rest - low * each, coefficient_bytes=each)
