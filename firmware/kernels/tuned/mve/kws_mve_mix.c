#include "kws_mve_vector.h"

/* Two words, side by side. */
KWS_INLINE void load_two(const int8_t **from, int32_t *first, int32_t *second) {
    __asm__("ldrd %0, %1, [%2], #8" : "=&r"(*first), "=&r"(*second), "+r"(*from) : : "memory");
}

/* Where the outputs of a tile go, in the order of kws_mve_narrow: two of each position. */
static uint16x8_t places_of(int32_t count, int32_t outputs) {
    static const uint16_t position_of[8] = {0, 0, 1, 1, 2, 2, 3, 3}, output_of[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    const uint16x8_t position = vminq_u16(vldrhq_u16(position_of), vdupq_n_u16((uint16_t)(count - 1)));
    const uint16x8_t output = vminq_u16(vldrhq_u16(output_of), vdupq_n_u16((uint16_t)(outputs - 1)));
    return vmlaq_n_u16(output, position, (uint16_t)outputs);
}

KWS_INLINE const int8_t *mix_pairs(const kws_mve_mix *mix, int unrolled, int rectified, const int8_t *w,
                                   const int8_t *x, int32_t count, int8_t *output, int32_t pairs) {
    const uint16x8_t places = places_of(count, mix->outputs);
    const int32_t zero_point = mix->zero_point, blocks = unrolled ? unrolled : mix->blocks;
    for (const int8_t *const end = output + 2 * pairs; output != end; output += 2) {
        const kws_mve_pair sums = kws_mve_sums((kws_mve_step){16, 16, 16, 16}, unrolled, blocks, &x, &w);
        x -= KWS_MVE_TILE * KWS_MVE_LANES * blocks;
        kws_mve_scale scale[2];
        load_two(&w, &scale[0].bias, &scale[1].bias);
        load_two(&w, &scale[0].multiplier, &scale[1].multiplier);
        load_two(&w, &scale[0].shift, &scale[1].shift);
        const int32x4_t first = kws_mve_requantize(sums.first, scale[0], rectified);
        const int32x4_t second = kws_mve_requantize(sums.second, scale[1], rectified);
        vstrbq_scatter_offset_s16(output, places, kws_mve_narrow(first, second, zero_point));
        KWS_MVE_CHANGED(output);
    }
    return w;
}

#define MIX_PAIRS(name, unrolled, rectified)                                                                           \
    const int8_t *kws_mve_pairs_##name(const kws_mve_mix *mix, const int8_t *w, const int8_t *tile, int32_t count,     \
                                       int8_t *output, int32_t pairs) {                                                \
        return mix_pairs(mix, unrolled, rectified, w, tile, count, output, pairs);                                     \
    }

MIX_PAIRS(1, 1, 0)
MIX_PAIRS(2, 2, 0)
MIX_PAIRS(3, 3, 0)
MIX_PAIRS(4, 4, 0)
MIX_PAIRS(any, 0, 0)
MIX_PAIRS(1_rectified, 1, 1)
MIX_PAIRS(2_rectified, 2, 1)
MIX_PAIRS(3_rectified, 3, 1)
MIX_PAIRS(4_rectified, 4, 1)
MIX_PAIRS(any_rectified, 0, 1)

void kws_mve_mix_tile(const kws_mve_mix *mix, const int8_t *x, int32_t count, int8_t *output) {
    const int32_t outputs = mix->outputs;
    const int8_t *rest = mix->pairs(mix, (const int8_t *)mix->packed, x, count, output, outputs / 2);
    if (outputs & 1) { /* the last one, again with the one before it if there is one */
        mix->pairs(mix, rest, x, count, output + (outputs > 1 ? outputs - 2 : 0), 1);
    }
}

void kws_mve_clamp(int32_t min, int32_t max, int8_t *output, int32_t count) {
    if (min == INT8_MIN && max == INT8_MAX) {
        return;
    }
    const int8x16_t low = vdupq_n_s8((int8_t)min), high = vdupq_n_s8((int8_t)max);
    for (; count > 0; count -= KWS_MVE_LANES, output += KWS_MVE_LANES) {
        const mve_pred16_t inside = vctp8q((uint32_t)count);
        vstrbq_p_s8(output, vminq_s8(vmaxq_s8(vldrbq_z_s8(output, inside), low), high), inside);
    }
}
