"""What a .tflite says comes back in the Graph; what breaks a rule is refused by op, tensor, numbers and rule."""

import re
import subprocess
import sys
from collections.abc import Callable

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

from datasets.console import UserError
from export.graph import Window, layer_shapes
from export.operators import OPERATORS
from export.operators.operator import sentence
from export.tflite_reader import read_tflite
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


def test_layer_shapes_are_what_cost_prices():
    layers = layer_shapes(read_tflite(chain().content()))
    assert [(layer.op, layer.inputs, layer.outputs, layer.macs) for layer in layers] == [
        ("CONV_2D", (9, 6, 2), (5, 6, 4), 30 * 4 * 12), ("DEPTHWISE_CONV_2D", (5, 6, 4), (5, 6, 4), 30 * 4 * 9),
        ("AVERAGE_POOL_2D", (5, 6, 4), (1, 1, 4), 0), ("FULLY_CONNECTED", (1, 1, 4), (1, 1, 3), 12),
        ("SOFTMAX", (1, 1, 3), (1, 1, 3), 0)]


# One op each: what a case starts from.
ONE_OP: dict[str, Callable[[], Chain]] = {
    "CONV_2D": lambda: Chain((1, 9, 6, 2)).conv(4, (3, 2), (2, 1)),
    "DEPTHWISE_CONV_2D": lambda: Chain((1, 9, 6, 2)).depthwise(2),
    "FULLY_CONNECTED": lambda: Chain((1, 4)).dense(3, per_channel=True),
    "AVERAGE_POOL_2D": lambda: Chain((1, 4, 4, 2)).average_pool(),
    "MAX_POOL_2D": lambda: Chain((1, 4, 4, 2)).max_pool(),
    "MEAN": lambda: Chain((1, 4, 4, 2)).mean(),
    "ADD": lambda: Chain((1, 4, 4, 2)).add(0),
    "PAD": lambda: Chain((1, 4, 4, 2)).pad(),
    "RELU": lambda: Chain((1, 4, 4, 2)).relu(),
    "RELU6": lambda: Chain((1, 4, 4, 2)).relu6(),
    "RESHAPE": lambda: Chain((1, 4, 4, 2)).reshape((1, 32)),
    "SOFTMAX": lambda: Chain((1, 4)).softmax(),
    "QUANTIZE": lambda: Chain((1, 4)).quantize(),
}


def x(made):
    return made.graph.tensors[0]


def constant(made):
    return made.graph.tensors[made.graph.operators[0].inputs[1]]


def bias(made):
    return made.graph.tensors[made.graph.operators[0].inputs[2]]


def result(made):
    return made.graph.tensors[made.graph.operators[0].outputs[0]]


def options(made):
    return made.graph.operators[0].builtinOptions


def scale_of(find):
    return lambda made: find(made).quantization


def data_of(made):
    return made.model.buffers[constant(made).buffer]


def data(*values) -> np.ndarray:
    return np.array(values, np.int32).view(np.uint8)


def make_per_tensor(made):
    constant(made).quantization.scale, constant(made).quantization.zeroPoint = [0.01], [0]
    bias(made).quantization.scale, bias(made).quantization.zeroPoint = [9.0], [0]


def make_rows_long(made):
    x(made).shape, result(made).shape = [1, 1, 32768, 2], [1, 1, 32768, 4]
    options(made).strideH = options(made).strideW = 1
    options(made).dilationHFactor = 32768


def widen_pool(made):
    x(made).shape, result(made).shape = [1, 300, 300, 2], [1, 1, 1, 2]
    options(made).filterHeight = options(made).filterWidth = 300


