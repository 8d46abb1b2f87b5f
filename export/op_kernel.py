"""What computes one op: the C that calls its kernel, and what that kernel does to the arena."""

from collections.abc import Callable
from dataclasses import dataclass

from export.c_operator import COp
from export.graph import Graph, Op
from export.operators import OPERATORS
from export.work import Function, Work


@dataclass(frozen=True)
class OpKernel:
    """write_c: the body of the op's C function, which returns 0 on success; None where there is no function.
    scratch_bytes: beside its tensors. in_place: whether its output may lie at the start of an input's memory.
    slides: whether it may lie over the input so that neither its start nor its end is behind the input's. header: that
    declares the kernel, beside kws_nn.h. work: what its instructions are linear in; None: what those of
    the portable kernel are (export/workload.py). functions: beside those that all ops of the
    kernel need."""

    write_c: Callable[[COp], tuple[str, ...]] | None
    scratch_bytes: int = 0
    in_place: bool = False
    slides: bool = False
    header: str = ""
    work: Work | None = None
    functions: tuple[Function, ...] = ()


KernelOf = Callable[[Graph, Op], OpKernel]


def portable(graph: Graph, op: Op) -> OpKernel:
    """Ours in plain C; they need no scratch."""
    operator = OPERATORS[op.kind]
    return OpKernel(operator.write_c, 0, operator.in_place)


def with_scratch(scratch_bytes: Callable[[Graph, Op], int]) -> KernelOf:
    """The same calls, of a library that wants scratch_bytes(graph, op)."""
    def choose(graph: Graph, op: Op) -> OpKernel:
        operator = OPERATORS[op.kind]
        return OpKernel(operator.write_c, scratch_bytes(graph, op), operator.in_place)
    return choose
