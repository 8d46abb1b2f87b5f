"""What a .tflite says comes back in the Graph; what is not supported is named by op, tensor and rule."""

import subprocess
import sys
from contextlib import suppress

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.console import UserError
from export.graph import Graph, Window, layer_shapes
from export.tflite_reader import HANDLERS, read_tflite
from tests.export.models import Chain, packed, small_model


def chain() -> Chain:
    return (Chain((1, 9, 6, 2)).conv(4, (3, 2), (2, 1)).depthwise(1, activation="RELU").average_pool((5, 6), (1, 1))
            .reshape((1, 4)).dense(3).softmax())


def test_ops_windows_and_constants():
    made = chain()
    graph = read_tflite(made.content())
    assert [op.kind for op in graph.ops] == ["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESHAPE",
                                             "FULLY_CONNECTED", "SOFTMAX"]
    assert graph.ops[0].window == Window((3, 2), (2, 1), (1, 1), (1, 0), (1, 1))
    assert graph.ops[1].activation == "RELU"
    assert (graph.input.shape, graph.output.shape) == ((1, 9, 6, 2), (1, 3))
    weights = made.graph.operators[0].inputs[1]
    np.testing.assert_array_equal(graph.operands(graph.ops[0])[1].data.ravel(),
                                  made.model.buffers[made.graph.tensors[weights].buffer].data.view(np.int8))


def test_every_supported_op_is_read():
    assert {op.kind for op in read_tflite(chain().content()).ops} == set(HANDLERS)


def test_layer_shapes_are_what_cost_prices():
    layers = layer_shapes(read_tflite(chain().content()))
    assert [(layer.op, layer.inputs, layer.outputs, layer.macs) for layer in layers] == [
        ("conv", (9, 6, 2), (5, 6, 4), 30 * 4 * 12), ("depthwise", (5, 6, 4), (5, 6, 4), 30 * 4 * 9),
        ("average_pool", (5, 6, 4), (1, 1, 4), 0), ("dense", (1, 1, 4), (1, 1, 3), 12),
        ("softmax", (1, 1, 3), (1, 1, 3), 0)]


def tensor(index):
    return lambda made: made.graph.tensors[index]


def weights_of(op):
    return lambda made: made.graph.tensors[made.graph.operators[op].inputs[1]]


def output_of(op):
    return lambda made: made.graph.tensors[made.graph.operators[op].outputs[0]]


def options_of(op):
    return lambda made: made.graph.operators[op].builtinOptions


def quantization(find):
    return lambda made: find(made).quantization


