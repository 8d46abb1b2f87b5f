"""Amounts of work against windows walked one tap at a time."""

from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from export.graph import Window, layer_shape
from export.op_kernel import portable
from export.operators.convolution import is_strided_row
from export.shape import NetShape
from export.sweep import SweepLayer, sweep, tuned_sweep
from export.tflite_reader import read_tflite
from export.tuned import FAMILIES
from export.work import CONSTANT
from export.workload import taps_inside, work_of, works_of
from tests.export.models import Chain


def walked(layer: SweepLayer) -> tuple[int, int]:
    """(taps inside the plane, rows of windows that have any), over all output positions."""
    window: Window = layer.window
    taps = rows = 0
    for y, x in product(range(layer.outputs[0]), range(layer.outputs[1])):
        for ky in range(window.kernel[0]):
            at_y = y * window.stride[0] - window.padding_before[0] + ky * window.dilation[0]
            if 0 <= at_y < layer.inputs[0]:
                rows += 1
                taps += sum(0 <= x * window.stride[1] - window.padding_before[1] + kx * window.dilation[1]
                            < layer.inputs[1] for kx in range(window.kernel[1]))
    return taps, rows


def amounts(layer: SweepLayer) -> dict[str, float]:
    (work,) = works_of(layer.graph(), portable)
    return work.amounts


sizes = st.tuples(st.integers(1, 12), st.integers(1, 8))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))


def assume_no_strided_row(layer: SweepLayer) -> None:
    """Which is written, and counted, as a column: tested below."""
    assume(not is_strided_row(layer.inputs[0], layer.window))


@settings(max_examples=60, deadline=None)
@given(sizes, kernels, strides, st.sampled_from([(1, 1), (2, 1)]), st.integers(1, 5), st.integers(1, 9))
def test_convolutions_count_taps_and_rows_inside_the_plane(plane, kernel, stride, dilation, in_c, out_c):
    layer = SweepLayer("CONV_2D", (*plane, in_c), out_c, kernel, stride, dilation)
    assume_no_strided_row(layer)
    taps, rows = walked(layer)
    found = amounts(layer)
    assert found["taps_of_4"] * 4 + found["taps_of_1"] == taps * in_c * out_c
    assert found["groups_of_4"] * 4 + found["groups_of_1"] == layer.outputs[0] * layer.outputs[1] * out_c
    if kernel != (1, 1):
        assert found["runs_of_4"] * 4 + found["runs_of_1"] == rows * out_c


@settings(max_examples=40, deadline=None)
@given(sizes, kernels, strides, st.sampled_from(["DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"]),
       st.integers(1, 9))
def test_depthwise_and_pools_count_each_channel(plane, kernel, stride, op, channels):
    layer = SweepLayer(op, (*plane, channels), channels, kernel, stride)
    assume_no_strided_row(layer)
    taps, rows = walked(layer)
    found = amounts(layer)
    if op == "DEPTHWISE_CONV_2D":
        assert found["taps_of_4"] * 4 + found["taps_of_1"] == taps * channels
        assert found["runs_of_4"] * 4 + found["runs_of_1"] == rows * channels
    else:
        assert (found["taps"], found["runs"]) == (taps * channels, rows * channels)


def test_a_dilated_window_is_read_tap_by_tap():
    layer = SweepLayer("CONV_2D", (9, 9, 2), 4, (3, 3), dilation=(1, 2))
    assert amounts(layer)["runs_of_4"] == walked(layer)[0]


@pytest.mark.parametrize(("layer", "kind"), [
    (SweepLayer("CONV_2D", (9, 5, 1), 4, (3, 3)), "first_convolution"),
    (SweepLayer("CONV_2D", (9, 5, 1), 4), "pointwise"),
    (SweepLayer("CONV_2D", (9, 5, 2), 4, (3, 1)), "convolution"),
    (SweepLayer("CONV_2D", (9, 5, 2), 4, (3, 3), dilation=(2, 2)), "dilated_convolution"),
    (SweepLayer("DEPTHWISE_CONV_2D", (9, 5, 2), 2, (3, 3)), "depthwise"),
    (SweepLayer("DEPTHWISE_CONV_2D", (9, 5, 2), 4, (3, 3)), "depthwise_multiplied"),
    (SweepLayer("RELU", (9, 5, 2)), "relu")])
def test_kinds(layer, kind):
    graph = layer.graph()
    work = work_of(layer_shape(graph, 0))
    assert (work.kind, work.amounts[CONSTANT]) == (kind, 1)


def test_other_layers():
    assert amounts(SweepLayer("FULLY_CONNECTED", (1, 1, 50), 10)) == {
        "taps_of_4": 100, "groups_of_4": 2, "taps_of_1": 100, "groups_of_1": 2, CONSTANT: 1}
    assert amounts(SweepLayer("MEAN", (5, 4, 3))) == {"taps": 60, "values": 3, CONSTANT: 1}
    assert amounts(SweepLayer("PAD", (5, 4, 3), pads=((0, 0), (1, 0), (0, 0), (0, 1)))) == {
        "copied": 60, "filled": 36, "positions": 20, "rows": 5, CONSTANT: 1}
    assert amounts(SweepLayer("SOFTMAX", (1, 1, 12))) == {"values": 12, CONSTANT: 1}


