"""Budgets as they are typed, and what is refused."""

from math import inf

import pytest

from datasets.console import UserError
from export.boards import load_board
from export.budget import BUDGETS, Limits, board_limits, parse_budget
from export.cost import Cost


@pytest.mark.parametrize(("text", "limits"), [
    ("small", Limits(operations=6e6, memory_bytes=80e3)),
    ("ops<=2M mem<=40k", Limits(operations=2e6, memory_bytes=40e3)),
    ("  MS<=100   uj<=.5 ", Limits(latency_ms=100, energy_uj=0.5)),
    ("ms<=100ms uj<=8e2uJ", Limits(latency_ms=100, energy_uj=800)),
    ("ms<=100 uj<=800 ram<=32k flash<=64k", Limits(latency_ms=100, energy_uj=800, ram_bytes=32e3, flash_bytes=64e3)),
    ("cycles<=2e6 flash<=1.5m ram<=900", Limits(cycles=2e6, flash_bytes=1.5e6, ram_bytes=900)),
    ("ram<=32KiB flash<=64kB mem<=1Mi", Limits(ram_bytes=32 * 1024, flash_bytes=64e3, memory_bytes=1 << 20)),
    ("small ms<=50 mem<=90k", Limits(operations=6e6, memory_bytes=80e3, latency_ms=50)),
    ("board", Limits()), ("board instructions<=1M", Limits(instructions=1e6)), ("macs<=3M", Limits(macs=3e6))])
def test_budgets(text, limits):
    assert parse_budget(text) == limits


@pytest.mark.parametrize("part", [
    "ops<=k", "ops<=", "ops=5", "ops<5", "<=5", "speed<=5", "ops<=0", "ops<=-1", "ops<=nan", "ops<=inf", "ops<=1e999",
    "ops<=1_000", "ops<=٣", "tiny", "ops<=5M,"])
def test_wrong_budgets_name_the_part(part):
    with pytest.raises(UserError, match="is not understood; allowed: small, medium, large, board, or limits") as error:
        parse_budget(f"mem<=40k {part}")
    assert repr(part) in str(error.value)


@pytest.mark.parametrize(("part", "unit"), [
    ("ops<=5mk", "mk"), ("ops<=5kk", "kk"), ("ms<=1s", "s"), ("uj<=2mj", "mj"), ("ops<=5kb", "kb"), ("ram<=3w", "w"),
    ("ms<=100uj", "uj"), ("ops<=5ops", "ops"),
    *((f"{name}<=1{unit}", unit) for name in ("ms", "uj") for unit in ("k", "m", "ki", "mi", "b", f"k{name}"))])
def test_an_unknown_unit_is_named_with_those_there_are(part, unit):
    name = part.partition("<")[0]
    with pytest.raises(UserError, match=f"'{part}' has the unit '{unit}'; allowed behind {name}: none"):
        parse_budget(part)


def test_what_may_stand_behind_a_time_is_its_own_unit():
    with pytest.raises(UserError, match="behind ms: none, ms$"):
        parse_budget("ms<=100m")


def test_blanks_inside_a_limit_are_explained():
    with pytest.raises(UserError, match="separated by spaces and without blanks inside: ms<=100, not ms <= 100$"):
        parse_budget("ms <= 100")


@pytest.mark.parametrize(("text", "both"), [
    ("small large", "small and large"), ("ms<=100 uj<=1 ms<=50", "ms<=100 and ms<=50"),
    ("ram<=32k ram<=32k", "ram<=32k and ram<=32k")])
def test_contradictory_limits_are_refused(text, both):
    with pytest.raises(UserError, match=f"{both} contradict each other; allowed: one of small, medium, large, board"):
        parse_budget(text)


def test_an_empty_budget_is_refused():
    with pytest.raises(UserError, match="BUDGET=' '"):
        parse_budget(" ")


def test_limits_name_what_breaks_them():
    price = Cost(operations=10, model_bytes=3, activation_bytes=4, arena_bytes=16, buffer_bytes=5, stack_bytes=7)
    assert Limits(operations=10, memory_bytes=7, ram_bytes=28).broken_by(price) == ()
    assert Limits(operations=9, memory_bytes=6).broken_by(price) == ("operations", "memory_bytes")
    assert Limits(ram_bytes=27).broken_by(price) == ("ram_bytes",)
    tight = Limits(operations=9).tightened(Limits(operations=5, ram_bytes=2))
    assert (tight.operations, tight.ram_bytes, tight.cycles) == (5, 2, inf)
    assert str(tight) == "operations<=5 ram_bytes<=2"


def test_every_limit_is_a_quantity_that_a_price_has():
    assert all(hasattr(Cost(), name) for name in vars(Limits()))
    assert BUDGETS["board"] == Limits()


def test_a_board_limits_by_its_memory():
    assert board_limits(load_board("nano33ble")) == Limits(flash_bytes=0xF0000, ram_bytes=0x40000)
