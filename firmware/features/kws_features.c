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

/* a * b. A core that multiplies no words to 64 bits has a function for it, of long numbers: twice the instructions. */
static inline int64_t product(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1 || defined(KWS_SHORT_PRODUCTS)
    const uint32_t low_a = a & 0xffff, low_b = b & 0xffff, low = low_a * low_b;
    const int32_t high_a = a >> 16, high_b = b >> 16;
    const int32_t middle = high_a * (int32_t)low_b + (int32_t)(low >> 16);
    const int32_t other = (int32_t)low_a * high_b + (middle & 0xffff);
    const int32_t high = high_a * high_b + (middle >> 16) + (other >> 16);
    return (int64_t)((uint64_t)(uint32_t)high << 32 | (uint32_t)other << 16 | (low & 0xffff));
#else
    return (int64_t)a * b;
#endif
}

/* High word of a 64-bit product, rounded. */
static inline int32_t rounded(int64_t product) {
    return (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}

/* High word of a * b: with b in Q31 it is half the product. */
static inline int32_t high(int32_t a, int32_t b) { return rounded(product(a, b)); }

/* High word of a * b + c * d. */
static inline int32_t high2(int32_t a, int32_t b, int32_t c, int32_t d) {
    return rounded(product(a, b) + product(c, d));
}

typedef struct {
    int32_t re, im;
} complex;

/* A sample pair times its window, in spectrum units (KWS_SPECTRUM_BITS fraction bits). */
static inline complex windowed(const int16_t *samples, const int32_t *window) {
    return (complex){high(samples[0] * 65536, window[0]), high(samples[1] * 65536, window[1])};
}

/* The same, halved: its last bit is not the whole one's. */
static inline complex half(const int16_t *samples, const int32_t *window) {
    return (complex){high(samples[0] * 32768, window[0]), high(samples[1] * 32768, window[1])};
}

/* Keeps loads behind what was computed before them: the registers do not hold three twiddle factors at once. */
#define KWS_IN_ORDER() __asm__ volatile("" ::: "memory")

/* Half the product with a twiddle factor's conjugate. */
static inline complex turned(const int32_t *x, const int32_t *w) {
    return (complex){high2(x[0], w[0], x[1], w[1]), high2(x[1], w[0], x[0], -w[1])};
}

static inline void store(int32_t *z, int32_t re, int32_t im) {
    z[0] = re;
    z[1] = im;
}

/* z[0..3] complex -> their discrete Fourier transform, stored `step` words apart; b, c, d come halved. */
static inline void butterfly(int32_t *z, ptrdiff_t step, complex a, complex b, complex c, complex d) {
    const complex ac = {a.re + 2 * c.re, a.im + 2 * c.im}, am = {a.re - 2 * c.re, a.im - 2 * c.im};
    const complex bd = {b.re + d.re, b.im + d.im}, bm = {b.re - d.re, b.im - d.im};
    store(z, ac.re + 2 * bd.re, ac.im + 2 * bd.im);
    store(z + step, am.re + 2 * bm.im, am.im - 2 * bm.re);
    store(z + 2 * step, ac.re - 2 * bd.re, ac.im - 2 * bd.im);
    store(z + 3 * step, am.re - 2 * bm.im, am.im + 2 * bm.re);
}

/* Samples in pairs as complex numbers, windowed, through the first stage (no twiddles), in digit-reversed order. */
static void first_stage(const int16_t *samples, int32_t *z) {
    const int32_t *w = kws_window;
    for (size_t i = 0; i < 16; i++) {
        const int16_t *a = samples + ((i & 3) << 3 | i >> 2 << 1);
        for (const int16_t *end = a + HALF / 2; a < end; a += 32, w += 8, z += 8) {
            butterfly(z, 2, windowed(a, w), half(a + HALF / 2, w + 2), half(a + HALF, w + 4),
                      half(a + HALF + HALF / 2, w + 6));
        }
    }
}

/* Joins each four blocks of `size` complex values into one. A constant size makes its offsets constants: a tenth fewer
 * instructions a frame. */
static inline __attribute__((always_inline)) void stage(int32_t *z, size_t size) {
    const ptrdiff_t step = 2 * (ptrdiff_t)size;
    for (const int32_t *end = z + 2 * HALF; z < end; z += 3 * step) {
        const int32_t *w = kws_twiddle;
        for (int32_t *last = z + step; z < last; z += 2, w += 6 * (QUARTER / size)) {
            const complex c = turned(z + 2 * step, w + 2);
            KWS_IN_ORDER();
            const complex b = turned(z + step, w);
            KWS_IN_ORDER();
            const complex d = turned(z + 3 * step, w + 4);
            KWS_IN_ORDER();
            butterfly(z, step, (complex){z[0], z[1]}, b, c, d);
        }
    }
}

/* ------------------------------------------------------------------ power, mel, code */

/* Power of a bin of the 512-point spectrum of real samples, from the 256-point one of their pairs: p there, q its
 * mirror image, w the bin's cos and sin. */
static inline uint64_t power_of_bin(const int32_t *p, const int32_t *q, const int32_t *w) {
    const int32_t br = p[0] - q[0], bi = p[1] + q[1];
    const int32_t re = ((p[0] + q[0]) >> 1) + high2(bi, w[0], br, -w[1]);
    const int32_t im = ((p[1] - q[1]) >> 1) - high2(bi, w[1], br, w[0]);
    return (uint64_t)(product(re, re) + product(im, im));
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
    const int32_t *p = z + 2 * KWS_FIRST_BIN, *q = z + 2 * (HALF - KWS_FIRST_BIN);
    const int32_t *bin = kws_bins + 3 * KWS_FIRST_BIN;
    for (size_t s = 0; s <= KWS_N_MELS; s++) {
        uint64_t all = 0, rising = 0;
        for (const int32_t *end = kws_bins + 3 * kws_segment_end[s]; bin < end; bin += 3, p += 2, q -= 2) {
            const uint64_t power = power_of_bin(p, q, bin);
            const uint32_t weight = (uint32_t)bin[2];
            all += power;
            rising += ((power & UINT32_MAX) * weight) >> 32;
            rising += (power >> 32) * weight;
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

/* sum + row . codes */
static inline int32_t dot(const int32_t *row, const uint8_t *codes, int32_t sum) {
#pragma GCC unroll 8
    for (size_t m = 0; m < KWS_N_MELS; m++) sum += row[m] * codes[m];
    return sum;
}

void kws_mfcc_row(const kws_mfcc *quantizer, const uint8_t codes[KWS_N_MELS], int8_t *mfcc) {
    const int32_t *row = quantizer->table;
    for (int32_t k = 0; k < quantizer->n_coefficients; k++, row += KWS_N_MELS) {
        const int32_t sum = dot(row, codes, 1 << (quantizer->shift - 1));
        const int32_t q = (sum >> quantizer->shift) + quantizer->zero_point;
        mfcc[k] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
    }
}
