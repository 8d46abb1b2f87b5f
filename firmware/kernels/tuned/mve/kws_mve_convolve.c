#include "kws_mve_vector.h"

/* The rows that the windows of row `y` share; what is left and right of them is there already. */
static void lay_band(const kws_mve_window *window, int32_t y, const int8_t *input, int8_t *band) {
    int32_t at = y * window->row_stride - window->top;
    band += window->before;
    for (int32_t i = 0; i < window->rows; i++, at += window->row_dilation, band += window->band_bytes) {
        if (at >= 0 && at < window->height) {
            kws_mve_copy(input + at * window->row_bytes, window->row_bytes, band, KWS_MVE_LANES);
        } else {
            kws_mve_fill(window->zero_point, band, window->row_bytes);
        }
    }
}

/* The window at `band` as one position of a tile. */
KWS_INLINE void lay_window(const uint16_t *taps, int32_t blocks, const int8_t *band, int8_t *x) {
    for (int32_t i = 0; i < blocks; i++, taps += KWS_MVE_LANES, x += KWS_MVE_TILE * KWS_MVE_LANES) {
        vstrbq_s16(x, vldrbq_gather_offset_s16(band, vldrhq_u16(taps)));
        vstrbq_s16(x + 8, vldrbq_gather_offset_s16(band, vldrhq_u16(taps + 8)));
    }
}

/* Of a tile whose first `count` positions are laid. */
static void mix_tile(const kws_mve_mix *mix, const kws_mve_window *window, const int8_t *band, int32_t count,
                     int8_t *x, int8_t *output) {
    for (int32_t p = count; p < KWS_MVE_TILE; p++) {
        lay_window(window->taps, mix->blocks, band, x + p * KWS_MVE_LANES);
    }
    kws_mve_mix_tile(mix, x, count, output);
}

void kws_mve_convolve(const kws_mve_mix *mix, const kws_mve_window *window, int8_t *scratch, const int8_t *input,
                      int8_t *output) {
    const int32_t count = window->out_height * window->out_width;
    int8_t *const band = scratch + KWS_MVE_TILE * KWS_MVE_LANES * mix->blocks, *at = output;
    kws_mve_fill(window->zero_point, band, window->rows * window->band_bytes);
    for (int32_t y = 0, laid = 0, left = count; y < window->out_height; y++) {
        lay_band(window, y, input, band);
        for (int32_t x = 0; x < window->out_width; x++) {
            const int8_t *place = band + x * window->step;
            lay_window(window->taps, mix->blocks, place, scratch + laid * KWS_MVE_LANES);
            laid++;
            if (laid == KWS_MVE_TILE || laid == left) {
                mix_tile(mix, window, place, laid, scratch, at);
                at += laid * mix->outputs;
                left -= laid;
                laid = 0;
            }
        }
    }
    kws_mve_clamp(mix->min, mix->max, output, count * mix->outputs);
}
