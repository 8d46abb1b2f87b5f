"""CONV_2D of any kernel, whose columns are not dilated: windows are laid out, then mixed. DEPTHWISE_CONV_2D of one
channel is the same."""

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.dsp import mix
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Function, Work, work
from export.workload import taps_inside


def _mix(op: GraphOp) -> Mix:
    """Rows of the window one after the other, filled up to fours."""
    weight = op.operands[1].data
    if op.op.kind == "DEPTHWISE_CONV_2D":
        weight = weight.transpose(3, 1, 2, 0)
    rows = weight.reshape(*weight.shape[:2], -1)
    filled = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % 4)))
    return mix_of(op, filled.reshape(len(weight), -1))


def _takes(op: GraphOp) -> bool:
    return op.op.window.dilation[1] == 1 and mix.takes(_mix(op))


def _write_c(op: COp) -> tuple[str, ...]:
    (height, width, channels), (out_height, out_width, _), window = op.x.shape[1:], op.result.shape[1:], op.op.window
    fields = numbers((height, width, channels, out_height, out_width, *window.kernel, *window.stride,
                      *window.padding_before, window.dilation[0], _band_bytes(op), op.x.zero_point[0]))
    return (mix.struct(op, _mix(op), out_height * out_width), f"static const kws_dsp_window window = {fields};",
            "kws_dsp_convolve(&mix, &window, scratch, input, output);", "return 0;")


def _band_bytes(op: GraphOp) -> int:
    """A row of the plane with its padding, and where the last window ends."""
    (_, width, channels), window = op.x.shape[1:], op.op.window
    windows = window.stride[1] * (op.result.shape[2] - 1) + window.kernel[1]
    return max(window.padding_before[1] + width, windows) * channels


def _scratch(op: GraphOp) -> int:
    rows = op.op.window.kernel[0]
    return aligned(mix.scratch_bytes(_mix(op).weights.shape[1]) + rows * _band_bytes(op) + 3)


def _takes_one_channel(op: GraphOp) -> bool:
    return op.x.shape[3] == 1 and _takes(op)


def _fours(op: GraphOp) -> int:
    """Words of a row of a window."""
    return -(-op.op.window.kernel[1] * op.x.shape[3] // 4)


def _work(op: GraphOp) -> Work:
    """Rows of bands copied or filled; then windows widened row by row, in words of four."""
    (height, width, channels), (out_height, out_width, _), window = op.x.shape[1:], op.result.shape[1:], op.op.window
    rows, positions, fours = window.kernel[0], out_height * out_width, _fours(op)
    inside = taps_inside(out_height, height, rows, window.stride[0], window.dilation[0], window.padding_before[0])
    copied, outside = inside * width * channels, out_height * rows - inside
    filled = out_height * rows * _band_bytes(op) - copied
    return work("tuned_convolution", **mix.amounts(op, positions, 2 * rows * fours), fours=positions * rows * fours,
                rows=positions * rows, positions=positions, lines=out_height, copied_rows=inside, filled_rows=outside,
                copied=copied, filled=filled)


def _functions(op: GraphOp) -> tuple[Function, ...]:
    return mix.functions(op, op.result.shape[1] * op.result.shape[2], 2 * op.op.window.kernel[0] * _fours(op))


CONVOLUTION = TunedKernel("CONV_2D", _takes, _write_c, _scratch, work=_work, functions=_functions)
OF_ONE_CHANNEL = TunedKernel("DEPTHWISE_CONV_2D", _takes_one_channel, _write_c, _scratch, work=_work,
                             functions=_functions)
