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
    const int32_t zero_point = layer->result_zero_point, chunks = unrolled ? unrolled : layer->chunks;
    const int16_t *places = layer->outputs, *const end = places + GROUP * layer->output_groups;
    const int8_t *w = (const int8_t *)packed;
    while (places != end) {
        const kws_mve_pair sums = kws_mve_sums((kws_mve_step){2, CHUNK - 6, 1, CHUNK}, unrolled, chunks, &plane, &w);
        const int32_t *scales = (const int32_t *)(const void *)w + 1; /* behind a word of zeros */
        const kws_mve_scale scale = {scales[0], scales[1], scales[2]};
        const int32x4_t odd = kws_mve_requantize(sums.first, scale, rectified);
        const int32x4_t even = kws_mve_requantize(sums.second, scale, rectified);
        kws_mve_scatter(output, vldrhq_s16(places), kws_mve_narrow(even, odd, zero_point));
        places += GROUP;
        plane += GROUP - CHUNK * chunks;
        w -= (CHUNK + 1) * chunks;
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
    kws_mve_fill(layer->zero_point, scratch, layer->scratch_bytes);
    int8_t *at = output;
    for (int32_t channel = 0; channel < layer->channels; channel++) {
        lay_plane(layer->inputs, layer->input_groups, input + channel, scratch + layer->before);
        for (int32_t i = 0; i < layer->multiplier; i++, packed += layer->packed_words, at++) {
            layer->filter(layer, packed, scratch, at);
        }
    }
    kws_mve_clamp(layer->min, layer->max, output, layer->count);
}