INT8, INT16, FLOAT = schema.TensorType.INT8, schema.TensorType.INT16, schema.TensorType.FLOAT32
PADDED = (0, 0, 1, 1, 1, 1, 0, 0)
BREACHES = [  # op, rule, what is changed, its field, its value, the numbers in the message
    ("CONV_2D", "activations_are_int8", x, "type", INT16, "tensor_0: is int16"),
    ("CONV_2D", "activations_are_int8", result, "type", FLOAT, "tensor_3: is float32"),
    ("CONV_2D", "activations_have_shapes", x, "shape", [2, 9, 6, 2], r"has shape \(2, 9, 6, 2\)"),
    ("CONV_2D", "activations_have_shapes", x, "shape", [1, -9, 6, 2], r"has shape \(1, -9, 6, 2\)"),
    ("CONV_2D", "activations_have_shapes", x, "shape", [], r"has shape \(\)"),
    ("CONV_2D", "activations_have_shapes", x, "shape", [1, 2**30, 2**30, 2], f"{2**61} values"),
    ("CONV_2D", "activations_are_quantized", scale_of(x), "scale", [], "has no quantization"),
    ("CONV_2D", "activations_are_quantized", x, "quantization", None, "has no quantization"),
    ("CONV_2D", "activations_are_quantized", scale_of(x), "scale", [float("nan")], "scales .nan"),
    ("CONV_2D", "activations_are_quantized", scale_of(x), "zeroPoint", [128], "zero point 128"),
    ("CONV_2D", "activations_are_planes", x, "shape", [1, 9, 12], r"has shape \(1, 9, 12\)"),
    ("CONV_2D", "weights_are_int8", constant, "buffer", 0, "is computed int8"),
    ("CONV_2D", "weights_are_int8", constant, "type", schema.TensorType.INT4, "is constant int4"),
    ("CONV_2D", "weights_fit", constant, "shape", [4, 3, 1, 4], r"shape \(4, 3, 1, 4\) for 2 -> 4 channels"),
    ("CONV_2D", "weights_fit", constant, "shape", [8, 3, 2, 1], r"shape \(8, 3, 2, 1\) for 2 -> 4 channels"),
    ("CONV_2D", "weights_are_symmetric", scale_of(constant), "zeroPoint", [0, 0, 1, 0], r"zero points \[0, 0, 1, 0\]"),
    ("CONV_2D", "weights_are_symmetric", scale_of(constant), "scale", [1.0, 1.0, 0.0, 1.0], r"scales \[1, 1, 0, 1\]"),
    ("CONV_2D", "scales_per_output_channel", constant, "quantization", (0.1, 2, 0), "2 scales for 4 output channels"),
    ("CONV_2D", "scales_per_output_channel", scale_of(constant), "quantizedDimension", 3, "4 scales along axis 3"),
    ("CONV_2D", "biases_are_int32", bias, "type", INT16, r"constant int16 of shape \(4,\)"),
    ("CONV_2D", "biases_are_int32", bias, "buffer", 0, r"computed int32 of shape \(4,\) for 4 channels"),
    ("CONV_2D", "window_is_small", options, "strideH", 0, r"stride \(0, 1\)"),
    ("CONV_2D", "window_is_small", options, "dilationWFactor", 10**6, r"dilation \(1, 1000000\)"),
    ("CONV_2D", "window_fills_output", options, "strideH", 1, r"\(5, 6\), its window gives \(9, 6\)"),
    ("CONV_2D", "activation_is_a_clamp", options, "fusedActivationFunction", 4, "activation number 4"),
    ("CONV_2D", "window_is_small", make_rows_long, None, None, "dilation .32768, 1., over rows of 65536 bytes"),
    ("CONV_2D", "sums_fit", scale_of(result), "scale", [1e-9], r"channel 0 reach \d+, times 2\^\d+"),
    ("DEPTHWISE_CONV_2D", "weights_fit", constant, "shape", [2, 3, 3, 2], r"\(2, 3, 3, 2\) for 2 -> 4"),
    ("DEPTHWISE_CONV_2D", "scales_per_output_channel", scale_of(constant), "quantizedDimension", 0, "along axis 0"),
    ("DEPTHWISE_CONV_2D", "sums_fit", scale_of(result), "scale", [1e-9], r"channel 0 reach \d+, times"),
    ("DEPTHWISE_CONV_2D", "weights_fit", options, "depthMultiplier", 1, "2 -> 4 channels and depth multiplier 1"),
    ("DEPTHWISE_CONV_2D", "bias_is_no_gap", lambda made: made.graph.operators[0], "inputs", [0, 1, -1], "third input"),
    ("FULLY_CONNECTED", "weights_fit", constant, "shape", [4, 3], r"shape \(4, 3\) and format 0 for \(3, 4\)"),
    ("FULLY_CONNECTED", "weights_fit", options, "weightsFormat", 1, "format 1"),
    ("FULLY_CONNECTED", "bias_has_its_scale", make_per_tensor, None, None, "has scale 9, input times weights"),
    ("FULLY_CONNECTED", "output_is_one_row", result, "shape", [1, 3, 1], r"shape \(1, 3, 1\)"),
    ("FULLY_CONNECTED", "scales_per_output", scale_of(constant), "quantizedDimension", 1, "3 scales along axis 1"),
    ("FULLY_CONNECTED", "sums_fit", scale_of(result), "scale", [1e-12], r"output channel 0 reach \d+, times 2\^"),
    ("AVERAGE_POOL_2D", "output_has_input_quantization", scale_of(result), "scale", [9.0], "scale 9 and zero point"),
    ("AVERAGE_POOL_2D", "window_has_few_taps", widen_pool, None, None, "window of 300 x 300 taps"),
    ("MAX_POOL_2D", "output_keeps_channels", result, "shape", [1, 2, 2, 3], "has 3 channels, its input 2"),
    ("MEAN", "input_is_a_plane", x, "shape", [1, 16, 2], r"\(1, 16, 2\)"),
    ("MEAN", "axes_are_the_plane", data_of, "data", data(1, 3), r"holds \[1, 3\]"),
    ("MEAN", "axes_are_the_plane", constant, "buffer", 0, "is int32, computed"),
    ("MEAN", "output_has_the_channels", result, "shape", [1, 4], r"shape \(1, 4\) for 2 channels"),
    ("MEAN", "sums_fit", scale_of(result), "scale", [1e-9], r"scale 1e-09, its input .*: up to \d+ times 2\^"),
    ("ADD", "output_has_input_shape", result, "shape", [1, 4, 2, 4], r"\(1, 4, 2, 4\), tensor_0 has \(1, 4, 4, 2\)"),
    ("ADD", "scales_are_near", scale_of(result), "scale", [1e-9], "scale 1e-09, its inputs"),
    ("PAD", "paddings_are_constant", constant, "shape", [2, 4], r"is int32 of shape \(2, 4\)"),
    ("PAD", "paddings_are_constant", data_of, "data", data(1, *PADDED[1:]), r"holds \[\[1, 0\]"),
    ("PAD", "paddings_are_constant", data_of, "data", data(*PADDED[:2], -1, *PADDED[3:]), r"\[-1, 1\]"),
    ("PAD", "output_has_the_room", data_of, "data", data(*PADDED[:2], 2, *PADDED[3:]), r"give \(1, 7, 6, 2\)"),
    ("RELU", "values_fit", scale_of(result), "scale", [1e-12], r"scale 1e-12.*times 2\^"),
    ("RELU6", "output_has_input_quantization", scale_of(result), "zeroPoint", [7], "zero point 7, its input"),
    ("RESHAPE", "output_has_as_many_values", result, "shape", [1, 31], r"shape \(1, 31\), 31 values for 32"),
    ("SOFTMAX", "input_is_one_row", x, "shape", [1, 2, 2], None),
    ("SOFTMAX", "output_is_a_probability", scale_of(result), "zeroPoint", [0], "zero point 0"),
    ("SOFTMAX", "differences_have_bits", options, "beta", 1e-9, "beta is 1e-09"),
    ("SOFTMAX", "differences_have_bits", options, "beta", float("nan"), "beta is nan"),
    ("QUANTIZE", "types_are_quantized", x, "type", FLOAT, "is float32; the op takes float32 to int8"),
    ("QUANTIZE", "types_are_quantized", result, "type", INT16, "is int16; the op takes int8 to int16"),
    ("QUANTIZE", "values_fit", scale_of(result), "scale", [1e-12], r"scale 1e-12.*times 2\^"),
]