def test_a_shape_works_as_its_graph_does():
    shape = NetShape((8, 12, 7), 10, 12)
    graph = read_tflite(Chain((1, 49, 10, 1)).conv(8, (10, 4), (2, 2)).depthwise().conv(12, (1, 1)).depthwise()
                        .conv(7, (1, 1)).average_pool((25, 5), (25, 5)).reshape((1, 7)).dense(12).softmax().content())
    assert tuple(map(work_of, shape.layers())) == works_of(graph, portable)


def test_one_axis():
    assert taps_inside(outputs=3, inputs=3, kernel=3, stride=1, dilation=1, padding_before=1) == 7


def test_the_sweep_holds_more_layers_of_a_kind_than_it_has_amounts():
    layers = sweep()
    assert len({layer.name for layer in layers}) == len(layers)
    check_enough_layers(layers, portable)
    widths = {layer.outputs[2] for layer in layers}
    assert {4, 5, 7, 64, 276} <= widths


def check_enough_layers(layers: tuple[SweepLayer, ...], kernel_of, of: str = "") -> None:
    """More layers of each kind than amounts, of kinds that begin with `of`."""
    works = [work for layer in layers for work in works_of(layer.graph(), kernel_of) if work.kind.startswith(of)]
    for kind in {work.kind for work in works}:
        of_kind = [work for work in works if work.kind == kind]
        assert len(of_kind) >= len({name for work in of_kind for name in work.amounts if work.amounts[name]}), kind


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tuned_sweep_holds_more_layers_of_a_kind_than_it_has_amounts(family):
    layers = tuned_sweep()
    assert len({layer.name for layer in layers}) == len(layers)
    check_enough_layers(layers, FAMILIES[family].kernel_of, "tuned_")


def tuned_amounts(layer: SweepLayer, family: str = "dsp") -> tuple[str, dict[str, float]]:
    (work,) = works_of(layer.graph(), FAMILIES[family].kernel_of)
    return work.kind, work.amounts


def test_a_tuned_kernel_counts_its_own_work():
    """21 positions: five tiles and one alone; 7 outputs: three pairs and a single; 6 channels: a four and a rest."""
    kind, found = tuned_amounts(SweepLayer("CONV_2D", (7, 3, 6), 7))
    assert kind == "tuned_pointwise"
    assert (found["tiles"], found["tile_pairs"], found["tile_singles"], found["tile_words"]) == (5, 15, 5, 5 * 4 * 4)
    assert (found["alone"], found["pairs"], found["singles"], found["words_of_4"]) == (1, 3, 1, 4)
    assert (found["tile_fours"], found["tile_rests"], found["fours"], found["rests"]) == (5, 5, 1, 1)
    assert (found["signed"], found["clamped"]) == (5 * 4 * 7, 0)


def test_activations_are_work():
    """What is never negative is rounded in an instruction less; what saturation does not clamp is gone over again."""
    works = {activation: tuned_amounts(SweepLayer("DEPTHWISE_CONV_2D", (25, 5, 8), 8, (3, 3), activation=activation))[1]
             for activation in ("NONE", "RELU", "RELU6")}
    assert {name: (work["signed"], work["clamped"]) for name, work in works.items()} == {
        "NONE": (1000, 0), "RELU": (0, 0), "RELU6": (0, 1000)}


@pytest.mark.parametrize(("layer", "kinds"), [
    (SweepLayer("DEPTHWISE_CONV_2D", (25, 5, 8), 8, (3, 3)), ("tuned_depthwise",) * 3),
    (SweepLayer("DEPTHWISE_CONV_2D", (25, 5, 8), 8, (3, 3), (2, 2)),
     ("tuned_depthwise_strided", "tuned_depthwise", "depthwise")),
    (SweepLayer("DEPTHWISE_CONV_2D", (25, 5, 8), 8, (5, 5)),
     ("tuned_depthwise_long", "tuned_depthwise_chunks", "depthwise")),
    (SweepLayer("DEPTHWISE_CONV_2D", (25, 5, 7), 7, (3, 3)), ("depthwise", "tuned_depthwise", "tuned_depthwise")),
    (SweepLayer("CONV_2D", (49, 10, 1), 4, (10, 4), (2, 2)), ("tuned_convolution",) * 3),
    (SweepLayer("AVERAGE_POOL_2D", (9, 5, 6), 0, (9, 5), padding="VALID"), ("average_pool",) * 3),
    (SweepLayer("SOFTMAX", (1, 1, 4)), ("softmax",) * 3)])
def test_what_no_tuned_kernel_takes_is_portable_work(layer, kinds):
    assert tuple(tuned_amounts(layer, family)[0] for family in ("dsp", "mve", "plain")) == kinds


def test_equal_functions_are_those_of_equal_sizes():
    def functions(channels: int, activation: str = "RELU"):
        layer = SweepLayer("DEPTHWISE_CONV_2D", (25, 5, channels), channels, (3, 3), activation=activation)
        graph = layer.graph()
        return FAMILIES["dsp"].kernel_of(graph, graph.ops[0]).functions
    assert functions(8) == functions(8) != functions(12)
    gather, filtering = functions(8)
    assert [gather == each for each in functions(8, "NONE")] == [True, False]
    assert filtering not in functions(8, "NONE")
