"""The price of a net: Hello Edge's figures, parts that add up, and bytes as the linker counts them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError
from export.boards import load_board
from export.budget import BUDGETS
from export.calibrate import core_board, core_boards
from export.cost import PEAKS, QUANTITIES, RAM_PARTS, Cost, Tariff, cost, hello_edge_memory, ram_bytes
from export.cost_report import layer_table
from export.detector import Detector, labels_heard
from export.image import Features, Image, audio_samples
from export.kernels import PORTABLE, TUNED, load_kernels
from export.layer_costs import load_costs
from export.mcu import Net, export_nets
from export.measurement import Bench
from export.runs import input_quantizer, resolve, takes_features
from export.shape import NetShape
from export.shape_graph import graph_of
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from tests.export.models import Chain, small_model
from tests.export.whole_nets import whole_net

NANO = load_board("nano33ble")
COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
CORES = tuple(core.removeprefix("cortex-") for core in core_boards())
SETS = (PORTABLE, TUNED)
needs_arm_gcc = pytest.mark.skipif(not have("arm-none-eabi-gcc"), reason=install_line("arm-none-eabi-gcc"))


def test_ds_cnn_s_costs_what_hello_edge_says():
    """arXiv 1711.07128: 38.6 kB, 5.4 M operations. The paper counts a bias's addition too; DESIGN does not."""
    shape = NetShape((64,) * 5, 10, 12)
    price = cost(shape, NANO).whole
    assert round(price.memory_bytes / 1e3, 1) == 38.6
    assert price.operations == 2 * price.macs == 2 * 2_656_768  # MLPerf Tiny's count of the same net
    additions = sum(layer.outputs[0] * layer.outputs[1] * layer.biases for layer in shape.layers())
    assert round((price.operations + additions) / 1e6, 1) == 5.4
    assert BUDGETS["small"].broken_by(price) == ()


def test_memory_is_written_once():
    price = cost(NetShape((8, 4), 20, 5), NANO).whole
    assert price.memory_bytes == hello_edge_memory(price.model_bytes, price.activation_bytes) > price.model_bytes
    assert price.ram_bytes == ram_bytes(price.arena_bytes, price.audio_bytes, price.buffer_bytes, price.stack_bytes)
    assert price.ram_bytes > price.arena_bytes + price.audio_bytes


def test_parts_add_up_and_activations_are_shared():
    """first 2 x 2 path layers by hand: a net is the sum of its layers and its firmware, its arena the largest pair."""
    price = cost(NetShape((8, 4), 10, 3), NANO, "portable")
    parts, whole = [price.firmware, *(layer.cost for layer in price.layers)], price.whole
    for name in set(QUANTITIES) - set(PEAKS):
        assert getattr(whole, name) == pytest.approx(sum(getattr(part, name) for part in parts)), name
    assert (whole.activation_bytes, whole.arena_bytes) == (2 * 125 * 8, 2 * 1008)
    assert whole.macs == 125 * (8 * 40 + 8 * 9 + 8 * 4) + 4 * 3
    assert whole.model_bytes == (8 * 40 + 8) + (8 * 9 + 8) + (8 * 4 + 4) + (4 * 3 + 3)
    calls = sum(Tariff.of(NANO, "portable").costs.footprint.calls[layer.kind] for layer in price.layers)
    assert sum(layer.cost.flash_bytes for layer in price.layers) - calls == whole.model_bytes + 3 * 23 + 8 * 20
    assert whole + Cost() == Cost() + whole == whole


def test_a_wider_net_costs_more_of_everything():
    shared = {"buffer_bytes", "stack_bytes"}
    prices = [vars(cost(NetShape((width,) * 3, 20, 12), NANO).whole) for width in (8, 12, 16)]
    for narrow, wide in zip(prices, prices[1:], strict=False):
        assert all(narrow[name] < wide[name] for name in set(QUANTITIES) - shared)


def test_time_and_energy_are_the_boards():
    price = cost(NetShape((8, 8), 10, 12), NANO).whole
    assert price.latency_ms == pytest.approx(price.cycles / 64e6 * 1e3)
    assert price.energy_uj == pytest.approx(price.cycles * NANO.pj_per_cycle * 1e-6)
    slow = cost(NetShape((8, 8), 10, 12), replace(NANO, wait_states=2)).whole
    assert slow.cycles == pytest.approx(price.cycles + 2 * price.instructions)
    assert slow.instructions == price.instructions


def test_prices_are_the_measured_costs():
    """Not a figure of its own: with kernels that take twice as long, everything takes twice as long."""
    tariff, shape = Tariff.of(NANO), NetShape((8, 8), 10, 12)
    slow = replace(tariff.costs, instructions=doubled(tariff.costs.instructions), cycles=doubled(tariff.costs.cycles))
    before, after = tariff.shape(shape), replace(tariff, costs=slow).shape(shape)
    for name in ("instructions", "cycles", "latency_ms", "energy_uj"):
        assert getattr(after.whole, name) == pytest.approx(2 * getattr(before.whole, name))
    assert after.frame.cycles == pytest.approx(2 * before.frame.cycles)


