/* Kernels for cores without DSP instructions: Cortex-M0+, M3. What they are given is packed by export/tuned/plain;
 * results are those of the portable kernels, bit for bit. Activations are int8 [h][w][c].
 *
 * Sums of products take half the multiplications (S. Winograd, 1968): for each two inputs,
 *     x0 w0 + x1 w1 = (x0 + w1) (x1 + w0) - x0 x1 - w0 w1
 * where x0 x1 is the same for all outputs, and w0 w1 is known beforehand.
 */
#ifndef KWS_PLAIN_H
#define KWS_PLAIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Positions that share a load of weights; outputs of a line that a depthwise kernel computes at once. */
enum { KWS_PLAIN_TILE = 6, KWS_PLAIN_CHUNK = 5 };

/* Four words for each output: bias; the offset behind the multiplication; bits 0..10 and, 16 higher, 11..21 of the
 * multiplier; its bits 22..30 and, 16 higher, the last shift. See export/tuned/plain/requantization.py. */
enum { KWS_PLAIN_BIAS, KWS_PLAIN_OFFSET, KWS_PLAIN_LOW, KWS_PLAIN_HIGH, KWS_PLAIN_CONSTANTS };

/* Outputs that are sums over the same inputs.
 * weights [outputs][2 * pairs]: plus 128. constants [outputs][KWS_PLAIN_CONSTANTS]. min, max: of the fused
 * activation. */
typedef struct kws_plain_mix {
    const uint8_t *weights;
    const int32_t *constants;
    int32_t pairs;
    int32_t outputs;
    void (*tile)(const struct kws_plain_mix *mix, const int32_t *x, int8_t *output, int32_t positions);
    int32_t min;
    int32_t max;
} kws_plain_mix;

/* What a mix has as `tile`: its outputs of `positions`, at most KWS_PLAIN_TILE.
 * x: for each position of a tile minus the sum of its x0 x1; then [pairs][KWS_PLAIN_TILE][2] inputs, minus 128.
 * kws_plain_tile_rectified: for outputs that are never below their zero point. */
void kws_plain_tile(const kws_plain_mix *mix, const int32_t *x, int8_t *output, int32_t positions);
void kws_plain_tile_rectified(const kws_plain_mix *mix, const int32_t *x, int8_t *output, int32_t positions);

/* Convolution of a plane [height][width][channels]; the columns of a window lie side by side, and none wholly in the
 * padding.
 * top, left: padding. row_dilation: from one row of a window to the next. zero_point: of the input. */
typedef struct {
    int32_t height, width, channels;
    int32_t out_height, out_width;
    int32_t rows, columns;
    int32_t row_stride, column_stride;
    int32_t top, left;
    int32_t row_dilation;
    int32_t zero_point;
} kws_plain_window;

/* scratch: KWS_PLAIN_TILE * (1 + 2 * mix->pairs) words. */
void kws_plain_convolve(const kws_plain_mix *mix, const kws_plain_window *window, int32_t *scratch, const int8_t *input,
                        int8_t *output);

/* 1x1 convolution of a plane of `positions`; the output may lie over the input where neither its start nor its end is
 * behind the input's. scratch: as above. */
void kws_plain_pointwise(const kws_plain_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                         const int8_t *input, int8_t *output);

/* Depthwise convolution by kernels of 3 columns, stride 1.
 * records: for each channel its constants, then its taps, filled up to words. record_words: of one. filter: as below.
 * height, width, channels: of the input. out_height, out_width: of the output, out_width at least KWS_PLAIN_CHUNK.
 * rows: of the kernel. top, left: padding. zero_point: of the input. */
typedef struct kws_plain_plane {
    const int32_t *records;
    int32_t record_words;
    void (*filter)(const struct kws_plain_plane *plane, const int32_t *x, const int32_t *record, int8_t *output);
    int32_t height, width, channels;
    int32_t out_height, out_width;
    int32_t rows;
    int32_t top, left;
    int32_t zero_point;
    int32_t min;
    int32_t max;
} kws_plain_plane;

/* What a plane has as `filter`: the outputs of one channel. x [out_height + rows - 1][out_width + 2]: its inputs. */
void kws_plain_filter(const kws_plain_plane *plane, const int32_t *x, const int32_t *record, int8_t *output);
void kws_plain_filter_rectified(const kws_plain_plane *plane, const int32_t *x, const int32_t *record, int8_t *output);

/* The output may lie where the input lies if both planes have the same size.
 * scratch: (out_height + rows - 1) * (out_width + 2) words. */
void kws_plain_depthwise(const kws_plain_plane *plane, int32_t *scratch, const int8_t *input, int8_t *output);

/* The clamp of a fused activation that saturation to int8 left undone. */
void kws_plain_clamp(int32_t min, int32_t max, int8_t *output, int32_t count);

#ifdef __cplusplus
}
#endif

#endif
