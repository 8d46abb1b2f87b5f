#include "kws_nn_functions.h"
#include "kws_window.h"

/* All channels of one output position; the window's taps inside the plane are rows x columns, at least one. */
static void pool_position(const int8_t *batch, const kws_nn_dims *input, kws_span rows, kws_span columns,
                          const kws_nn_activation *range, int8_t *output) {
    const int32_t height = rows.end - rows.first, width = columns.end - columns.first;
    const int8_t *first = batch + ((rows.origin + rows.first) * input->w + columns.origin + columns.first) * input->c;
    for (int32_t channel = 0; channel < input->c; channel++) {
        int32_t largest = INT8_MIN;
        for (int32_t y = 0; y < height; y++) {
            const int8_t *value = first + y * input->w * input->c + channel;
            for (int32_t x = 0; x < width; x++, value += input->c) {
                largest = kws_max(largest, *value);
            }
        }
        output[channel] = kws_clamp(largest, range);
    }
}

kws_nn_status kws_max_pool_s8(const kws_nn_context *ctx, const kws_nn_pool_params *pool_params,
                              const kws_nn_dims *input_dims, const int8_t *input_data, const kws_nn_dims *filter_dims,
                              const kws_nn_dims *output_dims, int8_t *output_data) {
    (void)ctx;
    const kws_nn_tile stride = pool_params->stride, padding = pool_params->padding;
    for (int32_t n = 0; n < input_dims->n; n++, input_data += input_dims->h * input_dims->w * input_dims->c) {
        for (int32_t y = 0; y < output_dims->h; y++) {
            const kws_span rows = kws_span_of(y, stride.h, padding.h, filter_dims->h, 1, input_dims->h);
            for (int32_t x = 0; x < output_dims->w; x++, output_data += input_dims->c) {
                const kws_span columns = kws_span_of(x, stride.w, padding.w, filter_dims->w, 1, input_dims->w);
                if (rows.end == rows.first || columns.end == columns.first) {
                    return KWS_NN_ARG_ERROR;
                }
                pool_position(input_data, input_dims, rows, columns, &pool_params->activation, output_data);
            }
        }
    }
    return KWS_NN_SUCCESS;
}
