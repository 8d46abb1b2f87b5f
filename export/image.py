"""Firmware image of one network or several for one board: compiled, linked by a script of the board's memory, measured.

The networks share one arena and one buffer each for input and output, all as large as the largest needs.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError
from datasets.features import FRAME_LENGTH, N_FRAMES, N_MELS, SAMPLE_RATE, MfccQuantizer
from export.boards import Board, Region
from export.detector import Detector, write_detector
from export.feature_tables import write_feature_tables, write_mfcc_table, write_text
from export.footprint import up_to_word
from export.kernels import PORTABLE, KernelSet
from export.networks import Network, write_networks
from export.toolchain import ARM_TOOLS, find_tool, run_tool

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
INCLUDES = ("app", "features", "kernels", "stream", "transport")
FEATURE_SOURCES = ("app/kws_clip.c", "features/kws_features.c")
LISTENING_SOURCES = ("app/kws_audio.c", "app/kws_listen.c")
DETECTOR_SOURCES = ("app/kws_ear.c", "app/kws_stream.c", "stream/kws.c", "stream/kws_decide.c")
WORK = "firmware"  # the folder for objects and tables beside the image
STACK_BYTES = 2560  # tests/export/test_stack.py: the most that the call graph allows is below
SAMPLE_BYTES = 2  # int16
FRAMES_IN_RING = 2  # beside what the microphone hears during an inference
SLOWEST_MS = 200.0  # of an inference that nobody predicted: stated
OPTIMIZATION = "-O3"
SUFFIXES = (".elf", ".bin", ".hex", ".map")
_FLAGS = ("-std=c99", OPTIMIZATION, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror",
          "-ffunction-sections", "-fdata-sections", "-fcallgraph-info=su")  # the last one is for export.stack
_PORTABLE = KernelSet(PORTABLE)
_LINK = ("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-Wl,--build-id=none")


@dataclass(frozen=True)
class Features:
    """Our features in an image. quantizer: for the first network's input; chirp_crc: of their self-test, None where
    it is not known; detector: of words in a stream, None where the image has none."""

    quantizer: MfccQuantizer
    chirp_crc: int | None
    detector: Detector | None = None


@dataclass(frozen=True)
class Image:
    """What came out. Bytes are those of the linker's map.

    flash_bytes: code, constants and initial data. ram_bytes: arena_bytes + audio_bytes + buffer_bytes + stack_bytes.
    arena_bytes: of the networks; audio_bytes: of the ring of samples, 0 where the image does not listen; buffer_bytes:
    every other variable; stack_bytes: reserved.
    identity: SHA-256 of everything that the image was made from, the compiler with its libraries by its version; the
    image tells it to the host.
    prefixes: of the networks, in the order in which requests name them.
    """

    elf: Path
    bin: Path
    hex: Path
    map: Path
    flash_bytes: int
    ram_bytes: int
    arena_bytes: int
    audio_bytes: int
    buffer_bytes: int
    stack_bytes: int
    identity: str
    prefixes: tuple[str, ...]


def discard_image(folder: Path) -> None:
    """Remove an older image, its summary and its C from `folder`: beside a newer net they would look current."""
    for pattern in (*(f"firmware{suffix}" for suffix in SUFFIXES), "summary.json", "network*.[ch]", f"{WORK}/kws_*"):
        for path in Path(folder).glob(pattern):
            path.unlink()


def build_image(network_dir: Path, networks: tuple[Network, ...], board: Board, out_dir: Path,
                features: Features | None = None, kernels: KernelSet = _PORTABLE,
                inference_ms: float = SLOWEST_MS) -> Image:
    """Compile the networks of network_dir with the firmware and link out_dir/firmware.{elf,bin,hex,map} for `board`.

    features: None where the first network does not take ours; then they are not linked. kernels: those that the
    networks were written for. inference_ms: of the first network, by which the ring of samples is sized.
    UserError where a tool or the kernels' library is missing, a file does not compile, or
    the image is too large for the board.
    """
    for tool in ARM_TOOLS:
        find_tool(tool)
    libraries = [library for library in [kernels.library(board.core)] if library]
    work = Path(out_dir) / WORK
    sources = [*_network_sources(Path(network_dir), networks), *write_tables(networks, features, work),
               *_shared(features, board), *_of_core(kernels, board), *board.sources]
    script = linker_script(board.region("flash"), board.region("ram"))
    write_text(work / "board.ld", script)
    identity = _identity([*sources, *libraries], [work, Path(network_dir)], board, kernels,
                         f"{script}{audio_samples(inference_ms)}")
    detector = _has_detector(features)
    listening = ("KWS_LISTENING",) if listens(board, detector) else ()
    _write_image_header(work, identity, detector, audio_samples(inference_ms))
    objects = _compile_all(sources, Path(network_dir), work, board, kernels, listening)
    elf = _link([*objects, *libraries], kernels.link_flags, work, Path(out_dir), board)
    return _measure(elf, board, identity, networks)


def _network_sources(network_dir: Path, networks: tuple[Network, ...]) -> list[Path]:
    sources = [network_dir / f"{network.prefix}.c" for network in networks]
    for source in sources:
        if not source.is_file():
            raise UserError(f"{network_dir}: no {source.name} there; `make export-mcu` writes it")
    return sources


def write_tables(networks: tuple[Network, ...], features: Features | None, work: Path) -> list[Path]:
    """Write the C that is neither the networks' nor the firmware's own; returns what of it is compiled."""
    if features is None:
        return [write_networks(networks, work)]
    write_feature_tables(work)
    write_mfcc_table(features.quantizer, work)
    of_detector = [write_detector(features.detector, work)] if features.detector else []
    return [write_networks(networks, work, True, features.chirp_crc), work / "kws_feature_tables.c", *of_detector]


def _has_detector(features: Features | None) -> bool:
    return features is not None and features.detector is not None


def listens(board: Board, detector: bool) -> bool:
    """Whether an image hears by itself: the board has a microphone, and the image a detector."""
    return board.microphone != "none" and detector


def audio_samples(inference_ms):
    """Of the ring between microphone and detector: what comes during an inference, and two frames more. An even number,
    and room for the codes of a clip, which lie there while a host sends it. Of a number or an array; integers."""
    heard = np.ceil(np.multiply(inference_ms, SAMPLE_RATE) / 1000) + FRAMES_IN_RING * FRAME_LENGTH + 1
    samples = up_to_word(np.maximum(SAMPLE_BYTES * heard, N_FRAMES * N_MELS)) // SAMPLE_BYTES
    return samples.astype(int) if np.ndim(samples) else int(samples)


def _shared(features: Features | None, board: Board) -> list[Path]:
    """The app: the same sources on every board, but for those that only listening needs."""
    of_features = {FIRMWARE / name for name in FEATURE_SOURCES}
    of_detector = {FIRMWARE / name for name in DETECTOR_SOURCES}
    of_listening = {FIRMWARE / name for name in LISTENING_SOURCES}
    every = {*FIRMWARE.glob("app/*.c"), *FIRMWARE.glob("kernels/*.c"), *of_features, *of_detector}
    left_out = {*(of_features if features is None else ()), *(() if _has_detector(features) else of_detector),
                *(() if listens(board, _has_detector(features)) else of_listening)}
    return sorted(every - left_out)


def _of_core(kernels: KernelSet, board: Board) -> list[Path]:
    """Sources of kernels for this board's core alone."""
    return [path for folder in kernels.folders(board.core) for path in sorted(folder.glob("*.c"))]


