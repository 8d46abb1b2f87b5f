#include "kws_dsp_mix.h"

/* One row of a window: inputs from..to of `length` lie inside the plane, the others are `filler`. */
typedef struct {
    int32_t from, to, length, filler;
} run;

static int32_t *widen_edge(const int8_t *input, const run *row, int pitch, int32_t *x) {
    for (int32_t i = 0; i < row->length; i += 4, x += 2 * pitch) {
        int8_t bytes[4];
        for (int32_t k = 0; k < 4; k++) {
            bytes[k] = (int8_t)(row->from <= i + k && i + k < row->to ? input[i + k] : row->filler);
        }
        kws_dsp_widen_word(kws_word_at(bytes), pitch, x);
    }
    return x;
}

/* The window of output position y, column, in pairs. */
KWS_INLINE void gather(const kws_dsp_window *window, int32_t y, int32_t column, const int8_t *input, int pitch,
                       int32_t *x) {
    const int32_t channels = window->channels, left = column * window->column_stride - window->left;
    const int32_t right = left + window->columns, length = window->columns * channels;
    const int inside = left >= 0 && right <= window->width;
    run row = {left < 0 ? -left * channels : 0, length, length, window->zero_point};
    row.to -= right > window->width ? (right - window->width) * channels : 0;
    const run outside = {0, 0, length, window->zero_point};
    int32_t at = y * window->row_stride - window->top;
    for (int32_t i = 0; i < window->rows; i++, at += window->row_dilation) {
        const int8_t *values = input + (at * window->width + left) * channels;
        if (at < 0 || at >= window->height) {
            x = widen_edge(input, &outside, pitch, x);
        } else if (inside) {
            x = kws_dsp_widen(values, length, pitch, x);
        } else {
            x = widen_edge(values, &row, pitch, x);
        }
    }
}

void kws_dsp_convolve(const kws_dsp_mix *mix, const kws_dsp_window *window, int32_t *scratch, const int8_t *input,
                      int8_t *output) {
    const int32_t positions = window->out_height * window->out_width, whole = positions & ~(KWS_DSP_TILE - 1);
    int8_t *const first = output;
    int32_t y = 0, column = 0;
    for (int32_t position = 0; position < positions; position++) {
        const int32_t p = position & (KWS_DSP_TILE - 1);
        if (position < whole) {
            gather(window, y, column, input, KWS_DSP_TILE, scratch + p);
        } else {
            gather(window, y, column, input, 1, scratch);
        }
        if (++column == window->out_width) {
            column = 0;
            y++;
        }
        if (position >= whole) {
            kws_dsp_mix_one(mix, scratch, output);
            output += mix->outputs;
        } else if (p == KWS_DSP_TILE - 1) {
            mix->tile(mix->packed, scratch, output);
            output += KWS_DSP_TILE * mix->outputs;
        }
    }
    kws_dsp_clamp(mix->min, mix->max, first, positions * mix->outputs);
}
