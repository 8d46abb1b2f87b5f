"""What a net costs: the only price there is. Growth, the report and the exporter all ask here."""

import hashlib
import json
import re
from dataclasses import asdict, astuple, dataclass
from math import inf

from datasets.console import UserError
from export.shape import LayerShape, NetShape

# Instructions of one layer on a Cortex-M4 with CMSIS-NN: per product, per output value, and per product of one output
# position. Source: DESIGN, "Cost, measured" (pointwise 1.45 MAC + 42 outputs; depthwise 73 outputs; first 10x4
# convolution 112 outputs + 1756 positions, of which 1.45 x 40 taps are its products). Not measured by this code yet.
# Pooling and softmax have no figure there and count nothing (under 1 % of a net).
INSTRUCTIONS = {
    "pointwise": (1.45, 42.0, 0.0),
    "first": (1.45, 112.0 - 1.45 * 40, 1756.0 / 40),
    "depthwise": (0.0, 73.0, 0.0),
    "none": (0.0, 0.0, 0.0),
}
CYCLES_PER_INSTRUCTION = 1.35  # DESIGN: 7.85 M instructions take 9.2 to 12 M cycles on silicon
REQUANTIZATION_BYTES = 8       # Q31 multiplier and shift, int32 each
BIAS_BYTES = 4

costs_hash = hashlib.sha256(json.dumps([INSTRUCTIONS, CYCLES_PER_INSTRUCTION]).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cost:
    """The bill of a net or of a part of it. Parts add up; activations are shared, so their bytes take the larger.

    operations: 2 x macs of convolutions and fully-connected layers, padded taps counted ("Hello Edge").
    model_bytes: int8 weights and one byte a bias ("Hello Edge").
    flash_bytes: constants as the exporter writes them: weights, int32 biases, multipliers and shifts; no code.
    ram_bytes: the largest input-plus-output pair of int8 activations.
    cycles, energy_uj, latency_ms: of one inference, on the board; features not included.
    """

    operations: int = 0
    macs: int = 0
    model_bytes: int = 0
    flash_bytes: int = 0
    ram_bytes: int = 0
    instructions: float = 0.0
    cycles: float = 0.0
    latency_ms: float = 0.0
    energy_uj: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        summed = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return Cost(**{**summed, "ram_bytes": max(self.ram_bytes, other.ram_bytes)})

    @property
    def memory_bytes(self) -> int:
        return hello_edge_memory(self.model_bytes, self.ram_bytes)


def hello_edge_memory(model_bytes, ram_bytes):
    """Hello Edge's memory, bytes: weights, biases and the largest pair of activations. Of numbers or arrays."""
    return model_bytes + ram_bytes


def _kind(layer: LayerShape) -> str:
    if not layer.weight_bytes:
        return "none"
    if layer.op == "depthwise":
        return "depthwise"
    return "first" if layer.op == "conv" and layer.kernel != (1, 1) else "pointwise"


def layer_cost(layer: LayerShape, board) -> Cost:
    """Cost of one layer; board: export.boards.Board (clock_hz, pj_per_cycle)."""
    per_mac, per_output, per_position_tap = INSTRUCTIONS[_kind(layer)]
    h, w, c = layer.outputs
    instructions = per_mac * layer.macs + per_output * h * w * c + per_position_tap * layer.positions * layer.taps
    cycles = instructions * CYCLES_PER_INSTRUCTION
    constants = layer.weight_bytes + layer.channels * (BIAS_BYTES + REQUANTIZATION_BYTES)
    in_h, in_w, in_c = layer.inputs
    return Cost(2 * layer.macs, layer.macs, layer.weight_bytes + layer.channels, constants,
                in_h * in_w * in_c + h * w * c, instructions, cycles,
                cycles / board.clock_hz * 1e3, cycles * board.pj_per_cycle * 1e-6)


def cost(shape: NetShape, board) -> Cost:
    """Cost of a whole net."""
    return sum((layer_cost(layer, board) for layer in shape.layers()), Cost())


@dataclass(frozen=True)
class Limits:
    """Upper bounds on a Cost; infinite where nothing is asked. memory_bytes is Hello Edge's."""

    operations: float = inf
    memory_bytes: float = inf
    flash_bytes: float = inf
    ram_bytes: float = inf
    cycles: float = inf
    latency_ms: float = inf
    energy_uj: float = inf

    def broken_by(self, price: Cost) -> tuple[str, ...]:
        """Names of the limits that `price` exceeds."""
        return tuple(name for name, limit in vars(self).items() if getattr(price, name) > limit)

    def tightened(self, other: "Limits") -> "Limits":
        """The smaller of each pair."""
        return Limits(*map(min, astuple(self), astuple(other)))

    def __str__(self) -> str:
        return " ".join(f"{name}<={value:g}" for name, value in asdict(self).items() if value < inf) or "no limit"


# What an image takes besides constants and arena: code and tables; stack, clip buffers and the feature state. Rounded
# up from the linker's map; tests/export/test_mcu.py holds it against an image.
FIRMWARE_FLASH_BYTES = 24 * 1024
FIRMWARE_RAM_BYTES = 11 * 1024


def board_limits(board) -> Limits:
    """What the board's memory leaves for a net's constants and activations; board: export.boards.Board."""
    return Limits(flash_bytes=board.flash_bytes - FIRMWARE_FLASH_BYTES, ram_bytes=board.ram_bytes - FIRMWARE_RAM_BYTES)


# "Hello Edge" (arXiv 1711.07128), table 1.
BUDGETS = {
    "small": Limits(operations=6e6, memory_bytes=80e3),
    "medium": Limits(operations=20e6, memory_bytes=200e3),
    "large": Limits(operations=80e6, memory_bytes=500e3),
}
LIMIT_NAMES = {"ops": "operations", "mem": "memory_bytes", "flash": "flash_bytes", "ram": "ram_bytes",
               "cycles": "cycles", "ms": "latency_ms", "uj": "energy_uj"}
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6}
_LIMIT = re.compile(r"([a-z]+)<=([0-9]*\.?[0-9]+(?:e[0-9]+)?)([km]?)")


def parse_budget(text: str) -> Limits:
    """'small' or limits such as "ops<=2M mem<=40k ms<=100". UserError names the part that is wrong."""
    if text in BUDGETS:
        return BUDGETS[text]
    return Limits(**dict(_parse_limit(part, text) for part in text.split())) if text.split() else _refuse(text, text)


def _parse_limit(part: str, text: str) -> tuple[str, float]:
    found = _LIMIT.fullmatch(part.lower())
    number = float(found[2]) * _FACTORS[found[3]] if found else 0.0
    if not found or found[1] not in LIMIT_NAMES or not 0 < number < inf:
        _refuse(part, text)
    return LIMIT_NAMES[found[1]], number


def _refuse(part: str, text: str):
    raise UserError(f"BUDGET={text!r}: {part!r} is not understood; allowed: {', '.join(BUDGETS)}, or limits like "
                    f"'ops<=6M mem<=80k' with any of {', '.join(LIMIT_NAMES)} and a positive number (k, M)")
