"""Cycles by Arm's tables: the manuals' own examples, and a loop whose time on silicon is known."""

import pytest

from datasets.console import UserError
from export.timing import TIMINGS, Instruction, branch_cycles, stated_timing, straight_cycles

M0PLUS, M3, M4 = (TIMINGS[f"cortex-{core}"] for core in ("m0plus", "m3", "m4"))
NARROW = ("push", "pop", "b", "bne", "bl", "bx", "it", "ite", "subs", "cmp")


def block(*lines: str) -> tuple[Instruction, ...]:
    """Of assembler lines; sizes as GCC would choose them, roughly."""
    found, address = [], 0
    for line in lines:
        mnemonic, _, operands = line.partition(" ")
        found.append(Instruction(address, 2 if mnemonic in NARROW else 4, mnemonic, operands.strip()))
        address += found[-1].size
    return tuple(found)


@pytest.mark.parametrize("timings", [M3, M4])
@pytest.mark.parametrize(("cycles", "lines"), [
    (3, ("ldr r0, [r1]", "ldr r1, [r2]")),  # these four: Arm DDI 0337I, "Load/store timings"
    (3, ("ldr r0, [r1, r2]", "str r0, [r3, #20]")),
    (3, ("ldr r0, [r1, r2]", "str r1, [r3, r2]")),
    (4, ("ldr r0, [r1, r5]", "ldr r1, [r2]", "ldr r2, [r3, #4]")),
    (4, ("ldr r0, [r1]", "ldr r2, [r0]")),             # an address that the load before brings
    (4, ("ldrb r0, [r1], #1", "ldrb r2, [r3], #1")),   # a base register written back
    (4, ("adds r1, r1, #4", "ldr r0, [r1]")),          # an address that the addition before computes
    (3, ("cmp r1, #4", "ldr r0, [r1]")),
    (1, ("str r0, [r1, #4]",)),
    (2, ("str r0, [r1, r2]",)),
    (5, ("ldmia r0, {r1, r2, r3, r4}",)),
    (3, ("ldrd r0, r1, [r2]",)),
    (4, ("push {r4, r5, lr}",)),
    (2, ("cmp r0, #0", "it eq", "moveq r0, r1")),      # IT behind a 16-bit instruction
    (3, ("add r0, r1, r2", "it eq", "moveq r0, r1")),
    (6, ("sdiv r0, r1, r2",)),
])
def test_loads_and_stores_overlap_as_the_manuals_say(timings, cycles, lines):
    assert straight_cycles(block(*lines), timings) == cycles


@pytest.mark.parametrize(("line", "on_m3", "on_m4"), [
    ("mul r0, r1, r2", 1, 1), ("mla r0, r1, r2, r3", 2, 1), ("mls r0, r1, r2, r3", 2, 1),
    ("smull r0, r1, r2, r3", 5, 1), ("smlal r0, r1, r2, r3", 7, 1), ("smlad r0, r1, r2, r3", 1, 1)])
def test_products(line, on_m3, on_m4):
    assert [straight_cycles(block(line), timings) for timings in (M3, M4)] == [on_m3, on_m4]


@pytest.mark.parametrize(("line", "cycles"), [
    ("ldr r0, [r1]", 2), ("strb r0, [r1, r2]", 2), ("muls r0, r1", 1), ("ldmia r0!, {r1, r2}", 3),
    ("push {r4, lr}", 3)])
def test_cortex_m0plus(line, cycles):
    assert straight_cycles(block(line), M0PLUS) == cycles
    assert straight_cycles(block(line, line), M0PLUS) == 2 * cycles


@pytest.mark.parametrize("timings", TIMINGS.values())
def test_the_loop_of_delays_takes_3_cycles(timings):
    loop = block("subs r0, #1", "bne 0")
    assert straight_cycles(loop, timings) + branch_cycles(loop[-1], loop[0], timings) == 3


@pytest.mark.parametrize(("line", "on_m0plus", "on_m4"), [
    ("bl 100 <f>", 3, 2), ("bx lr", 2, 3), ("b 8", 2, 2), ("pop {r4, pc}", 5, 6), ("cbz r0, 8", 2, 2),
    ("ldr pc, [r0]", 4, 5), ("tbb [pc, r0]", 4, 5), ("mov pc, r1", 2, 3)])
def test_a_taken_branch_refills_the_pipeline(line, on_m0plus, on_m4):
    target = Instruction(8, 4, "add", "r0, r1, r2")
    found = [straight_cycles(block(line), timings) + branch_cycles(block(line)[0], target, timings)
             for timings in (M0PLUS, M4)]
    assert found == [on_m0plus, on_m4]


def test_a_wide_target_between_two_words_takes_one_more():
    jump, narrow = block("b 8")[0], Instruction(10, 2, "adds", "r0, r1")
    wide = Instruction(10, 4, "add", "r0, r1, r2")
    assert branch_cycles(jump, wide, M4) == branch_cycles(jump, narrow, M4) + 1
    assert branch_cycles(jump, wide, M0PLUS) == branch_cycles(jump, narrow, M0PLUS)


@pytest.mark.parametrize("mnemonic", ["vmla.f32", "svc", "wfi", "brandnew"])
def test_an_instruction_without_a_timing_is_named(mnemonic):
    with pytest.raises(UserError, match=f"instruction {mnemonic}.* at 0x0$"):
        straight_cycles(block(f"{mnemonic} r0"), M4)


def test_stated_figures_follow_coremark():
    found = [stated_timing(f"cortex-{core}", "portable") for core in ("m7", "m33", "m55")]
    assert [timing.cycles_per_instruction for timing in found] == [0.99, 1.23, 1.18]
    assert all(timing.source.startswith("stated") for timing in found)
    assert stated_timing("cortex-m7", "cmsis-nn").cycles_per_instruction == 0.79
