"""A graph of a shape that has no weights yet: random ones, so that it can be linked and counted."""

from dataclasses import replace
from itertools import accumulate

import numpy as np

from export.graph import Graph, Op, Tensor
from export.shape import LayerShape, NetShape
from export.sweep import SweepLayer


def graph_of(net: NetShape) -> Graph:
    """Every layer of `net`; the classifier's input is reshaped, and has one multiplier."""
    layers = net.layers()
    return joined([shifted(sweep_layer(layer).graph(), i) for i, layer in enumerate(layers)],
                  {i for i, layer in enumerate(layers) if layer.input_kept})


def shifted(graph: Graph, by: int) -> Graph:
    """Constants moved along, and the zero point of sums without activation: layers of one shape shall not share
    what follows from weights and ranges."""
    tensors = [tensor if tensor.data is None else replace(tensor, data=np.roll(tensor.data, by), scale=np.roll(
        tensor.scale, by)) for tensor in graph.tensors]
    (op,), output = graph.ops, graph.outputs[0]
    if op.activation == "NONE" and op.kind in _SUMS:
        tensors[output] = replace(tensors[output], zero_point=tensors[output].zero_point + by)
    return replace(graph, tensors=tuple(tensors))


def sweep_layer(layer: LayerShape) -> SweepLayer:
    """Of the same shape, with weights by its name."""
    channels = layer.outputs[2] if layer.biases else 0
    per_channel = layer.op != "FULLY_CONNECTED" or layer.multipliers > 0
    if layer.window is None:
        return SweepLayer(layer.op, layer.inputs, channels, per_channel=per_channel, activation=layer.activation)
    padding = "SAME" if layer.op != "AVERAGE_POOL_2D" else "VALID"
    return SweepLayer(layer.op, layer.inputs, channels, layer.window.kernel, layer.window.stride,
                      layer.window.dilation, padding, per_channel, activation=layer.activation)


def joined(graphs: list[Graph], kept: set[int]) -> Graph:
    """One op behind the other: the output of one is the input of the next, by a RESHAPE where their shapes differ.
    kept: of the graphs whose input the next ADD reads too."""
    starts = list(accumulate((len(graph.tensors) for graph in graphs), initial=0))
    tensors = [tensor for graph in graphs for tensor in graph.tensors]
    ops, before, addend = [], graphs[0].inputs[0], None
    for index, (graph, start) in enumerate(zip(graphs, starts, strict=False)):
        addend = before if index in kept else addend
        place = {i: start + i for i in range(len(graph.tensors))}
        if start:
            place[graph.inputs[0]] = before
            reshaped = _reshaped(tensors[before], graph.input)
            if reshaped is not None:
                ops.append(Op("RESHAPE", (before,), (start + graph.inputs[0],)))
                tensors[start + graph.inputs[0]], place[graph.inputs[0]] = reshaped, start + graph.inputs[0]
        (op,) = (replace(op, inputs=_moved(op.inputs, place), outputs=_moved(op.outputs, place)) for op in graph.ops)
        ops.append(replace(op, inputs=(before, addend)) if op.kind == "ADD" else op)
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


_SUMS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD")
_KEEPS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD")  # an input's quantization


def _quantized_like(tensor: Tensor, wanted: Tensor) -> Tensor:
    return replace(wanted, scale=tensor.scale, zero_point=tensor.zero_point)
