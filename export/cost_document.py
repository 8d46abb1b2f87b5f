"""Write docs/cost.md from the files of costs: python -m export.cost_document"""

from dataclasses import dataclass
from pathlib import Path

from datasets.console import Parser, atomic_write, run_command
from datasets.features import N_FRAMES
from export.calibrate import core_boards
from export.cost import Cost, Tariff
from export.kernels import PORTABLE, TUNED
from export.layer_costs import LayerCosts, load_costs, short_name
from export.shape import NetShape
from export.timing import COREMARK_PER_MHZ, TIMINGS, Timings
from export.workload import frame_work

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "cost.md"
MLPERF_TINY = NetShape((64,) * 5, n_coefficients=10, n_labels=12)  # its keyword-spotting net: 2,656,768 products


@dataclass(frozen=True)
class Published:
    """A microcontroller of MLPerf Tiny's results (DESIGN, "Cost, measured"). pj_per_cycle: lowest and highest of its
    results, none where energy was not submitted. results: runtime, milliseconds and microjoules."""

    name: str
    core: str
    clock_hz: int
    pj_per_cycle: tuple[float, ...]
    results: tuple[tuple[str, float, float | None], ...]


PUBLISHED = (
    Published("STM32L4R5", "cortex-m4", 120_000_000, (274, 437), (
        ("TFLite Micro reference v0.5", 181.9, 7374), ("microTVM + CMSIS-NN v1.0", 99.8, 5230),
        ("Plumerai v1.1", 47.8, None), ("ST X-CUBE-AI v1.2", 43.2, 1820))),
    Published("STM32U575", "cortex-m33", 160_000_000, (142,), (("ST v1.2", 29.1, 656),)),
    Published("STM32H7A3", "cortex-m7", 280_000_000, (435,), (("ST v1.2", 11.3, 1376),)),
    Published("Bosch's", "cortex-m0plus", 64_000_000, (), (("Bosch v1.2", 475.0, None),)),
)
# The same net with a build of CMSIS-NN (commit 99f736a, GCC 12.2, -O3), counted by export.counter and, on M55, by QEMU:
# instructions, and cycles by TIMINGS.
CMSIS_NN = {"cortex-m0plus": (28_998_028, 39_966_825), "cortex-m3": (10_541_144, 17_681_765),
            "cortex-m4": (7_682_617, 8_903_794), "cortex-m7": (7_692_290, None), "cortex-m33": (7_668_240, None),
            "cortex-m55": (1_781_781, None)}
SILICON_CYCLES = (9.2e6, 12.0e6)  # of CMSIS-NN on Cortex-M4 (DESIGN)

_HEAD = """# Cost, measured

Written from `export/costs/*.json` by `python -m export.cost_document`; a test holds it against them.

## How

`make calibrate CORE=m4 KERNELS=portable` writes one of these files. It builds some {layers} nets of one op with random
weights (`export/sweep.py`: widths 4 to 276, several planes, strides, both paddings) into firmware images, with the
compiler and flags of every image ({compiler}, `{optimization}`), and runs each once on noise.
[unicorn](https://www.unicorn-engine.org) calls back for every basic block it enters, so instructions are counted to
the last one, per op (`export/counter.py`); a test finds the same number in QEMU by SysTick. M55, which unicorn does
not know, is counted in QEMU alone, to two ticks of 31.25 instructions.

Then `export/layer_costs.py` fits, per kind of layer, what one of each amount of work costs (`export/workload.py`: taps
inside the plane, runs of them that are contiguous, channels in fours and left over, positions, rows, 1), by least
squares of relative errors, none negative. Counts hardly depend on the data: between noise and silence those of a net
differ by under 0.05 %. These amounts are those of the portable kernels. CMSIS-NN chooses other code by channels,
kernel and stride, so `KERNELS=cmsis-nn CMSIS_NN=DIR` counts well and fits ill: up to 80 % off for a convolution.

A file holds for its compiler, flags and sources, which it names. `tests/export/test_calibrate.py` counts one layer of
each kind again and fails where the number is not the file's: then run the file's `command`. It takes about a minute
and goes on where it was stopped.

## Errors

Worst error of the fits, instructions (cycles), and layers fitted:
"""

