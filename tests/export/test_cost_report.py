"""`make cost`: a bill before anything is flashed."""

import json
from pathlib import Path

import pytest

from datasets.console import UserError
from export import cost_report
from export.boards import load_board
from export.cost import cost
from export.tflite_reader import read_tflite
from tests.export.models import Chain

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results" / "small-energy-aware" / "model.tflite"


def command(monkeypatch, folder, *arguments) -> dict:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["cost", "--out", str(folder / "out"), *map(str, arguments)])
    cost_report.main()
    return json.loads((folder / "out" / "summary.json").read_text())


def test_a_bill_by_layer_with_a_chart(tmp_path, monkeypatch, capsys):
    summary = command(monkeypatch, tmp_path, "--model", COMMITTED, "--rate", "1", "--battery", "1000mAh@3V")
    price = cost(read_tflite(COMMITTED.read_bytes()), load_board("nano33ble"))
    assert summary["cycles"] == round(price.whole.cycles) == pytest.approx(
        sum(layer["cycles"] for layer in summary["layers"]), abs=len(summary["layers"]))
    assert 0 <= summary["arena_bytes"] - max(layer["arena_bytes"] for layer in summary["layers"]) < 32  # alignment
    assert summary["core_share"] == pytest.approx(
        (50 * summary["cycles_per_frame"] + summary["cycles"]) / 64e6, rel=1e-3)
    assert summary["battery_days"] == pytest.approx(3e6 / summary["average_power_uw"] / 24, rel=1e-3)
    assert (tmp_path / "out" / "cost.png").read_bytes().startswith(b"\x89PNG")
    nano, out = load_board("nano33ble"), capsys.readouterr().out
    assert "4:CONV_2D" in out
    assert "1 inferences a second" in out
    assert summary["cycles_source"].startswith("Arm DDI")
    assert summary["pj_per_cycle_source"] == nano.power.pj_per_cycle_source
    for line in (f"cycles: {summary['cycles_source']}", f"pJ a cycle: {nano.power.pj_per_cycle_source}",
                 f"asleep: {nano.power.sleep_uw_source}", f"capture: {nano.power.capture_uw_source}"):
        assert line in out.splitlines()


def test_stated_cycles_are_marked_and_without_power_asleep_no_days_are_promised(tmp_path, monkeypatch, capsys):
    summary = command(monkeypatch, tmp_path, "--model", COMMITTED, "--board", "mps2-an500", "--rate", "1")
    assert summary["cycles_source"].startswith("stated")
    assert summary["core_share"] < 1
    assert not {"average_power_uw", "battery", "battery_days"} & set(summary)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("cycles: stated") for line in lines)
    assert any(line.endswith("asleep unmeasured, so no battery days") for line in lines)


def test_what_does_not_keep_up_promises_no_days(tmp_path, monkeypatch):
    summary = command(monkeypatch, tmp_path, "--model", COMMITTED, "--rate", "50")
    assert summary["core_share"] > 1
    assert summary["average_power_uw"] > 0
    assert not {"battery", "battery_days"} & set(summary)


def test_a_net_without_our_features_has_no_duty_cycle(tmp_path, monkeypatch):
    (tmp_path / "eye.tflite").write_bytes(Chain((1, 33, 7, 3)).conv(5, (3, 3), (2, 2)).mean().dense(3).content())
    summary = command(monkeypatch, tmp_path, "--model", tmp_path / "eye.tflite", "--board", "mps2-an500")
    assert summary["core"] == "cortex-m7"
    assert not {"core_share", "battery_days", "cycles_per_frame"} & set(summary)


def test_a_net_of_reshape_alone_has_a_bill(tmp_path, monkeypatch, capsys):
    (tmp_path / "flat.tflite").write_bytes(Chain((1, 4, 6)).reshape((1, 24)).content())
    summary = command(monkeypatch, tmp_path, "--model", tmp_path / "flat.tflite")
    assert summary["layers"] == []
    assert summary["macs"] == 0 < summary["flash_bytes"]
    assert "firmware, kernels" in capsys.readouterr().out


def test_the_arena_is_the_layers_and_all_of_it_is_predicted():
    price = cost(read_tflite(COMMITTED.read_bytes()), load_board("nano33ble"))
    head, *layers, firmware, whole = cost_report.layer_table(price).splitlines()
    assert head.startswith("predicted")
    assert whole.endswith(f"{price.whole.arena_bytes:,}")
    assert firmware.endswith(f" {price.firmware.flash_bytes:,}")
    assert all(f"{layer.cost.arena_bytes:,}" in line for layer, line in zip(price.layers, layers, strict=True))


def test_what_does_not_fit_is_said(tmp_path, monkeypatch, capsys):
    chain = Chain((1, 96, 96, 3)).conv(64, (1, 1)).mean().dense(3)
    (tmp_path / "wide.tflite").write_bytes(chain.content())
    command(monkeypatch, tmp_path, "--model", tmp_path / "wide.tflite")
    flash, ram = (line for line in capsys.readouterr().out.splitlines() if line.startswith(("flash", "RAM")))
    assert flash.endswith("%)")
    assert ram.endswith("%): does not fit")


@pytest.mark.parametrize(("arguments", "error"), [
    (("--rate", "0"), "RATE=0: allowed are 1 to 50"), (("--battery", "big"), "BATTERY=big: allowed are cr2032"),
    (("--board", "toaster"), "BOARD=toaster: no such board"),
    (("--kernels", "best"), "KERNELS=best: allowed: portable")])
def test_a_wrong_word_is_one_line(arguments, error, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=error):
        command(monkeypatch, tmp_path, "--model", COMMITTED, *arguments)
