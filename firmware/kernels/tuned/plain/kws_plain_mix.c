#include "kws_plain.h"

enum { TWO = 2 * KWS_PLAIN_TILE }; /* words from a pair of inputs to the next */

void kws_plain_clamp(int32_t min, int32_t max, int8_t *output, int32_t count) {
    if (min == -128 && max == 127) {
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        const int32_t value = output[i];
        output[i] = (int8_t)(value < min ? min : value > max ? max : value);
    }
}

/* ------------------------------------------------------------------ 1x1 */

/* Position `p` of a tile. */
static void widen(const int8_t *input, int32_t channels, int32_t *tile, int32_t p) {
    int32_t products = 0, *x = tile + KWS_PLAIN_TILE + 2 * p;
    for (const int8_t *last = input + channels - 1; input < last; input += 2, x += TWO) {
        const int32_t x0 = input[0], x1 = input[1];
        x[0] = x0 - 128;
        x[1] = x1 - 128;
        products += x0 * x1;
    }
    if (channels & 1) {
        x[0] = input[0] - 128;
        x[1] = -128;
    }
    tile[p] = -products;
}

void kws_plain_pointwise(const kws_plain_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                         const int8_t *input, int8_t *output) {
    int8_t *const first = output;
    for (int32_t left = positions; left > 0; left -= KWS_PLAIN_TILE, output += KWS_PLAIN_TILE * mix->outputs) {
        const int32_t count = left < KWS_PLAIN_TILE ? left : KWS_PLAIN_TILE;
        for (int32_t p = 0; p < count; p++, input += channels) {
            widen(input, channels, scratch, p);
        }
        mix->tile(mix, scratch, output, count);
    }
    kws_plain_clamp(mix->min, mix->max, first, positions * mix->outputs);
}

/* ------------------------------------------------------------------ windows */

/* Where the next input of a position goes, and how far it is from there to the one behind it. */
typedef struct {
    int32_t *x;
    int32_t step;
} place;

static inline place put(place to, int32_t value) {
    *to.x = value - 128;
    return (place){to.x + to.step, TWO - to.step};
}

static place put_inputs(place to, const int8_t *input, int32_t count) {
    for (const int8_t *end = input + count; input < end; input++) {
        to = put(to, *input);
    }
    return to;
}

static place put_padding(place to, int32_t zero_point, int32_t count) {
    for (; count > 0; count--) {
        to = put(to, zero_point);
    }
    return to;
}

/* A row of a window, whose first column is column x of the plane. */
static place put_row(const kws_plain_window *window, place to, const int8_t *row, int32_t x) {
    const int32_t channels = window->channels, over = x + window->columns - window->width;
    const int32_t before = x < 0 ? -x : 0, behind = over > 0 ? over : 0;
    to = put_padding(to, window->zero_point, before * channels);
    to = put_inputs(to, row + (x + before) * channels, (window->columns - before - behind) * channels);
    return put_padding(to, window->zero_point, behind * channels);
}

static int32_t products_of(const int32_t *x, const int32_t *end) {
    int32_t products = 0;
    for (; x < end; x += TWO) {
        products += (x[0] + 128) * (x[1] + 128);
    }
    return products;
}

/* The window of outputs (y, x) to position `p` of a tile. */
static void gather(const kws_plain_window *window, int32_t pairs, const int8_t *input, int32_t y, int32_t x,
                   int32_t *tile, int32_t p) {
    int32_t *const first = tile + KWS_PLAIN_TILE + 2 * p;
    const int32_t row_bytes = window->width * window->channels, row_taps = window->columns * window->channels;
    place to = {first, 1};
    int32_t at = y * window->row_stride - window->top;
    for (int32_t row = 0; row < window->rows; row++, at += window->row_dilation) {
        const int inside = at >= 0 && at < window->height;
        to = inside ? put_row(window, to, input + at * row_bytes, x * window->column_stride - window->left)
                    : put_padding(to, window->zero_point, row_taps);
    }
    put_padding(to, 0, to.step != 1);
    tile[p] = -products_of(first, first + pairs * TWO);
}

void kws_plain_convolve(const kws_plain_mix *mix, const kws_plain_window *window, int32_t *scratch, const int8_t *input,
                        int8_t *output) {
    int8_t *const first = output;
    const int32_t positions = window->out_height * window->out_width;
    int32_t filled = 0;
    for (int32_t y = 0; y < window->out_height; y++) {
        for (int32_t x = 0; x < window->out_width; x++) {
            gather(window, mix->pairs, input, y, x, scratch, filled++);
            if (filled == KWS_PLAIN_TILE) {
                mix->tile(mix, scratch, output, filled);
                output += KWS_PLAIN_TILE * mix->outputs;
                filled = 0;
            }
        }
    }
    if (filled > 0) {
        mix->tile(mix, scratch, output, filled);
    }
    kws_plain_clamp(mix->min, mix->max, first, positions * mix->outputs);
}
