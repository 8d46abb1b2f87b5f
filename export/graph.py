"""The one representation of a trained net: NHWC tensors, TFLite's op names, quantization on the tensor."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from export.shape import LayerShape, Window


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    shape: as in TFLite: activations [1, h, w, c] or [1, n]; conv weights [out_c, kh, kw, in_c], depthwise
        [1, kh, kw, out_c], fully-connected [out, in]; biases [out_c].
    scale, zero_point: float32 and int32, one value, or one per entry of axis `axis`; real = scale (q - zero_point).
    data: the constant, int8 or int32 (for activations None).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    data: np.ndarray | None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Op:
    """One operation. inputs and outputs are tensor indices: activation, then weights and bias (-1: none).

    activation: fused, TFLite's name. window: of convolutions and pools. beta: of SOFTMAX. pads: of PAD, (before,
    after) of each dimension.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str = "NONE"
    window: Window | None = None
    beta: float = 1.0
    pads: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Graph:
    """Ops in the order they run. sha256: of the .tflite it was read from. metadata: its own (export.metadata), None
    without."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    sha256: str
    metadata: bytes | None = None

    @property
    def input(self) -> Tensor:
        return self.tensors[self.inputs[0]]

    @property
    def output(self) -> Tensor:
        return self.tensors[self.outputs[0]]

    def operands(self, op: Op) -> tuple[Tensor | None, ...]:
        """The tensors that `op` reads, in order; None where an optional one is absent."""
        return tuple(None if i < 0 else self.tensors[i] for i in op.inputs)

    def result(self, op: Op) -> Tensor:
        return self.tensors[op.outputs[0]]

    @cached_property
    def activations(self) -> tuple[int, ...]:
        """Indices of the tensors that hold no constant and that some op reads or writes."""
        used = {i for op in self.ops for i in (*op.inputs, *op.outputs) if i >= 0}
        return tuple(sorted(i for i in used if self.tensors[i].data is None))


@dataclass(frozen=True)
class GraphOp:
    """An op with the graph that its tensors are in: what is written out starts from it."""

    graph: Graph
    op: Op

    @property
    def operands(self) -> tuple[Tensor | None, ...]:
        return self.graph.operands(self.op)

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.operands[0]

    @property
    def result(self) -> Tensor:
        return self.graph.result(self.op)


def bias_of(graph: Graph, op: Op) -> np.ndarray:
    """int32 [out_c]; zeros where the op has none."""
    tensors = graph.operands(op)
    if len(tensors) > 2 and tensors[2] is not None:
        return tensors[2].data.astype(np.int32).ravel()
    return np.zeros(graph.result(op).shape[-1], np.int32)


def layer_shapes(graph: Graph) -> tuple[LayerShape, ...]:
    """What export.cost prices: the ops that compute, in order, which RESHAPE does not."""
    return tuple(layer_shape(graph, i) for i, op in enumerate(graph.ops) if op.kind != "RESHAPE")


def layer_shape(graph: Graph, index: int) -> LayerShape:
    """Of one op; a plane of a flat tensor is 1 x 1."""
    op = graph.ops[index]
    x, *constants = graph.operands(op)
    inputs = (1, 1, x.elements) if op.kind == "FULLY_CONNECTED" else _plane(x)
    multipliers = graph.result(op).shape[-1] if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") else 0
    if op.kind == "FULLY_CONNECTED" and len(constants[0].scale) > 1:
        multipliers = len(constants[0].scale)
    return LayerShape(f"{index}:{op.kind}", op.kind, inputs, _plane(graph.result(op)), op.window, multipliers,
                      activation=op.activation)


def _plane(tensor: Tensor) -> tuple[int, int, int]:
    return (1, 1, *tensor.shape[1:])[-3:]
