/* A real FFT of 512 points through a complex one of 256 (radix 4, decimation in time), in 32 bits.
 *
 * No block floating point is needed: |spectrum| <= 32768 * sum(window) = 2^22.91, so KWS_SPECTRUM_BITS = 7 fraction
 * bits fit under 2^30 at every stage, and rounding noise stays near 0.05 where the code floor lies at 16.
 * Every shift of a negative number is arithmetic, as on all compilers for these cores.
 */
#include "kws_features.h"

#include <string.h>

enum { HALF = KWS_FFT_LENGTH / 2, QUARTER = HALF / 4 };

/* ------------------------------------------------------------------ the stream of samples */

void kws_features_init(kws_features *state) { memset(state, 0, sizeof *state); }

size_t kws_features_push(kws_features *state, const int16_t *samples, size_t count) {
    const size_t room = KWS_FRAME_LENGTH - state->filled;
    const size_t taken = count < room ? count : room;
    memcpy(state->samples + state->filled, samples, taken * sizeof *samples);
    state->filled += taken;
    return taken;
}

bool kws_features_ready(const kws_features *state) { return state->filled == KWS_FRAME_LENGTH; }

static void drop_hop(kws_features *state) {
    state->filled -= KWS_HOP_LENGTH;
    memmove(state->samples, state->samples + KWS_HOP_LENGTH, state->filled * sizeof *state->samples);
}

/* ------------------------------------------------------------------ window and FFT */

/* High word of a * b: with b in Q31 it is half the product. */
static inline int32_t high(int32_t a, int32_t b) { return (int32_t)((0x80000000LL + (int64_t)a * b) >> 32); }

/* High word of a * b + c * d. */
static inline int32_t high2(int32_t a, int32_t b, int32_t c, int32_t d) {
    return (int32_t)((0x80000000LL + (int64_t)a * b + (int64_t)c * d) >> 32);
}

/* z[0..3] complex -> their discrete Fourier transform, stored `step` words apart; b, c, d come halved. */
static inline void butterfly(int32_t *z, ptrdiff_t step, int32_t ar, int32_t ai, int32_t br, int32_t bi,
                             int32_t cr, int32_t ci, int32_t dr, int32_t di) {
    const int32_t acr = ar + 2 * cr, aci = ai + 2 * ci, amr = ar - 2 * cr, ami = ai - 2 * ci;
    const int32_t bdr = br + dr, bdi = bi + di, bmr = br - dr, bmi = bi - di;
    z[0] = acr + 2 * bdr;
    z[1] = aci + 2 * bdi;
    z[step] = amr + 2 * bmi;
    z[step + 1] = ami - 2 * bmr;
    z[2 * step] = acr - 2 * bdr;
    z[2 * step + 1] = aci - 2 * bdi;
    z[3 * step] = amr - 2 * bmi;
    z[3 * step + 1] = ami + 2 * bmr;
}

/* A sample times its window, in spectrum units (KWS_SPECTRUM_BITS fraction bits); `half` the same, halved. */
static inline int32_t windowed(const int16_t *samples, size_t i) { return high(samples[i] * 65536, kws_window[i]); }
static inline int32_t half(const int16_t *samples, size_t i) { return high(samples[i] * 32768, kws_window[i]); }

/* Samples in pairs as complex numbers, windowed, through the first stage (no twiddles), in digit-reversed order. */
static void first_stage(const int16_t *samples, int32_t *z) {
    for (size_t p = 0; p < QUARTER; p++, z += 8) {
        const size_t i = 2 * ((p & 3) << 4 | (p & 12) | p >> 4); /* digits of base 4 reversed */
        const size_t j = i + HALF / 2, k = i + HALF, l = i + HALF + HALF / 2;
        butterfly(z, 2, windowed(samples, i), windowed(samples, i + 1),
                  half(samples, j), half(samples, j + 1), half(samples, k), half(samples, k + 1),
                  half(samples, l), half(samples, l + 1));
    }
}

/* Joins each four blocks of `size` complex values into one. A constant size makes its offsets constants: a tenth fewer
 * instructions a frame. */
