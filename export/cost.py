"""What a net costs on a board: the only price there is. Growth, the report and the exporter all ask here.

Instructions, cycles and bytes of code are those measured for the board's core and kernel set (export.layer_costs).
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from export.boards import Board
from export.detector import labels_heard
from export.footprint import up_to_word
from export.graph import Graph, layer_shapes
from export.image import SAMPLE_BYTES, STACK_BYTES, audio_samples, listens
from export.kernels import DEFAULT, KernelSet
from export.layer_costs import FOLDER, LayerCosts, load_costs
from export.layer_memory import ArenaUse, LayerMemory, Table, array_bytes, layer_memory, new_functions
from export.plan import aligned, make_plan, op_bytes
from export.runs import takes_features
from export.shape import LayerShape, NetShape
from export.work import Function, Work
from export.workload import frame_work, works_of

PEAKS = ("activation_bytes", "arena_bytes")
RAM_PARTS = ("arena_bytes", "audio_bytes", "buffer_bytes", "stack_bytes")  # as ram_bytes takes them


@dataclass(frozen=True)
class Cost:
    """The bill of an image or of a part of it. Parts add up; of PEAKS the larger counts.

    operations: 2 x macs of convolutions and fully-connected layers, padded taps counted ("Hello Edge").
    model_bytes: int8 weights and one byte a bias; activation_bytes: the largest input-plus-output pair of int8 values
    (both "Hello Edge").
    flash_bytes: constants, code, tables. arena_bytes, audio_bytes, buffer_bytes, stack_bytes: of RAM. audio_bytes: the
    ring of samples, as long as an inference takes; 0 where the image does not listen.
    instructions, cycles, latency_ms, energy_uj: of one inference; features not included.
    """

    operations: int = 0
    macs: int = 0
    model_bytes: int = 0
    activation_bytes: int = 0
    flash_bytes: int = 0
    arena_bytes: int = 0
    audio_bytes: int = 0
    buffer_bytes: int = 0
    stack_bytes: int = 0
    instructions: float = 0.0
    cycles: float = 0.0
    latency_ms: float = 0.0
    energy_uj: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(max(a, b) if name in PEAKS else a + b
                      for name, a, b in zip(QUANTITIES, vars(self).values(), vars(other).values(), strict=True)))

    @property
    def ram_bytes(self) -> int:
        return ram_bytes(*(getattr(self, name) for name in RAM_PARTS))

    @property
    def memory_bytes(self) -> int:
        return hello_edge_memory(self.model_bytes, self.activation_bytes)


QUANTITIES = tuple(field.name for field in fields(Cost))


def hello_edge_memory(model_bytes, activation_bytes):
    """Hello Edge's memory, bytes: weights, biases and the largest pair of activations. Of numbers or arrays."""
    return model_bytes + activation_bytes


def ram_bytes(arena_bytes, audio_bytes, buffer_bytes, stack_bytes):
    """RAM of an image. Of numbers or arrays."""
    return arena_bytes + audio_bytes + buffer_bytes + stack_bytes


@dataclass(frozen=True)
class Layer:
    """One line of a bill. kind: as costs are measured."""

    name: str
    kind: str
    shape: LayerShape
    cost: Cost


@dataclass(frozen=True)
class Price:
    """Of a net on a board. firmware: what is no layer's, kernels included. frame: one feature frame; None where the net
    does not take our features."""

    whole: Cost
    layers: tuple[Layer, ...]
    firmware: Cost
    frame: Cost | None


@dataclass(frozen=True)
class Priced:
    """A layer alone. cost: but for the arena, which depends on the layers before it, and for functions that it shares
    with them."""

    kind: str
    cost: Cost
    memory: LayerMemory


