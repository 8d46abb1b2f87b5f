"""One op on its way to C: names, constants and the pieces that operators have in common."""

import textwrap
from dataclasses import dataclass

import numpy as np

from export.arithmetic import activation_range
from export.graph import GraphOp, Tensor

LINE_LENGTH = 120
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}


class Constants:
    """Constant arrays and functions of a file, each written once however many ops use it."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, bytes], str] = {}
        self.functions: dict[str, str] = {}
        self.waiting: list[str] = []

    def name(self, kind: str, name: str, values: np.ndarray) -> str:
        """The name of a `const kind` array of these values: `name`, where there is none yet."""
        values = np.ravel(values)
        key = (kind, np.asarray(values, np.int64).tobytes())
        if key not in self.names:
            self.names[key] = name
            body = textwrap.fill(", ".join(map(str, values.tolist())), LINE_LENGTH - 4)
            self.waiting.append(f"static const {kind} {name}[{values.size}] = {{\n{textwrap.indent(body, '    ')}}};\n")
        return self.names[key]

    def function(self, name: str, kind: str, parameters: str, body: str) -> str:
        """The name of a static function: `name`, where there is none yet that does the same."""
        text = f"({parameters}) {{\n{textwrap.indent(body, '    ')}\n}}\n"
        if text not in self.functions:
            self.functions[text] = name
            self.waiting.append(f"static {kind} {name}{text}")
        return self.functions[text]

    def take(self) -> str:
        """What came since the last call, in C."""
        text, self.waiting = "".join(self.waiting), []
        return text


@dataclass(frozen=True)
class COp(GraphOp):
    """An op of a graph. prefix: of every symbol. scratch_bytes: what its kernel gets as `scratch`. constants: of the
    file."""

    index: int
    prefix: str
    scratch_bytes: int
    constants: Constants

    @property
    def function(self) -> str:
        return f"{self.prefix}_{self.index}_{self.op.kind.lower()}"

    @property
    def range(self) -> tuple[int, int]:
        """(min, max) of the output behind the fused activation."""
        return activation_range(self.op.activation, self.result.scale[0], int(self.result.zero_point[0]))

    def array(self, kind: str, name: str, values: np.ndarray) -> str:
        """The name of a constant array of these values."""
        return self.constants.name(kind, f"{self.function}_{name}", values)

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


def channel_quantization(multipliers: str, shifts: str) -> str:
    """The line of `quant`, of the names of its arrays; CMSIS-NN's struct points to what is not const."""
    return f"static const cmsis_nn_per_channel_quant_params quant = {{(int32_t *){multipliers}, (int32_t *){shifts}}};"
