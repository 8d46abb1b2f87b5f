#include "kws_dot_s8.h"
#include "kws_nn_functions.h"
#include "kws_requantize.h"

static void connect_outputs(const kws_nn_fc_params *params, const kws_nn_per_tensor_quant_params *quant,
                            const int8_t *input, const int8_t *filter, const int32_t *bias, int32_t length,
                            int32_t count, int8_t *output) {
    int32_t sums[4] = {0};
    for (int32_t k = 0; k < count; k++) {
        sums[k] = bias ? bias[k] : 0;
    }
    if (count == 4) {
        kws_dot4_s8(input, filter, length, length, params->input_offset, sums);
    } else {
        sums[0] += kws_dot_s8(input, filter, length, params->input_offset);
    }
    for (int32_t k = 0; k < count; k++) {
        const int32_t value = kws_requantize(sums[k], quant->multiplier, quant->shift);
        output[k] = kws_clamp(value + params->output_offset, &params->activation);
    }
}

kws_nn_status kws_fully_connected_s8(const kws_nn_context *ctx, const kws_nn_fc_params *fc_params,
                                     const kws_nn_per_tensor_quant_params *quant_params,
                                     const kws_nn_dims *input_dims, const int8_t *input_data,
                                     const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                     const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                     const kws_nn_dims *output_dims, int8_t *output_data) {
    (void)ctx;
    (void)bias_dims;
    const int32_t length = filter_dims->n, outputs = output_dims->c;
    if (fc_params->filter_offset != 0) {
        return KWS_NN_ARG_ERROR;
    }
    for (int32_t n = 0; n < input_dims->n; n++, input_data += length, output_data += outputs) {
        for (int32_t o = 0, count; o < outputs; o += count) {
            count = o + 4 <= outputs ? 4 : 1;
            connect_outputs(fc_params, quant_params, input_data, filter_data + o * length,
                            bias_data ? bias_data + o : NULL, length, count, output_data + o);
        }
    }
    return KWS_NN_SUCCESS;
}

int32_t kws_fully_connected_s8_get_buffer_size(const kws_nn_dims *filter_dims) {
    (void)filter_dims;
    return 0;
}
