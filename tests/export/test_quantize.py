"""The converter takes exactly the ranges we chose: every scale and zero point read back equals the requested one."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from datasets.console import UserError
from export.graph import GraphOp, bias_of
from export.net import load_net, save_net
from export.quantize import to_tflite
from export.tflite_reader import read_tflite
from export.tuned.dsp.mix import takes
from export.tuned.requantization import mix_of
from tests.export.models import random_net, small_model

KINDS = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "add": "ADD", "average_pool": "AVERAGE_POOL_2D",
         "dense": "FULLY_CONNECTED", "softmax": "SOFTMAX"}


def nudged(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and zero point of an asymmetric int8 range, zero exactly on a step."""
    scale = (high - low) / 255
    return np.float32(scale), int(np.clip(np.rint(-128 - low / scale), -128, 127))


def assert_range(tensor, limits):
    scale, zero_point = nudged(*limits)
    np.testing.assert_allclose(tensor.scale, [scale], rtol=3e-7)
    assert tensor.zero_point.tolist() == [zero_point]


@pytest.mark.parametrize("n_coefficients", [10, 20])
def test_every_range_is_the_one_asked_for(n_coefficients):
    net = random_net(5, (8, 12, 7), n_coefficients)
    graph = read_tflite(to_tflite(net))
    assert [op.kind for op in graph.ops] == [KINDS[layer.op] for layer in net.layers]
    assert graph.input.shape == (1, 49, n_coefficients, 1)
    assert_range(graph.input, net.input_range)
    for layer, op in zip(net.layers, graph.ops, strict=True):
        if layer.weight is not None:
            assert_layer(graph, op, layer)
    assert (graph.output.scale.tolist(), graph.output.zero_point.tolist()) == ([1 / 256], [-128])


def test_a_dead_channel_does_not_cost_its_layer_the_tuned_kernel():
    """Weights of 1e-6 beside a bias of -1 were 10^8 steps: every sum fits now, what is dead stays so, and no other
    channel's scale moves."""
    net = random_net(5, (8, 12, 7))
    where = next(i for i, layer in enumerate(net.layers) if i and layer.op == "conv")
    weight, bias, limit = (getattr(net.layers[where], name).copy() for name in ("weight", "bias", "weight_limit"))
    weight[1], bias[1], limit[1] = 1e-6, -1.0, 1e-6
    dead = replace(net.layers[where], weight=weight, bias=bias, weight_limit=limit)
    before, after = (read_tflite(to_tflite(each)) for each in (
        net, replace(net, layers=(*net.layers[:where], dead, *net.layers[where + 1:]))))
    op = GraphOp(after, after.ops[where])
    mix = mix_of(op, op.operands[1].data.reshape(len(bias), -1))
    assert takes(mix)
    assert 2**20 < -int(bias_of(after, op.op)[1]) <= 2**21 + 1
    assert mix.bias[1] + 128 * np.abs(mix.weights[1].astype(int)).sum() < 0
    scales = [graph.operands(graph.ops[where])[1].scale for graph in (before, after)]
    np.testing.assert_array_equal(np.delete(scales[0], 1), np.delete(scales[1], 1))


def test_residual_blocks_are_the_ops_asked_for():
    """One ADD a block, its ReLU in it, of the layer before and of the block's input; strides on the depthwise."""
    net = random_net(5, (8, 12, 7), depths=(1, 2, 0), strides=(2, 1))
    graph = read_tflite(to_tflite(net))
    assert [op.kind for op in graph.ops] == [KINDS[layer.op] for layer in net.layers]
    assert [op.activation for op in graph.ops] == ["RELU" if layer.relu else "NONE" for layer in net.layers]
    adds = [(layer, op) for layer, op in zip(net.layers, graph.ops, strict=True) if layer.op == "add"]
    assert len(adds) == 3
    for layer, op in adds:
        before = graph.ops[net.layers.index(layer) - 1]
        assert op.inputs == (before.outputs[0], graph.ops[layer.addend].outputs[0])
        assert_range(graph.result(op), layer.output_range)
    for layer, op in zip(net.layers, graph.ops, strict=True):
        if layer.weight is not None:
            assert_layer(graph, op, layer)
            assert op.window is None or op.window.stride == layer.stride


def assert_layer(graph, op, layer):
    """Output range, weight limits per channel (per tensor when dense), weights, and biases in int32."""
    assert_range(graph.result(op), layer.output_range)
    x, weight, bias = graph.operands(op)
    limit = np.atleast_1d(layer.weight_limit.max() if layer.op == "dense" else layer.weight_limit)
    np.testing.assert_allclose(weight.scale, limit / 127, rtol=3e-7)
    assert (weight.axis if len(limit) > 1 else 0) == (3 if layer.op == "depthwise" else 0)
    steps = layer.weight / (limit if layer.op == "depthwise" else limit.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    rounded = np.clip(np.rint(127 * steps), -127, 127)
    np.testing.assert_allclose(weight.data.reshape(layer.weight.shape), rounded, atol=1)
    assert bias.dtype == "int32"
    bias_scale = x.scale[0] * weight.scale
    np.testing.assert_allclose(bias.scale, bias_scale, rtol=3e-7)
    np.testing.assert_allclose(bias_of(graph, op), layer.bias / bias_scale, atol=0.6)


def test_same_net_same_bytes():
    assert to_tflite(random_net(6, (8, 4))) == to_tflite(random_net(6, (8, 4))) != small_model(7, (8, 4))


def changed(net, index, **values):
    layers = list(net.layers)
    layers[index] = replace(layers[index], **values)
    return replace(net, layers=tuple(layers))


@pytest.mark.parametrize(("index", "values", "message"), [
    (0, {"op": "pool"}, "layer 0 .pool.*unknown op; allowed: conv"),
    (1, {"output_range": (0.5, 1.0)}, "layer 1 .depthwise.*output_range"),
    (1, {"output_range": None}, "layer 1 .depthwise.*output_range"),
    (2, {"weight_limit": np.zeros(4, np.float32)}, "layer 2 .conv.*weight_limit must be above 0"),
    (2, {"bias": np.array([np.nan] * 4, np.float32)}, "layer 2 .conv.*bias is not finite"),
    (-1, {"op": "dense"}, "last layer must be softmax"),
    (2, {"op": "add", "weight": None, "addend": 0, "output_range": None}, "layer 2 .add.*output_range"),
    (2, {"op": "add", "weight": None, "addend": 2}, "layer 2 .add.*addend 2; allowed: the index of an earlier layer"),
])
def test_nets_that_cannot_be_quantized(index, values, message):
    with pytest.raises(UserError, match=message):
        to_tflite(changed(random_net(0, (8, 4)), index, **values))


def test_command_is_silent_and_equal(tmp_path):
    """kws_grow runs it in a process of its own."""
    net = random_net(0, (8, 6, 5))
    paths = [tmp_path / "net.npz", tmp_path / "other-99.9.npz"]
    save_net(net, paths[0])
    save_net(random_net(1, (8, 4)), paths[1])
    command = [sys.executable, "-m", "export.quantize", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "net.tflite").read_bytes() == small_model()
    assert (tmp_path / "other-99.9.tflite").read_bytes() == small_model(1, (8, 4))
    assert load_net(tmp_path / "net.npz").labels == net.labels


def test_command_on_a_missing_net(tmp_path):
    command = [sys.executable, "-m", "export.quantize", str(tmp_path / "no.npz")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
