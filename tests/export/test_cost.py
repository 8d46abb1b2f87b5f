"""The price of a net: Hello Edge's published figures, parts that add up, budgets as they are typed."""

from dataclasses import astuple, fields
from math import inf

import pytest

from datasets.console import UserError
from export.boards import load_board
from export.cost import BUDGETS, Cost, Limits, cost, hello_edge_memory, layer_cost, parse_budget
from export.shape import NetShape

NANO = load_board("nano33ble")
SUMS = [field.name for field in fields(Cost) if field.name != "ram_bytes"]


def test_ds_cnn_s_costs_what_hello_edge_says():
    """arXiv 1711.07128: 38.6 kB, 5.4 M operations. The paper counts a bias's addition too; DESIGN does not."""
    shape = NetShape((64,) * 5, 10, 12)
    price = cost(shape, NANO)
    assert round(price.memory_bytes / 1e3, 1) == 38.6
    assert price.operations == 2 * price.macs == 2 * 2_656_768  # MLPerf Tiny's count of the same net
    additions = sum(layer.positions * layer.channels for layer in shape.layers())
    assert round((price.operations + additions) / 1e6, 1) == 5.4
    assert BUDGETS["small"].broken_by(price) == ()


def test_memory_is_written_once():
    price = cost(NetShape((8, 4), 20, 5), NANO)
    assert price.memory_bytes == hello_edge_memory(price.model_bytes, price.ram_bytes) > price.model_bytes


def test_parts_add_up_and_activations_are_shared():
    """first 2 x 2 path layers by hand: a net is the sum of its layers, its RAM the largest pair."""
    shape = NetShape((8, 4), 10, 3)
    parts, whole = [layer_cost(layer, NANO) for layer in shape.layers()], cost(shape, NANO)
    for name in SUMS:
        assert getattr(whole, name) == pytest.approx(sum(getattr(part, name) for part in parts)), name
    assert whole.ram_bytes == max(part.ram_bytes for part in parts) == 2 * 125 * 8
    assert whole.macs == 125 * (8 * 40 + 8 * 9 + 8 * 4) + 4 * 3
    assert whole.model_bytes == (8 * 40 + 8) + (8 * 9 + 8) + (8 * 4 + 4) + (4 * 3 + 3)
    assert whole.flash_bytes == whole.model_bytes + 11 * (8 + 8 + 4 + 3)
    assert whole + Cost() == Cost() + whole == whole


def test_a_wider_net_costs_more_of_everything():
    prices = [astuple(cost(NetShape((width,) * 3, 20, 12), NANO)) for width in (8, 12, 16)]
    for narrow, wide in zip(prices, prices[1:], strict=False):
        assert all(a < b for a, b in zip(narrow, wide, strict=True))


def test_time_and_energy_are_the_boards():
    price = cost(NetShape((8, 8), 10, 12), NANO)
    assert price.latency_ms == pytest.approx(price.cycles / 64e6 * 1e3)
    assert price.energy_uj == pytest.approx(price.cycles * NANO.pj_per_cycle * 1e-6)


@pytest.mark.parametrize(("text", "limits"), [
    ("small", Limits(operations=6e6, memory_bytes=80e3)),
    ("ops<=2M mem<=40k", Limits(operations=2e6, memory_bytes=40e3)),
    ("  MS<=100   uj<=.5 ", Limits(latency_ms=100, energy_uj=0.5)),
    ("cycles<=2e6 flash<=1.5m ram<=900", Limits(cycles=2e6, flash_bytes=1.5e6, ram_bytes=900))])
def test_budgets(text, limits):
    assert parse_budget(text) == limits


@pytest.mark.parametrize("part", [
    "ops<=5mk", "ops<=5km", "ops<=5kk", "ops<=k", "ops<=", "ops=5", "ops<5", "<=5", "speed<=5", "ops<=0", "ops<=-1",
    "ops<=nan", "ops<=inf", "ops<=1e999", "ops<=1_000", "ops<=٣", "tiny", "ops<=5M,"])
def test_wrong_budgets_name_the_part(part):
    with pytest.raises(UserError, match="is not understood; allowed: small, medium, large, or limits") as error:
        parse_budget(f"mem<=40k {part}")
    assert repr(part) in str(error.value)


def test_an_empty_budget_is_refused():
    with pytest.raises(UserError, match="BUDGET=' '"):
        parse_budget(" ")


def test_limits_name_what_breaks_them():
    price = Cost(operations=10, model_bytes=3, ram_bytes=4)
    assert Limits(operations=10, memory_bytes=7).broken_by(price) == ()
    assert Limits(operations=9, memory_bytes=6).broken_by(price) == ("operations", "memory_bytes")
    tight = Limits(operations=9).tightened(Limits(operations=5, ram_bytes=2))
    assert (tight.operations, tight.ram_bytes, tight.cycles) == (5, 2, inf)
