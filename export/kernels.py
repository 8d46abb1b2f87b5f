"""Whose kernels a network runs on: ours, in plain C or tuned to cores (export/tuned), or a user's build of CMSIS-NN.

KERNELS=cmsis-nn CMSIS_NN=DIR takes the headers from DIR/Include and, for each core, the first static library there is
of DIR/CORE/lib*.a (CORE as GCC's -mcpu names it), DIR/lib*.a and DIR/build/lib*.a: v7.0.0 or later, built
by GCC or LLVM for that core's architecture, with its DSP or MVE instructions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.console import UserError
from export.graph import Graph, Op
from export.op_kernel import KernelOf, portable, with_scratch
from export.toolchain import run_tool
from export.tuned import FAMILIES, HOST

PORTABLE, TUNED, CMSIS_NN = "portable", "tuned", "cmsis-nn"
NAMES = (PORTABLE, TUNED, CMSIS_NN)
DEFAULT = TUNED
HEADER = "Include/arm_nnfunctions.h"
LIBRARIES = ("{core}/lib*.a", "lib*.a", "build/lib*.a")
NEEDED = "arm_fully_connected_per_channel_s8"  # v7.0.0 brought it

Scratch = Callable[[Graph, Op], int]


@dataclass(frozen=True)
class KernelSet:
    """The kernels that generated code calls. Those in plain C, firmware/kernels, are linked beside every set.

    folder: of the library; None for ours.
    """

    name: str
    folder: Path | None = None

    def kernel_of(self, core: str) -> KernelOf:
        """What computes each op, on a core as GCC's -mcpu names it."""
        if self.name == CMSIS_NN:
            return with_scratch(self.scratch(core))
        return FAMILIES[_core(core).instructions].kernel_of if self.name == TUNED else portable

    @property
    def on_host(self) -> KernelOf:
        """What computes each op on this machine: CMSIS-NN is for cores alone."""
        return HOST.kernel_of if self.name == TUNED else portable

    def folders(self, core: str) -> tuple[Path, ...]:
        """Of our C and headers, beside firmware/kernels."""
        return FAMILIES[_core(core).instructions].paths if self.name == TUNED else ()

    def flags(self, core: str) -> tuple[str, ...]:
        """Of the compiler, for the C in folders."""
        return FAMILIES[_core(core).instructions].flags if self.name == TUNED else ()

    def core_defines(self, core: str) -> tuple[str, ...]:
        """Macros for the firmware on a core, beside `defines`."""
        return FAMILIES[_core(core).instructions].defines if self.name == TUNED else ()

    def scratch(self, core: str) -> Scratch:
        """Bytes that the library's kernel of (graph, op) needs beside its tensors."""
        sizes = _SCRATCH[_core(core).instructions] if self.name == CMSIS_NN else {}
        return lambda graph, op: sizes[op.kind](graph, op) if op.kind in sizes else 0

    @property
    def includes(self) -> tuple[Path, ...]:
        """Folders of headers, for -isystem."""
        return (self.folder / "Include",) if self.folder else ()

    @property
    def defines(self) -> tuple[str, ...]:
        """Macros for the network and the firmware, without a value."""
        return ("KWS_CMSIS_NN",) if self.folder else ()

    @property
    def link_flags(self) -> tuple[str, ...]:
        """No floats cross the library's API: it may be built for another float ABI than the firmware."""
        return ("-Wl,--no-warn-mismatch",) if self.folder else ()

    def library(self, core: str) -> Path | None:
        """The static library for a core; None for our kernels. UserError where there is none, where there are several,
        or where it was built for another core."""
        if self.folder is None:
            return None
        patterns = [pattern.format(core=core) for pattern in LIBRARIES]
        found = next((found for pattern in patterns if (found := sorted(self.folder.glob(pattern)))), [])
        if len(found) != 1:
            there = f"several: {', '.join(path.name for path in found)}" if found else "none"
            raise UserError(f"CMSIS_NN={self.folder}: the library for {core} is {there}; looked for one of "
                            f"{', '.join(patterns)}")
        check_library(found[0], core)
        return found[0]


def known_kernels(name: str) -> str:
    """The name of a kernel set. UserError names those that there are."""
    if name not in NAMES:
        raise UserError(f"KERNELS={name}: allowed: {', '.join(NAMES)}")
    return name


def load_kernels(name: str | None, cmsis_nn: Path | None) -> KernelSet:
    """KERNELS and CMSIS_NN, None where not given. UserError where they name no set of kernels, or where the folder
    holds no CMSIS-NN of v7.0.0 or later."""
    chosen = known_kernels(name or DEFAULT)
    if name != CMSIS_NN:
        if cmsis_nn is not None:
            raise UserError(f"CMSIS_NN={cmsis_nn} goes with KERNELS=cmsis-nn; KERNELS is {name or 'not given'}")
        return KernelSet(chosen)
    if cmsis_nn is None:
        raise UserError("KERNELS=cmsis-nn needs CMSIS_NN=DIR, your build of the library (DIR/Include and DIR/lib*.a)")
    _check_header(Path(cmsis_nn))
    return KernelSet(name, Path(cmsis_nn).resolve())


def _check_header(folder: Path) -> None:
    header = folder / HEADER
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"CMSIS_NN={folder}: {header}: {error.strerror}; allowed: a folder with CMSIS-NN's Include "
                        "and its static library") from error
    if f"{NEEDED}(" not in text:
        raise UserError(f"{header}: declares no {NEEDED}; allowed: CMSIS-NN v7.0.0 or later")


@dataclass(frozen=True)
class Core:
    """architecture: as ELF names it. instructions: what kernels use of it, "plain", "dsp" or "mve"."""

    architecture: str
    instructions: str


