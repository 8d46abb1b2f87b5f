"""A graph of a shape that has no weights yet: random ones, so that it can be linked and counted."""

from dataclasses import replace
from itertools import accumulate

import numpy as np

from export.graph import Graph, Op, Tensor
from export.shape import LayerShape, NetShape
from export.sweep import SweepLayer


def graph_of(net: NetShape) -> Graph:
    """Every layer of `net` in a chain; the classifier's input is reshaped, and has one multiplier."""
    return joined([_shifted(sweep_layer(layer).graph(), i) for i, layer in enumerate(net.layers())])


def _shifted(graph: Graph, by: int) -> Graph:
    """Constants moved along, so that layers of one shape do not share them."""
    tensors = tuple(tensor if tensor.data is None else replace(tensor, data=np.roll(tensor.data, by), scale=np.roll(
        tensor.scale, by)) for tensor in graph.tensors)
    return replace(graph, tensors=tensors)


def sweep_layer(layer: LayerShape) -> SweepLayer:
    """Of the same shape, with weights by its name."""
    channels = layer.outputs[2] if layer.biases else 0
    per_channel = layer.op != "FULLY_CONNECTED" or layer.multipliers > 0
    if layer.window is None:
        return SweepLayer(layer.op, layer.inputs, channels, per_channel=per_channel)
    padding = "SAME" if layer.op != "AVERAGE_POOL_2D" else "VALID"
    return SweepLayer(layer.op, layer.inputs, channels, layer.window.kernel, layer.window.stride,
                      layer.window.dilation, padding, per_channel, activation=layer.activation)


def joined(graphs: list[Graph]) -> Graph:
    """One op behind the other: the output of one is the input of the next, by a RESHAPE where their shapes differ."""
    starts = list(accumulate((len(graph.tensors) for graph in graphs), initial=0))
    tensors = [tensor for graph in graphs for tensor in graph.tensors]
    ops, before = [], graphs[0].inputs[0]
    for graph, start in zip(graphs, starts, strict=False):
        place = {i: start + i for i in range(len(graph.tensors))}
        if start:
            place[graph.inputs[0]] = before
            reshaped = _reshaped(tensors[before], graph.input)
            if reshaped is not None:
                ops.append(Op("RESHAPE", (before,), (start + graph.inputs[0],)))
                tensors[start + graph.inputs[0]], place[graph.inputs[0]] = reshaped, start + graph.inputs[0]
        (op,) = (replace(op, inputs=_moved(op.inputs, place), outputs=_moved(op.outputs, place)) for op in graph.ops)
        ops.append(op)
        before = op.outputs[0]
        if op.kind in _KEEPS:
            tensors[before] = _quantized_like(tensors[op.inputs[0]], tensors[before])
    return Graph(tuple(tensors), tuple(ops), graphs[0].inputs, (before,), graphs[0].sha256)


def _moved(indices: tuple[int, ...], place: dict[int, int]) -> tuple[int, ...]:
    return tuple(place.get(i, i) for i in indices)


def _reshaped(tensor: Tensor, wanted: Tensor) -> Tensor | None:
    """None where the shapes are alike already."""
    if tensor.shape == wanted.shape:
        return None
    if tensor.elements != wanted.elements:
        raise ValueError(f"{tensor.shape} does not become {wanted.shape}")
    return _quantized_like(tensor, wanted)


_KEEPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD")  # an input's quantization


def _quantized_like(tensor: Tensor, wanted: Tensor) -> Tensor:
    return replace(wanted, scale=tensor.scale, zero_point=tensor.zero_point)
