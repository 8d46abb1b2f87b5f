"""Nodes of an ONNX graph by function calls, and the fixed-point steps of export.arithmetic in stock operators."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # of 2022: every onnxruntime since 1.12 reads them
_OFFSET_BITS = 62          # makes 63-bit products non-negative for BitShift, which is unsigned


class Builder:
    """Collects nodes and constants; every method that adds one returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple, onnx.TensorProto] = {}

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, value, dtype) -> str:
        array = np.ascontiguousarray(np.asarray(value, dtype))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"constant_{len(self.constants)}")
        return self.constants[key].name

    def cast(self, name: str, dtype) -> str:
        return self.node("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def add(self, name: str, value) -> str:
        """int64 `name` plus a constant."""
        return self.node("Add", name, self.constant(value, np.int64))

    def clip(self, name: str, low, high, dtype=np.int64) -> str:
        return self.node("Min", self.node("Max", name, self.constant(low, dtype)), self.constant(high, dtype))

    def floor_shift(self, name: str, exponent) -> str:
        """int64 / 2^exponent, rounded down; exponent a constant 1..62, name >= -2^62 (the sum wraps into uint64)."""
        exponent = np.asarray(exponent, np.int64)
        lifted = self.cast(self.add(name, 1 << _OFFSET_BITS), np.uint64)
        shifted = self.node("BitShift", lifted, self.constant(exponent, np.uint64), direction="RIGHT")
        return self.add(self.cast(shifted, np.int64), -(1 << (_OFFSET_BITS - exponent)))

    def high_multiply(self, a: str, b: str) -> str:
        """int64 a b / 2^31 to nearest, halves up; |a b| < 2^62."""
        return self.floor_shift(self.add(self.node("Mul", a, b), 1 << 30), 31)

    def model(self, inputs: list, outputs: list, name: str) -> onnx.ModelProto:
        """The checked model; inputs and outputs are value infos whose names are those of the nodes."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                  producer_name="kws-grow")
        onnx.checker.check_model(model, full_check=True)
        return model


def value_info(name: str, dtype, shape: tuple) -> onnx.ValueInfoProto:
    """Batch dimension free: shape is that of one clip."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ("n", *shape))