def _includes(board: Board) -> tuple[Path, ...]:
    """Folders of the firmware's own headers."""
    return tuple(dict.fromkeys([*(FIRMWARE / name for name in INCLUDES), *(path.parent for path in board.sources)]))


def _identity(sources: list[Path], folders: list[Path], board: Board, kernels: KernelSet, script: str) -> str:
    """Hash of all that goes in: sources, libraries, headers, the linker's script, flags, compiler, board."""
    folders = [*folders, *_includes(board), *kernels.folders(board.core)]
    headers = [path for folder in folders for path in folder.glob("*.h") if path.name != "kws_image.h"]
    headers += [path for folder in kernels.includes for path in folder.rglob("*.h")]
    compiler = run_tool(["arm-none-eabi-gcc", "--version"], "the compiler's version").partition("\n")[0]
    digest = hashlib.sha256(repr((board.name, board.cpu_flags, board.defines, board.clock_hz, _FLAGS, _LINK,
                                  kernels.name, kernels.defines, kernels.core_defines(board.core),
                                  kernels.flags(board.core), kernels.link_flags, script, compiler)).encode())
    for path in sorted([*sources, *headers], key=lambda path: (path.name, str(path))):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write_image_header(work: Path, identity: str, detector: bool, samples: int) -> None:
    values = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(identity))
    write_text(work / "kws_image.h", "/* Written by export.image. */\n"
               f"#define KWS_STACK_BYTES {STACK_BYTES}\n#define KWS_DETECTOR {int(detector)}\n"
               f"#define KWS_AUDIO_SAMPLES {samples}\n"
               f"#define KWS_IMAGE_IDENTITY {{{values}}}\n")


