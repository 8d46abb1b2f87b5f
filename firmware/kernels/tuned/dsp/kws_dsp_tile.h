/* Sums of products, four positions and two outputs at once: what generated code makes a function of, with a layer's
 * sizes as constants. Internal. */
#ifndef KWS_DSP_TILE_H
#define KWS_DSP_TILE_H

#include "kws_dsp_intrinsics.h"

enum { KWS_DSP_TILE = 4, KWS_DSP_UNROLLED = 32 };

/* Two outputs are summed up together: `both` holds weights of the second times 256 plus those of the first, so that one
 * load and one sign extension give what two SMLADs need. The second's sum is (both - first) / 256. */
typedef struct {
    int32_t first[KWS_DSP_TILE], both[KWS_DSP_TILE];
} kws_dsp_sums;

/* One word of weights: two inputs of each position, two outputs. */
KWS_INLINE void kws_dsp_add_word(kws_dsp_sums *sums, int32_t both, const int32_t *x) {
    int32_t a = x[0], b = x[1];
    KWS_TOGETHER3(both, a, b);
    const int32_t first = kws_sxtb16(both);
    sums->both[0] = kws_smlad(a, both, sums->both[0]);
    sums->first[0] = kws_smlad(a, first, sums->first[0]);
    sums->both[1] = kws_smlad(b, both, sums->both[1]);
    sums->first[1] = kws_smlad(b, first, sums->first[1]);
    a = x[2];
    b = x[3];
    KWS_TOGETHER2(a, b);
    sums->both[2] = kws_smlad(a, both, sums->both[2]);
    sums->first[2] = kws_smlad(a, first, sums->first[2]);
    sums->both[3] = kws_smlad(b, both, sums->both[3]);
    sums->first[3] = kws_smlad(b, first, sums->first[3]);
}

KWS_INLINE void kws_dsp_add_words(kws_dsp_sums *sums, const int32_t *w, const int32_t *x, int32_t words) {
#pragma GCC unroll 32
    for (int32_t i = 0; i < words; i++) {
        kws_dsp_add_word(sums, w[i], x + i * KWS_DSP_TILE);
    }
}

/* The int8 of a sum, doubled, that is to be scaled by multiplier / 2^31 and by scale / 2^32. rectified: whether what is
 * below zero_point makes no difference; otherwise halves of negative numbers are rounded away from zero. */
KWS_INLINE int8_t kws_dsp_requantize(int32_t doubled, int32_t multiplier, int32_t scale, int32_t zero_point,
                                     int rectified) {
    int32_t value = kws_smmulr(doubled, multiplier);
    if (!rectified) {
        value += value >> 31;
    }
    return kws_ssat8(kws_smmlar(value, scale, zero_point));
}

/* Two outputs of all positions, `count` of which are wanted; returns where the weights of the next two lie. */
KWS_INLINE const int32_t *kws_dsp_mix_two(const int32_t *w, const int32_t *x, int32_t words, int32_t outputs,
                                          int32_t zero_point, int rectified, int32_t count, int8_t *output) {
    kws_dsp_sums sums;
    for (int p = 0; p < KWS_DSP_TILE; p++) {
        sums.first[p] = w[0];
        sums.both[p] = w[1];
    }
    const int32_t left = words % KWS_DSP_UNROLLED;
    w += 2;
    for (const int32_t *end = w + words - left; w != end; w += KWS_DSP_UNROLLED, x += KWS_DSP_UNROLLED * KWS_DSP_TILE) {
        kws_dsp_add_words(&sums, w, x, KWS_DSP_UNROLLED);
    }
    kws_dsp_add_words(&sums, w, x, left);
    w += left;
    const int32_t multiplier = w[0], scale = w[1], multiplier2 = w[2], scale2 = w[3];
    for (int p = 0; p < KWS_DSP_TILE; p++, output += outputs) {
        const int32_t second = (sums.both[p] - sums.first[p]) >> 7;
        output[0] = kws_dsp_requantize(sums.first[p] * 2, multiplier, scale, zero_point, rectified);
        if (count > 1) {
            output[1] = kws_dsp_requantize(second, multiplier2, scale2, zero_point, rectified);
        }
    }
    return w + 4;
}

/* All outputs of KWS_DSP_TILE positions. w: packed, see export/tuned/dsp/mix.py; x [words][KWS_DSP_TILE]: pairs of int16
 * inputs; output [KWS_DSP_TILE][outputs]. */
KWS_INLINE void kws_dsp_mix_tile(const int32_t *w, const int32_t *x, int32_t words, int32_t outputs,
                                 int32_t zero_point, int rectified, int8_t *output) {
    for (int32_t i = 0; i < outputs; i += 2) {
        const int32_t count = outputs % 2 == 0 ? 2 : outputs - i;
        w = kws_dsp_mix_two(w, x, words, outputs, zero_point, rectified, count, output + i);
    }
}

#endif
