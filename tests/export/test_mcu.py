"""make export-mcu writes everything, and says what it left out."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from datasets.console import UserError
from export import mcu, toolchain
from export.boards import board_names, load_board
from export.cost import Tariff
from export.cost_report import layer_table
from export.detector import DEFAULT_THRESHOLD, FILE, Detector, save_detector
from export.kernels import load_kernels
from export.layer_costs import load_costs
from export.layer_memory import array_bytes
from export.runs import resolve
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import have, install_line
from export.witness import onnx_scores, tflm_scores
from tests.export.models import Chain, small_model
from tests.export.test_runs import write_run
from tests.export.whole_nets import whole_net

needs_arm_gcc = pytest.mark.skipif(not have(*mcu.ARM_TOOLS), reason=install_line("arm-none-eabi-gcc"))


def nets(run: str, runs) -> tuple[mcu.Net, ...]:
    return mcu.read_nets((resolve(run, None, runs),))


def exported(monkeypatch, folder, *arguments) -> dict:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mcu", *map(str, arguments)])
    mcu.main()
    (path,) = (folder / "build").glob("*/*/summary.json")
    return json.loads(path.read_text())


@needs_arm_gcc
def test_run_for_the_default_board(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "one")
    summary = exported(monkeypatch, tmp_path)
    folder = tmp_path / "build" / "one" / "nano33ble"
    assert (folder / "model.tflite").read_bytes() == small_model()
    assert {path.name for path in folder.iterdir()} >= {
        "network.c", "network.h", "model.onnx", "firmware.elf", "firmware.bin", "firmware.hex", "firmware.map"}
    assert summary["left_out"] == []
    assert summary["flash_bytes"] == (folder / "firmware.bin").stat().st_size
    assert summary["ram_bytes"] > summary["arena_bytes"] + summary["stack_bytes"]
    assert summary["threshold"] == DEFAULT_THRESHOLD
    assert "make stream" in summary["threshold_from"]
    config = (folder / "firmware" / "kws_detector_config.c").read_text()
    assert config.count(f"{{{DEFAULT_THRESHOLD}, 3}}") == 3
    inputs = random_inputs((1, 49, 10, 1), 10)
    np.testing.assert_array_equal(onnx_scores(onnx.load(folder / "model.onnx"), inputs),
                                  tflm_scores(small_model(), inputs))
    out = capsys.readouterr().out
    assert f"{summary['flash_bytes']} of 983040 B" in out
    assert out.splitlines()[-1] == "summary: build/one/nano33ble/summary.json"


@needs_arm_gcc
def test_the_threshold_that_make_stream_picked_is_linked(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "one")
    run = resolve("one", None, tmp_path / "runs")
    save_detector(replace(Detector.of(run.labels), threshold=44444), run, read_tflite(run.tflite_path))
    summary = exported(monkeypatch, tmp_path)
    config = (tmp_path / "build" / "one" / "nano33ble" / "firmware" / "kws_detector_config.c").read_text()
    assert config.count("{44444, 3}") == 3
    assert (summary["threshold"], summary["threshold_from"]) == (44444, f"runs/one/{FILE}")


@pytest.mark.parametrize("name", [name for name in board_names()
                                  if load_board(name).core == "cortex-m4" and load_board(name).emulator is None])
def test_what_listening_takes_of_the_core_is_told(name, tmp_path, monkeypatch):
    """50 frames and five inferences a second."""
    write_run(tmp_path / "runs" / "one")
    monkeypatch.setenv("PATH", str(tmp_path))
    summary, board = exported(monkeypatch, tmp_path, "--board", name), load_board(name)
    price = Tariff.of(board, "tuned").graph(read_tflite(tmp_path / "runs" / "one" / "model.tflite"))
    assert summary["core_share"] == round((50 * price.frame.cycles + 5 * price.whole.cycles) / board.clock_hz, 4)
    assert 0 < summary["core_share"] < 1
    assert (summary["inferences_per_s"], summary["keeps_up"]) == (5, True)


def test_without_a_compiler_the_rest_is_written(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "one")
    monkeypatch.setenv("PATH", str(tmp_path))
    summary = exported(monkeypatch, tmp_path, "--board", "mps2-an386")
    folder = tmp_path / "build" / "one" / "mps2-an386"
    (reason,) = summary["left_out"]
    assert reason == f"firmware image: {install_line('arm-none-eabi-gcc')}"
    assert f"left out: {reason}" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {
        "model.tflite", "model.onnx", "network.c", "network.h", "firmware", "summary.json"}
    assert (folder / "firmware" / "kws_mfcc_table.h").is_file()
    assert "image" not in summary


IMAGE_FILES = ("firmware.elf", "firmware.bin", "firmware.hex", "firmware.map")


def older_image(folder):
    folder.mkdir(parents=True)
    for name in (*IMAGE_FILES, "summary.json"):
        (folder / name).write_text("old")
    return folder


def test_no_older_image_stays_where_it_is_left_out(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "one")
    folder = older_image(tmp_path / "build" / "one" / "nano33ble")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exported(monkeypatch, tmp_path)["left_out"]
    assert not {path.name for path in folder.iterdir()} & set(IMAGE_FILES)


@needs_arm_gcc
def test_no_older_image_stays_where_linking_fails(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "one")
    folder = older_image(tmp_path / "out")
    nano = load_board("nano33ble")
    small = replace(nano, regions=tuple(replace(region, length=4096) for region in nano.regions))
    with pytest.raises(UserError, match="the image needs"):
        mcu.export_nets(nets("one", tmp_path / "runs"), small, folder, load_kernels(None, None))
    assert not {path.name for path in folder.iterdir()} & {*IMAGE_FILES[:3], "summary.json"}


@needs_arm_gcc
def test_a_compiler_without_its_library_leaves_the_image_out(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "one")
    monkeypatch.setitem(toolchain.LIBRARY_FLAGS, "arm-none-eabi-gcc", ("-nostdinc",))
    (reason,) = exported(monkeypatch, tmp_path)["left_out"]
    assert "libnewlib-arm-none-eabi" in reason


@needs_arm_gcc
def test_foreign_model_without_our_features(tmp_path, monkeypatch):
    chain = Chain((1, 96, 96, 1)).conv(4, (3, 3), (8, 8)).average_pool((12, 12)).reshape((1, 4)).dense(2).softmax()
    (tmp_path / "person.tflite").write_bytes(chain.content())
    summary = exported(monkeypatch, tmp_path, "--model", "person.tflite")
    assert summary["run"] == "person"
    assert summary["macs"] == 144 * 4 * 9 + 8
    (reason,) = summary["left_out"]
    assert reason.startswith("features and the clip command: tensor tensor_0: input has shape (1, 96, 96, 1)")
    folder = tmp_path / "build" / "person" / "nano33ble"
    assert summary["flash_bytes"] == (folder / "firmware.bin").stat().st_size
    assert "kws_features" not in (folder / "firmware.map").read_text()


@pytest.mark.parametrize("kernels", ["portable", "tuned"])
def test_array_bytes_are_those_of_the_generated_arrays(kernels, tmp_path):
    """Of any operator, padded to words."""
    kernel_of = load_kernels(kernels, None).kernel_of("cortex-m4")
    for i in range(4):
        graph = whole_net(i)
        mcu.write_c(graph, tmp_path, kernel_of=kernel_of)
        arrays = re.findall(r"static const int(\d+)_t \w+\[(\d+)\]", (tmp_path / "network.c").read_text())
        sizes = [int(bits) // 8 * int(count) for bits, count in arrays]
        assert sum(array_bytes(graph, kernel_of)) == sum(-(-size // 4) * 4 for size in sizes)


def test_unknown_board(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "one")
    with pytest.raises(UserError, match="BOARD=toaster: no such board; there are .*nano33ble"):
        exported(monkeypatch, tmp_path, "--board", "toaster")


@needs_arm_gcc
def test_an_export_says_what_the_net_costs_before_it_is_flashed(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "one")
    summary, (net,) = exported(monkeypatch, tmp_path), nets("one", tmp_path / "runs")
    price = Tariff.of(load_board("nano33ble")).graph(net.graph)
    assert summary["instructions_per_inference"] == round(price.whole.instructions)
    assert summary["energy_uj"] == pytest.approx(price.whole.energy_uj, abs=0.1)
    assert summary["costs_hash"] == Tariff.of(load_board("nano33ble")).costs_hash
    assert layer_table(price) in capsys.readouterr().out


@needs_arm_gcc
def test_kernels_without_costs_export_all_the_same(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "one")
    monkeypatch.setattr(mcu.Tariff, "of", lambda board, kernels: load_costs(board.core, "unmeasured"))
    summary = exported(monkeypatch, tmp_path)
    assert "cycles" not in summary
    assert summary["macs"] > 0
    assert "left out: instructions, cycles, time and energy: " in capsys.readouterr().out


COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"
_COMMAND = """
import sys
from export import mcu
sys.argv = ["mcu", "--model", sys.argv[1], "--out", sys.argv[2]]
mcu.main()
print({"tensorflow", "torch", "keras", "librosa", "matplotlib"} & set(sys.modules))
"""


@needs_arm_gcc
def test_a_given_model_is_exported_without_tensorflow_and_torch(tmp_path):
    """Image included; librosa and matplotlib, which take seconds, are not imported either."""
    done = subprocess.run([sys.executable, "-c", _COMMAND, COMMITTED, tmp_path], capture_output=True, text=True,
                          check=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.stdout.splitlines()[-1] == "set()"
    assert (tmp_path / "firmware.bin").is_file()


@needs_arm_gcc
@pytest.mark.parametrize(("kernels", "most"), [("portable", 20_000), ("tuned", 25_000)])
def test_a_ds_cnns_code_is_small(kernels, most, tmp_path):
    """Functions of the whole image, features, detector and protocol included, without weights and tables. Tuned kernels
    have a function for every geometry, and this net no two of one."""
    mcu.export_nets(mcu.read_nets((resolve(None, COMMITTED),)), load_board("nano33ble"), tmp_path,
                    load_kernels(kernels, None))
    linked = (tmp_path / "firmware.map").read_text().partition("Linker script and memory map")[2]
    functions = re.findall(r"^ \.text(\S*)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) \S+\.o\)?$", linked, re.MULTILINE)
    assert {".network_run", ".kws_features_frame", ".kws_self_test", ".kws_serve"} <= {name for name, _ in functions}
    assert 5_000 < sum(int(size, 16) for _, size in functions) <= most


def with_ram(length: int):
    """nano33ble with that much RAM."""
    nano = load_board("nano33ble")
    return replace(nano, regions=tuple(replace(region, length=length) if region.kind == "ram" else region
                                       for region in nano.regions))


def test_an_arena_larger_than_the_ram_names_the_op_that_needs_it(tmp_path):
    """Before anything is compiled: op 2 reads 24 x 24 x 8 values and writes 24 x 24 x 16."""
    chain = Chain((1, 24, 24, 3)).conv(4, (1, 1)).conv(8, (1, 1)).conv(16, (1, 1)).conv(2, (1, 1)).mean().dense(3)
    (tmp_path / "wide.tflite").write_bytes(chain.content())
    export = (mcu.read_nets((resolve(None, tmp_path / "wide.tflite"),)), with_ram(13_823), tmp_path / "out",
              load_kernels("portable", None))
    with pytest.raises(UserError, match="BOARD=nano33ble: the arena takes 13824 bytes of ram, and there are 13823; "
                                        "op 2 CONV_2D has 13824 in use"):
        mcu.export_nets(*export)
    assert not list(tmp_path.glob("out/**/*.o"))
