"""Listening all day: the share of the core, the average power and the days of a battery."""

import re
from dataclasses import dataclass
from math import inf

from datasets.console import UserError
from datasets.features import HOP_LENGTH, SAMPLE_RATE
from export.boards import Board

FRAMES_PER_S = SAMPLE_RATE / HOP_LENGTH
# Fewer inferences a second leave speech unheard, as each hears one second; more have no new frame to hear.
RATES_PER_S = (1.0, FRAMES_PER_S)
SECONDS_PER_HOUR, HOURS_PER_DAY = 3600, 24


@dataclass(frozen=True)
class Battery:
    """mah: milliampere hours that it gives; volts: nominal, of all its cells; most_ma: milliampere that it is made for,
    infinite where that is not known."""

    name: str
    mah: float
    volts: float
    source: str
    most_ma: float = inf

    @property
    def energy_j(self) -> float:
        return self.mah * 1e-3 * SECONDS_PER_HOUR * self.volts

    def __str__(self) -> str:
        return f"{self.name} ({self.mah:g} mAh, {self.volts:g} V)"


BATTERIES = {battery.name: battery for battery in (
    Battery("cr2032", 225, 3.0, "typical (en.wikipedia.org, CR2032 battery); most_ma: encyc.org, CR2032", 3),
    Battery("2xaa", 2900, 3.0, "two alkaline cells of 1.5 V in series: Duracell Procell at 50 mA (rightbattery.com)"),
    Battery("lipo500", 500, 3.7, "Adafruit product 1578: 3.7 V, 500 mAh"))}
MAH, VOLTS = (1, 1e6), (0.5, 60)
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_BATTERY = re.compile(f"{_NUMBER}mah@{_NUMBER}v")


@dataclass(frozen=True)
class DutyCycle:
    """A board that listens: features of every frame, inferences_per_s inferences, else asleep; capturing always.

    Powers are averages in microwatt, which is microjoule a second, by the figures of board.toml; None where they are
    unmeasured.
    """

    board: Board
    cycles_per_frame: float
    cycles_per_inference: float
    inferences_per_s: float

    @property
    def cycles_per_s(self) -> float:
        return FRAMES_PER_S * self.cycles_per_frame + self.inferences_per_s * self.cycles_per_inference

    @property
    def share(self) -> float:
        """Of the core; above 1 the board does not keep up."""
        return self.cycles_per_s / self.board.clock_hz

    @property
    def keeps_up(self) -> bool:
        return self.share <= 1

    @property
    def awake_uw(self) -> float:
        """Of the core while it computes, always where it does not keep up."""
        return min(self.share, 1) * self.board.clock_hz * self.board.pj_per_cycle * 1e-6

    @property
    def asleep_uw(self) -> float | None:
        """Of the core between blocks of audio; nothing where it has no time to sleep."""
        idle, sleep_uw = max(1 - self.share, 0), self.board.power.sleep_uw
        return None if idle and sleep_uw is None else idle * (sleep_uw or 0)

    @property
    def average_power_uw(self) -> float | None:
        """Awake, asleep, capture and the microphone."""
        if self.asleep_uw is None:
            return None
        return self.awake_uw + self.asleep_uw + self.board.power.capture_uw + self.board.power.microphone_uw

    def battery_days(self, battery: Battery) -> float | None:
        """Until it is empty; neither a regulator's loss nor the battery's own discharge counted. None where power is
        unmeasured or the board does not keep up."""
        if self.average_power_uw is None or not self.keeps_up:
            return None
        if not self.average_power_uw:
            return inf
        return battery.energy_j / (self.average_power_uw * 1e-6) / SECONDS_PER_HOUR / HOURS_PER_DAY

    def sentence(self, battery: Battery) -> str:
        """All of it, for people."""
        head = f"{self.inferences_per_s:g} inferences a second: {100 * self.share:.1f} % of the core"
        if self.average_power_uw is None:
            return f"{head}, awake {_mw(self.awake_uw)} mW; asleep unmeasured, so no battery days"
        if not self.keeps_up:
            return f"{head}: it does not keep up; {_mw(self.average_power_uw)} mW"
        return (f"{head}, {_mw(self.average_power_uw)} mW on average ({self._parts()}); "
                f"{battery}: {self.battery_days(battery):.1f} days{self._overload(battery)}")

    def _parts(self) -> str:
        power = self.board.power
        return (f"awake {_mw(self.awake_uw)}, asleep {_mw(self.asleep_uw)}, capture {_mw(power.capture_uw)}, "
                f"microphone {_mw(power.microphone_uw)}")

    def _overload(self, battery: Battery) -> str:
        ma = self.average_power_uw * 1e-3 / battery.volts
        return f", but made for {battery.most_ma:g} mA, not {ma:.2f}" if ma > battery.most_ma else ""


def _mw(power_uw: float) -> str:
    return f"{power_uw / 1e3:.2f}"


def parse_rate(text: str) -> float:
    """RATE, inferences a second. UserError names what is allowed."""
    low, high = RATES_PER_S
    if not re.fullmatch(_NUMBER, text) or not low <= float(text) <= high:
        raise UserError(f"RATE={text[:40]}: allowed are {low:g} to {high:g} inferences a second")
    return float(text)


def parse_battery(text: str) -> Battery:
    """BATTERY: a name of BATTERIES, or "220mAh@3V". UserError names what is allowed."""
    name = text.strip().lower()
    if name in BATTERIES:
        return BATTERIES[name]
    found = _BATTERY.fullmatch(name)
    if not (found and MAH[0] <= float(found[1]) <= MAH[1] and VOLTS[0] <= float(found[2]) <= VOLTS[1]):
        raise UserError(f"BATTERY={text[:40]}: allowed are {', '.join(BATTERIES)}, or capacity and voltage like "
                        f"220mAh@3V, {MAH[0]:g} to {MAH[1]:.0f} mAh and {VOLTS[0]:g} to {VOLTS[1]:g} V")
    return Battery(text.strip(), float(found[1]), float(found[2]), "stated by the user")
