"""Scales to integers: against exact rational arithmetic and real functions."""

import re
from fractions import Fraction
from math import exp, floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.arithmetic import (
    activation_range,
    channel_multipliers,
    dense_multiplier,
    high_multiply,
    quantize_multiplier,
    rounding_shift,
    same_padding,
    softmax_exponentials,
    softmax_parameters,
    window_count,
)


@given(st.floats(1e-9, 1e3))
def test_multiplier_is_the_real_to_31_bits(real):
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert abs(Fraction(multiplier, 2**31) * Fraction(2) ** shift / Fraction(real) - 1) <= Fraction(1, 2**31)


def test_multiplier_at_the_ends():
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(1e-12) == (0, 0)
    assert quantize_multiplier(1 - 2.0**-40) == (2**30, 1)


def test_channels_take_double_scales_and_dense_float32():
    """0.1f * 0.1f rounds differently in float32 and in double."""
    scale = np.float32(0.1)
    multipliers, shifts = channel_multipliers(scale, np.array([scale, scale]), np.float32(1), 2)
    exact = quantize_multiplier(float(scale) * float(scale))
    assert list(zip(multipliers, shifts, strict=True)) == [exact, exact]
    assert dense_multiplier(scale, scale, np.float32(1)) == quantize_multiplier(float(scale * scale)) != exact


@given(st.integers(-2**31, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_high_multiply_rounds_halves_up(a, b):
    assert high_multiply(a, b) == floor(Fraction(a * b, 2**31) + Fraction(1, 2))


@given(st.integers(-2**31, 2**31 - 1), st.integers(0, 31))
def test_rounding_shift_rounds_halves_away_from_zero(value, exponent):
    exact = abs(Fraction(value, 2**exponent)) + Fraction(1, 2)
    assert rounding_shift(value, exponent) == (1 if value >= 0 else -1) * floor(exact)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 5), st.integers(1, 3))
def test_same_padding_keeps_ceil_of_size_by_stride(size, kernel, stride, dilation):
    before, after = same_padding(size, kernel, stride, dilation)
    assert dilation > 1 or same_padding(size, kernel, stride) == (before, after)
    assert after - before in (0, 1)
    if before + after:
        assert window_count(size, kernel, stride, dilation, (before, after)) == -(-size // stride)


@pytest.mark.parametrize(("activation", "limits"), [
    ("NONE", (-128, 127)), ("RELU", (-28, 127)), ("RELU6", (-28, 32)), ("RELU_N1_TO_1", (-38, -18))])
def test_activation_range(activation, limits):
    assert activation_range(activation, np.float32(0.1), -28) == limits


def test_activation_range_stays_in_int8():
    assert activation_range("RELU6", np.float32(0.01), -128) == (-128, 127)


@pytest.mark.parametrize("scale", [1e-4, 0.004, 0.05, 0.4, 3.0])
def test_softmax_exponentials_are_exp(scale):
    parameters = softmax_parameters(np.float32(scale), 1.0)
    table = softmax_exponentials(parameters)
    exact = np.array([exp(-scale * i) for i in range(256)])
    kept = np.arange(256) <= -parameters.diff_min
    np.testing.assert_allclose(table[kept] / 2**31, exact[kept], atol=3e-7)
    assert (table[~kept] == 0).all()
    assert (exact[~kept] < 1e-10).all()


def test_softmaxs_numbers_in_c_are_their_formulas():
    """kws_softmax_s8.c has its constants typed out; here they are computed."""
    text = (Path(__file__).resolve().parents[2] / "firmware" / "kernels" / "kws_softmax_s8.c").read_text()
    numbers = {name: int(value) for name, value in re.findall(r"#define (\w+) \(?(-?\d+)\)?", text)}
    rounded = {"ONE_THIRD": 2**31 / 3, "EXP_MINUS_EIGHTH": 2**31 * exp(-1 / 8), "FORTY_EIGHT_17THS": 2**29 * 48 / 17,
               "THIRTY_TWO_17THS": -(2**29) * 32 / 17}
    assert numbers == {name: round(value) for name, value in rounded.items()}
    powers = re.search(r"exp_of_power\[\] = \{(.*)\}", text)[1]
    assert [int(number) for number in powers.split(",")] == [round(2**31 * exp(-(2.0**k))) for k in range(-2, 5)]