def make_first_constant(made):
    first = made.tensor((1, 4), INT8, 0.1, 0, np.zeros(4, np.int8))
    made.graph.operators[0].inputs = [first, *made.graph.operators[0].inputs[1:]]


def flatten_weights(made):
    constant(made).shape = [1, len(data_of(made).data)]


# The same for every operator that has the rule.
SHARED_BREACHES = [
    ("activations_are_computed", make_first_constant, None, None, "is constant"),
    ("activations_are_int8", result, "type", INT16, "is int16"),
    ("activations_have_shapes", x, "shape", [4], r"has shape \(4,\)"),
    ("activations_have_shapes", x, "shape", [2, 4, 4, 2], r"has shape \(2, 4, 4, 2\)"),
    ("activations_are_quantized", scale_of(x), "scale", [1e-19], "scales .1e-19"),
    ("activations_are_planes", result, "shape", [1, 9, 12], r"has shape \(1, 9, 12\)"),
    ("weights_are_int8", constant, "buffer", 0, "is computed int8"),
    ("weights_have_four_dimensions", flatten_weights, None, None, r"has shape \(1, \d+\)"),
    ("weights_are_symmetric", scale_of(constant), "zeroPoint", [3], r"zero points \[3"),
    ("biases_are_int32", bias, "buffer", 0, "is computed int32"),
    ("window_is_small", options, "strideW", 2**15 + 1, r"stride \(\d, 32769\)"),
    ("window_fills_output", options, "strideW", 3, r"its window gives \(\d+, \d\)"),
    ("activation_is_a_clamp", options, "fusedActivationFunction", 4, "activation number 4"),
    ("output_keeps_channels", result, "shape", [1, 2, 2, 3], "has 3 channels"),
    ("output_has_input_shape", result, "shape", [1, 7], r"has shape \(1, 7\)"),
    ("output_has_input_quantization", scale_of(result), "scale", [9.0], "has scale 9 and zero point"),
    ("limit_has_steps", scale_of(result), "scale", [1e-9], "has scale 1e-09 behind RELU6"),
]


