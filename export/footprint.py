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

    flash_bytes: without `libraries`, by section, and without coefficient_bytes a coefficient of our features and
    label_bytes a label of a detector. buffer_bytes: of RAM, without the networks' input and output, the ring of samples
    and label_buffer_bytes a label.
    """

    flash_bytes: int
    libraries: Mapping[str, int]
    buffer_bytes: int
    coefficient_bytes: int = 0
    label_bytes: int = 0
    label_buffer_bytes: int = 0

    def own_flash_bytes(self, coefficients: int, labels: int) -> int:
        """But for libraries."""
        return self.flash_bytes + coefficients * self.coefficient_bytes + labels * self.label_bytes

    def own_buffer_bytes(self, labels: int) -> int:
        """What labels add is one array."""
        return self.buffer_bytes + up_to_word(labels * self.label_buffer_bytes)


@dataclass(frozen=True)
class Footprint:
    """Of one core and kernel set.

    kernels: by kind of layer, flash bytes by section, libraries' sections too. calls: by kind, of a network's own code
    and structs a layer. with_detector, with_features, plain: by board, firmware with our features and a detector, which
    listens where there is a microphone; with our features alone; without.
    """

    kernels: Mapping[str, Mapping[str, int]]
    calls: Mapping[str, int]
    with_detector: Mapping[str, Firmware]
    with_features: Mapping[str, Firmware]
    plain: Mapping[str, Firmware]

    def firmware(self, board: str, coefficients: int, labels: int) -> Firmware:
        """coefficients: of our features, 0: none; labels: of a detector, 0: none. UserError for a board that was not
        measured."""
        measured = self.with_detector if labels else self.with_features if coefficients else self.plain
        if board not in measured:
            raise UserError(f"BOARD={board}: its firmware was not measured, those of {', '.join(measured)} were; "
                            "`make calibrate` of its core measures it")
        return measured[board]

    @classmethod
    def of_json(cls, table: dict) -> "Footprint":
        """Of dataclasses.asdict's."""
        firmware = {name: {board: Firmware(**fields) for board, fields in table[name].items()}
                    for name in ("with_detector", "with_features", "plain")}
        return cls(table["kernels"], table["calls"], **firmware)

    def shared_bytes(self, kinds: Iterable[str], board: str, coefficients: int, labels: int) -> int:
        """Flash of an image of one network, without what each layer adds."""
        firmware = self.firmware(board, coefficients, labels)
        sections = dict(firmware.libraries)
        for kind in kinds:
            sections |= self.kernels[kind]
        return firmware.own_flash_bytes(coefficients, labels) + sum(sections.values())


def up_to_word(size: int) -> int:
    return -(-size // WORD_BYTES) * WORD_BYTES

