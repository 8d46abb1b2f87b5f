/* Fixed-point softmax: the numbers and roundings of gemmlowp's fixedpoint.h, which TFLite Micro uses.
 * Qm.n below: m integer bits, n = 31 - m fraction bits. */
#include "kws_nn_functions.h"
#include "kws_requantize.h"

enum {
    DIFFERENCE_FRACTION_BITS = 26, /* Q5.26 */
    SUM_INTEGER_BITS = 12,         /* Q12.19 */
    QUARTER = 1 << (DIFFERENCE_FRACTION_BITS - 2),
};

#define ONE_THIRD 715827883            /* 1/3, Q0.31 */
#define EXP_MINUS_EIGHTH 1895147668    /* exp(-1/8), Q0.31 */
#define FORTY_EIGHT_17THS 1515870810   /* 48/17, Q2.29 */
#define THIRTY_TWO_17THS (-1010580540) /* -32/17, Q2.29 */

/* exp(-2^k), k = -2..4, Q0.31 */
static const int32_t exp_of_power[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};

/* value * 2^exponent, saturated. */
static int32_t saturating_shift_left(int32_t value, int32_t exponent) {
    const int64_t wide = (int64_t)value * ((int64_t)1 << exponent);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* exp(x), x Q0.31 in [-1/4, 0), result Q0.31: Taylor's series to the fourth power about -1/8. */
static int32_t exp_near_zero(int32_t x) {
    const int32_t d = x + (1 << 28);
    const int32_t d2 = kws_high_multiply(d, d), d3 = kws_high_multiply(d2, d), d4 = kws_high_multiply(d2, d2);
    const int32_t third = kws_high_multiply(kws_rounding_shift(d4, 2) + d3, ONE_THIRD);
    const int32_t tail = kws_rounding_shift(third + d2, 1);
    return EXP_MINUS_EIGHTH + kws_high_multiply(d + tail, EXP_MINUS_EIGHTH);
}

/* exp(x), x Q5.26 <= 0, result Q0.31: the remainder modulo 1/4, then a factor for each bit above. */
static int32_t exp_of_negative(int32_t x) {
    if (x == 0) {
        return INT32_MAX;
    }
    const int32_t remainder = (x & (QUARTER - 1)) - QUARTER;
    const int32_t quarters = remainder - x;
    int32_t result = exp_near_zero(remainder * 32);
    for (int32_t bit = 0; bit < 7; bit++) {
        if (quarters & (QUARTER << bit)) {
            result = kws_high_multiply(result, exp_of_power[bit]);
        }
    }
    return result;
}

/* 1 / (1 + x), x Q0.31 in [0, 1), result Q0.31: three steps of Newton and Raphson. */
static int32_t reciprocal_above_one(int32_t x) {
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t y = FORTY_EIGHT_17THS + kws_high_multiply(half_denominator, THIRTY_TWO_17THS);
    for (int step = 0; step < 3; step++) {
        const int32_t error = (1 << 29) - kws_high_multiply(half_denominator, y);
        y += saturating_shift_left(kws_high_multiply(y, error), 2);
    }
    return saturating_shift_left(y, 1);
}

static int32_t leading_zeros(uint32_t value) {
    int32_t zeros = 0;
    for (; !(value & 0x80000000U); value <<= 1) {
        zeros++;
    }
    return zeros;
}

static int32_t exp_of_difference(int32_t difference, int32_t mult, int32_t shift) {
    return exp_of_negative(kws_high_multiply(kws_shift_left(difference, shift), mult));
}

static void softmax_row(const int8_t *input, int32_t size, int32_t mult, int32_t shift, int32_t diff_min,
                        int8_t *output) {
    int32_t largest = input[0], sum = 0;
    for (int32_t i = 1; i < size; i++) {
        largest = kws_max(largest, input[i]);
    }
    for (int32_t i = 0; i < size; i++) {
        if (input[i] - largest >= diff_min) {
            sum += kws_rounding_shift(exp_of_difference(input[i] - largest, mult, shift), SUM_INTEGER_BITS);
        }
    }
    const int32_t headroom = leading_zeros((uint32_t)sum); /* sum = 2^(12 - headroom) (1 + x) */
    const int32_t scale = reciprocal_above_one((int32_t)(((uint32_t)sum << headroom) - 0x80000000U));
    const int32_t exponent = SUM_INTEGER_BITS - headroom + 31 - 8;
    for (int32_t i = 0; i < size; i++) {
        int32_t probability = 0;
        if (input[i] - largest >= diff_min) {
            const int32_t e = exp_of_difference(input[i] - largest, mult, shift);
            probability = kws_rounding_shift(kws_high_multiply(scale, e), exponent);
        }
        output[i] = (int8_t)kws_min(probability - 128, 127);
    }
}

void kws_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size, int32_t mult, int32_t shift,
                    int32_t diff_min, int8_t *output) {
    for (int32_t row = 0; row < num_rows; row++) {
        softmax_row(input, row_size, mult, shift, diff_min, output);
        input += row_size;
        output += row_size;
    }
}
