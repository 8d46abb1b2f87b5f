/* Portable int8 kernels in C99: the parameter lists of CMSIS-NN's s8 API, the arithmetic of TFLite Micro, bit for bit.
 *
 * No heap, no mutable static data. Every *_get_buffer_size is the scratch in bytes that ctx must hold: 0 for all of them.
 * Sums are 32 bits: exact while taps * 127 * 255 + |bias| < 2^31, some 66,000 taps. */
#ifndef KWS_NN_FUNCTIONS_H
#define KWS_NN_FUNCTIONS_H

#include "kws_nn_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Convolution. filter_dims {out_c, kh, kw, in_c}, filter [out_c][kh][kw][in_c]; bias [out_c] or NULL. */
kws_nn_status kws_convolve_wrapper_s8(const kws_nn_context *ctx, const kws_nn_conv_params *conv_params,
                                      const kws_nn_per_channel_quant_params *quant_params,
                                      const kws_nn_dims *input_dims, const int8_t *input_data,
                                      const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                      const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                      const kws_nn_dims *output_dims, int8_t *output_data);

int32_t kws_convolve_wrapper_s8_get_buffer_size(const kws_nn_conv_params *conv_params, const kws_nn_dims *input_dims,
                                                const kws_nn_dims *filter_dims, const kws_nn_dims *output_dims);

/* Depthwise convolution. filter_dims {1, kh, kw, out_c}, filter [kh][kw][out_c]; bias [out_c] or NULL.
 * Output channel o reads input channel o / ch_mult. */
kws_nn_status kws_depthwise_conv_wrapper_s8(const kws_nn_context *ctx, const kws_nn_dw_conv_params *dw_conv_params,
                                            const kws_nn_per_channel_quant_params *quant_params,
                                            const kws_nn_dims *input_dims, const int8_t *input_data,
                                            const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                            const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                            const kws_nn_dims *output_dims, int8_t *output_data);

int32_t kws_depthwise_conv_wrapper_s8_get_buffer_size(const kws_nn_dw_conv_params *dw_conv_params,
                                                      const kws_nn_dims *input_dims, const kws_nn_dims *filter_dims,
                                                      const kws_nn_dims *output_dims);

/* Fully-connected. filter_dims {in, 1, 1, out}, filter [out][in]; input_dims.n batches; bias [out] or NULL. */
kws_nn_status kws_fully_connected_s8(const kws_nn_context *ctx, const kws_nn_fc_params *fc_params,
                                     const kws_nn_per_tensor_quant_params *quant_params,
                                     const kws_nn_dims *input_dims, const int8_t *input_data,
                                     const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                     const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                     const kws_nn_dims *output_dims, int8_t *output_data);

/* The same with a multiplier and a shift per output: arrays [out]. */
kws_nn_status kws_fully_connected_per_channel_s8(const kws_nn_context *ctx, const kws_nn_fc_params *fc_params,
                                                 const kws_nn_per_channel_quant_params *quant_params,
                                                 const kws_nn_dims *input_dims, const int8_t *input_data,
                                                 const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                                 const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                                 const kws_nn_dims *output_dims, int8_t *output_data);

/* Of both. */
int32_t kws_fully_connected_s8_get_buffer_size(const kws_nn_dims *filter_dims);

/* Average pooling over the taps inside the plane, halves rounded away from zero. filter_dims {-, kh, kw, -}. */
kws_nn_status kws_avgpool_s8(const kws_nn_context *ctx, const kws_nn_pool_params *pool_params,
                             const kws_nn_dims *input_dims, const int8_t *input_data, const kws_nn_dims *filter_dims,
                             const kws_nn_dims *output_dims, int8_t *output_data);

int32_t kws_avgpool_s8_get_buffer_size(int output_w, int input_c);

/* Max pooling over the taps inside the plane. filter_dims {-, kh, kw, -}. */
kws_nn_status kws_max_pool_s8(const kws_nn_context *ctx, const kws_nn_pool_params *pool_params,
                              const kws_nn_dims *input_dims, const int8_t *input_data, const kws_nn_dims *filter_dims,
                              const kws_nn_dims *output_dims, int8_t *output_data);

/* Sum of two vectors of block_size values. Each input plus its offset (minus its zero point, -127..128) is shifted left
 * by left_shift (20: no sum overflows) and requantized to a scale that both share. Their sum is requantized to the
 * output's scale, out_offset (its zero point) added, and clamped. Shifts are -31..0. The output may be either input. */
kws_nn_status kws_elementwise_add_s8(const int8_t *input_1_vect, const int8_t *input_2_vect, int32_t input_1_offset,
                                     int32_t input_1_mult, int32_t input_1_shift, int32_t input_2_offset,
                                     int32_t input_2_mult, int32_t input_2_shift, int32_t left_shift, int8_t *output,
                                     int32_t out_offset, int32_t out_mult, int32_t out_shift,
                                     int32_t out_activation_min, int32_t out_activation_max, int32_t block_size);

/* Softmax of each row of 1..256 scores; output scale 1/256, zero point -128. mult and shift (0..31) scale a difference
 * of inputs to Q5.26; differences below diff_min give probability 0. */
void kws_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size, int32_t mult, int32_t shift,
                    int32_t diff_min, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
