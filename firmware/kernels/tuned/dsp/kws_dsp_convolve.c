#include "kws_dsp_mix.h"

/* The rows of a window, padded on both sides, as the windows of one row of outputs share them. */
static void lay_band(const kws_dsp_window *window, int32_t y, const int8_t *input, int8_t *band) {
    const int32_t row_bytes = window->width * window->channels, before = window->left * window->channels;
    int32_t at = y * window->row_stride - window->top;
    for (int32_t i = 0; i < window->rows; i++, at += window->row_dilation, band += window->band_bytes) {
        const int inside = at >= 0 && at < window->height;
        memset(band, window->zero_point, (size_t)(inside ? before : window->band_bytes));
        if (inside) {
            memcpy(band + before, input + at * row_bytes, (size_t)row_bytes);
            memset(band + before + row_bytes, window->zero_point, (size_t)(window->band_bytes - before - row_bytes));
        }
    }
}

/* A window of the band, in pairs; its rows are filled up to fours with what lies behind them. */
KWS_INLINE void widen(const kws_dsp_window *window, const int8_t *band, int pitch, int32_t *x) {
    const int32_t length = window->columns * window->channels;
    for (int32_t i = 0; i < window->rows; i++, band += window->band_bytes) {
        for (int32_t k = 0; k < length; k += 4, x += 2 * pitch) {
            kws_dsp_widen_word(kws_word_at(band + k), pitch, x);
        }
    }
}

/* Window `p` of a tile; the last one's outputs follow. */
static void mix_in_tile(const kws_dsp_mix *mix, const kws_dsp_window *window, const int8_t *band, int32_t p,
                        int32_t *x, int8_t *output) {
    widen(window, band, KWS_DSP_TILE, x + p);
    if (p == KWS_DSP_TILE - 1) {
        mix->tile(mix->packed, x, output - p * mix->outputs);
    }
}

static void mix_alone(const kws_dsp_mix *mix, const kws_dsp_window *window, const int8_t *band, int32_t *x,
                      int8_t *output) {
    widen(window, band, 1, x);
    kws_dsp_mix_one(mix, x, output);
}

void kws_dsp_convolve(const kws_dsp_mix *mix, const kws_dsp_window *window, int32_t *scratch, const int8_t *input,
                      int8_t *output) {
    const int32_t count = window->out_height * window->out_width, whole = count & ~(KWS_DSP_TILE - 1);
    int8_t *const band = (int8_t *)(scratch + KWS_DSP_TILE * mix->words), *const first = output;
    for (int32_t y = 0, position = 0; y < window->out_height; y++) {
        lay_band(window, y, input, band);
        const int8_t *at = band;
        for (int32_t x = 0; x < window->out_width; x++, position++, output += mix->outputs) {
            if (position < whole) {
                mix_in_tile(mix, window, at, position & (KWS_DSP_TILE - 1), scratch, output);
            } else {
                mix_alone(mix, window, at, scratch, output);
            }
            at += window->column_stride * window->channels;
        }
    }
    kws_dsp_clamp(mix->min, mix->max, first, count * mix->outputs);
}