@pytest.mark.parametrize(("find", "field", "value", "message"), [
    (tensor(0), "type", schema.TensorType.FLOAT32, r"op 0 CONV_2D: tensor tensor_0: is float32; .* int8"),
    (tensor(0), "shape", [2, 9, 6, 2], r"op 0 CONV_2D: tensor tensor_0: has shape \(2, .*one batch"),
    (tensor(0), "shape", [1, 9, 12], r"op 0 CONV_2D: tensor tensor_0: has shape .* must be \[1, h, w, c\]"),
    (quantization(tensor(0)), "scale", [], r"op 0 CONV_2D: tensor tensor_0: .*one scale above 0"),
    (quantization(tensor(0)), "scale", [float("nan")], r"op 0 CONV_2D: tensor tensor_0: .*one scale above 0"),
    (quantization(tensor(0)), "zeroPoint", [128], r"op 0 CONV_2D: tensor tensor_0: zero point .*-128..127"),
    (quantization(weights_of(0)), "zeroPoint", [0, 0, 1, 0], r"op 0 CONV_2D: tensor tensor_1: .*zero points 0"),
    (quantization(weights_of(0)), "scale", [0.1, 0.1], r"op 0 CONV_2D: tensor tensor_1: has 2 scales; .* one or 4"),
    (quantization(weights_of(0)), "quantizedDimension", 3, r"op 0 CONV_2D: tensor tensor_1: .* along axis 0"),
    (quantization(weights_of(4)), "scale", [0.1] * 3, r"op 4 FULLY_CONNECTED: tensor .*has 3 scales; allowed: one"),
    (weights_of(0), "buffer", 0, r"op 0 CONV_2D: tensor tensor_1: weights must be constant int8"),
    (weights_of(0), "shape", [4, 3, 1, 4], r"op 0 CONV_2D: tensor tensor_1: 4 input channels for 2; grouped"),
    (options_of(0), "strideH", 0, r"op 0 CONV_2D: .* from 1 up"),
    (options_of(0), "strideH", 1, r"op 0 CONV_2D: .*plane \(5, 6\) is not the \(9, 6\)"),
    (options_of(0), "fusedActivationFunction", 4, r"op 0 CONV_2D: .*fused activation 4; allowed: NONE, RELU"),
    (options_of(1), "depthMultiplier", 2, r"op 1 DEPTHWISE_CONV_2D: .*must be \[1, kh, kw, 4 x depth multiplier 2\]"),
    (quantization(output_of(2)), "scale", [9.0], r"op 2 AVERAGE_POOL_2D: tensor .* its input's scale"),
    (output_of(3), "shape", [1, 5], r"op 3 RESHAPE: tensor .*has 5 elements; its input has 4"),
    (options_of(4), "weightsFormat", 1, r"op 4 FULLY_CONNECTED: tensor .*shuffled weights"),
    (quantization(output_of(5)), "zeroPoint", [0], r"op 5 SOFTMAX: tensor .*scale 1/256 and zero point -128"),
    (options_of(5), "beta", 1e-9, r"op 5 SOFTMAX: tensor .* too small for softmax"),
    (lambda made: made.model.operatorCodes[1], "builtinCode", schema.BuiltinOperator.TANH,
     r"op 1 TANH: not supported; allowed: CONV_2D, DEPTHWISE_CONV_2D"),
    (lambda made: made.graph, "outputs", [0, 1], r"1 inputs, 2 outputs"),
])
def test_each_rule_is_named(find, field, value, message):
    made = chain()
    made.content()
    setattr(find(made), field, value)
    with pytest.raises(UserError, match=message):
        read_tflite(packed(made.model))


def test_order_of_ops():
    made = Chain((1, 4, 4, 2)).conv(3).conv(3).conv(3)
    made.content()
    made.graph.operators.reverse()
    with pytest.raises(UserError, match="CONV_2D: tensor tensor_6: is read before it is written"):
        read_tflite(packed(made.model))
    made.graph.operators.reverse()
    made.graph.operators[2].outputs = made.graph.operators[1].outputs
    with pytest.raises(UserError, match="CONV_2D: tensor tensor_6: must be the only output and written once"):
        read_tflite(packed(made.model))


def test_large_softmax_is_refused():
    with pytest.raises(UserError, match="op 0 SOFTMAX: tensor tensor_0: has 257 scores; softmax takes at most 256"):
        read_tflite(Chain((1, 257)).softmax().content())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_files_never_end_in_a_traceback(data):
    content = bytearray(small_model())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[:data.draw(st.sampled_from([len(content)] * 3 + [data.draw(st.integers(0, 4000))]))])
    with suppress(UserError):
        assert isinstance(read_tflite(content), Graph)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "not a .tflite"), (b"PK\x03\x04 a zip file", "not a .tflite"),
    (small_model()[:2000], "damaged .tflite")])
def test_other_files(content, message, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"net.tflite: {message}"):
        read_tflite(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no.tflite: No such file.*MODEL"):
        read_tflite(tmp_path / "no.tflite")


def test_export_imports_neither_tensorflow_nor_torch():
    code = ("import sys, export.mcu, export.simulate, export.witness, export.host;"
            "print({'tensorflow', 'torch', 'keras'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": "."})
    assert done.stdout.strip() == "set()"
