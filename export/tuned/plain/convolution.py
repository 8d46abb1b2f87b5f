"""CONV_2D of any kernel, whose columns are not dilated: windows are laid out, then mixed."""

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.plain import mix, requantization
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel
from export.work import Work, work
from export.workload import taps_inside

SPARED_BYTES = 4096  # of scratch that is always allowed


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(len(weight), -1))


def _takes(op: GraphOp) -> bool:
    return (op.op.window.dilation[1] == 1 and _scratch(op) <= max(SPARED_BYTES, op.result.bytes)
            and requantization.takes(_mix(op)))


def _write_c(op: COp) -> tuple[str, ...]:
    window = op.op.window
    fields = numbers((*op.x.shape[1:], *op.result.shape[1:3], *window.kernel, *window.stride, *window.padding_before,
                      window.dilation[0], op.x.zero_point[0]))
    return (mix.struct(op, _mix(op)), f"static const kws_plain_window window = {fields};",
            "kws_plain_convolve(&mix, &window, scratch, input, output);", "return 0;")


def _scratch(op: GraphOp) -> int:
    return mix.scratch_bytes(op.operands[1].data[0].size)


def _work(op: GraphOp) -> Work:
    """Windows are gathered row by row, from the plane or of padding; then their pairs are multiplied."""
    window, channels, (rows, columns) = op.op.window, op.x.shape[3], op.op.window.kernel
    positions, taps = op.result.shape[1] * op.result.shape[2], rows * columns * channels
    rows_inside, columns_inside = (taps_inside(*each) for each in zip(
        op.result.shape[1:3], op.x.shape[1:3], window.kernel, window.stride, window.dilation, window.padding_before,
        strict=True))
    inside, copied = rows_inside * op.result.shape[2], rows_inside * columns_inside * channels
    return work("tuned_convolution", **mix.amounts(op, positions, taps), rows=inside,
                rows_outside=positions * rows - inside, copied=copied, padded=positions * taps - copied,
                products=positions * mix.pairs_of(taps), singles=positions * (taps % 2), positions=positions)


CONVOLUTION = TunedKernel("CONV_2D", _takes, _write_c, _scratch, work=_work, functions=mix.functions)