def kinds_with(rule: str) -> list[str]:
    return [kind for kind, operator in OPERATORS.items() if rule in (each.__name__ for each in operator.rules)]


ALL_BREACHES = BREACHES + [(kind, *case) for case in SHARED_BREACHES for kind in kinds_with(case[0])]


def rule_of(kind, name):
    return next(rule for rule in OPERATORS[kind].rules if rule.__name__ == name)


def prepare(made, kind, rule) -> None:
    """What a case needs beside its one change, so that this is the rule it breaks."""
    if rule == "input_is_one_row":
        result(made).shape = [1, 2, 2]
    if rule == "limit_has_steps":
        if kind != "RELU6":
            options(made).fusedActivationFunction = schema.ActivationFunctionType.RELU6
        scale_of(x)(made).scale = [1e-9]
        result(made).quantization.zeroPoint = scale_of(x)(made).zeroPoint


def change(made, find, field, value):
    """Set a field, or do what `find` does where none is named; a tuple as quantization stands for (scale, how many,
    zero point)."""
    if field is None:
        find(made)
        return
    if field == "quantization" and isinstance(value, tuple):
        (scale, count, zero_point), value = value, schema.QuantizationParametersT()
        value.scale, value.zeroPoint = [scale] * count, [zero_point] * count
    setattr(find(made), field, value)


@pytest.mark.parametrize(("kind", "rule", "find", "field", "value", "numbers"), ALL_BREACHES,
                         ids=[f"{case[0]}-{case[1]}-{i}" for i, case in enumerate(ALL_BREACHES)])
def test_each_breach_names_op_tensor_numbers_and_rule(kind, rule, find, field, value, numbers):
    made = ONE_OP[kind]()
    made.content()
    prepare(made, kind, rule)
    change(made, find, field, value)
    with pytest.raises(UserError) as error:
        read_tflite(packed(made.model))
    said = str(error.value)
    assert re.search(rf"op 0 {kind}: tensor (tensor_\d|absent)", said), said
    assert said.endswith(f"; rule: {sentence(rule_of(kind, rule))}"), said
    assert re.search(numbers or "has shape|is constant", said), said
    assert "\n" not in said


def test_every_rule_of_every_operator_has_a_case():
    tested = {(kind, rule) for kind, rule, *_ in ALL_BREACHES}
    assert {(kind, rule.__name__) for kind, operator in OPERATORS.items() for rule in operator.rules} == tested


def test_every_operator_is_read():
    for kind, build in ONE_OP.items():
        assert [op.kind for op in read_tflite(build().content()).ops] == [kind]
    assert list(ONE_OP) == list(OPERATORS)


def test_unknown_operator():
    made = chain()
    made.content()
    made.model.operatorCodes[1].builtinCode = schema.BuiltinOperator.TANH
    with pytest.raises(UserError, match=r"op 1 TANH: not supported; allowed: CONV_2D, DEPTHWISE_CONV_2D"):
        read_tflite(packed(made.model))


