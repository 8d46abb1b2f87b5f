"""AVERAGE_POOL_2D of a whole plane."""

from export.c_operator import COp
from export.graph import GraphOp
from export.tuned.tuned_kernel import TunedKernel
from export.work import Work, work

MOST_POSITIONS = 255  # of int8, whose sums fit 16 bits
LEAST_CHANNELS = 8    # of a vector


def _takes(op: GraphOp) -> bool:
    _, rows, columns, channels = op.x.shape
    window = op.op.window
    return (window.kernel == (rows, columns) and not any((*window.padding_before, *window.padding_after))
            and rows * columns <= MOST_POSITIONS and channels >= LEAST_CHANNELS)


def _write_c(op: COp) -> tuple[str, ...]:
    _, rows, columns, channels = op.x.shape
    return (f"kws_mve_average({rows * columns}, {channels}, {op.range[0]}, {op.range[1]}, input, output);",
            "return 0;")


def _work(op: GraphOp) -> Work:
    """Eight channels at once, four positions a step; then eight divisions."""
    _, rows, columns, channels = op.x.shape
    groups, (steps, left) = -(-channels // 8), divmod(rows * columns, 4)
    return work("tuned_average_pool", steps=groups * steps, positions=groups * left, groups=groups)


AVERAGE_POOL = TunedKernel("AVERAGE_POOL_2D", _takes, _write_c, lambda op: 0, work=_work)
