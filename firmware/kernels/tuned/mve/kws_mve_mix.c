#include "kws_mve_vector.h"

/* Where the outputs of a tile go, in the order of kws_mve_narrow: two of each position. */
static uint16x8_t places_of(int32_t count, int32_t outputs) {
    static const uint16_t position_of[8] = {0, 0, 1, 1, 2, 2, 3, 3}, output_of[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    const uint16x8_t position = vminq_u16(vldrhq_u16(position_of), vdupq_n_u16((uint16_t)(count - 1)));
    const uint16x8_t output = vminq_u16(vldrhq_u16(output_of), vdupq_n_u16((uint16_t)(outputs - 1)));
    return vmlaq_n_u16(output, position, (uint16_t)outputs);
}

KWS_INLINE const int8_t *mix_pairs(const kws_mve_mix *mix, int unrolled, int rectified, const int8_t *w,
                                   const int8_t *tile, int32_t count, int8_t *output, int32_t pairs) {
    const uint16x8_t places = places_of(count, mix->outputs);
    const int32_t zero_point = mix->zero_point;
    for (const int8_t *const end = output + 2 * pairs; output != end; output += 2) {
        int32_t sums[8];
        const int8_t *x = tile;
        kws_mve_sums((kws_mve_step){16, 16, 16, 16}, unrolled, mix->blocks, &x, &w, sums);
        const int32_t *scale = (const int32_t *)(const void *)w;
        const int32x4_t first = kws_mve_requantize(kws_mve_lanes(sums), scale, rectified);
        const int32x4_t second = kws_mve_requantize(kws_mve_lanes(sums + 4), scale + 3, rectified);
        vstrbq_scatter_offset_s16(output, places, kws_mve_narrow(first, second, zero_point));
        w += 6 * sizeof *scale;
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
