"""Duty cycles against sums done by hand, their limits, and what RATE and BATTERY may be."""

from dataclasses import replace

import pytest

from datasets.console import UserError
from export.boards import load_board
from export.duty import BATTERIES, FRAMES_PER_S, Battery, DutyCycle, parse_battery, parse_rate

NANO = load_board("nano33ble")
BOARD = replace(NANO, clock_hz=100_000_000,
                power=replace(NANO.power, pj_per_cycle=200.0, sleep_uw=1000.0, capture_uw=2000.0, microphone_uw=500.0))
UNMEASURED = replace(BOARD, power=replace(BOARD.power, sleep_uw=None))


def test_by_hand():
    duty = DutyCycle(BOARD, cycles_per_frame=100_000, cycles_per_inference=10_000_000, inferences_per_s=2)
    assert FRAMES_PER_S == 50  # 20 ms each
    assert duty.cycles_per_s == 50 * 100_000 + 2 * 10_000_000 == 25_000_000
    assert duty.share == 0.25
    assert duty.keeps_up
    assert duty.awake_uw == pytest.approx(5000)  # a quarter of 100 MHz x 200 pJ = 20 mW
    assert duty.asleep_uw == pytest.approx(750)
    assert duty.average_power_uw == pytest.approx(8250)  # capture and microphone all the time
    # 100 mAh x 3 V = 0.3 Wh = 1080 J; / 8.25 mW = 130,909 s
    assert Battery("mine", 100, 3, "").energy_j == pytest.approx(1080)
    assert duty.battery_days(Battery("mine", 100, 3, "")) == pytest.approx(130_909 / 86_400, rel=1e-5)


def test_a_core_with_nothing_to_do_sleeps():
    duty = DutyCycle(BOARD, 0, 0, 1)
    assert (duty.share, duty.awake_uw, duty.asleep_uw, duty.average_power_uw) == (0, 0, 1000, 3500)


def test_frames_alone_cost_too():
    assert DutyCycle(BOARD, 100_000, 0, 1).share == pytest.approx(0.05)


def test_a_core_at_its_limit_never_sleeps():
    duty = DutyCycle(BOARD, 0, 100_000_000, 1)
    assert duty.keeps_up
    assert (duty.share, duty.asleep_uw, duty.average_power_uw) == (1, 0, 22_500)


def test_a_core_that_does_not_keep_up_says_so_and_draws_no_more_than_it_can():
    duty = DutyCycle(BOARD, 0, 300_000_000, 1)
    assert not duty.keeps_up
    assert duty.share == 3
    assert (duty.awake_uw, duty.asleep_uw, duty.average_power_uw) == (20_000, 0, 22_500)
    assert duty.battery_days(BATTERIES["cr2032"]) is None


def test_a_board_whose_sleep_is_unmeasured_has_no_battery_days():
    duty = DutyCycle(UNMEASURED, 100_000, 10_000_000, 2)
    assert duty.awake_uw == pytest.approx(5000)
    assert (duty.asleep_uw, duty.average_power_uw, duty.battery_days(BATTERIES["cr2032"])) == (None, None, None)
    assert duty.sentence(BATTERIES["cr2032"]) == (
        "2 inferences a second: 25.0 % of the core, awake 5.00 mW; asleep unmeasured, so no battery days")
    assert DutyCycle(UNMEASURED, 0, 300_000_000, 1).average_power_uw == 22_500  # it never sleeps


def test_a_board_that_draws_nothing_lasts_for_ever():
    silent = replace(BOARD, power=replace(BOARD.power, sleep_uw=0.0, capture_uw=0.0, microphone_uw=0.0))
    assert DutyCycle(silent, 0, 0, 1).battery_days(BATTERIES["cr2032"]) == float("inf")


def test_a_sentence_for_people():
    duty = DutyCycle(BOARD, 100_000, 10_000_000, 2)
    assert duty.sentence(Battery("mine", 100, 3, "")) == (
        "2 inferences a second: 25.0 % of the core, 8.25 mW on average (awake 5.00, asleep 0.75, capture 2.00, "
        "microphone 0.50); mine (100 mAh, 3 V): 1.5 days")
    assert duty.sentence(Battery("small", 100, 3, "", most_ma=2)).endswith(
        "small (100 mAh, 3 V): 1.5 days, but made for 2 mA, not 2.75")
    assert DutyCycle(BOARD, 0, 300_000_000, 1).sentence(BATTERIES["2xaa"]) == (
        "1 inferences a second: 300.0 % of the core: it does not keep up; 22.50 mW")


def test_sleeping_costs_less_than_working():
    idle, busy = (DutyCycle(NANO, 0, cycles, 1).average_power_uw for cycles in (0, NANO.clock_hz))
    assert 0 < NANO.power.microphone_uw + NANO.power.capture_uw < idle < busy
    assert busy - idle == pytest.approx(NANO.clock_hz * NANO.pj_per_cycle * 1e-6 - NANO.power.sleep_uw)


@pytest.mark.parametrize(("text", "rate"), [("1", 1), ("2.5", 2.5), ("50", 50)])
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "0.99", "50.1", "-1", "nan", "inf", "1e1", "often", "", "9" * 400, "١"])
def test_wrong_rates(text):
    with pytest.raises(UserError, match="^RATE=.*: allowed are 1 to 50 inferences a second$"):
        parse_rate(text)


def test_batteries_have_sources():
    assert set(BATTERIES) == {"cr2032", "2xaa", "lipo500"}
    assert all(len(battery.source.split()) > 2 for battery in BATTERIES.values())
    assert BATTERIES["lipo500"].energy_j / 3600 == pytest.approx(1.85)  # Wh; Adafruit says about 1.9


@pytest.mark.parametrize(("text", "mah", "volts"), [
    ("cr2032", 225, 3.0), ("CR2032", 225, 3.0), ("220mAh@3V", 220, 3.0), ("1.5mah@3.7v", 1.5, 3.7)])
def test_battery_by_name_or_figures(text, mah, volts):
    assert (parse_battery(text).mah, parse_battery(text).volts) == (mah, volts)
    assert str(parse_battery(text)).lower().startswith(f"{text.lower()} ({mah:g} mah, ")


@pytest.mark.parametrize("text", ["", "potato", "220", "220mAh", "3V", "0mAh@3V", "220mAh@0V", "220mAh@230V",
                                  "2000000mAh@3V", "nanmAh@3V", "-1mAh@3V", "9" * 400 + "mAh@3V"])
def test_wrong_batteries(text):
    with pytest.raises(UserError, match="^BATTERY=.*: allowed are cr2032, 2xaa, lipo500, or .* 220mAh@3V, 1 to 1000000"
                                        " mAh and 0.5 to 60 V$"):
        parse_battery(text)
