"""FULLY_CONNECTED: a pointwise convolution of one position."""

from export.c_operator import COp
from export.graph import GraphOp
from export.tuned.mve import mix
from export.tuned.mve.pointwise import laying
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel
from export.work import Work, work


def _mix(op: GraphOp) -> Mix:
    return mix_of(op, op.operands[1].data)


def _takes(op: GraphOp) -> bool:
    return mix.takes(_mix(op))


def _write_c(op: COp) -> tuple[str, ...]:
    return (mix.struct(op, _mix(op)), f"kws_mve_pointwise(&mix, {op.x.elements}, 1, scratch, input, output);",
            "return 0;")


def _work(op: GraphOp) -> Work:
    taps = op.x.elements
    return work("tuned_fully_connected", **mix.amounts(op, 1, mix.blocks_of(taps)), **laying(taps, 1))


FULLY_CONNECTED = TunedKernel("FULLY_CONNECTED", _takes, _write_c, lambda op: mix.tile_bytes(op.x.elements), work=_work,
                              functions=lambda op: mix.functions(op, op.x.elements))
