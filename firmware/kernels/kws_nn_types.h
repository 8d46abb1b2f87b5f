/* Parameters of the int8 kernels: the field order of CMSIS-NN's s8 API, so that one generated network runs on either. */
#ifndef KWS_NN_TYPES_H
#define KWS_NN_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    KWS_NN_SUCCESS = 0,
    KWS_NN_ARG_ERROR = -1, /* a parameter out of its stated range */
} kws_nn_status;

typedef struct {
    int32_t w;
    int32_t h;
} kws_nn_tile;

/* Scratch of one call: `size` bytes, 4-byte aligned; {NULL, 0} where the kernel's buffer size is 0. */
typedef struct {
    void *buf;
    int32_t size;
} kws_nn_context;

/* Activations: n batches of [h][w][c]. What a filter's fields mean stands at each kernel. */
typedef struct {
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;
} kws_nn_dims;

/* Requantization: value * multiplier / 2^31 * 2^shift; multiplier in [2^30, 2^31) or 0, shift -31..30. */
typedef struct {
    int32_t *multiplier; /* one per output channel; only read */
    int32_t *shift;
} kws_nn_per_channel_quant_params;

typedef struct {
    int32_t multiplier;
    int32_t shift;
} kws_nn_per_tensor_quant_params;

/* Outputs are clamped to -128 <= min <= max <= 127. */
typedef struct {
    int32_t min;
    int32_t max;
} kws_nn_activation;

typedef struct {
    int32_t input_offset;  /* -zero point of the input, -127..128 */
    int32_t output_offset; /* zero point of the output, -128..127 */
    kws_nn_tile stride;
    kws_nn_tile padding; /* on the left and on top */
    kws_nn_tile dilation;
    kws_nn_activation activation;
} kws_nn_conv_params;

typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    int32_t ch_mult; /* output channels per input channel */
    kws_nn_tile stride;
    kws_nn_tile padding;
    kws_nn_tile dilation;
    kws_nn_activation activation;
} kws_nn_dw_conv_params;

typedef struct {
    kws_nn_tile stride;
    kws_nn_tile padding;
    kws_nn_activation activation;
} kws_nn_pool_params;

typedef struct {
    int32_t input_offset;
    int32_t filter_offset; /* -zero point of the weights: 0 */
    int32_t output_offset;
    kws_nn_activation activation;
} kws_nn_fc_params;

#endif
