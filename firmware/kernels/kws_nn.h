/* What a generated network includes. It calls the CMSIS-NN s8 API by name: with KWS_CMSIS_NN defined that is Arm's
 * library, which the user builds; otherwise the names are mapped to our kernels, and no object exports an arm_ symbol. */
#ifndef KWS_NN_H
#define KWS_NN_H

#include "kws_nn_extra.h"

#ifdef KWS_CMSIS_NN
#include "arm_nnfunctions.h"
#else
#include "kws_nn_functions.h"

#define ARM_CMSIS_NN_ARG_ERROR KWS_NN_ARG_ERROR
#define ARM_CMSIS_NN_SUCCESS KWS_NN_SUCCESS
#define arm_cmsis_nn_status kws_nn_status
#define cmsis_nn_activation kws_nn_activation
#define cmsis_nn_context kws_nn_context
#define cmsis_nn_conv_params kws_nn_conv_params
#define cmsis_nn_dims kws_nn_dims
#define cmsis_nn_dw_conv_params kws_nn_dw_conv_params
#define cmsis_nn_fc_params kws_nn_fc_params
#define cmsis_nn_per_channel_quant_params kws_nn_per_channel_quant_params
#define cmsis_nn_per_tensor_quant_params kws_nn_per_tensor_quant_params
#define cmsis_nn_pool_params kws_nn_pool_params
#define cmsis_nn_tile kws_nn_tile

#define arm_avgpool_s8 kws_avgpool_s8
#define arm_avgpool_s8_get_buffer_size kws_avgpool_s8_get_buffer_size
#define arm_convolve_wrapper_s8 kws_convolve_wrapper_s8
#define arm_convolve_wrapper_s8_get_buffer_size kws_convolve_wrapper_s8_get_buffer_size
#define arm_depthwise_conv_wrapper_s8 kws_depthwise_conv_wrapper_s8
#define arm_depthwise_conv_wrapper_s8_get_buffer_size kws_depthwise_conv_wrapper_s8_get_buffer_size
#define arm_elementwise_add_s8 kws_elementwise_add_s8
#define arm_fully_connected_per_channel_s8 kws_fully_connected_per_channel_s8
#define arm_fully_connected_s8 kws_fully_connected_s8
#define arm_fully_connected_s8_get_buffer_size kws_fully_connected_s8_get_buffer_size
#define arm_max_pool_s8 kws_max_pool_s8
#define arm_softmax_s8 kws_softmax_s8
#endif

/* What a fully-connected kernel wants in its scratch beforehand: CMSIS-NN on a core with MVE the sum of each output's
 * weights, times the input's offset, plus its bias; elsewhere nothing. An error where the scratch is too small. */
static inline arm_cmsis_nn_status kws_weight_sums(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc_params,
                                                  const cmsis_nn_dims *filter_dims, const int8_t *filter_data,
                                                  const int32_t *bias_data) {
    const int32_t needed = arm_fully_connected_s8_get_buffer_size(filter_dims);
    if (needed > ctx->size) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
#ifdef KWS_CMSIS_NN
    if (needed > 0) {
        return arm_vector_sum_s8((int32_t *)ctx->buf, filter_dims->n, filter_dims->c, filter_data,
                                 fc_params->input_offset, fc_params->filter_offset, bias_data);
    }
#else
    (void)fc_params;
    (void)filter_data;
    (void)bias_data;
#endif
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