def doubled(models: dict) -> dict:
    return {kind: replace(model, per={name: 2 * value for name, value in model.per.items()})
            for kind, model in models.items()}


def test_the_hash_tells_costs_and_boards_apart():
    tariff = Tariff.of(NANO)
    boards = [replace(NANO, **figure) for figure in ({"clock_hz": 1}, {"wait_states": 1},
                                                     {"power": replace(NANO.power, pj_per_cycle=1.0)})]
    others = [*(replace(tariff, board=board) for board in boards),
              replace(tariff, costs=replace(tariff.costs, instructions=doubled(tariff.costs.instructions))),
              Tariff.of(core_board("m7"))]
    hashes = {tariff.costs_hash, *(other.costs_hash for other in others)}
    assert len(hashes) == 6
    assert Tariff.of(NANO).costs_hash == tariff.costs_hash
    code = tariff.costs.footprint
    code = replace(code, plain={}, with_features={}, with_detector={})  # of the app, the same for every net
    costs = replace(tariff.costs, footprint=code, sources_sha256="of other comments")
    assert replace(tariff, costs=costs).costs_hash == tariff.costs_hash


def test_kernels_that_were_not_measured_are_refused():
    with pytest.raises(UserError, match="make calibrate CORE=m4 KERNELS=mine"):
        cost(NetShape((8, 8)), NANO, "mine")


def test_a_board_that_was_not_measured_is_refused():
    with pytest.raises(UserError, match="BOARD=mine: its firmware was not measured, those of .*nano33ble"):
        cost(NetShape((8, 8)), replace(NANO, name="mine"))


@pytest.mark.parametrize(("kernels", "core"), [("portable", "m4"), ("tuned", "m4"), ("cmsis-nn", "m4"),
                                               ("cmsis-nn", "m55")])
@pytest.mark.parametrize("widths", [(8, 12, 7), (64, 64, 64), (40, 16, 16, 52), (52, 68, 60, 56, 120)])
def test_a_shape_costs_what_its_graph_does(kernels, core, widths):
    """By whatever kernels, in place and with scratch or not; the figures of other costs serve where there are none."""
    check_shape_and_graph(tariff_of(kernels, core), NetShape(widths, 10, 12))


def tariff_of(kernels, core) -> Tariff:
    there = kernels if kernels == "tuned" else "portable"
    return Tariff(core_board(core), replace(load_costs(core_board(core).core, there), kernels=kernels))


def check_shape_and_graph(tariff, shape) -> None:
    """Every figure, but for weights that are alike by chance: a few bytes."""
    of_shape, of_graph = tariff.shape(shape).whole, tariff.graph(graph_of(shape)).whole
    assert of_shape.flash_bytes == pytest.approx(of_graph.flash_bytes, abs=32)
    assert replace(of_shape, flash_bytes=0) == replace(of_graph, flash_bytes=0)


@pytest.mark.parametrize(("widths", "kernels", "core"), [((20, 60), "tuned", "m3"), ((4, 64), "tuned", "m55"),
                                                         ((19, 16, 24, 88, 72), "tuned", "m4")])
def test_an_output_that_grows_beside_its_input_is_paid_in_full(widths, kernels, core):
    """The block that a depthwise opens goes on to the wider layers that slide over it, while its input still lives."""
    check_shape_and_graph(tariff_of(kernels, core), NetShape(widths, 20, 12))


@pytest.mark.parametrize(("kernels", "core"), [("portable", "m4"), ("tuned", "m4"), ("tuned", "m55"),
                                               ("tuned", "m0plus"), ("cmsis-nn", "m4"), ("cmsis-nn", "m55")])
def test_a_residual_shape_costs_what_its_graph_does(kernels, core):
    """Whatever blocks and strides: the input of a block stays in the arena until its ADD."""
    rng, tariff = np.random.default_rng(4), tariff_of(kernels, core)
    for _ in range(8):
        widths = tuple(int(each) for each in 4 * rng.integers(1, 12, rng.integers(1, 6)))
        depths, strides = (tuple(map(int, rng.integers(0, 3, len(widths)))),
                           tuple(map(int, rng.integers(1, 3, len(widths) - 1))))
        shape = NetShape(widths, 10, 12, depths, strides)
        check_shape_and_graph(tariff, shape)
        if any(depths):
            flat = tariff.shape(replace(shape, depths=())).whole
            assert tariff.shape(shape).whole.flash_bytes > flat.flash_bytes