_TUNED = """
The tuned kernels (docs/kernels.md) are counted and fitted by amounts of their own, which stand beside each kernel in
`export/tuned`; ops that none of them takes are those above. Code made for sizes fits less smoothly:
"""

_WHOLE = """
Whole nets: `make test-slow` predicts 20 random nets a core that are in no sweep (DS-CNNs of 3 to 5 widths, and nets
with dilation, residual sums, pools and PAD) and fails beyond 5 %. The worst of the portable kernels were 0.65 % of
instructions (M4, M55) and 0.74 % of cycles (M4); of the tuned ones 3.03 % (M55; M4 1.44 %) and 1.54 % (M4).

## Bytes

Flash is constants, which follow from the shape, plus code. Code is read off the linker's maps of images of one layer of
each kind, and of the firmware alone on each board of the core: without our features, with them, and with a detector of
few labels and of many, which listens where the board has a microphone (`export/sizing.py`). A net is priced with what
its image will have; a kernel's section counts once however many layers need it. RAM is the arena by the exporter's own
plan, the buffers of input and output, the firmware's variables, the stack, and where it listens the ring of samples,
which grows with the predicted time of an inference. Functions that the tuned kernels make for sizes are fitted by
those sizes, and paid once where layers share them. `tests/export/test_cost.py` links nets and holds both against
the map: RAM is equal to the byte, flash was at most 0.72 % off with
portable kernels (M3, M55) and 1.04 % with tuned ones (M4), for 20 random nets on each core, then without detectors; of
the committed net as exported, detector and labels included, 0.13 % (Nano 33 BLE Sense, NUCLEO-L4R5ZI, AN386).

## Cycles

Every executed instruction is timed (`export/timing.py`), with zero wait states:
"""

_STATED = """
The refill of the pipeline behind a taken branch is 1 to 3 in Arm's tables of M3 and M4. Assumed: 1 where the target
stands in the instruction (a loop of SUBS and BNE takes 3 cycles on an nRF52, which nrfx's delay counts on), 2 by a
register, 3 from memory, and one more to a 32-bit instruction that straddles two words. Divides (2 to 12) count 6; long
products on M3 (3 to 5, 4 to 7) the most; MULS on M0+ (1 or 32) 1, the fast multiplier. A load or store behind a load
takes one less, an address that the instruction before computes one more; IT behind a 16-bit instruction takes none.
Where code lies decides the alignment of branches: cycles of a layer in two images differ by up to 1 %.

For M7, M33 and M55 Arm publishes no timings. Their cycles are **stated**, not measured: instructions times
{stated}. That is the net below on M4, brought over by Arm's CoreMark/MHz.
ST's own results check the ratios: its runtime takes {st_m33:.2f} times the cycles of M4 on M33 and {st_m7:.2f} times
on M7; CoreMark/MHz says {m33:.2f} and {m7:.2f}.

## MLPerf Tiny's DS-CNN

Predicted from the shape alone ({macs:,} products; features not included):
"""

_BAND = """
The band: CMSIS-NN, {cmsis_instructions:.2f} M instructions and {cmsis_cycles:.2f} M cycles by the model on M4, takes
{low:.1f} to {high:.1f} M on silicon, with flash wait states, caches and a runtime around it: {low_ratio:.2f} to
{high_ratio:.2f} times the model. The columns "band" are the model times these two, on every core; where cycles are
stated, 15 % more either way. Energy is cycles times the picojoules a cycle of the same microcontroller's published
results (STM32L4R5 {l4r5}, by runtime and supply), so it tells no more than the cycles do.

Instructions (cycles by the model), millions, of the same net:
"""


