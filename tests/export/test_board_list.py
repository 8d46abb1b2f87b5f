"""make boards: every board is listed, and what fits it is what export.cost says."""

import json
import sys
from dataclasses import replace
from math import ceil

import pytest

from datasets.console import UserError
from export.board_list import (
    COMMITTED,
    HELLO_EDGE,
    NOTE,
    Fit,
    board_summary,
    board_table,
    fit,
    fit_summary,
    fit_table,
    main,
    nets_of,
)
from export.boards import board_names, load_board
from export.cost import cost
from export.shape import NetShape

NANO = load_board("nano33ble")
SMALL = NetShape((8, 8), 10)


def with_memory(kind: str, length: int):
    regions = tuple(replace(region, length=length) if region.kind == kind else region for region in NANO.regions)
    return replace(NANO, regions=regions)


def test_memory_is_what_is_left_for_us():
    line = next(line for line in board_table([NANO]).splitlines() if line.startswith("nano33ble"))
    assert line.split()[1:6] == ["m4", "64", "960", "256", "pdm"]
    assert line.endswith(NANO.title)


def test_a_net_that_fits_and_keeps_up():
    price = cost(SMALL, NANO, "portable")
    found = fit(NANO, "small", SMALL, "portable")
    assert found.price == price
    flash, ram = ceil(100 * price.whole.flash_bytes / 0xF0000), ceil(100 * price.whole.ram_bytes / 0x40000)
    assert str(found) == f"{price.whole.latency_ms:.0f} ms, {flash}/{ram} %"
    assert fit_summary(found)["fits"]
    assert fit_summary(found)["keeps_up"]
    assert found.duty.cycles_per_s == 50 * price.frame.cycles + price.whole.cycles


@pytest.mark.parametrize(("kind", "short"), [("flash", "flash"), ("ram", "RAM")])
def test_what_is_lacking_is_named_to_the_byte(kind, short):
    needed = getattr(cost(SMALL, NANO, "portable").whole, f"{kind}_bytes")
    assert not fit(with_memory(kind, needed), "small", SMALL, "portable").lacking
    found = fit(with_memory(kind, needed - 1), "small", SMALL, "portable")
    assert found.lacking == (f"{kind}_bytes",)
    assert str(found) == f"no: {short} 101 %"
    assert not fit_summary(found)["fits"]


def test_a_net_slower_than_once_a_second_is_marked():
    enough_hz = ceil(fit(NANO, "small", SMALL, "portable").duty.cycles_per_s)
    assert str(fit(replace(NANO, clock_hz=enough_hz), "small", SMALL, "portable")).endswith("%")
    slow = fit(replace(NANO, clock_hz=enough_hz - 1), "small", SMALL, "portable")
    assert str(slow).endswith("% *")
    assert not fit_summary(slow)["keeps_up"]


def test_stated_cycles_are_marked():
    an500 = load_board("mps2-an500")
    found = fit(an500, "small", SMALL, "portable")
    assert str(found).startswith(f"~{found.price.whole.latency_ms:.0f} ms")
    assert "~: of stated cycles" in fit_table([[found]])
    row = board_summary([found], "portable")
    assert row["cycles_source"].startswith("stated")
    assert (row["sleep_uw"], row["pj_per_cycle_source"]) == (None, an500.power.pj_per_cycle_source)
    assert board_summary([fit(NANO, "small", SMALL, "portable")], "portable")["cycles_source"].startswith("Arm DDI")


def test_a_core_that_nobody_calibrated_is_unknown():
    found = fit(replace(NANO, core="cortex-m23"), "small", SMALL, "portable")
    assert str(found) == "unknown"
    assert "m23" in found.unpriced
    assert fit_summary(found) == {"net": "small", "fits": None, "unknown": found.unpriced}
    assert "unknown" in fit_table([[found]])


def test_nets_that_are_listed():
    assert [net.widths for net in HELLO_EDGE.values()] == [(64,) * 5, (172,) * 5, (276,) * 6]
    assert list(nets_of(None, None)) == ["small-energy-aware", "DS-CNN-S", "DS-CNN-M", "DS-CNN-L"]
    assert list(nets_of(None, COMMITTED)) == ["model"]
    with pytest.raises(UserError, match="name one of the two"):
        nets_of("a", COMMITTED)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["board_list", "--model", str(COMMITTED)])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "summary: build/boards/summary.json"
    assert NOTE not in lines
    assert all(sum(line.startswith(f"{name} ") for line in lines) == 2 for name in board_names())
    summary = json.loads((tmp_path / "build/boards/summary.json").read_text())
    assert [row["board"] for row in summary["table"]] == list(board_names())
    assert all(row["costs_hash"] and row["nets"][0]["fits"] for row in summary["table"])


def test_a_fit_tells_its_net():
    fits = [Fit(NANO, "one", cost(SMALL, NANO, "portable")), Fit(NANO, "two", None, "why")]
    assert fit_table([fits]).split("\n")[0].split() == [
        "what", "fits", "one", "two"]
