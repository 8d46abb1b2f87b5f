#include "kws_pdm.h"

enum { GAIN_BITS = 24, SAMPLE_BITS = 15 }; /* 64^4 and full scale */

/* Sixteen bits through the four sums, a one being 1 and a zero -1. */
static void integrate(kws_pdm *state, uint32_t word) {
    uint32_t a = state->sum[0], b = state->sum[1], c = state->sum[2], d = state->sum[3];
    for (uint32_t bits = word << 16, n = 16; n > 0; bits <<= 1, n--) {
        a += (bits >> 30 & 2u) - 1u;
        b += a;
        c += b;
        d += c;
    }
    state->sum[0] = a;
    state->sum[1] = b;
    state->sum[2] = c;
    state->sum[3] = d;
}

/* The differences of four samples. */
static int32_t differentiate(kws_pdm *state) {
    uint32_t value = state->sum[3];
    for (int i = 0; i < 4; i++) {
        const uint32_t before = state->last[i];
        state->last[i] = value;
        value -= before;
    }
    return (int32_t)value;
}

void kws_pdm_samples(kws_pdm *state, const uint16_t *words, int16_t *samples, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int n = 0; n < KWS_PDM_WORDS; n++) integrate(state, *words++);
        const int32_t sample = differentiate(state) >> (GAIN_BITS - SAMPLE_BITS);
        samples[i] = (int16_t)(sample > INT16_MAX ? INT16_MAX : sample);
    }
}