def test_a_stream_is_held_beside_the_block():
    """By hand, 25 x 5 x 16: stream, depthwise and pointwise in turn; tuned ones slide, so the last two share."""
    shape, plane = NetShape((16, 16), 10, 12, (1, 0)), 25 * 5 * 16
    assert tariff_of("portable", "m4").shape(shape).whole.arena_bytes == 3 * plane
    assert tariff_of("portable", "m4").shape(replace(shape, depths=())).whole.arena_bytes == 2 * plane
    assert tariff_of("tuned", "m55").shape(shape).whole.arena_bytes >= 2 * plane


def check_against_linker(board, kernels, graphs, folder) -> None:
    """flash within 2 %; RAM to the byte."""
    bench, errors = Bench(board, load_kernels(kernels, None)), []
    for i, graph in enumerate(graphs):
        price = cost(graph, board, kernels).whole
        image = bench.build((graph,), folder / str(i), features_of(graph), price.latency_ms)
        errors.append(check_image(price, image))
    print(f"{board.core}, {kernels}: worst error of flash {100 * max(errors):.2f} %")


def features_of(graph) -> Features | None:
    """With a detector where firmware/stream takes the net."""
    labels = tuple(f"class_{i}" for i in range(labels_heard(graph)))
    detector = Detector.of(labels) if labels else None
    return Features(input_quantizer(graph), 0, detector) if takes_features(graph) else None


def check_image(price: Cost, image: Image) -> float:
    """Returns the error of flash."""
    ram = ("ram_bytes", *RAM_PARTS)
    assert {name: getattr(price, name) for name in ram} == {name: getattr(image, name) for name in ram}
    error = abs(price.flash_bytes / image.flash_bytes - 1)
    assert error < 0.02
    return error


@needs_arm_gcc
@pytest.mark.parametrize("name", ["nano33ble", "nucleo_l4r5zi", "mps2-an386"])
def test_what_is_exported_is_what_was_priced(name, tmp_path):
    """The committed net with its own labels; on the first board it listens."""
    labels = json.loads((COMMITTED.parent / "summary.json").read_text())["labels"]
    net, board = Net.of(replace(resolve(None, COMMITTED), labels=tuple(labels))), load_board(name)
    image, price = export_nets((net,), board, tmp_path, load_kernels(None, None)).image, cost(net.graph, board).whole
    print(f"{name}: flash {price.flash_bytes} predicted, {image.flash_bytes} linked; RAM {image.ram_bytes}")
    check_image(price, image)
    assert (price.audio_bytes > 0) == (name == "nano33ble")


def test_a_detector_is_paid_for_by_its_labels():
    """Of each label at least a threshold and a pointer, and the averages of its scores."""
    none, few, many = (Tariff.of(NANO).firmware((), (4, 4), 10, labels) for labels in (0, 4, 36))
    assert many.flash_bytes - few.flash_bytes >= 32 * 8
    assert many.buffer_bytes - few.buffer_bytes == 32 * Detector.average_inferences
    assert few.flash_bytes > none.flash_bytes + 1000


def test_only_who_listens_pays_for_the_ring():
    """As long as the inference takes."""
    fast, slow = (cost(NetShape((width,) * 3, 10, 12), NANO).whole for width in (8, 64))
    for price in (fast, slow):
        assert price.audio_bytes == 2 * audio_samples(price.latency_ms)
    assert slow.audio_bytes > fast.audio_bytes
    assert cost(NetShape((8,) * 3, 10, 12), replace(NANO, microphone="none")).whole.audio_bytes == 0
    foreign = read_tflite(Chain((1, 33, 7, 3)).conv(5, (3, 3), (2, 2)).mean().dense(3).content())
    assert cost(foreign, NANO).whole.audio_bytes == 0


@needs_arm_gcc
@pytest.mark.parametrize("kernels", SETS)
def test_bytes_are_the_linkers(kernels, tmp_path):
    """On the default board: the committed net, nets of any operator, one that does not take our features, and a
    residual one."""
    foreign = Chain((1, 33, 7, 3)).conv(5, (3, 3), (2, 2)).mean().dense(3)
    residual = small_model(2, (20, 36, 28), 10, (1, 2, 0), (2, 1))
    check_against_linker(NANO, kernels, (read_tflite(COMMITTED.read_bytes()), *map(whole_net, (101, 102, 104)),
                                         *map(read_tflite, (foreign.content(), residual))), tmp_path)


@pytest.mark.slow
@needs_arm_gcc
@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("core", CORES)
def test_bytes_of_20_nets_are_the_linkers(core, kernels, tmp_path):
    check_against_linker(core_board(core), kernels, tuple(map(whole_net, range(100, 120))), tmp_path)


def test_a_table_of_layers_ends_in_the_whole():
    price = cost(NetShape((8, 12), 10, 12), NANO)
    head, *layers, firmware, whole = layer_table(price).splitlines()
    assert [line.split()[0] for line in layers] == [layer.name for layer in price.layers]
    assert f"{price.whole.cycles:,.0f}" in whole
    assert f"{price.firmware.flash_bytes:,}" in firmware
    bars = [line.count("█") for line in layers]
    assert bars[0] == max(bars) == 24
