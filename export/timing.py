"""Cycles of instructions on a Cortex-M, by the timings that Arm publishes, with zero wait states.

Sources: Cortex-M0+, Arm DDI 0484C, table 3-1; Cortex-M3, DDI 0337I, table 3-1; Cortex-M4, DDI 0439B, table 3-1; and of
the latter two, the section "Load/store timings". The tables leave ranges where time depends on data or on the prefetch
unit; what is assumed within them stands at TIMINGS. An instruction that its IT block skips counts as executed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from datasets.console import UserError

Block = tuple["Instruction", ...]


@dataclass(frozen=True)
class Instruction:
    """One of a disassembly. mnemonic: without its width; operands: as objdump prints them; size: bytes."""

    address: int
    size: int
    mnemonic: str
    operands: str

    @property
    def kind(self) -> str:
        """What decides its timing, a key of _KINDS. UserError where no timing is known."""
        for kind, pattern in _KINDS.items():
            if re.fullmatch(pattern, self.mnemonic):
                return kind
        raise UserError(f"no timing is known for the instruction {self.mnemonic} {self.operands} at {self.address:#x}")

    @property
    def listed(self) -> tuple[str, ...]:
        """The registers that it moves to or from memory, where it moves several."""
        if self.mnemonic.startswith(("ldrd", "strd")):
            return tuple(self.operands.split(", ")[:2])
        return tuple(re.findall(r"\w+", self.operands[self.operands.index("{"):]))

    @property
    def address_registers(self) -> frozenset[str]:
        """Those that a load or store computes its address from."""
        return frozenset(re.findall(r"\b(?:r\d+|sp|sl|fp|ip|lr|r[a-z])\b", self.operands.partition("[")[2]))

    @property
    def written(self) -> str:
        """The register that a load or a data-processing instruction writes; "" where it writes only flags."""
        return "" if self.mnemonic.startswith(("cmp", "cmn", "tst", "teq")) else self.operands.partition(",")[0]

    @property
    def writes_back(self) -> bool:
        return bool(re.search(r"\]!|\],", self.operands))

    @property
    def jumps_by(self) -> str:
        """How it sets the program counter: "immediate", "call", "register", "memory", or "" where it does not."""
        if self.kind == "multiple" and "pc" in self.listed or self.kind == "load" and self.written == "pc":
            return "memory"
        if self.kind == "table":
            return "memory"
        if self.kind in ("immediate", "call", "register"):
            return self.kind
        return "register" if self.kind == "data" and self.written == "pc" else ""


_CONDITION = "(eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?"
_KINDS = {
    "it": r"it[te]{0,3}",
    "multiple": f"(ldrd|strd|push|pop|(ldm|stm)(ia|db)?){_CONDITION}",
    "load": f"ldr(b|h|sb|sh)?{_CONDITION}",
    "store": f"str(b|h)?{_CONDITION}",
    "table": "tb[bh]",
    "call": f"bl{_CONDITION}",
    "register": f"blx?{_CONDITION}|bx{_CONDITION}",
    "immediate": f"b{_CONDITION}|cbn?z",
    "divide": f"[su]div{_CONDITION}",
    "long multiply": f"[su]mulls?{_CONDITION}",
    "long accumulate": f"([su]mlal|umaal)s?{_CONDITION}",
    "accumulate": f"ml[as]s?{_CONDITION}",
    "data": "(adc|add|adr|and|asr|bfc|bfi|bic|clz|cmn|cmp|cpy|eor|lsl|lsr|mov|mul|mvn|neg|nop|orn|orr|pkh|"
            "qd?add|qd?sub|qasx|rbit|rev|ror|rrx|rsb|sadd|sasx|sbc|sbfx|sel|sml[as]|smm|smu[als]|ssat|ssax|ssub|sub|sxt|teq|tst|"
            "uadd|ubfx|uqadd|uqsub|usat|usub|uxt|usad)[a-z0-9]*",
}


@dataclass(frozen=True)
class Timings:
    """Cycles of one core's instructions; those not named here take 1.

    store: with an address of register and register; immediate_store: of register and immediate.
    neighbours: whether a load or store behind a load whose result it does not need for its address takes one less.
    address_stall: more for an address that the instruction before computes.
    multiple: before the one that each register takes. refill: of the pipeline, more where a branch is taken, by
    Instruction.jumps_by; wide_refill: more where its target is 32 bits wide and not aligned to 4 bytes.
    folded_it: of IT behind a 16-bit instruction.
    """

    source: str
    load: int
    store: int
    immediate_store: int
    neighbours: bool
    address_stall: int
    multiple: int
    accumulate: int
    long_multiply: int
    long_accumulate: int
    divide: int
    folded_it: int
    refill: Mapping[str, int]
    wide_refill: int


# Assumed within the tables' ranges:
# - refill, 1 to 3 on M3 and M4: 1 where the target stands in the instruction, as in a loop of SUBS and BNE that takes 3
#   cycles on silicon (nrfx's nrfx_coredep_delay_us counts on it), 2 by a register, 3 from memory (same section); one
#   more to a 32-bit instruction that straddles two words of flash, which takes two fetches;
# - SDIV and UDIV, 2 to 12: 6;
# - long products on M3, 3 to 5 and 4 to 7: the most, for the multipliers of requantization have 31 bits;
# - MULS on M0+, 1 or 32: 1, the fast multiplier, which the microcontrollers in question have.
_M3_REFILL = {"immediate": 1, "call": 1, "register": 2, "memory": 3}
TIMINGS = {
    "cortex-m0plus": Timings("Arm DDI 0484C, table 3-1", 2, 2, 2, False, 0, 1, 1, 1, 1, 1, 1,
                             {"immediate": 1, "call": 2, "register": 1, "memory": 2}, 0),
    "cortex-m3": Timings("Arm DDI 0337I, table 3-1", 2, 2, 1, True, 1, 1, 2, 5, 7, 6, 0, _M3_REFILL, 1),
    "cortex-m4": Timings("Arm DDI 0439B, table 3-1", 2, 2, 1, True, 1, 1, 1, 1, 1, 6, 0, _M3_REFILL, 1),
}


def straight_cycles(block: Block, timings: Timings) -> int:
    """Of a basic block, entered with an empty pipeline; what a taken branch at its end adds is not in it."""
    befores = (None, *block)
    return sum(_cycles(before, each, timings) for before, each in zip(befores, block, strict=False))


def _cycles(before: Instruction | None, each: Instruction, timings: Timings) -> int:
    kind = each.kind
    if kind in ("load", "store", "table"):
        return _access(before, each, timings)
    if kind == "multiple":
        return timings.multiple + len(each.listed)
    if kind == "it":
        return timings.folded_it if before is not None and before.size == 2 else 1
    return getattr(timings, kind.replace(" ", "_"), 1) if kind in _SLOW else 1


_SLOW = ("divide", "accumulate", "long multiply", "long accumulate")


def _access(before: Instruction | None, each: Instruction, timings: Timings) -> int:
    """Of one load or store."""
    if each.kind == "store" and len(each.address_registers) == 1:
        cycles, shortest = timings.immediate_store, timings.immediate_store
    else:
        cycles, shortest = (timings.store if each.kind == "store" else timings.load), 1
    if before is None or before.kind not in ("load", "data"):
        return cycles
    needed = before.written in each.address_registers
    if before.kind == "data":
        return cycles + timings.address_stall * needed
    overlaps = timings.neighbours and not needed and not before.writes_back
    return max(shortest, cycles - overlaps)


def branch_cycles(last: Instruction, target: Instruction, timings: Timings) -> int:
    """What a taken branch at the end of a block adds."""
    wide = target.size == 4 and target.address % 4 != 0
    return timings.refill[last.jumps_by] + timings.wide_refill * wide


@dataclass(frozen=True)
class StatedTiming:
    """Of a core whose timings Arm does not publish: one figure for all instructions, stated, not measured."""

    cycles_per_instruction: float
    source: str


# Of MLPerf Tiny's DS-CNN on a Cortex-M4, by TIMINGS, with each kernel set (docs/cost.md).
_M4_CYCLES_PER_INSTRUCTION = {"portable": 1.45, "tuned": 1.29, "cmsis-nn": 1.16}
COREMARK_PER_MHZ = {"cortex-m4": 3.42, "cortex-m7": 5.01, "cortex-m33": 4.02, "cortex-m55": 4.2}  # Arm's product pages


def stated_timing(core: str, kernels: str) -> StatedTiming:
    """Of a core of no TIMINGS, with kernels of that set: a Cortex-M4's, as CoreMark/MHz compares the two."""
    of_m4, m4, here = _M4_CYCLES_PER_INSTRUCTION[kernels], COREMARK_PER_MHZ["cortex-m4"], COREMARK_PER_MHZ[core]
    return StatedTiming(round(of_m4 * m4 / here, 2),
                        f"stated: {of_m4} of a Cortex-M4 by Arm's CoreMark/MHz, {m4} there and {here} here")
