"""Bytes of code, read off the linker's maps of images of one-layer nets."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.features import N_FRAMES, MfccQuantizer
from datasets.parallel import parallel_map
from export.boards import Board
from export.detector import Detector
from export.footprint import Firmware, Footprint, up_to_word
from export.graph import Graph
from export.image import FIRMWARE, Features, Image
from export.layer_memory import array_bytes
from export.measurement import Batch, Bench
from export.networks import prefixes
from export.sweep import FRAME_COEFFICIENTS, SweepLayer
from export.work import Function, Work

_PIECE = re.compile(r"^ (\.[\w.$*]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
FEW_LABELS, MANY_LABELS = 4, 36  # of detectors whose bytes are compared
_CODE = (".text", ".rodata", ".vectors", ".ARM.exidx")


@dataclass(frozen=True)
class Sized:
    """An image of a net of one layer, whose parts are measured. coefficients: of our features in it; 0: without.
    labels: of its detector; 0: without."""

    bench: Bench
    layer: SweepLayer
    folder: Path
    coefficients: int = 0
    labels: int = 0

    @property
    def features(self) -> Features | None:
        if not self.coefficients:
            return None
        detector = Detector.of(tuple(f"word_{i}" for i in range(self.labels))) if self.labels else None
        return Features(MfccQuantizer.of(4.0, 10, self.coefficients), 0, detector)


@dataclass(frozen=True)
class Parts:
    """Flash bytes of an image, but for what is an export.work.Function. network: of the network's object; shared: by
    section, of kernels and libraries; rest: of everything else. buffer_bytes: of RAM, without the network's input and
    output and without the ring of samples."""

    network: int
    shared: dict[str, int]
    rest: int
    buffer_bytes: int


def parts_of(sized: Sized) -> Parts:
    """Build it, and read its map."""
    graph = sized.layer.graph()
    image = sized.bench.build((graph,), sized.folder, sized.features)
    sections = sections_of(image)
    functions = functions_of(sections, "network", _functions(sized.bench, graph)).values()
    others = {name: size for name, size in sections.items() if name not in functions}
    network = sum(size for name, size in others.items() if name.startswith("network.o:"))
    shared = {name: size for name, size in others.items() if is_kernel(name)}
    held = sum(map(up_to_word, (graph.input.bytes, graph.output.bytes)))
    rest = image.flash_bytes - network - sum(sections[name] for name in functions) - sum(shared.values())
    return Parts(network, shared, rest, image.buffer_bytes - held)


def functions_of(sections: dict[str, int], prefix: str, functions: tuple[Function, ...]) -> dict[str, str]:
    """The sections of the functions of a network's first op, by their kinds."""
    kinds = "|".join(function.work.kind for function in functions)
    own = re.compile(rf"\w+\.o:\.text\.(?:{prefix}_0_\w+_)?({kinds})")
    return {found[1]: name for name in sections if (found := own.fullmatch(name))}


def _functions(bench: Bench, graph: Graph) -> tuple[Function, ...]:
    """Of its first op."""
    return bench.kernels.kernel_of(bench.board.core)(graph, graph.ops[0]).functions


def counted_functions(batch: Batch) -> list[tuple[Work, int]]:
    """What the bytes of each function are linear in, and its bytes, of a batch that was counted."""
    each = [_functions(batch.bench, layer.graph()) for layer in batch.layers]
    if not any(each):
        return []
    sections, found = _sections_in((batch.folder / "firmware.map").read_text()), []
    for prefix, functions in zip(prefixes(len(each)), each, strict=True):
        names = functions_of(sections, prefix, functions)
        found += [(function.work, sections[names[function.work.kind]]) for function in functions]
    return found


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
    kinds = {kind: Sized(*measured, folder / f"kind_{kind}") for kind, measured in layers.items()}
    of_kinds = _measured(kinds, "measuring code of layers")
    calls = {kind: parts.network - _array_bytes(kinds[kind]) for kind, parts in of_kinds.items()}
    return Footprint({kind: parts.shared for kind, parts in of_kinds.items()}, calls,
                     **firmware_of(bench, boards, folder))


def firmware_of(bench: Bench, boards: tuple[Board, ...], folder: Path) -> dict[str, dict[str, Firmware]]:
    """Footprint's with_detector, with_features and plain, of boards of one core."""
    low, high = FRAME_COEFFICIENTS
    cases = ((0, 0), (low, 0), (high, 0), (low, FEW_LABELS), (low, MANY_LABELS))
    images = {(board.name, *case): _firmware_image(Bench(board, bench.kernels), *case, folder)
              for board in boards for case in cases}
    found = _measured(images, "measuring code of boards")
    by_board = {board.name: [found[board.name, *case] for case in cases] for board in boards}
    plain = {name: _firmware(parts[0]) for name, parts in by_board.items()}
    featured = {name: _featured(*parts[1:3]) for name, parts in by_board.items()}
    hearing = {name: _hearing(*parts[3:], featured[name].coefficient_bytes) for name, parts in by_board.items()}
    return {"with_detector": hearing, "with_features": featured, "plain": plain}


def _measured(images: dict, what: str) -> dict:
    """Parts of each, by the same keys."""
    return dict(zip(images, parallel_map(parts_of, list(images.values()), what, "image"), strict=True))


def _firmware_image(bench: Bench, coefficients: int, labels: int, folder: Path) -> Sized:
    return Sized(bench, _net(coefficients), folder / f"board_{bench.board.name}_{coefficients}_{labels}", coefficients,
                 labels)


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


def _hearing(few: Parts, many: Parts, coefficient_bytes: int) -> Firmware:
    """From two images with detectors that differ in their labels alone."""
    more = MANY_LABELS - FEW_LABELS
    flash, held = round((many.rest - few.rest) / more), round((many.buffer_bytes - few.buffer_bytes) / more)
    rest = few.rest - FRAME_COEFFICIENTS[0] * coefficient_bytes - FEW_LABELS * flash
    return replace(_firmware(few), flash_bytes=rest, buffer_bytes=few.buffer_bytes - up_to_word(FEW_LABELS * held),
                   coefficient_bytes=coefficient_bytes, label_bytes=flash, label_buffer_bytes=held)
