#include "kws_dsp_intrinsics.h"

#include "kws_dsp_mix.h"

/* Two outputs are summed up together: `both` holds weights of the second times 256 plus those of the first, so that one
 * load and one sign extension give what two SMLADs need. Sums of the second are (both - low) / 256. */
typedef struct {
    int32_t low[KWS_DSP_TILE], both[KWS_DSP_TILE];
} sums;

/* One word of weights: two inputs of each position, two outputs. */
KWS_INLINE void add_word4(sums *s, int32_t both, const int32_t *x) {
    int32_t a = x[0], b = x[1];
    KWS_TOGETHER3(both, a, b);
    const int32_t low = kws_sxtb16(both);
    s->both[0] = kws_smlad(a, both, s->both[0]);
    s->low[0] = kws_smlad(a, low, s->low[0]);
    s->both[1] = kws_smlad(b, both, s->both[1]);
    s->low[1] = kws_smlad(b, low, s->low[1]);
    a = x[2];
    b = x[3];
    KWS_TOGETHER2(a, b);
    s->both[2] = kws_smlad(a, both, s->both[2]);
    s->low[2] = kws_smlad(a, low, s->low[2]);
    s->both[3] = kws_smlad(b, both, s->both[3]);
    s->low[3] = kws_smlad(b, low, s->low[3]);
}

KWS_INLINE void add_word1(sums *s, int32_t both, const int32_t *x) {
    int32_t a = x[0];
    KWS_TOGETHER2(both, a);
    s->both[0] = kws_smlad(a, both, s->both[0]);
    s->low[0] = kws_smlad(a, kws_sxtb16(both), s->low[0]);
}

/* `count` words; a constant where this is inlined. */
KWS_INLINE void add_words(sums *s, const int32_t *w, const int32_t *x, int positions, int count) {
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
        if (positions == KWS_DSP_TILE) {
            add_word4(s, w[i], x + i * KWS_DSP_TILE);
        } else {
            add_word1(s, w[i], x + i);
        }
    }
}

/* The int8 of a sum, doubled, that is to be scaled by multiplier / 2^31 and by scale / 2^32. */
KWS_INLINE int8_t requantize(int32_t doubled, int32_t multiplier, int32_t scale, int32_t zero_point, int rectified) {
    int32_t value = kws_smmulr(doubled, multiplier);
    if (!rectified) {
        value += value >> 31; /* halves away from zero */
    }
    return kws_ssat8(kws_smmlar(value, scale, zero_point));
}

/* Two outputs of all positions; returns where the weights of the next two lie. */
KWS_INLINE const int32_t *mix_two(const kws_dsp_mix *mix, const int32_t *w, const int32_t *x, int positions,
                                  int rectified, int8_t *output) {
    sums s;
    for (int p = 0; p < positions; p++) {
        s.low[p] = w[0];
        s.both[p] = w[1];
    }
    w += 2;
    int32_t left = mix->words;
    const int32_t *eights = w + (left & ~7), *end = w + left;
    for (; w != eights; w += 8, x += 8 * positions) {
        add_words(&s, w, x, positions, 8);
    }
    for (; w != end; w += 2, x += 2 * positions) {
        add_words(&s, w, x, positions, 2);
    }
#pragma GCC unroll 4
    for (int p = 0; p < positions; p++, output += mix->outputs) {
        const int32_t second = (s.both[p] - s.low[p]) >> 7;
        output[0] = requantize(s.low[p] * 2, w[0], w[1], mix->zero_point, rectified);
        output[1] = requantize(second, w[2], w[3], mix->zero_point, rectified);
    }
    return w + 4;
}

KWS_INLINE void mix_all(const kws_dsp_mix *mix, const int32_t *x, int positions, int rectified, int8_t *output) {
    const int32_t *w = mix->packed;
    for (int8_t *end = output + mix->outputs; output != end; output += 2) {
        w = mix_two(mix, w, x, positions, rectified, output);
    }
}

void kws_dsp_mix_tile(const kws_dsp_mix *mix, const int32_t *x, int8_t *output) {
    if (mix->rectified) {
        mix_all(mix, x, KWS_DSP_TILE, 1, output);
    } else {
        mix_all(mix, x, KWS_DSP_TILE, 0, output);
    }
}

void kws_dsp_mix_one(const kws_dsp_mix *mix, const int32_t *x, int8_t *output) { mix_all(mix, x, 1, 0, output); }

void kws_dsp_clamp(const kws_dsp_mix *mix, int8_t *output, int32_t count) {
    if (mix->min == -128 && mix->max == 127) {
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        const int32_t value = output[i];
        output[i] = (int8_t)(value < mix->min ? mix->min : value > mix->max ? mix->max : value);
    }
}
