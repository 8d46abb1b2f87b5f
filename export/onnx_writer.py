"""Graph to ONNX, bit for bit what TFLite Micro computes, in stock operators; and the float net for comparison."""

import numpy as np
import onnx

from export.arithmetic import same_padding
from export.graph import Graph, Tensor
from export.net import FloatLayer, FloatNet
from export.onnx_builder import Builder, value_info
from export.onnx_operator import OnnxOp, to_planes, to_rows
from export.operators import OPERATORS

INPUT, OUTPUT = "input", "scores"


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """[n, *input shape] `input` to [n, *output shape] `scores`, any n, in the graph's types (int8, or uint8 at its
    edges); the scores are TFLite Micro's."""
    build, names = Builder(), {}
    names[graph.inputs[0]] = _from_integers(build, INPUT, graph.input)
    for op in graph.ops:
        names[op.outputs[0]] = OPERATORS[op.kind].write_onnx(OnnxOp(graph, op, build, names))
    _to_integers(build, names[graph.outputs[0]], graph.output)
    return build.model([value_info(INPUT, graph.input.dtype, graph.input.shape[1:])],
                       [value_info(OUTPUT, graph.output.dtype, graph.output.shape[1:])], f"int8 {graph.sha256}")


def _from_integers(build: Builder, name: str, tensor: Tensor) -> str:
    value = build.node("Sub", build.cast(name, np.float32), build.constant(tensor.zero_point[0], np.float32))
    return to_planes(build, value, tensor)


def _to_integers(build: Builder, name: str, tensor: Tensor) -> None:
    value = build.node("Add", to_rows(build, name, tensor), build.constant(tensor.zero_point[0], np.float32))
    build.cast(value, tensor.dtype)
    build.nodes[-1].output[0] = OUTPUT


def float_onnx(net: FloatNet) -> onnx.ModelProto:
    """The float net as trained, no quantization: float32 `input` [n, frames, coefficients] to `scores` [n, labels]."""
    build = Builder()
    x, plane, outputs = build.node("Unsqueeze", INPUT, build.constant([1], np.int64)), net.input_shape, []
    for layer in net.layers:
        x = (_float_add(build, x, outputs[layer.addend], layer) if layer.op == "add"
             else _FLOAT_EMITTERS[layer.op](build, x, layer, plane))
        outputs.append(x)
        plane = tuple(-(-size // stride) for size, stride in zip(plane, layer.stride, strict=True))
    build.nodes[-1].output[0] = OUTPUT
    return build.model([value_info(INPUT, np.float32, net.input_shape)],
                       [value_info(OUTPUT, np.float32, (len(net.labels),))], "float")


def _float_conv(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    group = layer.weight.shape[2] if layer.op == "depthwise" else 1
    weight = layer.weight.transpose(2, 0, 1)[:, None] if layer.op == "depthwise" else layer.weight.transpose(0, 3, 1, 2)
    before, after = zip(*(same_padding(size, kernel, stride) for size, kernel, stride
                          in zip(plane, weight.shape[2:], layer.stride, strict=True)), strict=True)
    constants = (build.constant(array, np.float32) for array in (weight, layer.bias))
    return _float_relu(build, build.node("Conv", x, *constants, group=group, strides=layer.stride,
                                         pads=(*before, *after)), layer)


def _float_relu(build: Builder, x: str, layer: FloatLayer) -> str:
    return build.node("Relu", x) if layer.relu else x


def _float_add(build: Builder, x: str, other: str, layer: FloatLayer) -> str:
    return _float_relu(build, build.node("Add", x, other), layer)


def _float_pool(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    return build.node("GlobalAveragePool", x)


def _float_dense(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    constants = (build.constant(array, np.float32) for array in (layer.weight.T, layer.bias))
    return _float_relu(build, build.node("Gemm", build.node("Flatten", x), *constants), layer)


def _float_softmax(build: Builder, x: str, layer: FloatLayer, plane: tuple[int, int]) -> str:
    return build.node("Softmax", x, axis=-1)


_FLOAT_EMITTERS = {"conv": _float_conv, "depthwise": _float_conv, "average_pool": _float_pool, "dense": _float_dense,
                   "softmax": _float_softmax}
