#include "kws_dsp_mix.h"

/* The last one to three channels, and zeros. */
static int32_t last_word(const int8_t *input, int32_t channels) {
    int8_t bytes[4] = {0};
    memcpy(bytes, input, (size_t)channels);
    return kws_word_at(bytes);
}

/* One position. */
static void widen_one(const int8_t *input, int32_t channels, int32_t *x) {
    for (; channels >= 4; channels -= 4, input += 4, x += 2) {
        kws_dsp_widen_word(kws_word_at(input), 1, x);
    }
    if (channels > 0) {
        kws_dsp_widen_word(last_word(input, channels), 1, x);
    }
}

/* KWS_DSP_TILE positions. */
static void widen_tile(const int8_t *input, int32_t channels, int32_t *x) {
    int32_t left = channels;
    for (; left >= 4; left -= 4, input += 4, x += 2 * KWS_DSP_TILE) {
        for (int p = 0; p < KWS_DSP_TILE; p++) {
            kws_dsp_widen_word(kws_word_at(input + p * channels), KWS_DSP_TILE, x + p);
        }
    }
    for (int p = 0; left > 0 && p < KWS_DSP_TILE; p++) {
        kws_dsp_widen_word(last_word(input + p * channels, left), KWS_DSP_TILE, x + p);
    }
}

void kws_dsp_pointwise(const kws_dsp_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                       const int8_t *input, int8_t *output) {
    int8_t *const first = output;
    int32_t left = positions;
    for (; left >= KWS_DSP_TILE; left -= KWS_DSP_TILE) {
        widen_tile(input, channels, scratch);
        mix->tile(mix->packed, scratch, output);
        input += KWS_DSP_TILE * channels;
        output += KWS_DSP_TILE * mix->outputs;
    }
    for (; left > 0; left--, input += channels, output += mix->outputs) {
        widen_one(input, channels, scratch);
        kws_dsp_mix_one(mix, scratch, output);
    }
    kws_dsp_clamp(mix->min, mix->max, first, positions * mix->outputs);
}

void kws_dsp_connect(const kws_dsp_mix *mix, int32_t length, int32_t *scratch, const int8_t *input, int8_t *output) {
    kws_dsp_pointwise(mix, length, 1, scratch, input, output);
}
