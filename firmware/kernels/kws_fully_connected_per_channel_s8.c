#include "kws_connect_s8.h"
#include "kws_nn_functions.h"

kws_nn_status kws_fully_connected_per_channel_s8(const kws_nn_context *ctx, const kws_nn_fc_params *fc_params,
                                                 const kws_nn_per_channel_quant_params *quant_params,
                                                 const kws_nn_dims *input_dims, const int8_t *input_data,
                                                 const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                                 const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                                 const kws_nn_dims *output_dims, int8_t *output_data) {
    (void)ctx;
    (void)bias_dims;
    const kws_connection layer = {fc_params,   quant_params->multiplier, quant_params->shift, 1,
                                  filter_data, bias_data,                filter_dims->n,      output_dims->c};
    return kws_connect_s8(&layer, input_data, input_dims->n, output_data);
}
