"""CONV_2D of a 1x1 kernel that visits every position."""

from export.c_operator import COp
from export.graph import GraphOp, Window
from export.tuned.mve import mix
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel
from export.work import Work, work


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


def laying(channels: int, positions: int) -> dict[str, float]:
    """What it takes to lay positions into tiles: whole vectors, rests, of each position of a tile."""
    laid = mix.TILE * -(-positions // mix.TILE)
    return {"laid": laid * (channels // mix.LANES), "rests": laid * (channels % mix.LANES > 0)}


def _work(op: GraphOp) -> Work:
    _, rows, columns, channels = op.x.shape
    positions = rows * columns
    return work("tuned_pointwise", **mix.amounts(op, -(-positions // mix.TILE), mix.blocks_of(channels)),
                **laying(channels, positions))


POINTWISE = TunedKernel("CONV_2D", _takes, _write_c, lambda op: mix.tile_bytes(op.x.shape[3]), slides=_slides,
                        work=_work, functions=lambda op: mix.functions(op, op.x.shape[3]))
