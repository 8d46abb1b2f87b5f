"""`make bench`, and the graphs that it makes of shapes."""

import json

import numpy as np
import pytest

from datasets.console import UserError
from export import kernel_bench
from export.boards import load_board
from export.cost import cost
from export.graph import layer_shapes
from export.host import host_scores
from export.onnx_writer import to_onnx
from export.shape import NetShape
from export.shape_graph import graph_of
from export.stimuli import random_inputs
from export.toolchain import have, install_line
from export.witness import onnx_scores
from tests.export.models import Chain

TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [install_line(tool) for tool in TOOLS if not have(tool)]
needs_tools = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
SHAPE = NetShape((8, 12, 12), 10, 5)


def test_a_graph_of_a_shape_is_that_shape():
    graph = graph_of(SHAPE)
    assert [(layer.op, layer.inputs, layer.outputs, layer.window, layer.multipliers) for layer in layer_shapes(graph)
            ] == [(layer.op, layer.inputs, layer.outputs, layer.window, layer.multipliers) for layer in SHAPE.layers()]
    nano = load_board("nano33ble")
    assert cost(graph, nano).whole == cost(SHAPE, nano).whole


def test_layers_of_one_shape_have_weights_of_their_own():
    graph = graph_of(NetShape((8, 8, 8, 8), 10, 5))
    weights = [tensor.data.tobytes() for tensor in graph.tensors if tensor.data is not None and tensor.data.ndim == 4]
    assert len(set(weights)) == len(weights) == 7


def test_a_graph_of_a_shape_runs_and_its_witness_agrees():
    graph = graph_of(SHAPE)
    inputs = random_inputs(graph.input.shape, 20)
    scores = host_scores(graph, inputs)
    np.testing.assert_array_equal(scores, onnx_scores(to_onnx(graph), inputs))
    assert len(np.unique(scores)) > 2


@needs_tools
def test_the_command_measures_every_set_on_each_core(tmp_path, monkeypatch, capsys):
    """M55's layers are counted alone: together about the net."""
    (tmp_path / "net.tflite").write_bytes(Chain((1, 49, 10, 1)).conv(8, (10, 4), (2, 2)).depthwise().conv(9, (1, 1))
                                          .mean().dense(4).softmax().content())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "--model", "net.tflite", "--cores", "m4,m55"])
    kernel_bench.main()
    results = json.loads((tmp_path / "build" / "bench" / "summary.json").read_text())["results"]
    sets = [name for name in kernel_bench.NAMES if name != "cmsis-nn"]
    assert [(each["core"], each["kernels"]) for each in results] == [
        (core, kernels) for core in ("cortex-m4", "cortex-m55") for kernels in sets]
    for each in results:
        layers = sum(layer["instructions"] for layer in each["layers"])
        assert layers == pytest.approx(each["instructions_per_inference"], rel=0.05)
        assert each["constant_bytes"] > 8 * 40 + 9 * 8 + 9 * 8 + 4 * 9
    assert "| m4: op | MACs | portable |" in capsys.readouterr().out
    assert (tmp_path / "build" / "bench" / "bench.png").is_file()


def test_an_unknown_core_is_told_before_anything_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["kernel_bench", "--cores", "m4,typo", "--out", str(tmp_path)])
    monkeypatch.setattr(kernel_bench, "measure", None)
    with pytest.raises(UserError, match="typo"):
        kernel_bench.main()
