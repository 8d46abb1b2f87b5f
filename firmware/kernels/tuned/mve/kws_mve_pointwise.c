#include "kws_mve_vector.h"

void kws_mve_pointwise(const kws_mve_mix *mix, int32_t channels, int32_t positions, int8_t *scratch,
                       const int8_t *input, int8_t *output) {
    int8_t *const first = output;
    for (int32_t left = positions; left > 0; left -= KWS_MVE_TILE) {
        const int32_t count = left < KWS_MVE_TILE ? left : KWS_MVE_TILE;
        for (int32_t p = 0; p < KWS_MVE_TILE; p++) {
            kws_mve_copy(input, channels, scratch + p * KWS_MVE_LANES, KWS_MVE_TILE * KWS_MVE_LANES);
            input += p + 1 < count ? channels : 0;
        }
        kws_mve_mix_tile(mix, scratch, count, output);
        input += channels;
        output += count * mix->outputs;
    }
    kws_mve_clamp(mix->min, mix->max, first, positions * mix->outputs);
}
