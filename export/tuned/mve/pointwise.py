"""CONV_2D of a 1x1 kernel that visits every position."""

from export.c_operator import COp
from export.graph import GraphOp, Window
from export.tuned.mve import mix
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(len(weight), -1))


def _takes(op: GraphOp) -> bool:
    return op.op.window == Window((1, 1), (1, 1), op.op.window.dilation) and mix.takes(_mix(op))


def _write_c(op: COp) -> tuple[str, ...]:
    _, rows, columns, channels = op.x.shape
    return (mix.struct(op, _mix(op)),
            f"kws_mve_pointwise(&mix, {channels}, {rows * columns}, scratch, input, output);", "return 0;")


def _slides(op: GraphOp) -> bool:
    """Inputs are read tile by tile, in order, each before the outputs of its positions are written."""
    return True


POINTWISE = TunedKernel("CONV_2D", _takes, _write_c, lambda op: mix.tile_bytes(op.x.shape[3]), slides=_slides)
