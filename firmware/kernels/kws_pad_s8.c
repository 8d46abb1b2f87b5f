#include <string.h>

#include "kws_nn_extra.h"

/* Writes `count` times value; returns what lies behind. */
static int8_t *fill(int8_t *output, int32_t count, int32_t value) {
    memset(output, value, (size_t)count);
    return output + count;
}

void kws_pad_s8(const int8_t *input, int32_t h, int32_t w, int32_t c, int32_t before_h, int32_t after_h,
                int32_t before_w, int32_t after_w, int32_t before_c, int32_t after_c, int32_t value, int8_t *output) {
    const int32_t position = before_c + c + after_c, row = (before_w + w + after_w) * position;
    output = fill(output, before_h * row, value);
    for (int32_t y = 0; y < h; y++) {
        output = fill(output, before_w * position, value);
        for (int32_t x = 0; x < w; x++, input += c) {
            output = fill(output, before_c, value);
            memcpy(output, input, (size_t)c);
            output = fill(output + c, after_c, value);
        }
        output = fill(output, after_w * position, value);
    }
    fill(output, after_h * row, value);
}