_CORES = {
    "cortex-m0": Core("v6S-M", "plain"), "cortex-m0plus": Core("v6S-M", "plain"), "cortex-m3": Core("v7", "plain"),
    "cortex-m4": Core("v7E-M", "dsp"), "cortex-m7": Core("v7E-M", "dsp"), "cortex-m23": Core("v8-M.baseline", "plain"),
    "cortex-m33": Core("v8-M.mainline", "dsp"), "cortex-m55": Core("v8.1-M.mainline", "mve"),
    "cortex-m85": Core("v8.1-M.mainline", "mve")}
CORES = tuple(_CORES)  # as GCC's -mcpu names them


def _core(name: str) -> Core:
    if name not in _CORES:
        raise UserError(f"core {name}: what kernels may use there is not known; allowed: {', '.join(_CORES)}")
    return _CORES[name]


def check_library(library: Path, core: str) -> None:
    """UserError where a static library was built for another architecture or for other instructions than `core` has:
    it would fault there, or need other scratch."""
    attributes = run_tool(["arm-none-eabi-readelf", "-A", library], f"CMSIS_NN: {library}")
    built = sorted({_built_for(member) for member in attributes.split("File: ") if "Tag_CPU_arch:" in member}, key=str)
    if built != [_core(core)]:
        kinds = ", ".join(f"{kind.architecture} ({kind.instructions})" for kind in built) or "no Arm core"
        wanted = f"{_core(core).architecture} ({_core(core).instructions})"
        raise UserError(f"{library}: is built for {kinds}; allowed for {core}: {wanted}")


def _built_for(attributes: str) -> Core:
    """Of one object file, by the attributes that readelf -A prints."""
    architecture = re.search(r"Tag_CPU_arch: (\S+)", attributes)[1]
    dsp = architecture == "v7E-M" or "Tag_DSP_extension" in attributes
    return Core(architecture, "mve" if "Tag_MVE_arch" in attributes else "dsp" if dsp else "plain")


# Sizes: CMSIS-NN's *_get_buffer_sizes_s8.c, the same in v7.0.0 and in commit 99f736a, as GCC and LLVM compile them.
# Generated code asks the library before each call: where it wants more, the op fails and no memory is overrun.

_DEPTHWISE_BLOCK = 124  # channels that MVE's depthwise kernel takes at once: CH_IN_BLOCK_MVE


def _conv(graph: Graph, op: Op) -> int:
    """Two columns of int16, a multiple of four taps long."""
    return 0 if _is_pointwise(op) else 4 * _up_to(_taps(graph, op), 4)


def _conv_mve(graph: Graph, op: Op) -> int:
    """Four columns of int8, a multiple of sixteen taps long; along a row the padded taps of its end."""
    if _is_pointwise(op):
        return 0
    if _is_along_a_row(graph, op):
        return _taps(graph, op) + op.window.padding_before[1] * graph.operands(op)[0].shape[3]
    return 4 * _up_to(_taps(graph, op), 16)


def _taps(graph: Graph, op: Op) -> int:
    """Weights of one output channel of a convolution; of a depthwise one, those of one position."""
    rows, columns = op.window.kernel
    return rows * columns * graph.operands(op)[0].shape[3]


def _is_pointwise(op: Op) -> bool:
    window = op.window
    return window.kernel == window.dilation == (1, 1) and window.padding_before == (0, 0)


def _is_along_a_row(graph: Graph, op: Op) -> bool:
    """Whether arm_convolve_1_x_n_s8 works: one row, whole words to a step, and a window without padding. Generated code
    writes a row with a stride above 1 as a column."""
    window, (_, rows, _, channels) = op.window, graph.operands(op)[0].shape
    padding = window.padding_before[1] + window.padding_after[1]
    return (rows == window.kernel[0] == window.stride[1] == window.dilation[1] == 1 and channels % 4 == 0
            and graph.result(op).shape[2] >= padding)


def _up_to(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _depthwise_dsp(graph: Graph, op: Op) -> int:
    """int16 of one position's taps, but for 3x3 kernels with padding up to 1."""
    window = op.window
    if not _is_plain_depthwise(op) or (window.kernel == (3, 3) and max(window.padding_before) <= 1):
        return 0
    return 2 * _taps(graph, op)


def _depthwise_mve(graph: Graph, op: Op) -> int:
    """Four positions' taps of a block of channels. One channel with a multiplier becomes a convolution: what it needs,
    and its weights in that order."""
    if op.window.multiplier > 1 and graph.operands(op)[0].shape[3] == 1:
        return _conv_mve(graph, op) + _taps(graph, op) * op.window.multiplier
    rows, columns = op.window.kernel
    return 4 * _DEPTHWISE_BLOCK * rows * columns if _is_plain_depthwise(op) else 0


def _is_plain_depthwise(op: Op) -> bool:
    return op.window.multiplier == 1 and op.window.dilation == (1, 1)


def _average_pool_dsp(graph: Graph, op: Op) -> int:
    """A sum of int32 per channel."""
    return 4 * graph.operands(op)[0].shape[3]


def _fully_connected_mve(graph: Graph, op: Op) -> int:
    """A sum of int32 per output."""
    return 4 * graph.result(op).elements


_SCRATCH: dict[str, dict[str, Scratch]] = {
    "plain": {"CONV_2D": _conv},
    "dsp": {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise_dsp, "AVERAGE_POOL_2D": _average_pool_dsp},
    "mve": {"CONV_2D": _conv_mve, "DEPTHWISE_CONV_2D": _depthwise_mve, "FULLY_CONNECTED": _fully_connected_mve}}