@dataclass(frozen=True)
class Tariff:
    """What layers cost on a board with a kernel set."""

    board: Board
    costs: LayerCosts

    @classmethod
    def of(cls, board: Board, kernels: str = DEFAULT, folder: Path = FOLDER) -> "Tariff":
        """UserError where the core was not calibrated with these kernels."""
        return cls(board, load_costs(board.core, kernels, folder))

    @property
    def costs_hash(self) -> str:
        """Twelve hex digits over all that prices are made of, but for the net, and for what every image holds alike:
        nets compare as before when the app around them grows."""
        costs, board, code = self.costs, self.board, self.costs.footprint
        figures = (board.clock_hz, board.pj_per_cycle, board.wait_states, costs.instructions, costs.cycles,
                   costs.cycles_per_instruction, code.kernels, code.calls,
                   *([costs.functions] if costs.functions else []))
        return hashlib.sha256(repr(figures).encode()).hexdigest()[:12]

    def layer(self, shape: LayerShape) -> Priced:
        """Of one layer that has no weights yet; computed once."""
        if shape not in self._known:
            memory = layer_memory(replace(shape, name="", input_kept=False), self.costs.kernels, self.board.core)
            cost = self._layer(shape, memory.work, memory.array_bytes + self._bytes(memory.functions))
            self._known[shape] = Priced(memory.work.kind, cost, memory)
        return self._known[shape]

    def flash_in_turn(self, layers: list[Priced]) -> Iterator[int]:
        """Flash bytes of each layer, without what one before it has already."""
        written = set()
        for layer in layers:
            yield layer.cost.flash_bytes - self._bytes(written.intersection(layer.memory.shared))
            written.update(layer.memory.shared)

    def _bytes(self, parts: Iterable[Function | Table]) -> int:
        return sum(part.bytes if isinstance(part, Table) else self.costs.bytes_of(part) for part in parts)

    @cached_property
    def _known(self) -> dict[LayerShape, "Priced"]:
        return {}

    def _layer(self, shape: LayerShape, work: Work, constants: int, arena: int = 0) -> Cost:
        """Time, energy and bytes, `constants` with its own functions; arena: in use while it runs."""
        busy = self._busy(self.costs.instructions_of(work), self.costs.cycles_of(work))
        return replace(busy, operations=2 * shape.macs, macs=shape.macs,
                       model_bytes=shape.weight_bytes + shape.biases, activation_bytes=shape.activations,
                       flash_bytes=constants + self.costs.footprint.calls[work.kind], arena_bytes=arena)

    def firmware(self, kinds: Iterable[str], held_bytes: tuple[int, int], coefficients: int, labels: int) -> Cost:
        """What an image holds beside a net's layers: app, kernels, libraries, buffers, stack; but for the ring of
        samples, whose size follows from the layers: audio_bytes().

        kinds: of the layers. held_bytes: of the net's input and output. coefficients: of our features; 0 where the net
        does not take them. labels: of its detector; 0 where it has none.
        """
        footprint, board = self.costs.footprint, self.board.name
        buffers = footprint.firmware(board, coefficients, labels).own_buffer_bytes(labels)
        return Cost(flash_bytes=footprint.shared_bytes(kinds, board, coefficients, labels), arena_bytes=aligned(1),
                    buffer_bytes=buffers + sum(map(up_to_word, held_bytes)), stack_bytes=STACK_BYTES)

    def audio_bytes(self, latency_ms, labels: int):
        """Of the ring of samples of an image with such an inference; 0 where the image does not listen. Of a number or
        an array."""
        return SAMPLE_BYTES * audio_samples(latency_ms) if listens(self.board, labels > 0) else 0

    def frame(self, n_coefficients: int) -> Cost:
        """Of one feature frame."""
        work = frame_work(n_coefficients)
        return self._busy(self.costs.instructions_of(work), self.costs.cycles_of(work))

    def _busy(self, instructions: float, cycles: float) -> Cost:
        """Time and energy. Of wait states, one fetch an instruction: code of 4 bytes each, and no constants."""
        cycles += self.board.wait_states * instructions
        return Cost(instructions=instructions, cycles=cycles, latency_ms=cycles / self.board.clock_hz * 1e3,
                    energy_uj=cycles * self.board.pj_per_cycle * 1e-6)

    def shape(self, net: NetShape) -> Price:
        """Of a net that has no weights yet. A layer's arena_bytes are those of the net up to there."""
        use, layers, shapes = ArenaUse(), [], net.layers()
        known = list(map(self.layer, shapes))
        for shape, each, flash in zip(shapes, known, self.flash_in_turn(known), strict=True):
            use = each.memory.occupy(shape, use)
            part = replace(each.cost, arena_bytes=use.arena_bytes, flash_bytes=flash)
            layers.append(Layer(shape.name, each.kind, shape, part))
        firmware = self.firmware({layer.kind for layer in layers}, (net.input_bytes, net.n_labels), net.n_coefficients,
                                 net.n_labels)
        return self._price(layers, firmware, net.n_coefficients, net.n_labels)

    def graph(self, net: Graph) -> Price:
        """Of a net as the exporter reads it."""
        kernel_of = KernelSet(self.costs.kernels).kernel_of(self.board.core)
        plan = make_plan(net, kernel_of)
        computing = [i for i, op in enumerate(net.ops) if op.kind != "RESHAPE"]
        arrays, arenas, functions = array_bytes(net, kernel_of), op_bytes(net, plan), new_functions(net, kernel_of)
        layers = [Layer(shape.name, work.kind, shape,
                        self._layer(shape, work, arrays[i] + self._bytes(functions[i]), arenas[i]))
                  for i, shape, work in zip(computing, layer_shapes(net), works_of(net, kernel_of), strict=True)]
        coefficients, labels = net.input.shape[2] if takes_features(net) else 0, labels_heard(net)
        firmware = self.firmware({layer.kind for layer in layers}, (net.input.bytes, net.output.bytes), coefficients,
                                 labels)
        return self._price(layers, replace(firmware, arena_bytes=plan.arena_bytes), coefficients, labels)

    def _price(self, layers: list[Layer], firmware: Cost, coefficients: int, labels: int) -> Price:
        latency_ms = sum(layer.cost.latency_ms for layer in layers)
        firmware = replace(firmware, audio_bytes=self.audio_bytes(latency_ms, labels))
        return Price(sum((layer.cost for layer in layers), firmware), tuple(layers), firmware,
                     self.frame(coefficients) if coefficients else None)


def summary_of_price(price: Price) -> dict:
    """Its figures as every summary.json names them."""
    whole = price.whole
    exact = {name: getattr(whole, name) for name in (
        "operations", "macs", "memory_bytes", "flash_bytes", "ram_bytes", *RAM_PARTS)}
    frame = {} if price.frame is None else {"instructions_per_frame": round(price.frame.instructions),
                                            "cycles_per_frame": round(price.frame.cycles)}
    return {**exact, "instructions_per_inference": round(whole.instructions), "cycles": round(whole.cycles), **frame,
            "latency_ms": round(whole.latency_ms, 3), "energy_uj": round(whole.energy_uj, 1)}


def cost(net: Graph | NetShape, board: Board, kernels: str = DEFAULT) -> Price:
    """Price of a net on a board. UserError where the board's core was not calibrated with these kernels."""
    tariff = Tariff.of(board, kernels)
    return tariff.shape(net) if isinstance(net, NetShape) else tariff.graph(net)
