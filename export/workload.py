"""What a layer makes its portable kernel do: the amounts that its instructions are linear in.

Kernels take output channels in fours (DESIGN, Growth 9), so amounts of whole fours and of single channels stand apart.
Taps in the padding cost nothing: only those inside the plane are counted.
"""

from dataclasses import replace
from functools import cache

from export.graph import Graph, layer_shape
from export.op_kernel import KernelOf
from export.operators.convolution import is_strided_row
from export.shape import LayerShape
from export.work import CONSTANT, Work

FRAME = "feature_frame"


def work_of(layer: LayerShape) -> Work:
    """Kind and amounts of a layer, by its portable kernel."""
    kind, amounts = _WORK[layer.op](_as_written(layer))
    return Work(kind, {**amounts, CONSTANT: 1})


def _as_written(layer: LayerShape) -> LayerShape:
    """A row that a convolution walks in steps is written as a column."""
    if layer.op not in ("CONV_2D", "DEPTHWISE_CONV_2D") or not is_strided_row(layer.inputs[0], layer.window):
        return layer
    pairs = {name: value[::-1] for name, value in vars(layer.window).items() if isinstance(value, tuple)}
    inputs, outputs = ((w, h, c) for h, w, c in (layer.inputs, layer.outputs))
    return replace(layer, inputs=inputs, outputs=outputs, window=replace(layer.window, **pairs))


def works_of(graph: Graph, kernel_of: KernelOf) -> tuple[Work, ...]:
    """Of every op that computes, in order."""
    return tuple(kernel_of(graph, op).work or work_of(layer_shape(graph, i)) for i, op in enumerate(graph.ops)
                 if op.kind != "RESHAPE")


def frame_work(n_coefficients: int) -> Work:
    """Of one feature frame: its codes, and its row of a network's input."""
    return Work(FRAME, {"coefficients": n_coefficients, CONSTANT: 1})


@cache
def taps_inside(outputs: int, inputs: int, kernel: int, stride: int, dilation: int, padding_before: int) -> int:
    """Along one axis: over all outputs, the taps of their windows that lie inside the plane."""
    return sum(0 <= output * stride - padding_before + tap * dilation < inputs
               for output in range(outputs) for tap in range(kernel))


def _inside(layer: LayerShape) -> tuple[int, int]:
    """taps_inside of rows and of columns."""
    window = layer.window
    return tuple(taps_inside(*each) for each in zip(layer.outputs[:2], layer.inputs[:2], window.kernel, window.stride,
                                                    window.dilation, window.padding_before, strict=True))


def _window_runs(layer: LayerShape) -> int:
    """Over all positions: the pieces of a window that are contiguous in memory, a row each unless it is dilated."""
    rows, columns = _inside(layer)
    return rows * (layer.outputs[1] if layer.window.dilation[1] == 1 else columns)


def _by_four(channels: int, **amounts: float) -> dict[str, float]:
    """Each amount times whole fours of channels, and times the channels left over."""
    fours, left = divmod(channels, 4)
    return {**{f"{name}_of_4": fours * amount for name, amount in amounts.items()},
            **{f"{name}_of_1": left * amount for name, amount in amounts.items()}}


def _convolution(layer: LayerShape) -> tuple[str, dict]:
    (rows, columns), (h, w, out_c), in_c = _inside(layer), layer.outputs, layer.inputs[2]
    amounts = {**_by_four(out_c, taps=rows * columns * in_c, runs=_window_runs(layer), groups=h * w),
               "positions": h * w, "rows": h}
    if layer.window.kernel == (1, 1):
        del amounts["runs_of_4"], amounts["runs_of_1"]  # one a group
        return "pointwise", amounts
    if layer.window.dilation[1] != 1:
        return "dilated_convolution", amounts
    return ("first_convolution" if in_c == 1 else "convolution"), amounts


def _depthwise(layer: LayerShape) -> tuple[str, dict]:
    (rows, columns), (h, w, channels) = _inside(layer), layer.outputs
    work = {"taps": rows * columns, "runs": rows * w, "groups": h * w}
    if layer.window.multiplier == 1:
        return "depthwise", {**_by_four(channels, **work), "positions": h * w, "rows": h}
    return "depthwise_multiplied", {**{name: channels * amount for name, amount in work.items()}, "positions": h * w,
                                    "rows": h}


def _dense(layer: LayerShape) -> tuple[str, dict]:
    h, w, c = layer.inputs
    return "fully_connected", _by_four(layer.outputs[2], taps=h * w * c, groups=1)


def _pool(kind: str):
    def work(layer: LayerShape) -> tuple[str, dict]:
        (rows, columns), (h, w, c) = _inside(layer), layer.outputs
        return kind, {"taps": rows * columns * c, "runs": rows * w * c, "values": h * w * c, "positions": h * w,
                      "rows": h}
    return work


def _mean(layer: LayerShape) -> tuple[str, dict]:
    h, w, c = layer.inputs
    return "mean", {"taps": h * w * c, "values": c}


def _pad(layer: LayerShape) -> tuple[str, dict]:
    h, w, c = layer.inputs
    return "pad", {"copied": h * w * c, "filled": layer.values - h * w * c, "positions": h * w, "rows": h}


def _of_values(kind: str):
    def work(layer: LayerShape) -> tuple[str, dict]:
        return kind, {"values": layer.values}
    return work


_WORK = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense,
    "AVERAGE_POOL_2D": _pool("average_pool"), "MAX_POOL_2D": _pool("max_pool"), "MEAN": _mean, "PAD": _pad,
    **{op: _of_values(op.lower()) for op in ("ADD", "RELU", "RELU6", "QUANTIZE", "SOFTMAX")},
}