def document() -> str:
    """The text of docs/cost.md."""
    every, tuned = ({core: load_costs(core, kernels) for core in core_boards()} for kernels in (PORTABLE, TUNED))
    m4 = every["cortex-m4"]
    head = _HEAD.format(layers=round(sum(model.layers for model in m4.instructions.values()), -1),
                        compiler=m4.compiler, optimization=m4.flags[-1])
    return "\n".join([head, *_errors(every), _TUNED, *_tuned_errors(tuned), _WHOLE, *_timings(), _of_stated(every),
                      *_nets(every, tuned), _of_band(), *_kernel_sets(every, tuned), ""])


def _of_stated(every: dict[str, LayerCosts]) -> str:
    stated = ", ".join(f"{costs.cycles_per_instruction} ({_name(core)})" for core, costs in every.items()
                       if costs.cycles_per_instruction is not None)
    st = {board.core: board.clock_hz * ms for board in PUBLISHED for runtime, ms, _ in board.results if "ST" in runtime}
    ratios = {short_name(core): COREMARK_PER_MHZ["cortex-m4"] / COREMARK_PER_MHZ[core] for core in st}
    return _STATED.format(stated=stated, macs=sum(layer.macs for layer in MLPERF_TINY.layers()),
                          st_m33=st["cortex-m33"] / st["cortex-m4"], st_m7=st["cortex-m7"] / st["cortex-m4"], **ratios)


def _of_band() -> str:
    instructions, cycles = (value / 1e6 for value in CMSIS_NN["cortex-m4"])
    low, high = (value / 1e6 for value in SILICON_CYCLES)
    return _BAND.format(cmsis_instructions=instructions, cmsis_cycles=cycles, low=low, high=high,
                        low_ratio=low / cycles, high_ratio=high / cycles,
                        l4r5=" to ".join(map(str, PUBLISHED[0].pj_per_cycle)))


def _name(core: str) -> str:
    return short_name(core).upper().replace("PLUS", "+")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _table(head: tuple, rows: list[tuple]) -> list[str]:
    return [_row(*head), _row(*["---"] * len(head)), *(_row(*row) for row in rows)]


def markdown(head: tuple, rows: list[tuple]) -> str:
    """A table."""
    return "\n".join(_table(head, rows))


def _errors(every: dict[str, LayerCosts]) -> list[str]:
    kinds = every["cortex-m4"].instructions
    return _table(("kind", "layers", *map(_name, every)), [
        (kind.replace("_", " "), kinds[kind].layers, *(_error(costs, kind) for costs in every.values()))
        for kind in kinds])


def _tuned_errors(every: dict[str, LayerCosts]) -> list[str]:
    kinds = dict.fromkeys(kind for costs in every.values() for kind in costs.instructions if kind.startswith(TUNED))
    return _table(("kind", *map(_name, every)), [
        (kind.replace("_", " "), *(_error(costs, kind) if kind in costs.instructions else "-"
                                   for costs in every.values())) for kind in kinds])


def _error(costs: LayerCosts, kind: str) -> str:
    cycles = f" ({100 * costs.cycles[kind].worst_error:.1f})" if kind in costs.cycles else ""
    return f"{100 * costs.instructions[kind].worst_error:.1f}{cycles} %"


_TIMED = {
    "source": lambda t: t.source,
    "load": lambda t: t.load,
    "store: address of register and immediate, of two registers": lambda t: f"{t.immediate_store}, {t.store}",
    "LDM, STM, PUSH, POP, LDRD, STRD of N registers": lambda t: f"{t.multiple} + N",
    "MUL; MLA, MLS": lambda t: f"1; {t.accumulate}",
    "SMULL, UMULL; SMLAL, UMLAL": lambda t: f"{t.long_multiply}; {t.long_accumulate}",
    "SDIV, UDIV": lambda t: t.divide,
    "taken branch: immediate, call, by register, from memory": lambda t: ", ".join(
        f"1 + {t.refill[how]}" for how in ("immediate", "call", "register")) + f", + {t.refill['memory']}",
    "everything else, DSP instructions, a branch not taken": lambda t: 1,
}
_MISSING_ON_M0PLUS = ("MUL; MLA, MLS", "SMULL, UMULL; SMLAL, UMLAL", "SDIV, UDIV")


