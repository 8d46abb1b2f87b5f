"""How often each instruction of an image is executed: PyPI's unicorn runs its networks, layer by layer.

Unicorn is QEMU's translator as a library, and calls back for each basic block that it enters: counts are exact, and
they are of the very image that QEMU runs. It knows no Cortex-M55, whose instructions QEMU counts alone.
"""

import re
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm_const as arm

from datasets.console import UserError
from export.boards import Board, Region
from export.count import Count
from export.graph import Graph
from export.image import Image
from export.timing import TIMINGS, Instruction, branch_cycles, straight_cycles
from export.toolchain import run_tool

MODELS = {"cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0, "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
          "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4, "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
          "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33}
_ARGUMENTS = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3)
CALLED = 0  # no address of an instruction's end
_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f]{4}(?: [0-9a-f]{4})?) +\t([\w.]+)(?:\t([^;@\n]*))?", re.MULTILINE)
_SYMBOL = re.compile(r"^([0-9a-f]{8}) .{7} \S+\t([0-9a-f]{8}) (?:\.\w+ )?(\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Symbol:
    """A name in an image: address and bytes."""

    address: int
    size: int


class Program:
    """The code of an ELF, as arm-none-eabi-objdump tells it."""

    def __init__(self, elf: Path):
        self.elf = Path(elf)

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        """By name; of functions, the bit of Thumb is off."""
        text = run_tool(["arm-none-eabi-objdump", "-t", self.elf], "reading symbols")
        return {name: Symbol(int(address, 16) & ~1, int(size, 16)) for address, size, name in _SYMBOL.findall(text)}

    @cached_property
    def instructions(self) -> dict[int, Instruction]:
        """By address."""
        text = run_tool(["arm-none-eabi-objdump", "-d", "-M", "force-thumb", self.elf], "disassembling")
        return {int(address, 16): Instruction(int(address, 16), len(code.replace(" ", "")) // 2,
                                              mnemonic.removesuffix(".w").removesuffix(".n"), operands.strip())
                for address, code, mnemonic, operands in _LINE.findall(text)}

    @cached_property
    def ending(self) -> dict[int, Instruction]:
        """By the address behind them."""
        return {each.address + each.size: each for each in self.instructions.values()}

    def symbol(self, name: str) -> Symbol:
        """UserError where the image has no such symbol."""
        if name not in self.symbols:
            raise UserError(f"{self.elf}: no symbol {name}")
        return self.symbols[name]

    def block(self, start: int, end: int) -> tuple[Instruction, ...]:
        """The instructions from address `start` to before `end`."""
        found = []
        while start < end:
            found.append(self.instructions[start])
            start += found[-1].size
        return tuple(found)


class Steps(Counter):
    """How often the core went from one basic block into another: (end of the former, start, end of the latter). The
    end is CALLED where there was none before."""

    def count(self, program: Program, core: str) -> Count:
        """Instructions, and cycles where `core` has timings."""
        blocks = {(start, end): program.block(start, end) for _, start, end in self}
        instructions = sum(times * len(blocks[start, end]) for (_, start, end), times in self.items())
        return Count(instructions, self._cycles(program, blocks, core) if core in TIMINGS else None)

    def _cycles(self, program: Program, blocks: dict, core: str) -> int:
        timings = TIMINGS[core]
        straight = {place: straight_cycles(block, timings) for place, block in blocks.items()}
        total = 0
        for (before, start, end), times in self.items():
            jumped = before not in (CALLED, start)
            refill = branch_cycles(program.ending[before], program.instructions[start], timings) if jumped else 0
            total += times * (straight[start, end] + refill)
        return total


class Machine:
    """A core with an image's memory in it, whose functions can be called. UserError where unicorn has no such core.

    sources: the folder of the networks' C; None: only functions outside them are called.
    """

    def __init__(self, image: Image, board: Board, sources: Path | None = None):
        if board.core not in MODELS:
            raise UserError(f"{board.core}: unicorn has no such core; allowed: {', '.join(MODELS)}")
        self.program, self.core, self.sources = Program(image.elf), board.core, sources
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(MODELS[board.core])
        for region in (board.region("flash"), board.region("ram")):
            self.uc.mem_map(region.origin, region.length)
        self.uc.mem_write(board.region("flash").origin, image.bin.read_bytes())
        self.back = _return_address(board.region("flash"))
        self.uc.hook_add(unicorn.UC_HOOK_BLOCK, self._enter)
        self.kernels = self.marks = frozenset()
        self.layers, self.end, self.in_kernel = [], CALLED, False

    def call(self, function: str, *arguments: int, kernels: tuple[str, ...] = ()) -> list[Count]:
        """Call a function; returns what it executed, divided behind each call of one of `kernels`. UserError where the
        core faults."""
        self.kernels = frozenset(self.program.symbol(kernel).address for kernel in kernels)
        own = self.program.symbol(function)
        self.marks = frozenset((*range(own.address, own.address + own.size, 2), *self.kernels))
        self.layers, self.end, self.in_kernel = [Steps()], CALLED, False
        self._set_registers(arguments)
        try:
            self.uc.emu_start(own.address | 1, self.back)
        except unicorn.UcError as error:
            raise UserError(f"{self.program.elf}: {function} ended in a fault ({error})") from error
        return [steps.count(self.program, self.core) for steps in self.layers]

    def _set_registers(self, arguments: tuple[int, ...]) -> None:
        """As a caller leaves them: up to four arguments, an empty stack, and where to return."""
        for register, value in zip(_ARGUMENTS, arguments, strict=False):
            self.uc.reg_write(register, value)
        self.uc.reg_write(arm.UC_ARM_REG_SP, self.program.symbol("kws_stack_top").address)
        self.uc.reg_write(arm.UC_ARM_REG_LR, self.back | 1)

    def _enter(self, _uc, address: int, size: int, _data) -> None:
        """Unicorn enters a basic block."""
        if address in self.marks:
            self._divide(address)
        self.steps[self.end, address, address + size] += 1
        self.end = address + size

    @property
    def steps(self) -> Steps:
        return self.layers[-1]

    def _divide(self, address: int) -> None:
        """Back in the function behind a kernel, the next layer begins."""
        if address in self.kernels:
            self.in_kernel = True
        elif self.in_kernel:
            self.in_kernel = False
            self.layers.append(Steps())

    # ------------------------------------------------------------------ what an image holds

    def infer(self, graph: Graph, prefix: str, inputs: np.ndarray) -> tuple[tuple[Count, ...], bytes]:
        """The count of each op of a network on one input, and its output's bytes. What leads to a kernel's call counts
        as its op's; a RESHAPE counts nothing."""
        places = [self.program.symbol(f"kws_{what}").address for what in ("arena", "input", "output")]
        self.uc.mem_write(places[1], np.ascontiguousarray(inputs).tobytes())
        kernels = self.kernels_of(prefix)
        counts = self.call(f"{prefix}_run", *places, kernels=tuple(kernels.values()))
        if self.uc.reg_read(arm.UC_ARM_REG_R0):
            raise UserError(f"{self.program.elf}: {prefix}_run returned an error")
        by_op = dict(zip(kernels, _joined(counts, len(kernels)), strict=True))
        layers = tuple(by_op.get(i, Count()) for i in range(len(graph.ops)))
        return layers, bytes(self.uc.mem_read(places[2], graph.output.bytes))

    def kernels_of(self, prefix: str) -> dict[int, str]:
        """The symbols of the kernels that a network's functions call last, by index of op."""
        functions = re.findall(rf"^static int {prefix}_(\d+)_\w+\((.*?)^}}", (self.sources / f"{prefix}.c").read_text(),
                               re.DOTALL | re.MULTILINE)
        calls = {int(index): re.findall(r"\b((?:arm|kws)_\w+)\(", body)[-1] for index, body in functions}
        names = {index: (name.replace("arm_", "kws_", 1), name) for index, name in calls.items()}
        return {index: ours if ours in self.program.symbols else arms for index, (ours, arms) in names.items()}

    def frame(self, samples: np.ndarray, frame_length: int) -> tuple[Count, Count]:
        """Of one feature frame: its codes, and the row of the first network's input. samples: int16 [512], of which
        frame_length are the frame, zeros behind."""
        names = ("kws_clip_features", "kws_clip_codes", "kws_network_mfcc", "kws_input")
        state, place, quantizer, row = (self.program.symbol(name).address for name in names)
        (codes,) = struct.unpack("<I", self.uc.mem_read(place, 4))  # a pointer to wherever they lie
        self.uc.mem_write(state, struct.pack("<I", frame_length) + samples.astype("<i2").tobytes())
        (of_codes,) = self.call("kws_features_frame", state, codes)
        (of_row,) = self.call("kws_mfcc_row", quantizer, codes, row)
        return of_codes, of_row


def _return_address(flash: Region) -> int:
    """Where no code lies: a call that ends there has returned."""
    return flash.origin + flash.length - 4


def _joined(counts: list[Count], layers: int) -> list[Count]:
    """What follows the last kernel's return counts as its layer's."""
    return [*counts[:layers - 1], sum(counts[layers - 1:], Count())]
