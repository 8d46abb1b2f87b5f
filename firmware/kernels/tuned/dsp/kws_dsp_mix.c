#include "kws_dsp_mix.h"

void kws_dsp_mix_one(const kws_dsp_mix *mix, const int32_t *x, int8_t *output) {
    const int32_t *w = mix->packed;
    const int32_t words = mix->words, zero_point = mix->zero_point;
    for (int8_t *end = output + mix->outputs; output != end; output += 2) {
        int32_t first = w[0], both = w[1];
        w += 2;
        for (int32_t i = 0; i < words; i += 2, w += 2) {
            both = kws_smlad(x[i], w[0], both);
            first = kws_smlad(x[i], kws_sxtb16(w[0]), first);
            both = kws_smlad(x[i + 1], w[1], both);
            first = kws_smlad(x[i + 1], kws_sxtb16(w[1]), first);
        }
        output[0] = kws_dsp_requantize(first * 2, w[0], w[1], zero_point, 0);
        output[1] = kws_dsp_requantize((both - first) >> 7, w[2], w[3], zero_point, 0);
        w += 4;
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
