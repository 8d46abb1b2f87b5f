#include "kws_mve_vector.h"

enum { GROUP = 8, CHUNK = 15 }; /* windows at a time; positions of them at a time */

/* The plane of one channel. */
static void lay_plane(const int16_t *places, int32_t groups, const int8_t *input, int8_t *plane) {
    for (; groups > 0; groups--, places += GROUP) {
        kws_mve_gather(input, vldrhq_s16(places), &plane);
    }
}

/* All windows of one channel. */
KWS_INLINE void filter(const kws_mve_depthwise_layer *layer, int unrolled, int rectified, const int32_t *packed,
                       const int8_t *plane, int8_t *output) {
    const int32_t zero_point = layer->result_zero_point;
    const int16_t *places = layer->outputs, *const end = places + GROUP * layer->output_groups;
    for (; places != end; places += GROUP, plane += GROUP) {
        const int8_t *x = plane, *w = (const int8_t *)(packed + 3);
        int32_t sums[8];
        kws_mve_sums((kws_mve_step){2, CHUNK - 6, 1, CHUNK}, unrolled, layer->chunks, &x, &w, sums);
        const int32x4_t odd = kws_mve_requantize(kws_mve_lanes(sums), packed, rectified);
        const int32x4_t even = kws_mve_requantize(kws_mve_lanes(sums + 4), packed, rectified);
        kws_mve_scatter(output, vldrhq_s16(places), kws_mve_narrow(even, odd, zero_point));
        KWS_MVE_CHANGED(places);
    }
}

#define FILTER(name, unrolled, rectified)                                                                              \
    void kws_mve_filter_##name(const kws_mve_depthwise_layer *layer, const int32_t *packed, const int8_t *plane,       \
                               int8_t *output) {                                                                       \
        filter(layer, unrolled, rectified, packed, plane, output);                                                     \
    }

FILTER(1, 1, 0)
FILTER(any, 0, 0)
FILTER(1_rectified, 1, 1)
FILTER(any_rectified, 0, 1)

void kws_mve_depthwise(const kws_mve_depthwise_layer *layer, int8_t *scratch, const int8_t *input, int8_t *output) {
    const int32_t *packed = layer->packed;
    for (int32_t i = 0; i < layer->scratch_bytes; i += KWS_MVE_LANES) {
        vstrbq_s8(scratch + i, vdupq_n_s8((int8_t)layer->zero_point));
    }
    for (int32_t channel = 0; channel < layer->channels; channel++, packed += layer->packed_words) {
        lay_plane(layer->inputs, layer->input_groups, input + channel, scratch + layer->before);
        layer->filter(layer, packed, scratch, output + channel);
    }
    kws_mve_clamp(layer->min, layer->max, output, layer->count);
}
