"""Bytes of an image that are no network's constants: firmware, kernels, the networks' own code. Read off linker maps.

A section of a kernel or of a library is linked once however many layers need it, so those are kept by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from datasets.console import UserError

WORD_BYTES = 4


@dataclass(frozen=True)
class Firmware:
    """All that is no network and no kernel, on one board.

    flash_bytes: without `libraries`, by section, and without coefficient_bytes a coefficient of our features.
    buffer_bytes: of RAM, without the networks' input and output.
    """

    flash_bytes: int
    libraries: Mapping[str, int]
    buffer_bytes: int
    coefficient_bytes: int = 0


@dataclass(frozen=True)
class Footprint:
    """Of one core and kernel set.

    kernels: by kind of layer, flash bytes by section, libraries' sections too. calls: by kind, of a network's own code
    and structs a layer. with_features, plain: by board, firmware with our features and without.
    """

    kernels: Mapping[str, Mapping[str, int]]
    calls: Mapping[str, int]
    with_features: Mapping[str, Firmware]
    plain: Mapping[str, Firmware]

    def firmware(self, board: str, features: bool) -> Firmware:
        """UserError for a board that was not measured."""
        measured = self.with_features if features else self.plain
        if board not in measured:
            raise UserError(f"BOARD={board}: its firmware was not measured, those of {', '.join(measured)} were; "
                            "`make calibrate` of its core measures it")
        return measured[board]

    @classmethod
    def of_json(cls, table: dict) -> "Footprint":
        """Of dataclasses.asdict's."""
        firmware = {name: {board: Firmware(**fields) for board, fields in table[name].items()}
                    for name in ("with_features", "plain")}
        return cls(table["kernels"], table["calls"], **firmware)

    def shared_bytes(self, kinds: Iterable[str], board: str, coefficients: int) -> int:
        """Flash of an image of one network, without what each layer adds. coefficients: of our features, 0: none."""
        firmware = self.firmware(board, coefficients > 0)
        sections = dict(firmware.libraries)
        for kind in kinds:
            sections |= self.kernels[kind]
        return firmware.flash_bytes + coefficients * firmware.coefficient_bytes + sum(sections.values())


def up_to_word(size: int) -> int:
    return -(-size // WORD_BYTES) * WORD_BYTES

