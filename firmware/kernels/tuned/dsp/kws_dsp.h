/* Kernels for cores with the DSP instructions: Cortex-M4, M7, M33. What they are given is packed by export/tuned/dsp;
 * results are those of the portable kernels, bit for bit. Activations are int8 [h][w][c].
 *
 * Inner loops are inline (kws_dsp_tile.h, kws_dsp_plane.h): generated code makes functions of them, with a layer's sizes
 * as constants, and hands them to the kernels here. */
#ifndef KWS_DSP_H
#define KWS_DSP_H

#include <stdint.h>

#include "kws_dsp_plane.h"
#include "kws_dsp_tile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs that are sums over the same inputs.
 * packed: weights and constants, see export/tuned/dsp/mix.py. tile: kws_dsp_mix_tile for them; NULL where there are never
 * KWS_DSP_TILE positions. words: pairs of inputs to a sum, even. zero_point: of the outputs. min, max: of the fused
 * activation. */
typedef struct {
    const int32_t *packed;
    void (*tile)(const int32_t *packed, const int32_t *x, int8_t *output);
    int32_t words;
    int32_t outputs;
    int32_t zero_point;
    int32_t min;
    int32_t max;
} kws_dsp_mix;

/* Convolution of a plane [height][width][channels]; the columns of a window lie side by side.
 * top, left: padding. row_dilation: from one row of a window to the next. band_bytes: of a row with its padding, at least
 * as long as its windows. zero_point: of the input. */
typedef struct {
    int32_t height, width, channels;
    int32_t out_height, out_width;
    int32_t rows, columns;
    int32_t row_stride, column_stride;
    int32_t top, left;
    int32_t row_dilation;
    int32_t band_bytes;
    int32_t zero_point;
} kws_dsp_window;

/* scratch: 4 words for each of mix->words; band_bytes for each row of a window, and 3. */
void kws_dsp_convolve(const kws_dsp_mix *mix, const kws_dsp_window *window, int32_t *scratch, const int8_t *input,
                      int8_t *output);

/* 1x1 convolution of a plane of `positions`. The output may lie over the input if neither its start nor its end is behind
 * the input's.
 * scratch: 4 words for each of mix->words. */
void kws_dsp_pointwise(const kws_dsp_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                       const int8_t *input, int8_t *output);

/* Fully-connected: one position. scratch: mix->words words. */
void kws_dsp_connect(const kws_dsp_mix *mix, int32_t length, int32_t *scratch, const int8_t *input, int8_t *output);

/* Depthwise convolution, four channels at a time.
 * packed: see export/tuned/dsp/depthwise.py; packed_words: of four channels. gather, filter: kws_dsp_gather and
 * kws_dsp_filter for this layer. channels: a multiple of 4. scratch_words: of the planes of four channels, padded with
 * zero_point, the input's. count: of outputs. */
typedef struct {
    const int32_t *packed;
    int32_t packed_words;
    void (*gather)(const int8_t *input, int32_t *planes);
    void (*filter)(const int32_t *packed, const int32_t *planes, int8_t *output);
    int32_t channels;
    int32_t scratch_words;
    int32_t zero_point;
    int32_t count;
    int32_t min;
    int32_t max;
} kws_dsp_depthwise_layer;

/* The output may lie where the input lies if both planes have the same size. */
void kws_dsp_depthwise(const kws_dsp_depthwise_layer *layer, int32_t *scratch, const int8_t *input, int8_t *output);

/* Average of a whole plane of up to 255 positions, halves rounded away from zero. channels: a multiple of 4. */
void kws_dsp_average(int32_t positions, int32_t channels, int32_t min, int32_t max, const int8_t *input,
                     int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
