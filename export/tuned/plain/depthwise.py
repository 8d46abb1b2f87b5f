"""DEPTHWISE_CONV_2D of 3 columns and stride 1, a channel at a time: its plane is laid out in int32, padded."""

import numpy as np

from export.c_operator import COp, numbers
from export.graph import GraphOp
from export.tuned.plain import requantization
from export.tuned.requantization import Mix, clamped_outputs, mix_of, signed_outputs
from export.tuned.tuned_kernel import TunedKernel, aligned
from export.work import Function, Work, kernel_function, work

COLUMNS = 3
CHUNK = 5            # KWS_PLAIN_CHUNK
SPARED_BYTES = 4096  # of scratch that is always allowed


def _mix(op: GraphOp) -> Mix:
    weight = op.operands[1].data
    return mix_of(op, weight.reshape(-1, weight.shape[3]).T)


def _takes(op: GraphOp) -> bool:
    window = op.op.window
    return ((window.kernel[1], window.stride, window.dilation, window.multiplier) == (COLUMNS, (1, 1), (1, 1), 1)
            and op.result.shape[2] >= CHUNK and requantization.takes(_mix(op))
            and _scratch(op) <= max(SPARED_BYTES, op.result.bytes))


def _scratch(op: GraphOp) -> int:
    """The padded plane of one channel."""
    _, height, width, _ = op.result.shape
    return aligned(4 * (height + op.op.window.kernel[0] - 1) * (width + COLUMNS - 1))


def _in_place(op: GraphOp) -> bool:
    return op.x.shape == op.result.shape


def _records(mix: Mix) -> np.ndarray:
    """int32 [channels, words]: constants, then the taps, filled up to words."""
    taps = np.pad(mix.weights, ((0, 0), (0, -mix.weights.shape[1] % 4))).copy("C").view(np.int32)
    return np.concatenate([requantization.constants(mix, mix.bias), taps], axis=1)


def _filter(op: GraphOp) -> str:
    return requantization.function("kws_plain_filter", op)


def _functions(op: GraphOp) -> tuple[Function, ...]:
    return (kernel_function(_filter(op)),)


def _write_c(op: COp) -> tuple[str, ...]:
    mix, window = _mix(op), op.op.window
    records = _records(mix)
    fields = numbers((op.array("int32_t", "records", records), records.shape[1],
                      _filter(op), *op.x.shape[1:], *op.result.shape[1:3],
                      window.kernel[0], *window.padding_before, op.x.zero_point[0], *mix.range))
    return (f"static const kws_plain_plane plane = {fields};",
            "kws_plain_depthwise(&plane, scratch, input, output);", "return 0;")


def _work(op: GraphOp) -> Work:
    """Scratch is filled once; then each channel is laid row by row, and filtered in chunks of lines, row by row of
    taps."""
    (_, height, width, channels), (_, lines, outputs, _) = op.x.shape, op.result.shape
    rows, chunks = op.op.window.kernel[0], channels * lines * -(-outputs // CHUNK)
    return work("tuned_depthwise", filled=_scratch(op) // 4, channels=channels, rows=channels * height,
                laid=channels * height * width, lines=channels * lines, chunks=chunks, tap_rows=chunks * rows,
                signed=signed_outputs(op, chunks), clamped=clamped_outputs(op, op.result.elements))


DEPTHWISE = TunedKernel("DEPTHWISE_CONV_2D", _takes, _write_c, _scratch, _in_place, work=_work,
                        functions=_functions)
