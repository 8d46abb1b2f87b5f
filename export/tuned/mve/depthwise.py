"""DEPTHWISE_CONV_2D, channel by channel: its plane is laid into lines that share the padding between them, so that one
vector of sixteen positions holds a window of 3x3 in lines of up to six, and that of the next position too.

Windows begin at every position, those that are no output are dropped. For each channel: the weights as they lie in the
plane from the window's first position to its last, fifteen to a chunk, with a zero in front of each chunk: with it they
are the weights of the window one position further; four zeros; then bias, multiplier and shift, int32.
"""

from dataclasses import dataclass

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.mve import mix
from export.tuned.requantization import Mix, clamped_outputs, mix_of, signed_outputs
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Function, Work, kernel_function, work

CHUNK = 15              # positions; the window one further needs one more of a vector's sixteen
GROUP = 8               # windows at once
MOST_CHUNKS = 16
MOST_WINDOWS = 9        # for each output, about
LARGEST_PLACE = 2**15 - 1
SPARED_BYTES = 4096     # of scratch that is always allowed


@dataclass(frozen=True)
class Plane:
    """A channel in scratch. pitch: of its lines. before: padding in front of its first position. inputs, outputs: int
    [positions], where the position and the window that begins there lie in [h][w][c], -1 for none; in eights.
    taps: where those of a window lie behind its first."""

    pitch: int
    before: int
    inputs: np.ndarray
    outputs: np.ndarray
    taps: np.ndarray

    @property
    def chunks(self) -> int:
        """Parts of a window."""
        return int(self.taps[-1]) // CHUNK + 1

    @property
    def scratch_bytes(self) -> int:
        """All that is written, and read of the last windows."""
        read = len(self.outputs) + self.chunks * CHUNK
        return aligned(max(self.before + len(self.inputs), read))


def plane_of(op: GraphOp) -> Plane:
    """Lines run along columns."""
    window, (_, height, width, channels), (_, out_height, out_width, out_channels) = (
        op.op.window, op.x.shape, op.result.shape)
    top, left = window.padding_before
    columns = (window.kernel[1] - 1) * window.dilation[1] + 1
    right = (out_width - 1) * window.stride[1] + columns - left - width
    pitch = max(width + max(left, right), columns)  # no two taps in one place
    taps = (np.arange(window.kernel[0])[:, None] * window.dilation[0] * pitch
            + np.arange(window.kernel[1]) * window.dilation[1]).ravel()
    return Plane(pitch, top * pitch + left, _places(height, width, (1, 1), pitch, channels),
                 _places(out_height, out_width, window.stride, pitch, out_channels), taps)


def _places(rows: int, columns: int, stride: tuple[int, int], pitch: int, channels: int) -> np.ndarray:
    """Of [rows, columns], at every stride-th position of lines."""
    positions = (np.arange(rows)[:, None] * stride[0] * pitch + np.arange(columns) * stride[1]).ravel()
    places = np.full(-(-(positions[-1] + 1) // GROUP) * GROUP, -1)
    places[positions] = np.arange(len(positions)) * channels
    return places


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(-1, weight.shape[3]).T)


def _takes(op: GraphOp) -> bool:
    window, plane = op.op.window, plane_of(op)
    fits = max(op.x.bytes, op.result.bytes) <= LARGEST_PLACE and plane.chunks <= MOST_CHUNKS
    spare = plane.scratch_bytes <= max(SPARED_BYTES, op.result.bytes)
    return np.prod(window.stride) <= MOST_WINDOWS and fits and spare and mix.takes(_mix(op))


def _in_place(op: GraphOp) -> bool:
    return op.x.shape == op.result.shape


def _pack(mixed: Mix, plane: Plane) -> np.ndarray:
    """int32 [channels, words]."""
    channels = len(mixed.weights)
    lines = np.zeros((channels, plane.chunks * CHUNK), np.int8)
    lines[:, plane.taps] = mixed.weights
    chunks = np.pad(lines.reshape(channels, -1, CHUNK), ((0, 0), (0, 0), (1, 0))).reshape(channels, -1)
    filled = np.ascontiguousarray(np.pad(chunks, ((0, 0), (0, 4))))  # the last chunk ends in a zero too
    return np.concatenate([filled.view("<i4"), mix.scale_words(mixed)], axis=1)


def _filter(op: GraphOp, plane: Plane) -> str:
    return f"kws_mve_filter_{mix.suffix(plane.chunks, 1, op)}"


def _functions(op: GraphOp) -> tuple[Function, ...]:
    return (kernel_function(_filter(op, plane_of(op))),)


def _write_c(op: COp) -> tuple[str, ...]:
    mixed, plane = _mix(op), plane_of(op)
    packed = _pack(mixed, plane)
    places = [op.array("int16_t", name, getattr(plane, name)) for name in ("inputs", "outputs")]
    values = numbers((op.array("int32_t", "packed", packed), packed.shape[1],
                      _filter(op, plane), plane.chunks, *places,
                      len(plane.inputs) // GROUP, len(plane.outputs) // GROUP, op.x.shape[3], op.op.window.multiplier,
                      plane.before, plane.scratch_bytes, mixed.zero_point, mixed.result_zero_point, *mixed.range,
                      op.result.elements))
    return (f"static const kws_mve_depthwise_layer layer = {values};",
            "kws_mve_depthwise(&layer, scratch, input, output);", "return 0;")


def _work(op: GraphOp) -> Work:
    """Vectors of scratch filled once; then for each channel eights of positions laid, eights of windows summed up in
    chunks."""
    plane, channels = plane_of(op), op.x.shape[3]
    laid, groups = (channels * len(places) // GROUP for places in (plane.inputs, plane.outputs))
    return work("tuned_depthwise" if plane.chunks == 1 else "tuned_depthwise_chunks", groups=groups, laid=laid,
                filled=plane.scratch_bytes // mix.LANES, channels=channels, chunks=groups * plane.chunks,
                signed=signed_outputs(op, groups), clamped=clamped_outputs(op, -(-op.result.elements // mix.LANES)))


DEPTHWISE = TunedKernel("DEPTHWISE_CONV_2D", _takes, _write_c, lambda op: plane_of(op).scratch_bytes, _in_place,
                        work=_work, functions=_functions)
