#include "kws_dsp_intrinsics.h"

#include "kws_dsp_mix.h"

/* int8 inputs of one position as pairs of int16, every `pitch`-th word: bytes 0 and 2 of four, then 1 and 3. */
KWS_INLINE void widen(const int8_t *input, int32_t channels, int pitch, int32_t *x) {
    for (; channels >= 4; channels -= 4, input += 4, x += 2 * pitch) {
        const int32_t bytes = kws_word_at(input);
        x[0] = kws_sxtb16(bytes);
        x[pitch] = kws_sxtb16_odd(bytes);
    }
    if (channels > 0) {
        int8_t rest[4] = {0};
        memcpy(rest, input, (size_t)channels);
        x[0] = kws_sxtb16(kws_word_at(rest));
        x[pitch] = kws_sxtb16_odd(kws_word_at(rest));
    }
}

void kws_dsp_pointwise(const kws_dsp_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                       const int8_t *input, int8_t *output) {
    int8_t *const first = output;
    int32_t left = positions;
    for (; left >= KWS_DSP_TILE; left -= KWS_DSP_TILE, output += KWS_DSP_TILE * mix->outputs) {
        for (int p = 0; p < KWS_DSP_TILE; p++, input += channels) {
            widen(input, channels, KWS_DSP_TILE, scratch + p);
        }
        kws_dsp_mix_tile(mix, scratch, output);
    }
    for (; left > 0; left--, input += channels, output += mix->outputs) {
        widen(input, channels, 1, scratch);
        kws_dsp_mix_one(mix, scratch, output);
    }
    kws_dsp_clamp(mix, first, positions * mix->outputs);
}