static inline __attribute__((always_inline)) void stage(int32_t *z, size_t size) {
    const int32_t *w = kws_twiddle;
    const ptrdiff_t step = 2 * (ptrdiff_t)size;
    for (size_t j = 0; j < size; j++, w += 6 * (QUARTER / size)) {
        for (int32_t *b = z + 2 * j; b < z + 2 * HALF; b += 4 * step) {
            const int32_t *x = b + step, *y = x + step, *u = y + step;
            butterfly(b, step, b[0], b[1],
                      high2(x[0], w[0], x[1], w[1]), high2(x[1], w[0], -x[0], w[1]),
                      high2(y[0], w[2], y[1], w[3]), high2(y[1], w[2], -y[0], w[3]),
                      high2(u[0], w[4], u[1], w[5]), high2(u[1], w[4], -u[0], w[5]));
        }
    }
}

/* ------------------------------------------------------------------ power, mel, code */

/* Power of bin k of the 512-point spectrum of real samples, from the 256-point one of their pairs. */
static inline uint64_t power_of_bin(const int32_t *z, size_t k) {
    const int32_t *p = z + 2 * k, *q = z + 2 * (HALF - k), *w = kws_split + 2 * k;
    const int32_t br = p[0] - q[0], bi = p[1] + q[1];
    const int32_t re = ((p[0] + q[0]) >> 1) + high2(bi, w[0], -br, w[1]);
    const int32_t im = ((p[1] - q[1]) >> 1) - high2(bi, w[1], br, w[0]);
    return (uint64_t)((int64_t)re * re + (int64_t)im * im);
}

/* Power times a weight in Q32. */
static inline uint64_t weighted(uint64_t power, uint32_t weight) {
    return (power >> 32) * weight + (((power & UINT32_MAX) * weight) >> 32);
}

/* round(CODE_GAIN * 0.5 ln(ENERGY_GAIN E + ENERGY_FLOOR) - CODE_OFFSET) in 0..255, by table and interpolation. */
static uint8_t code_of_power(uint64_t power) {
    const uint64_t y = power + KWS_POWER_FLOOR;
    const int32_t exponent = 63 - __builtin_clzll(y);
    const uint32_t mantissa = (uint32_t)((y << (63 - exponent)) >> 32); /* top bit set */
    const uint32_t rest = mantissa & ((1u << (31 - KWS_LOG_BITS)) - 1);
    const int32_t *entry = kws_log_table + ((mantissa >> (31 - KWS_LOG_BITS)) - (1u << KWS_LOG_BITS));
    const int32_t between = (int32_t)(((uint64_t)(uint32_t)(entry[1] - entry[0]) * rest) >> (31 - KWS_LOG_BITS));
    const int32_t code = (exponent * KWS_LOG_OCTAVE + entry[0] + between + (1 << (KWS_LOG_SCALE_BITS - 1)))
                         >> KWS_LOG_SCALE_BITS;
    return (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
}

/* Between two centres one triangle falls as the next one rises, and the two weights sum to one: each bin needs one
 * product. Segment s rises to the centre of filter s. */
static void mel_codes(const int32_t *z, uint8_t *codes) {
    uint64_t risen = 0;
    size_t k = KWS_FIRST_BIN;
    for (size_t s = 0; s <= KWS_N_MELS; s++) {
        uint64_t all = 0, rising = 0;
        for (; k < kws_segment_end[s]; k++) {
            const uint64_t power = power_of_bin(z, k);
            all += power;
            rising += weighted(power, kws_rising[k]);
        }
        if (s > 0) codes[s - 1] = code_of_power(risen + (all - rising));
        risen = rising;
    }
}

void kws_features_frame(kws_features *state, uint8_t codes[KWS_N_MELS]) {
    first_stage(state->samples, state->spectrum);
    stage(state->spectrum, 4);
    stage(state->spectrum, 16);
    stage(state->spectrum, 64);
    mel_codes(state->spectrum, codes);
    drop_hop(state);
}

/* ------------------------------------------------------------------ MFCC */

void kws_mfcc_row(const kws_mfcc *quantizer, const uint8_t codes[KWS_N_MELS], int8_t *mfcc) {
    const int32_t *row = quantizer->table;
    for (int32_t k = 0; k < quantizer->n_coefficients; k++, row += KWS_N_MELS) {
        int32_t sum = 1 << (quantizer->shift - 1);
        for (size_t m = 0; m < KWS_N_MELS; m++) sum += row[m] * codes[m];
        const int32_t q = (sum >> quantizer->shift) + quantizer->zero_point;
        mfcc[k] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
    }
}
