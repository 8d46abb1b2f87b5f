"""The most that an image can ever have on its stack, from the compiler's frames and call graph (GCC's
-fcallgraph-info=su) of the functions that were linked."""

import re
from dataclasses import dataclass

from datasets.console import UserError
from export.image import WORK, Image

LIBRARY_FRAME_BYTES = 64  # of a function of the C library, whose frame nobody tells: stated
EXCEPTION_BYTES = 36  # that the core pushes: eight words, and one to align (Armv7-M, B1.5.7); no FPU in our code
START = "kws_reset"
PATIENT = frozenset({"kws_microphone_interrupt"})  # KWS_PATIENT of firmware/app/kws_core.h; the others are urgent
FAULTS = ("kws_fault", "kws_report_fault")  # begin the stack anew
INDIRECT = "__indirect_call"
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_FRAME = re.compile(r"(\d+) bytes \(([\w,]+)\)")
_SECTION = re.compile(r"^ \.text\.(?:startup\.)?([\w.]+)\s+0x0*[1-9a-f]", re.MULTILINE)


@dataclass(frozen=True)
class Calls:
    """frames: bytes by function. callees: by function. Functions are "file:name" where they are static."""

    frames: dict[str, int]
    callees: dict[str, frozenset[str]]

    @property
    def never_named(self) -> frozenset[str]:
        """Functions that nobody calls by name: called through pointers, by hardware, or at the start."""
        called = frozenset().union(*self.callees.values())
        return frozenset(self.frames) - called

    def deepest(self, name: str, path: frozenset[str] = frozenset()) -> int:
        """Bytes of a call of `name` and all below it. A pointer may lead to any function that nobody calls by name, but
        for those of the path: nothing here is recursive."""
        below = self.callees.get(name, frozenset())
        if INDIRECT in below:
            below |= self.never_named - _entered_otherwise(self)
        path |= {name}
        return self.frame(name) + max((self.deepest(each, path) for each in below - path - {INDIRECT}), default=0)

    def frame(self, name: str) -> int:
        return self.frames.get(name, LIBRARY_FRAME_BYTES)


def worst_stack_bytes(image: Image) -> int:
    """From reset, with interrupts on top."""
    calls = calls_of(image)
    return calls.deepest(START) + nested_bytes(calls)


def nested_bytes(calls: Calls) -> int:
    """Of interrupts: the deepest urgent one, on top of the deepest patient one where there is any."""
    handlers = interrupts_of(calls)
    levels = [[EXCEPTION_BYTES + calls.deepest(name) for name in group]
              for group in (handlers & PATIENT, handlers - PATIENT)]
    return sum(max(level, default=0) for level in levels)


def interrupts_of(calls: Calls) -> frozenset[str]:
    """Handlers in the vector table."""
    return frozenset(name for name in calls.never_named if name.endswith(("_interrupt", ":count_wrap")))


def _entered_otherwise(calls: Calls) -> frozenset[str]:
    return interrupts_of(calls) | {START, *FAULTS}


def calls_of(image: Image) -> Calls:
    """Of the functions that the linker kept."""
    linked = set(_SECTION.findall(image.map.read_text().partition("Linker script and memory map")[2]))
    frames, callees = {}, {}
    for path in sorted((image.elf.parent / WORK).glob("*.ci")):
        text = path.read_text()
        found = {name: _frame(name, label) for name, label in _NODE.findall(text) if _FRAME.search(label)}
        kept = {name: frame for name, frame in found.items() if name.rpartition(":")[2] in linked}
        frames |= kept
        for source, target in _EDGE.findall(text):
            if source in kept:
                callees.setdefault(source, set()).add(target)
    return Calls(frames, {name: frozenset(targets) for name, targets in callees.items()})


def _frame(name: str, label: str) -> int:
    size, kind = _FRAME.search(label).groups()
    if kind == "dynamic":
        raise UserError(f"{name}: its stack has no bound; allowed are arrays of constant size")
    return int(size)
