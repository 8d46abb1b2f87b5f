"""What a core executes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    """cycles: None where Arm publishes no timings of the core."""

    instructions: int = 0
    cycles: int | None = 0

    def __add__(self, other: "Count") -> "Count":
        cycles = None if self.cycles is None or other.cycles is None else self.cycles + other.cycles
        return Count(self.instructions + other.instructions, cycles)
