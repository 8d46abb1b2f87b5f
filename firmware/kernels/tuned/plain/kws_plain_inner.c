/* Inner loops in C, for machines that are no Cortex-M; kws_plain_thumb.c has them for those. */
#include "kws_plain.h"

#if !defined(__ARM_ARCH_ISA_THUMB)

#define KWS_INLINE static inline __attribute__((always_inline))

KWS_INLINE int8_t requantize(int32_t sum, const int32_t *constants, int rectified) {
    const int32_t low = constants[KWS_PLAIN_LOW], high = constants[KWS_PLAIN_HIGH];
    int32_t value = (sum * (low & 0xffff)) >> 11;
    value = (value + sum * (low >> 16)) >> 11;
    value += sum * (high & 0xffff) + constants[KWS_PLAIN_OFFSET];
    if (!rectified && sum < 0) {
        value -= 512;
    }
    value >>= high >> 16;
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

/* ------------------------------------------------------------------ mixes */

KWS_INLINE void mix_tile(const kws_plain_mix *mix, const int32_t *tile, int8_t *output, int32_t positions,
                         int rectified) {
    const uint8_t *w = mix->weights;
    const int32_t *constants = mix->constants;
    for (int32_t o = 0; o < mix->outputs; o++, constants += KWS_PLAIN_CONSTANTS) {
        uint32_t sums[KWS_PLAIN_TILE]; /* modulo 2^32, for positions that the tile does not have may hold anything */
        for (int p = 0; p < KWS_PLAIN_TILE; p++) {
            sums[p] = (uint32_t)constants[KWS_PLAIN_BIAS] + (uint32_t)tile[p];
        }
        const int32_t *x = tile + KWS_PLAIN_TILE, *end = x + mix->pairs * 2 * KWS_PLAIN_TILE;
        for (; x != end; x += 2 * KWS_PLAIN_TILE, w += 2) {
            const uint32_t w0 = w[0], w1 = w[1];
            for (int p = 0; p < KWS_PLAIN_TILE; p++) {
                sums[p] += ((uint32_t)x[2 * p] + w1) * ((uint32_t)x[2 * p + 1] + w0);
            }
        }
        for (int32_t p = 0; p < positions; p++) {
            output[p * mix->outputs + o] = requantize((int32_t)sums[p], constants, rectified);
        }
    }
}

void kws_plain_tile(const kws_plain_mix *mix, const int32_t *x, int8_t *output, int32_t positions) {
    mix_tile(mix, x, output, positions, 0);
}

void kws_plain_tile_rectified(const kws_plain_mix *mix, const int32_t *x, int8_t *output, int32_t positions) {
    mix_tile(mix, x, output, positions, 1);
}

/* ------------------------------------------------------------------ depthwise */

KWS_INLINE void filter(const kws_plain_plane *plane, const int32_t *x, const int32_t *record, int8_t *output,
                       int rectified) {
    const int8_t *taps = (const int8_t *)(record + KWS_PLAIN_CONSTANTS);
    const int32_t pitch = plane->out_width + 2;
    for (int32_t line = 0; line < plane->out_height; line++, x += 2) {
        for (int32_t column = 0; column < plane->out_width; column++, x++, output += plane->channels) {
            int32_t sum = record[KWS_PLAIN_BIAS];
            const int32_t *at = x;
            const int8_t *w = taps;
            for (int32_t row = 0; row < plane->rows; row++, at += pitch, w += 3) {
                sum += at[0] * w[0] + at[1] * w[1] + at[2] * w[2];
            }
            *output = requantize(sum, record, rectified);
        }
    }
}

void kws_plain_filter(const kws_plain_plane *plane, const int32_t *x, const int32_t *record, int8_t *output) {
    filter(plane, x, record, output, 0);
}

void kws_plain_filter_rectified(const kws_plain_plane *plane, const int32_t *x, const int32_t *record,
                                int8_t *output) {
    filter(plane, x, record, output, 1);
}

#endif
