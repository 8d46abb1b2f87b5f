"""FULLY_CONNECTED: one position."""

from export.c_operator import COp
from export.graph import GraphOp
from export.tuned.dsp import mix
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Work, work


def _mix(op: GraphOp) -> Mix:
    return mix_of(op, op.operands[1].data)


def _takes(op: GraphOp) -> bool:
    return mix.takes(_mix(op))


def _write_c(op: COp) -> tuple[str, ...]:
    return (mix.struct(op, _mix(op), 1), f"kws_dsp_connect(&mix, {op.x.elements}, scratch, input, output);",
            "return 0;")


def _work(op: GraphOp) -> Work:
    fours, left = divmod(op.x.elements, 4)
    return work("tuned_fully_connected", **mix.amounts(op, 1, mix.words_of(op.x.elements)), fours=fours, rests=left > 0)


FULLY_CONNECTED = TunedKernel("FULLY_CONNECTED", _takes, _write_c,
                              lambda op: aligned(4 * mix.words_of(op.x.elements)), work=_work)
