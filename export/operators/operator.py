"""What an operator is to the exporter: the rules that an op must keep, and how it is read and written.

A rule is a small function whose docstring is the rule, as users read it in errors and in docs/operators.md; it yields
each breach as (tensor or None, what was found).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from datasets.console import UserError
from export.graph import Op, Tensor
from export.tflite_file import RawOp

Breach = tuple[Tensor | None, str]


@dataclass(frozen=True)
class Call:
    """One op of a file with the tensors it names.

    options: schema's object (Conv2DOptionsT, ...), None where its operator has none. tensors: of the inputs, None
    where absent; activations: how many of them are computed. result: of the only output.
    """

    raw: RawOp
    options: object
    tensors: tuple[Tensor | None, ...]
    activations: int
    result: Tensor

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.tensors[0]

    @property
    def computed(self) -> tuple[Tensor | None, ...]:
        """The inputs that must not be constant, and the output."""
        return (*self.tensors[:self.activations], self.result)

    @property
    def constant(self) -> Tensor | None:
        """The second input: weights, axes, paddings."""
        return self.tensors[1] if len(self.tensors) > 1 else None

    @property
    def bias(self) -> Tensor | None:
        return self.tensors[2] if len(self.tensors) > 2 else None

    def op(self, n_inputs: int | None = None, **fields) -> Op:
        """The Graph's op, with the first n_inputs inputs of the file's (default: all)."""
        return Op(self.raw.kind, self.raw.inputs[:n_inputs], self.raw.outputs, **fields)


Rule = Callable[[Call], Iterator[Breach]]


@dataclass(frozen=True)
class Operator:
    """One entry of OPERATORS.

    summary: what it computes, for docs/operators.md. options: schema's object class of its builtin options, None where
    nothing in them matters. inputs: how many it may have, least and most. activations: how many of them, from the
    first, are computed, not constant. rules: checked in order. read: of a Call that keeps them all. write_c: of an
    export.c_operator.COp, the body of its C function, which returns 0 on success; None where there is no function.
    write_onnx: of an export.onnx_operator.OnnxOp, adds the nodes that compute it and returns the last's output.
    in_place: whether its output may lie in an input's memory.
    """

    kind: str
    summary: str
    options: type | None
    inputs: tuple[int, int]
    rules: tuple[Rule, ...]
    read: Callable[[Call], Op]
    write_c: Callable | None
    write_onnx: Callable
    activations: int = 1
    in_place: bool = False


def check(call: Call, rules: tuple[Rule, ...]) -> None:
    """UserError for the first rule that `call` breaks: op, tensor, what was found, the rule."""
    for rule in rules:
        for tensor, found in rule(call):
            name = tensor.name if tensor is not None else "absent"
            raise UserError(f"{call.raw.where}: tensor {name}: {found}; rule: {sentence(rule)}")


def sentence(rule: Rule) -> str:
    """A rule in words."""
    return " ".join(rule.__doc__.split())
