"""One op on its way to C: names, constants and the pieces that operators have in common."""

import textwrap
from dataclasses import dataclass

import numpy as np

from export.arithmetic import activation_range
from export.graph import Graph, Op, Tensor

LINE_LENGTH = 120
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}


@dataclass(frozen=True)
class CFunction:
    """What an operator writes: constants in flash, then the lines of the body; the body returns 0 on success."""

    constants: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True)
class COp:
    """An op of a graph. prefix: of every symbol. scratch_bytes: what its kernel gets as `scratch`."""

    graph: Graph
    op: Op
    index: int
    prefix: str
    scratch_bytes: int

    @property
    def function(self) -> str:
        return f"{self.prefix}_{self.index}_{self.op.kind.lower()}"

    @property
    def operands(self) -> tuple[Tensor | None, ...]:
        return self.graph.operands(self.op)

    @property
    def x(self) -> Tensor:
        return self.operands[0]

    @property
    def result(self) -> Tensor:
        return self.graph.result(self.op)

    @property
    def range(self) -> tuple[int, int]:
        """(min, max) of the output behind the fused activation."""
        return activation_range(self.op.activation, self.result.scale[0], int(self.result.zero_point[0]))

    def array(self, kind: str, name: str, values: np.ndarray) -> str:
        """A constant array FUNCTION_name."""
        body = textwrap.fill(", ".join(map(str, np.ravel(values).tolist())), LINE_LENGTH - 4)
        return (f"static const {kind} {self.function}_{name}[{np.size(values)}] = {{\n"
                f"{textwrap.indent(body, '    ')}}};\n")

    @property
    def context_line(self) -> str:
        """The scratch of a kernel, as CMSIS-NN takes it."""
        return f"const cmsis_nn_context context = {{scratch, {self.scratch_bytes}}};"


def dims(name: str, n: int, h: int, w: int, c: int) -> str:
    return f"static const cmsis_nn_dims {name} = {{{n}, {h}, {w}, {c}}};"


def plane_dims(name: str, tensor: Tensor) -> str:
    return dims(name, 1, *tensor.shape[1:])


def tile(pair: tuple[int, int]) -> str:
    """(rows, columns) to {w, h}."""
    return f"{{{pair[1]}, {pair[0]}}}"


def numbers(values) -> str:
    return f"{{{', '.join(map(str, values))}}}"
