/* What a generated network includes. It calls the CMSIS-NN s8 API by name: with KWS_CMSIS_NN defined that is Arm's
 * library, which the user builds; otherwise the names are mapped to our kernels, and no object exports an arm_ symbol. */
#ifndef KWS_NN_H
#define KWS_NN_H

#ifdef KWS_CMSIS_NN
#include "arm_nnfunctions.h"
#else
#include "kws_nn_functions.h"

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
#define arm_convolve_wrapper_s8 kws_convolve_wrapper_s8
#define arm_depthwise_conv_wrapper_s8 kws_depthwise_conv_wrapper_s8
#define arm_fully_connected_s8 kws_fully_connected_s8
#define arm_softmax_s8 kws_softmax_s8
#endif

#endif
