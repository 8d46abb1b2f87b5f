"""CONV_2D of a 1x1 kernel that visits every position."""

from export.c_operator import COp
from export.graph import GraphOp
from export.shape import Window
from export.tuned.plain import mix, requantization
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel
from export.work import Work, work


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(len(weight), -1))


def _takes(op: GraphOp) -> bool:
    return op.op.window == Window((1, 1), (1, 1), op.op.window.dilation) and requantization.takes(_mix(op))


def _write_c(op: COp) -> tuple[str, ...]:
    _, rows, columns, channels = op.x.shape
    return (mix.struct(op, _mix(op)),
            f"kws_plain_pointwise(&mix, {channels}, {rows * columns}, scratch, input, output);",
            "return 0;")


def _slides(op: GraphOp) -> bool:
    """Inputs are read tile by tile, in order, each before the outputs of its positions are written."""
    return True


def _work(op: GraphOp) -> Work:
    """Inputs are widened in pairs."""
    _, rows, columns, channels = op.x.shape
    positions = rows * columns
    return work("tuned_pointwise", **mix.amounts(op, positions, channels), widened=positions * (channels // 2),
                singles=positions * (channels % 2), positions=positions)


POINTWISE = TunedKernel("CONV_2D", _takes, _write_c, lambda op: mix.scratch_bytes(op.x.shape[3]), slides=_slides,
                        work=_work, functions=mix.functions)
