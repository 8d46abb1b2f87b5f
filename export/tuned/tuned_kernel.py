"""What a tuned kernel is to the exporter: which ops it takes, and how they are written where it does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.c_operator import COp
from export.graph import Graph, GraphOp, Op
from export.op_kernel import OpKernel, portable
from export.work import Function, Work

FOLDER = Path(__file__).resolve().parents[2] / "firmware" / "kernels" / "tuned"


def aligned(size: int) -> int:
    """Bytes of scratch, filled up."""
    return -(-size // 16) * 16


def never(op: GraphOp) -> bool:
    """Its output lies elsewhere than its input."""
    return False


def as_portable(op: GraphOp) -> None:
    """Its instructions are linear in the portable kernel's amounts."""


def none(op: GraphOp) -> tuple[Function, ...]:
    """All its ops need the same functions."""
    return ()


@dataclass(frozen=True)
class TunedKernel:
    """kind: of the ops that it may take. takes: whether it computes this one, to the bit. write_c: the body of such an
    op's C function, with constants packed for it; the kernel is the last function that the body calls.
    scratch_bytes: 16-byte aligned, of this op. in_place, slides, work, functions: see OpKernel, of this
    op."""

    kind: str
    takes: Callable[[GraphOp], bool]
    write_c: Callable[[COp], tuple[str, ...]]
    scratch_bytes: Callable[[GraphOp], int]
    in_place: Callable[[GraphOp], bool] = never
    slides: Callable[[GraphOp], bool] = never
    work: Callable[[GraphOp], Work | None] = as_portable
    functions: Callable[[GraphOp], tuple[Function, ...]] = none


@dataclass(frozen=True)
class Family:
    """The tuned kernels of cores with the same instructions. kernels: of those that take an op, the first is taken; an
    op that none takes has the portable kernel. folders: of FOLDER, with their C and headers. header: declares it.
    flags: of the compiler, for that C alone. defines: macros for all of the firmware."""

    kernels: tuple[TunedKernel, ...]
    folders: tuple[str, ...]
    header: str
    flags: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()

    def kernel_of(self, graph: Graph, op: Op) -> OpKernel:
        each = GraphOp(graph, op)
        found = (kernel for kernel in self.kernels if kernel.kind == op.kind and kernel.takes(each))
        kernel = next(found, None)
        if kernel is None:
            return portable(graph, op)
        return OpKernel(kernel.write_c, kernel.scratch_bytes(each), kernel.in_place(each), kernel.slides(each),
                        self.header, kernel.work(each), kernel.functions(each))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its folders."""
        return tuple(FOLDER / name for name in self.folders)
