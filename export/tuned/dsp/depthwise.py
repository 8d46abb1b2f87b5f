"""DEPTHWISE_CONV_2D, four channels at a time: their planes are laid apart, in lines of int16, and filtered.

A line runs along the columns of the plane or along its rows, whichever takes fewer steps. For each channel, in int32:
bias, multiplier, final scale; then for each line of taps the pairs of taps from the first, and those from the second.
Taps are odd in number, filled up with 0. Bias and taps are doubled, which requantization wants.
"""

from dataclasses import astuple, dataclass, fields

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.requantization import Mix, clamped_outputs, mix_of, signed_outputs
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Function, Work, work

CHUNK = 5               # KWS_DSP_CHUNK
COLUMNS = 3             # least taps of a line
MOST_TAPS, MOST_LINES = 9, 8
LEAST_SHIFT, MOST_SHIFT = -30, -2
LARGEST_SUM = 2**29
SPARED_BYTES = 4096     # of scratch that is always allowed


@dataclass(frozen=True)
class Plane:
    """kws_dsp_plane, field by field."""

    inputs: int
    lines: int
    in_step: int
    in_line: int
    before: int
    lines_before: int
    words: int
    all_lines: int
    outputs: int
    out_lines: int
    out_step: int
    out_line: int
    taps: int
    tap_lines: int
    stride: int
    line_stride: int

    @property
    def scratch_words(self) -> int:
        return 4 * self.all_lines * self.words

    @property
    def chunk_sizes(self) -> tuple[int, ...]:
        """Outputs of a line, as they are computed together."""
        whole = max(0, -(-(self.outputs - CHUNK) // 4))
        return (4,) * whole + (self.outputs - 4 * whole,)

    @property
    def kind(self) -> str:
        """Of work: whether the inputs of a line of taps fit the registers (kws_dsp_add_short_line), in one chunk, or
        not, for their stride or their number."""
        if self.taps > COLUMNS:
            return "tuned_depthwise_long"
        if self.stride > 1:
            return "tuned_depthwise_strided"
        return "tuned_depthwise" if self.outputs <= CHUNK else "tuned_depthwise_chunks"

    @property
    def chunks(self) -> int:
        """Steps that a channel takes."""
        return self.out_lines * len(self.chunk_sizes)


def axis_of(op: GraphOp) -> int:
    """What lines run along: columns, 1, or rows, 0, where that takes fewer steps."""
    return min((1, 0), key=lambda along: _plane(op, along).chunks)


def plane_of(op: GraphOp) -> Plane:
    return _plane(op, axis_of(op))


def _plane(op: GraphOp, along: int) -> Plane:
    """Lines along axis `along` of (rows, columns)."""
    across, window, channels = 1 - along, op.op.window, op.x.shape[3]
    inputs, outputs = op.x.shape[1:3], op.result.shape[1:3]
    taps = max(COLUMNS, window.kernel[along] | 1)
    before, stride, line_stride = window.padding_before, window.stride[along], window.stride[across]
    last = stride * (outputs[along] - 1)
    words = max(last // 2 + taps // 2 + 1, (before[along] + inputs[along] + 1) // 2)
    all_lines = max(before[across] + inputs[across], line_stride * (outputs[across] - 1) + window.kernel[across])
    in_steps, out_steps = ((shape[1] * channels, channels) for shape in (inputs, outputs))
    return Plane(inputs[along], inputs[across], in_steps[along], in_steps[across], before[along], before[across], words,
                 all_lines, outputs[along], outputs[across], out_steps[along], out_steps[across], taps,
                 window.kernel[across], stride, line_stride)


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(-1, weight.shape[3]).T)


def _takes(op: GraphOp) -> bool:
    window, plane = op.op.window, plane_of(op)
    if window.multiplier != 1 or window.dilation != (1, 1) or op.x.shape[3] % 4:
        return False
    if plane.taps > MOST_TAPS or plane.tap_lines > MOST_LINES or _scratch(op) > max(SPARED_BYTES, op.result.bytes):
        return False
    mix = _mix(op)
    return (mix.reach.max() < LARGEST_SUM and mix.shift.min() >= LEAST_SHIFT and mix.shift.max() <= MOST_SHIFT)


def _scratch(op: GraphOp) -> int:
    return aligned(4 * plane_of(op).scratch_words)


def _in_place(op: GraphOp) -> bool:
    return op.x.shape == op.result.shape


def _pack(op: GraphOp, mix: Mix, plane: Plane) -> np.ndarray:
    """int32 [channels, words]."""
    weights = 2 * op.operands[1].data[0].astype(np.int64).transpose(2, 0, 1)
    if axis_of(op) == 0:
        weights = weights.transpose(0, 2, 1)
    weights = np.pad(weights, ((0, 0), (0, 0), (0, plane.taps - weights.shape[2])))
    pairs = np.concatenate([_words(weights[..., :-1]), _words(weights[..., 1:])], axis=2)
    constants = np.stack([2 * mix.bias, mix.multiplier, mix.final_scale], axis=1)
    return np.concatenate([constants, pairs.reshape(len(pairs), -1)], axis=1).astype(np.uint32).view(np.int32)


def _words(taps: np.ndarray) -> np.ndarray:
    low, high = taps[..., 0::2] & 0xFFFF, taps[..., 1::2] & 0xFFFF
    return low | high << 16


def _write_c(op: COp) -> tuple[str, ...]:
    mix, plane, channels = _mix(op), plane_of(op), op.x.shape[3]
    packed = _pack(op, mix, plane)
    zeros = int(np.full(4, mix.zero_point, np.int8).view(np.int32)[0])
    sizes = f"static const kws_dsp_plane sizes = {numbers(getattr(plane, field.name) for field in fields(plane))};\n"
    gather = op.constants.function(f"{op.function}_gather", "void", "const int8_t *input, int32_t *planes",
                                   f"{sizes}kws_dsp_gather(&sizes, {zeros}, input, planes);")
    filtering = op.constants.function(
        f"{op.function}_filter", "void", "const int32_t *packed, const int32_t *planes, int8_t *output",
        f"{sizes}kws_dsp_filter(&sizes, packed, planes, {mix.result_zero_point}, {int(mix.rectified)}, output);")
    values = numbers((op.array("int32_t", "packed", packed), 4 * packed.shape[1], gather, filtering, channels,
                      plane.scratch_words, mix.zero_point, op.result.elements, *mix.range))
    return (
        f"static const kws_dsp_depthwise_layer layer = {values};",
        "kws_dsp_depthwise(&layer, scratch, input, output);", "return 0;")


def _work(op: GraphOp) -> Work:
    """Scratch is filled once; then for four channels each line is gathered in pairs, which lie apart where lines are
    columns; then each channel is filtered in chunks of lines: words loaded, products of pairs. More than two chunks are
    a loop."""
    plane, channels, values = plane_of(op), op.x.shape[3], op.result.elements
    sizes, gathered, filtered = plane.chunk_sizes, channels // 4 * plane.lines, channels * plane.out_lines
    pairs, is_odd = divmod(plane.inputs - plane.before % 2, 2)
    loads = sum(((count - 1) * plane.stride + plane.taps + 1) // 2 for count in sizes)
    products = filtered * plane.tap_lines * plane.outputs * (plane.taps // 2 + 1)
    looped = len(sizes) > 2
    return work(plane.kind, scratch=plane.scratch_words, groups=channels // 4, lines=gathered, pairs=gathered * pairs,
                ends=gathered * (plane.before % 2 + is_odd), apart=gathered * pairs * (plane.in_step > plane.in_line),
                out_lines=filtered, chunk_lines=filtered * plane.tap_lines * len(sizes),
                loads=filtered * plane.tap_lines * loads, products=products, values=values,
                looped_chunks=looped * filtered * len(sizes), looped_products=looped * products,
                clamped=clamped_outputs(op, values), signed=signed_outputs(op, values))


def _functions(op: GraphOp) -> tuple[Function, ...]:
    """Pairs of a line are gathered in rounds of four where there are more than six; more than two chunks of four are a
    loop, others are written out."""
    plane, signed = plane_of(op), signed_outputs(op, 1)
    sizes, whole = astuple(plane), len(plane.chunk_sizes) - 1
    outputs = plane.chunk_sizes[-1] + 4 * (whole if whole <= 2 else 1)
    pairs, is_odd = divmod(plane.inputs - plane.before % 2, 2)
    gather = work("gather", pairs=pairs if pairs <= 6 else 4, rounds=pairs > 6, ends=plane.before % 2 + is_odd)
    filtering = work("filter", outputs=outputs, whole=whole > 0, looped=whole > 2, tap_lines=plane.tap_lines,
                     products=outputs * plane.tap_lines * (plane.taps // 2 + 1), signed=outputs * signed)
    return (Function((*sizes, int(op.x.zero_point[0])), gather),
            Function((*sizes, int(op.result.zero_point[0]), signed), filtering))


DEPTHWISE = TunedKernel("DEPTHWISE_CONV_2D", _takes, _write_c, _scratch, _in_place, work=_work, functions=_functions)
