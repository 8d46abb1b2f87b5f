"""The table of boards: every folder of firmware/boards/ with a board.toml. Its fields are checked here, once.

Beside each figure NAME stands NAME_source: a sentence that says where it comes from, or that it is a stand-in.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from datasets.console import UserError
from export.kernels import CORES

BOARDS = Path(__file__).resolve().parent.parent / "firmware" / "boards"

REGION_KINDS = ("flash", "ram")
MICROPHONES = ("none", "pdm", "dfsdm")
CHANNELS = ("semihosting", "serial")
UNMEASURED = "unmeasured"
ARDUINO_CLI = "arduino-cli"
STM32_FLASHERS = {f"openocd ({target}) or st-flash": target for target in ("stm32f4x", "stm32l4x")}  # openocd's scripts
FLASHERS = ("none", ARDUINO_CLI, *STM32_FLASHERS)
# What is no slip of the keyboard:
CLOCK_HZ = (1_000_000, 2_000_000_000)
MOST_WAIT_STATES = 15
PJ_PER_CYCLE = (1, 10_000)
SUPPLY_V = (0.8, 6)
MOST_LISTENING_UW = 100_000
LEAST_REGION_BYTES = 1024
# Flash begins with the vector table: a power of two of bytes that holds it, here up to 112 interrupts. RAM: AAPCS.
ALIGNMENT_BYTES = {"flash": 512, "ram": 8}


@dataclass(frozen=True)
class Region:
    """A piece of memory. kind: one of REGION_KINDS; origin, length: bytes, of what is ours; offset: bytes before it
    that are not (a boot loader)."""

    name: str
    kind: str
    origin: int
    length: int
    offset: int
    source: str


@dataclass(frozen=True)
class Emulator:
    """How QEMU plays the board.

    channel: one of CHANNELS, how the image talks to the host.
    instructions_per_tick: of SysTick, under -icount shift=0.
    """

    machine: str
    channel: str
    instructions_per_tick: float
    instructions_per_tick_source: str


@dataclass(frozen=True)
class Power:
    """What a board draws, at supply_v volts.

    pj_per_cycle: picojoule, the core awake. sleep_uw: microwatt, the core asleep and nothing captured; None where it is
    unmeasured. capture_uw, microphone_uw: microwatt, always while it listens, what receives audio and the microphone.
    """

    pj_per_cycle: float
    pj_per_cycle_source: str
    sleep_uw: float | None
    sleep_uw_source: str
    capture_uw: float
    capture_uw_source: str
    microphone_uw: float
    microphone_uw_source: str
    supply_v: float
    supply_v_source: str


@dataclass(frozen=True)
class Board:
    """One board.

    core: one of export.kernels.CORES. cpu_flags: of the compiler and the linker. clock_hz: of the processor.
    wait_states: cycles that a fetch of 4 bytes of code from flash takes more, where no cache or prefetch hides them.
    regions: memory for us; the first of a kind is what the image uses.
    sources: the board's own C files. defines: macros for all of the firmware.
    flasher: one of FLASHERS, the tool of `make flash`, "none" where it is emulated. microphone: one of MICROPHONES.
    emulator: None where QEMU has no such board.
    """

    name: str
    title: str
    core: str
    cpu_flags: tuple[str, ...]
    clock_hz: int
    clock_hz_source: str
    wait_states: int
    wait_states_source: str
    power: Power
    regions: tuple[Region, ...]
    sources: tuple[Path, ...]
    defines: dict[str, int]
    flasher: str
    microphone: str
    emulator: Emulator | None

    @property
    def pj_per_cycle(self) -> float:
        """Picojoule, the core awake."""
        return self.power.pj_per_cycle

    def region(self, kind: str) -> Region:
        """The memory of that kind that the image uses."""
        return next(region for region in self.regions if region.kind == kind)

    @property
    def flash_bytes(self) -> int:
        """Flash for our image."""
        return self.region("flash").length

    @property
    def ram_bytes(self) -> int:
        """RAM for our image, stack included."""
        return self.region("ram").length


def board_names(folder: Path = BOARDS) -> tuple[str, ...]:
    """Names of the boards there are, sorted."""
    return tuple(sorted(path.parent.name for path in folder.glob("*/board.toml")))


def load_board(name: str, folder: Path = BOARDS) -> Board:
    """Read firmware/boards/NAME/board.toml. UserError names the boards there are, or the file and field at fault."""
    if name not in board_names(folder):
        raise UserError(f"BOARD={name}: no such board; there are {', '.join(board_names(folder))}")
    path = folder / name / "board.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML ({error})") from error
    return _Reader(path, table).board()


def emulated_board(name: str, folder: Path = BOARDS) -> Board:
    """load_board of a board that QEMU plays. UserError names those that it does."""
    board = load_board(name, folder)
    if board.emulator is None:
        there = [other for other in board_names(folder) if load_board(other, folder).emulator]
        raise UserError(f"BOARD={name}: QEMU has no such board; emulated ones are {', '.join(there)}")
    return board


@dataclass(frozen=True)
class _Reader:
    """Takes fields out of one table of a board.toml; each error names the file and the field."""

    path: Path
    table: dict
    prefix: str = ""

    def board(self) -> Board:
        """The whole file."""
        self.only("title", "core", "cpu_flags", "clock_hz", "clock_hz_source", "wait_states", "wait_states_source",
                  "power", "memory", "firmware", "flasher", "microphone", "emulator")
        firmware = self.sub("firmware").only("sources", "defines")
        return Board(
            name=self.path.parent.name,
            title=self.text("title"),
            core=self.choice("core", CORES),
            cpu_flags=self.cpu_flags(),
            clock_hz=self.clock_hz(),
            clock_hz_source=self.source_of("clock_hz"),
            wait_states=self.integer("wait_states", 0, MOST_WAIT_STATES),
            wait_states_source=self.source_of("wait_states"),
            power=self.power(),
            regions=self.regions(),
            sources=tuple(firmware.c_file(name) for name in firmware.texts("sources")),
            defines=firmware.defines(),
            flasher=self.choice("flasher", FLASHERS),
            microphone=self.microphone(),
            emulator=self.emulator() if "emulator" in self.table else None)

    def refuse(self, field: str, allowed: str):
        """Raise the error of `field`."""
        found = f"is {self.table[field]!r}" if field in self.table else "is missing"
        raise UserError(f"{self.path}: {self.prefix}{field} {found}; allowed: {allowed}")

    def take(self, field: str, is_good: Callable[[object], object], allowed: str):
        """The value of `field`, which must be there and good."""
        if field not in self.table or not is_good(self.table[field]):
            self.refuse(field, allowed)
        return self.table[field]

    def only(self, *known: str) -> "_Reader":
        """Itself, where it has no other fields than these."""
        for field in self.table:
            if field not in known:
                raise UserError(f"{self.path}: {self.prefix}{field} is no field; allowed: {', '.join(known)}")
        return self

    def text(self, field: str, is_good: Callable[[str], object] = str.strip,
             allowed: str = "a text, no control characters") -> str:
        return self.take(field, lambda value: _is_text(value) and is_good(value), allowed)

    def choice(self, field: str, among: tuple[str, ...]) -> str:
        return self.text(field, among.__contains__, f"one of {', '.join(among)}")

    def texts(self, field: str) -> list[str]:
        return self.take(field, _are_texts, "a list of texts, no control characters")

    def number(self, field: str, low: float, high: float, because: str = "") -> float:
        return float(self.take(field, lambda value: type(value) in (int, float) and low <= value <= high,
                               f"a number from {low:g} to {high:g}{because}"))

    def integer(self, field: str, low: int, high: int, multiple_of: int = 1) -> int:
        return self.take(field, lambda value: type(value) is int and low <= value <= high and value % multiple_of == 0,
                         f"a whole number from {low} to {high}"
                         + (f", a multiple of {multiple_of}" if multiple_of > 1 else ""))

    def source_of(self, figure: str) -> str:
        return self.text(f"{figure}_source", allowed="a sentence that says where the figure comes from, no control "
                                                     "characters")

    def sourced(self, field: str, low: float, high: float, because: str = "") -> tuple[float, str]:
        """A figure and its source."""
        return self.number(field, low, high, because), self.source_of(field)

    def sub(self, field: str) -> "_Reader":
        table = self.take(field, lambda value: isinstance(value, dict), f"a table [{field}]")
        return _Reader(self.path, table, f"{self.prefix}{field}.")

    def clock_hz(self) -> int:
        return self.integer("clock_hz", *CLOCK_HZ)

    def cpu_flags(self) -> tuple[str, ...]:
        flag = f"-mcpu={self.choice('core', CORES)}"
        return tuple(self.take("cpu_flags", lambda flags: _are_texts(flags) and flag in flags,
                               f"a list of texts with {flag}"))

    def power(self) -> Power:
        """Asleep a board draws no more than awake; for a microphone and what it hears nothing where it has none."""
        power = self.sub("power").only(*(field.name for field in fields(Power)))
        awake_uw = self.clock_hz() * power.number("pj_per_cycle", *PJ_PER_CYCLE) * 1e-6
        listening = (0, 0, ": the board has no microphone") if self.microphone() == "none" else (0, MOST_LISTENING_UW)
        return Power(*power.sourced("pj_per_cycle", *PJ_PER_CYCLE), *power.sleep(awake_uw),
                     *power.sourced("capture_uw", *listening), *power.sourced("microphone_uw", *listening),
                     *power.sourced("supply_v", *SUPPLY_V))

    def sleep(self, awake_uw: float) -> tuple[float | None, str]:
        """sleep_uw and its source; the figure is left out where the source says that there is none."""
        source = self.source_of("sleep_uw")
        if not source.startswith(UNMEASURED):
            return self.sourced("sleep_uw", 0, awake_uw, f", what the core draws awake, or no such field and a source "
                                                         f"that begins with {UNMEASURED!r}")
        if "sleep_uw" in self.table:
            self.refuse("sleep_uw", f"no figure where its source begins with {UNMEASURED!r}")
        return None, source

    def microphone(self) -> str:
        return self.choice("microphone", MICROPHONES)

    def c_file(self, name: str) -> Path:
        """A C file, its path relative to the board's folder."""
        found = (self.path.parent / name).resolve()
        if not found.is_file():
            raise UserError(f"{self.path}: {self.prefix}sources names {name}, and there is no such file")
        return found

    def defines(self) -> dict[str, int]:
        defines = self.sub("defines")
        return {name: defines.integer(name, 0, 2**32 - 1) for name in defines.table}

    def emulator(self) -> Emulator:
        emulator = self.sub("emulator").only(*(field.name for field in fields(Emulator)))
        return Emulator(emulator.text("machine"), emulator.choice("channel", CHANNELS),
                        *emulator.sourced("instructions_per_tick", 1, 1000))

    def regions(self) -> tuple[Region, ...]:
        tables = self.take("memory", lambda value: isinstance(value, list) and value
                           and all(isinstance(table, dict) for table in value), "tables [[memory]]")
        regions = tuple(_Reader(self.path, table, f"memory[{i}].").region() for i, table in enumerate(tables))
        for kind in REGION_KINDS:
            if kind not in (region.kind for region in regions):
                raise UserError(f"{self.path}: memory has no region of kind {kind}; allowed: at least one")
        self.check_names(regions)
        self.check_overlap(regions)
        return regions

    def region(self) -> Region:
        self.only("name", "kind", "origin", "length", "offset", "source")
        kind, length = self.choice("kind", REGION_KINDS), self.integer("length", LEAST_REGION_BYTES, 2**31)
        alignment = ALIGNMENT_BYTES[kind]
        origin = self.integer("origin", 0, 2**32 - length, alignment)
        offset = self.integer("offset", 0, length - LEAST_REGION_BYTES, alignment) if "offset" in self.table else 0
        return Region(self.text("name", lambda name: re.fullmatch(r"[a-z]\w*", name), "a word in small letters"),
                      kind, origin + offset, length - offset, offset, self.text("source"))

    def check_names(self, regions: tuple[Region, ...]) -> None:
        names = [region.name for region in regions]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{self.path}: memory has {names.count(name)} regions {name}; allowed: each name once")

    def check_overlap(self, regions: tuple[Region, ...]) -> None:
        ordered = sorted(regions, key=lambda region: region.origin)
        for lower, upper in zip(ordered, ordered[1:], strict=False):
            if lower.origin + lower.length > upper.origin - upper.offset:
                raise UserError(f"{self.path}: memory {lower.name} and {upper.name} overlap; allowed: none in common")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))
