/* Kernels of Helium, the vector instructions of Armv8.1-M (MVE): Cortex-M55, M85. What they are given is packed by
 * export/tuned/mve; results are those of the portable kernels, bit for bit. Activations are int8 [h][w][c]. */
#ifndef KWS_MVE_H
#define KWS_MVE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs that are sums over the same inputs.
 * packed: weights and constants, see export/tuned/mve/mix.py. pairs: one of kws_mve_pairs_*. blocks: of sixteen inputs to
 * a sum. zero_point: of the outputs. min, max: of the fused activation. */
typedef struct kws_mve_mix {
    const int32_t *packed;
    const int8_t *(*pairs)(const struct kws_mve_mix *mix, const int8_t *w, const int8_t *tile, int32_t count,
                           int8_t *output, int32_t pairs);
    int32_t blocks;
    int32_t outputs;
    int32_t zero_point;
    int32_t min;
    int32_t max;
} kws_mve_mix;

/* Pairs of outputs of a tile's first `count` positions; returns the weights behind theirs. For 1, 2, 3, 4 blocks or for
 * any number above; rectified: where no output is below the zero point. */
#define KWS_MVE_PAIRS(name)                                                                                            \
    const int8_t *kws_mve_pairs_##name(const kws_mve_mix *mix, const int8_t *w, const int8_t *tile, int32_t count,     \
                                       int8_t *output, int32_t pairs);
KWS_MVE_PAIRS(1)
KWS_MVE_PAIRS(2)
KWS_MVE_PAIRS(3)
KWS_MVE_PAIRS(4)
KWS_MVE_PAIRS(any)
KWS_MVE_PAIRS(1_rectified)
KWS_MVE_PAIRS(2_rectified)
KWS_MVE_PAIRS(3_rectified)
KWS_MVE_PAIRS(4_rectified)
KWS_MVE_PAIRS(any_rectified)
#undef KWS_MVE_PAIRS

/* 1x1 convolution of a plane of `positions`, or fully-connected where there is one. The output may lie over the input if
 * neither its start nor its end is behind the input's. scratch: 64 bytes for each of mix->blocks. */
void kws_mve_pointwise(const kws_mve_mix *mix, int32_t channels, int32_t positions, int8_t *scratch,
                       const int8_t *input, int8_t *output);

/* Convolution of a plane [height][width][channels].
 * taps: where those of a window lie, behind its first, in a band: `rows` rows of the plane with their padding, each of
 * band_bytes, as all windows of a row of outputs share them; filled up to sixteens. step: bytes from window to window.
 * row_dilation: from one row of a band to the next. top, before: padding, in rows and in bytes. zero_point: of the
 * input. */
typedef struct {
    const uint16_t *taps;
    int32_t height, row_bytes;
    int32_t out_height, out_width;
    int32_t rows, row_stride, row_dilation;
    int32_t step;
    int32_t top, before;
    int32_t band_bytes;
    int32_t zero_point;
} kws_mve_window;

/* scratch: 64 bytes for each of mix->blocks, and the band. */
void kws_mve_convolve(const kws_mve_mix *mix, const kws_mve_window *window, int8_t *scratch, const int8_t *input,
                      int8_t *output);

/* Depthwise convolution, channel by channel: its plane is laid into scratch with its padding, in lines that share the
 * padding between them, and its windows begin one position behind the other.
 * packed: see export/tuned/mve/depthwise.py; packed_words: of a channel. filter: one of kws_mve_filter_*. chunks: of
 * fifteen positions, from the first of a window to its last. inputs, outputs: where in [h][w][c] the plane's positions,
 * from the first behind the padding, and the windows lie, negative where there is none; input_groups, output_groups: of
 * eight. multiplier: outputs for each of the input's channels. before: padding in front of the plane. zero_point: of the inputs; result_zero_point: of the outputs. min, max:
 * of the fused activation. count: of outputs. */
typedef struct kws_mve_depthwise_layer {
    const int32_t *packed;
    int32_t packed_words;
    void (*filter)(const struct kws_mve_depthwise_layer *layer, const int32_t *packed, const int8_t *plane,
                   int8_t *output);
    int32_t chunks;
    const int16_t *inputs, *outputs;
    int32_t input_groups, output_groups;
    int32_t channels, multiplier;
    int32_t before;
    int32_t scratch_bytes;
    int32_t zero_point;
    int32_t result_zero_point;
    int32_t min, max;
    int32_t count;
} kws_mve_depthwise_layer;

/* All windows of one channel, which are of 1 chunk or of any number above; rectified: where no output is below the zero
 * point. */
#define KWS_MVE_FILTER(name)                                                                                           \
    void kws_mve_filter_##name(const kws_mve_depthwise_layer *layer, const int32_t *packed, const int8_t *plane,       \
                               int8_t *output);
KWS_MVE_FILTER(1)
KWS_MVE_FILTER(any)
KWS_MVE_FILTER(1_rectified)
KWS_MVE_FILTER(any_rectified)
#undef KWS_MVE_FILTER

/* The output may lie where the input lies if both planes have the same size. */
void kws_mve_depthwise(const kws_mve_depthwise_layer *layer, int8_t *scratch, const int8_t *input, int8_t *output);

/* Average of a whole plane of up to 255 positions, halves rounded away from zero. channels: at least 8. */
void kws_mve_average(int32_t positions, int32_t channels, int32_t min, int32_t max, const int8_t *input,
                     int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
