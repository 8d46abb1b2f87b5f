#include "kws_dsp_mix.h"

void kws_dsp_pointwise(const kws_dsp_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                       const int8_t *input, int8_t *output) {
    int8_t *const first = output;
    int32_t left = positions;
    for (; left >= KWS_DSP_TILE; left -= KWS_DSP_TILE, output += KWS_DSP_TILE * mix->outputs) {
        for (int p = 0; p < KWS_DSP_TILE; p++, input += channels) {
            kws_dsp_widen(input, channels, KWS_DSP_TILE, scratch + p);
        }
        mix->tile(mix->packed, scratch, output);
    }
    for (; left > 0; left--, input += channels, output += mix->outputs) {
        kws_dsp_widen(input, channels, 1, scratch);
        kws_dsp_mix_one(mix, scratch, output);
    }
    kws_dsp_clamp(mix->min, mix->max, first, positions * mix->outputs);
}

void kws_dsp_connect(const kws_dsp_mix *mix, int32_t length, int32_t *scratch, const int8_t *input, int8_t *output) {
    kws_dsp_pointwise(mix, length, 1, scratch, input, output);
}