def _timings() -> list[str]:
    return _table(("cycles", *map(_name, TIMINGS)), [
        (what, *(_cell(what, core, timings) for core, timings in TIMINGS.items())) for what in _TIMED])


def _cell(what: str, core: str, timings: Timings) -> object:
    """Armv6-M has MULS, and none of the other products and divides."""
    if core == "cortex-m0plus" and what in _MISSING_ON_M0PLUS:
        return "1; none" if what.startswith("MUL") else "none"
    return _TIMED[what](timings)


def _nets(every: dict[str, LayerCosts], tuned: dict[str, LayerCosts]) -> list[str]:
    head = ("microcontroller", "kernels", "instructions", "cycles", "ms", "band, ms", "band, uJ", "features, ms",
            "published: ms, uJ")
    return _table(head, [_net(board, costs[board.core]) for board in PUBLISHED for costs in (every, tuned)])


def _net(board: Published, costs: LayerCosts) -> tuple:
    whole = predicted(costs)
    instructions, cycles = whole.instructions, whole.cycles
    features = N_FRAMES * costs.cycles_of(frame_work(MLPERF_TINY.n_coefficients))
    low, high = band(cycles, costs)
    times = [value / board.clock_hz * 1e3 for value in (cycles, low, high, features)]
    stated = ", stated" if costs.cycles_per_instruction is not None else ""
    return (f"{board.name} ({_name(board.core)}), {board.clock_hz / 1e6:.0f} MHz", costs.kernels,
            f"{instructions / 1e6:.2f} M", f"{cycles / 1e6:.2f} M{stated}", f"{times[0]:.1f}",
            f"{times[1]:.0f} to {times[2]:.0f}", _energies(board, low, high), f"{times[3]:.1f}",
            "; ".join(f"{runtime}: {ms}" + (f", {uj:,}" if uj else "") for runtime, ms, uj in board.results))


def _energies(board: Published, low: float, high: float) -> str:
    """Microjoules, from cycles."""
    if not board.pj_per_cycle:
        return "-"
    return f"{low * board.pj_per_cycle[0] / 1e6:,.0f} to {high * board.pj_per_cycle[-1] / 1e6:,.0f}"


def band(cycles: float, costs: LayerCosts) -> tuple[float, float]:
    """Lowest and highest cycles to expect of silicon."""
    low, high = (measured / CMSIS_NN["cortex-m4"][1] for measured in SILICON_CYCLES)
    doubt = 0.15 if costs.cycles_per_instruction is not None else 0.0
    return cycles * low * (1 - doubt), cycles * high * (1 + doubt)


def predicted(costs: LayerCosts) -> Cost:
    """Of MLPerf Tiny's shape, on the board that stands for the core."""
    return Tariff(core_boards()[costs.core], costs).shape(MLPERF_TINY).whole


def _kernel_sets(*sets: dict[str, LayerCosts]) -> list[str]:
    def cell(instructions: float, cycles: float | None) -> str:
        return f"{instructions / 1e6:.2f}" + (f" ({cycles / 1e6:.2f})" if cycles is not None else "")

    def row(every: dict[str, LayerCosts]) -> tuple:
        prices = {core: predicted(costs) for core, costs in every.items()}
        cells = (cell(price.instructions, price.cycles if core in TIMINGS else None) for core, price in prices.items())
        return f"{next(iter(every.values())).kernels}, predicted", *cells

    cores = sets[0]
    return _table(("kernels", *map(_name, cores)), [
        *map(row, sets), ("CMSIS-NN, a build of commit 99f736a, counted", *(cell(*CMSIS_NN[core]) for core in cores))])


def main() -> None:
    Parser(prog="python -m export.cost_document", description=__doc__).parse_args()
    with atomic_write(DOCUMENT) as temporary:
        temporary.write_text(document())
    print(DOCUMENT)


if __name__ == "__main__":
    run_command(main)
