"""The most that images can have on their stack, and bounds on the whole of an image."""

import re
from pathlib import Path

import numpy as np
import pytest

from datasets.console import UserError
from export.boards import board_names, load_board
from export.image import SLOWEST_MS, STACK_BYTES, audio_samples
from export.kernels import load_kernels
from export.mcu import Net, export_nets
from export.runs import resolve
from export.stack import EXCEPTION_BYTES, Calls, _frame, calls_of, nested_bytes, worst_stack_bytes
from export.toolchain import ARM_TOOLS, have, install_line

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
LISTENING = [name for name in board_names() if load_board(name).microphone != "none"]
MOST_RAM_BYTES, MOST_FLASH_BYTES = 8_000, 32_000  # beside arena and ring; beside weights and tables
needs_arm_gcc = pytest.mark.skipif(not have(*ARM_TOOLS), reason=install_line("arm-none-eabi-gcc"))


@pytest.fixture(scope="module")
def net():
    return Net.of(resolve(None, COMMITTED))


@pytest.fixture(scope="module")
def images(net, tmp_path_factory):
    """image(board): of the committed net, made once."""
    made, folder = {}, tmp_path_factory.mktemp("images")

    def image(name: str):
        if name not in made:
            made[name] = export_nets((net,), load_board(name), folder / name, load_kernels(None, None)).image
        return made[name]
    return image


@needs_arm_gcc
@pytest.mark.parametrize("name", board_names())
def test_the_stack_holds_the_worst_that_the_call_graph_allows(name, images):
    worst = worst_stack_bytes(images(name))
    assert 1_000 < worst <= STACK_BYTES


@needs_arm_gcc
@pytest.mark.parametrize("name", LISTENING)
def test_a_listening_image_is_small(name, images):
    """Ring: what comes during the predicted inference, and two frames. Flash: functions alone."""
    image = images(name)
    assert image.ram_bytes - image.arena_bytes - image.audio_bytes <= MOST_RAM_BYTES
    linked = image.map.read_text().partition("Linker script and memory map")[2]
    functions = re.findall(r"^ \.text(\S*)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) \S+\.o\)?$", linked, re.MULTILINE)
    assert {".kws_listen", ".kws_microphone_interrupt", ".kws_feed"} <= {function for function, _ in functions}
    assert 10_000 < sum(int(size, 16) for _, size in functions) <= MOST_FLASH_BYTES


@needs_arm_gcc
def test_boards_without_a_microphone_have_no_ring(images):
    image = images("nucleo_l4r5zi")
    assert image.audio_bytes == 0
    assert "kws_listen" not in image.map.read_text()


def test_the_ring_holds_an_inference_and_two_frames():
    assert audio_samples(100.0) in range(1600 + 960 + 1, 1600 + 960 + 4)
    assert audio_samples(0.0) * 2 >= 49 * 40  # the codes of a clip
    assert audio_samples(SLOWEST_MS) > audio_samples(100.0)
    assert audio_samples(np.array([0.0, 100.0])).tolist() == [audio_samples(0.0), audio_samples(100.0)]


def calls(**callees: tuple[str, ...]) -> Calls:
    frames = {"a": 10, "b": 200, "c": 30, "kws_reset": 8, "x:count_wrap": 4}
    return Calls(frames, {name: frozenset(called) for name, called in callees.items()})


def test_depths_by_hand():
    """The deepest branch counts, a pointer leads to what nobody names, the library's functions have a stated frame."""
    assert calls(a=("b", "c")).deepest("a") == 210
    assert calls(a=("c",), c=("b",)).deepest("a") == 240
    assert calls(a=("c", "__indirect_call"), c=("c2",)).deepest("a") == 210
    assert calls(a=("memcpy",)).deepest("a") == 74
    assert calls(a=("__indirect_call",), b=("__indirect_call",), c=("c2",)).deepest("a") == 10 + 200 + 30 + 64


def test_an_urgent_interrupt_lies_on_top_of_a_patient_one():
    frames = {"kws_microphone_interrupt": 100, "kws_uart_interrupt": 20, "x:count_wrap": 4, "put": 8}
    graph = Calls(frames, {"kws_microphone_interrupt": frozenset({"put"})})
    assert nested_bytes(graph) == 108 + 20 + 2 * EXCEPTION_BYTES
    assert nested_bytes(Calls({"x:count_wrap": 4}, {})) == 4 + EXCEPTION_BYTES


def test_a_stack_without_a_bound_is_refused():
    with pytest.raises(UserError, match="f: its stack has no bound"):
        _frame("f", "f 16 bytes (dynamic)")


@needs_arm_gcc
def test_the_graph_knows_what_is_called_through_pointers(images):
    graph = calls_of(images("nano33ble"))
    names = {name.rpartition(":")[2] for name in graph.never_named}
    assert {"network_run_any", "score_clip", "hello", "kws_reset"} <= names
