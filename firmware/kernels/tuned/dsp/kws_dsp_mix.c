#include "kws_dsp_mix.h"

/* Sums of two outputs, as in kws_dsp_sums. */
typedef struct {
    int32_t first, both;
} two_sums;

KWS_INLINE void add_two_words(two_sums *sums, const int32_t *w, const int32_t *x) {
    const int32_t w0 = w[0], w1 = w[1], x0 = x[0], x1 = x[1];
    KWS_LOADED();
    sums->both = kws_smlad(x0, w0, sums->both);
    sums->first = kws_smlad(x0, kws_sxtb16(w0), sums->first);
    sums->both = kws_smlad(x1, w1, sums->both);
    sums->first = kws_smlad(x1, kws_sxtb16(w1), sums->first);
}

KWS_INLINE two_sums sum_up(const int32_t *w, const int32_t *x, int32_t words) {
    two_sums sums = {w[0], w[1]};
    w += 2;
    for (const int32_t *end = w + (words & ~3); w != end; w += 4, x += 4) {
        add_two_words(&sums, w, x);
        add_two_words(&sums, w + 2, x + 2);
    }
    if (words & 2) {
        add_two_words(&sums, w, x);
    }
    return sums;
}

void kws_dsp_mix_one(const kws_dsp_mix *mix, const int32_t *x, int8_t *output) {
    const int32_t words = mix->words, zero_point = mix->zero_point;
    const int32_t *w = mix->packed;
    for (int32_t left = mix->outputs; left > 0; left -= 2, w += 4) {
        const two_sums sums = sum_up(w, x, words);
        w += 2 + words;
        *output++ = kws_dsp_requantize(sums.first * 2, w[0], w[1], zero_point, 0);
        if (left > 1) {
            *output++ = kws_dsp_requantize((sums.both - sums.first) >> 7, w[2], w[3], zero_point, 0);
        }
    }
}

void kws_dsp_clamp(int32_t min, int32_t max, int8_t *output, int32_t count) {
    if (min == -128 && max == 127) {
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        const int32_t value = output[i];
        output[i] = (int8_t)(value < min ? min : value > max ? max : value);
    }
}