@pytest.mark.parametrize(("change", "message"), [
    (lambda made: setattr(made.graph, "outputs", [0, 1]), "1 inputs, 2 outputs, 6 ops; allowed: one input"),
    (lambda made: setattr(made.graph, "operators", []), "0 ops; allowed: one input"),
    (lambda made: setattr(made.graph, "outputs", [99]), "the subgraph's outputs: tensor number 99; the file has"),
    (lambda made: setattr(made.graph.operators[0], "inputs", [0, 1, 77]), "op 0 CONV_2D: tensor number 77; the file"),
    (lambda made: setattr(made.graph.operators[0], "inputs", []), "op 0 CONV_2D: has 0 inputs and 1 outputs"),
    (lambda made: setattr(made.graph.operators[0], "opcodeIndex", 9), "op 0: its op code is number 9; the file has 6"),
    (lambda made: setattr(made.graph.operators[0], "builtinOptions", None),
     "op 0 CONV_2D: has options of type 1; allowed: Conv2DOptions"),
    (lambda made: setattr(made.graph.tensors[1], "buffer", 99), "tensor tensor_1: its buffer is number 99; the file"),
    (lambda made: setattr(made.model.buffers[1], "offset", 4096), "tensor tensor_1: its data lie outside the model"),
    (lambda made: setattr(made.graph.tensors[1], "shape", [4, 3, 2, 3]), r"48 bytes for shape .*; allowed: 72"),
    (lambda made: setattr(made.graph.tensors[1], "shape", [-4, -3, 2, 2]), r"tensor tensor_1: 48 bytes for shape"),
    (lambda made: setattr(made.graph.tensors[1], "shape", [1] * 9), "9 dimensions of tensor tensor_1; allowed"),
    (lambda made: setattr(made.graph.tensors[0].quantization, "zeroPoint", [2**40]), "zero point 1099511627776"),
    (lambda made: setattr(made.graph.tensors[0].quantization, "zeroPoint", [1, 2]), "1 scales and 2 zero points"),
    (lambda made: setattr(made.graph.tensors[0].quantization, "zeroPoint", []), "1 scales and 0 zero points"),
    (lambda made: setattr(made.graph.operators[0], "inputs", [0, 1, 2, 2]), "has 4 inputs and 1 outputs; allowed: 2"),
    (lambda made: setattr(made.graph.operators[3], "inputs", [12] * 3), "op 3 RESHAPE: has 3 inputs"),
    (lambda made: setattr(made.graph, "outputs", [0]), "tensor tensor_0: the output is never written"),
    (lambda made: setattr(made.graph.tensors[1].quantization, "scale", [0.1] * 5000), "5000 scales of tensor tensor_1"),
    (lambda made: made.model.subgraphs.append(made.graph), "2 subgraphs; allowed: one"),
    (lambda made: made.graph.tensors.extend(made.graph.tensors[:1] * 2100), "tensors; allowed: at most 2048"),
])
def test_what_a_file_may_not_hold(change, message):
    made = chain()
    made.content()
    change(made)
    with pytest.raises(UserError, match=message):
        read_tflite(packed(made.model))


def test_ops_that_compute_a_shape_vanish():
    """SHAPE, STRIDED_SLICE and PACK in front of a RESHAPE; where anything else reads them they are refused."""
    made = Chain((1, 4, 4, 2)).conv(3)
    x, numbers = made.at, [made.tensor((4,), schema.TensorType.INT32, [], 0) for _ in range(3)]
    for kind, inputs, output in zip(("SHAPE", "STRIDED_SLICE", "PACK"), ([x], numbers[:1], numbers[1:2]), numbers,
                                    strict=True):
        made.op(kind, inputs, output)
    made.at = x
    made.reshape((1, 48))
    made.graph.operators[-1].inputs[1] = numbers[2]
    assert [op.kind for op in read_tflite(made.content()).ops] == ["CONV_2D", "RESHAPE"]
    made.graph.operators[-1].inputs[1] = numbers[1]
    with pytest.raises(UserError, match="op 3 PACK: not supported"):
        read_tflite(made.content())


def test_one_zero_point_for_all_scales():
    made = Chain((1, 4, 4, 2)).conv(3)
    content = made.content()
    constant(made).quantization.zeroPoint = [0]
    assert read_tflite(packed(made.model)).ops == read_tflite(content).ops


def test_order_of_ops():
    made = Chain((1, 4, 4, 2)).conv(3).conv(3).conv(3)
    made.content()
    made.graph.operators.reverse()
    with pytest.raises(UserError, match="CONV_2D: tensor tensor_6: is read before it is written"):
        read_tflite(packed(made.model))
    made.graph.operators.reverse()
    made.graph.operators[2].outputs = made.graph.operators[1].outputs
    with pytest.raises(UserError, match="CONV_2D: tensor tensor_6: is written twice"):
        read_tflite(packed(made.model))


def test_large_softmax_is_refused():
    with pytest.raises(UserError, match="op 0 SOFTMAX: tensor tensor_0: has shape .*257 scores; .* at most 256"):
        read_tflite(Chain((1, 257)).softmax().content())


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
