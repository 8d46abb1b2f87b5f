"""CONV_2D of any kernel: the taps of a window are gathered from a band of rows, then mixed."""

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.mve import mix
from export.tuned.requantization import Mix, mix_of
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Work, work

MOST_BAND_BYTES = 2**16  # taps' places are uint16


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(len(weight), -1))


def _takes(op: GraphOp) -> bool:
    return op.op.window.kernel[0] * _band_bytes(op) <= MOST_BAND_BYTES and mix.takes(_mix(op))


def _band_bytes(op: GraphOp) -> int:
    """A row of the plane with its padding, and where the last window ends."""
    (_, width, channels), window = op.x.shape[1:], op.op.window
    windows = window.stride[1] * (op.result.shape[2] - 1) + window.dilation[1] * (window.kernel[1] - 1) + 1
    return max(window.padding_before[1] + width, windows) * channels


def _taps(op: GraphOp) -> np.ndarray:
    """Where the window's taps lie in a band, int [taps], filled up with the first one's."""
    (rows, columns), channels = op.op.window.kernel, op.x.shape[3]
    places = [np.arange(rows) * _band_bytes(op), np.arange(columns) * op.op.window.dilation[1] * channels,
              np.arange(channels)]
    taps = (places[0][:, None, None] + places[1][:, None] + places[2]).ravel()
    return np.pad(taps, (0, -len(taps) % mix.LANES))


def _write_c(op: COp) -> tuple[str, ...]:
    (height, width, channels), (out_height, out_width, _), window = op.x.shape[1:], op.result.shape[1:], op.op.window
    fields = numbers((op.array("uint16_t", "taps", _taps(op)), height, width * channels, out_height, out_width,
                      window.kernel[0], window.stride[0], window.dilation[0], window.stride[1] * channels,
                      window.padding_before[0], window.padding_before[1] * channels, _band_bytes(op),
                      op.x.zero_point[0]))
    return (mix.struct(op, _mix(op)), f"static const kws_mve_window window = {fields};",
            "kws_mve_convolve(&mix, &window, scratch, input, output);", "return 0;")


def _scratch(op: GraphOp) -> int:
    return aligned(mix.tile_bytes(len(_taps(op))) + op.op.window.kernel[0] * _band_bytes(op))


def _work(op: GraphOp) -> Work:
    """Rows of bands copied or filled in vectors; then windows gathered into tiles, block by block."""
    (_, width, channels), (out_height, out_width, _), window = op.x.shape[1:], op.result.shape[1:], op.op.window
    blocks, positions = mix.blocks_of(len(_taps(op))), out_height * out_width
    tiles, rows = -(-positions // mix.TILE), window.kernel[0]
    return work("tuned_convolution", **mix.amounts(op, tiles, blocks), gathered=mix.TILE * tiles * blocks,
                positions=positions, lines=out_height, rows=out_height * rows,
                vectors=out_height * rows * -(-width * channels // mix.LANES),
                filled=-(-rows * _band_bytes(op) // mix.LANES))


CONVOLUTION = TunedKernel("CONV_2D", _takes, _write_c, _scratch, work=_work,
                          functions=lambda op: mix.functions(op, len(_taps(op))))