def linker_script(flash: Region, ram: Region) -> str:
    """GNU ld's script. The stack lies lowest in RAM: one that overflows faults instead of overwriting."""
    return f"""/* Written by export.image from board.toml. */
MEMORY
{{
    flash (rx) : ORIGIN = {flash.origin:#x}, LENGTH = {flash.length:#x}
    ram (rw) : ORIGIN = {ram.origin:#x}, LENGTH = {ram.length:#x}
}}
ENTRY(kws_reset)
SECTIONS
{{
    .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(4); }} > flash
    .ARM.exidx : {{ *(.ARM.exidx*) . = ALIGN(4); }} > flash
    .stack (NOLOAD) : {{ kws_stack_low = .; . += {STACK_BYTES}; kws_stack_top = .; }} > ram
    .arena (NOLOAD) : {{ *(.bss.kws_arena) . = ALIGN(4); }} > ram
    .audio (NOLOAD) : {{ *(.bss.kws_audio) . = ALIGN(4); }} > ram
    .data : {{ kws_data_start = .; *(.data*) . = ALIGN(4); kws_data_end = .; }} > ram AT > flash
    kws_data_load = LOADADDR(.data);
    .bss (NOLOAD) : {{ kws_bss_start = .; *(.bss*) *(COMMON) . = ALIGN(4); kws_bss_end = .; }} > ram
    /DISCARD/ : {{ *(.comment) *(.ARM.attributes) *(.note*) }}
}}
"""


def _compile_all(sources: list[Path], network_dir: Path, work: Path, board: Board, kernels: KernelSet,
                 listening: tuple[str, ...]) -> list[Path]:
    defines = {"KWS_CLOCK_HZ": board.clock_hz, **board.defines}
    flags = [*board.cpu_flags, *_FLAGS, *(f"-D{name}={value}u" for name, value in defines.items()),
             *(f"-D{name}" for name in (*listening, *kernels.defines, *kernels.core_defines(board.core))), f"-I{work}",
             f"-I{network_dir}",
             *(f"-I{folder}" for folder in (*_includes(board), *kernels.folders(board.core))),
             *(f"-isystem{folder}" for folder in kernels.includes)]
    objects, of_core = [work / f"{source.stem}.o" for source in sources], _of_core(kernels, board)

    def compile_one(source: Path, target: Path) -> None:
        own = kernels.flags(board.core) if source in of_core else ()
        run_tool(["arm-none-eabi-gcc", *flags, *own, "-c", source, "-o", target], f"compiling {source.name}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    return objects


def _link(objects: list[Path], flags: tuple[str, ...], work: Path, out_dir: Path, board: Board) -> Path:
    """Link to firmware.elf, with firmware.map, .bin and .hex beside it."""
    elf = out_dir / "firmware.elf"
    try:
        run_tool(["arm-none-eabi-gcc", *board.cpu_flags, *_LINK, *flags, "-T", work / "board.ld",
                  f"-Wl,-Map={elf.with_suffix('.map')}", *objects, "-o", elf], "linking")
    except UserError as error:
        raise _too_large(str(error), board) or error from None
    for suffix, kind in ((".bin", "binary"), (".hex", "ihex")):
        run_tool(["arm-none-eabi-objcopy", "-O", kind, elf, elf.with_suffix(suffix)], "writing the image")
    return elf


def _too_large(message: str, board: Board) -> UserError | None:
    found = re.search(r"region `(flash|ram)' overflowed by (\d+) bytes", message)
    if not found:
        return None
    kind, over = found[1], int(found[2])
    there = board.region(kind).length
    return UserError(f"BOARD={board.name}: the image needs {there + over} bytes of {kind}, {over} more than the "
                     f"{there} there are; grow under a smaller BUDGET or take a larger board")


def map_sections(text: str) -> dict[str, tuple[int, int]]:
    """Output sections of a GNU ld map that go to the target: name -> (address, bytes)."""
    body = text[text.index("Linker script and memory map"):]
    found = re.findall(r"^(\.[\w.]+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)", body, re.MULTILINE)
    return {name: (int(address, 16), int(size, 16)) for name, address, size in found
            if not name.startswith(".debug")}


def _measure(elf: Path, board: Board, identity: str, networks: tuple[Network, ...]) -> Image:
    sections = map_sections(elf.with_suffix(".map").read_text())
    ram = board.region("ram")
    in_ram = {name: size for name, (address, size) in sections.items() if 0 <= address - ram.origin < ram.length}
    in_flash = {name: size for name, (_, size) in sections.items() if name not in in_ram or name == ".data"}
    arena, audio, stack = in_ram[".arena"], in_ram.get(".audio", 0), in_ram[".stack"]
    total = sum(in_ram.values())
    return Image(elf, elf.with_suffix(".bin"), elf.with_suffix(".hex"), elf.with_suffix(".map"),
                 sum(in_flash.values()), total, arena, audio, total - arena - audio - stack, stack, identity,
                 tuple(network.prefix for network in networks))
