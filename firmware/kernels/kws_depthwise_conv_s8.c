#include "kws_nn_functions.h"
#include "kws_window.h"

/* One call of the kernel, as its parts pass it on. */
typedef struct {
    const kws_nn_dw_conv_params *params;
    const kws_nn_per_channel_quant_params *quant;
    const kws_nn_dims *input, *filter;
    const int8_t *filter_data;
    const int32_t *bias;
    int32_t channels; /* of the output */
} depthwise_job;

/* The window of one output position: its first tap inside the plane, in input and filter, and how many there are. */
typedef struct {
    const int8_t *values, *weights;
    int32_t rows, columns;
    int32_t value_row, value_column, weight_row; /* bytes from one row, one column to the next */
} depthwise_window;

static depthwise_window window_of(const depthwise_job *job, const int8_t *batch, kws_span rows, kws_span columns) {
    const int32_t in_c = job->input->c, width = job->input->w;
    const kws_nn_tile dilation = job->params->dilation;
    const int32_t y = rows.origin + rows.first * dilation.h, x = columns.origin + columns.first * dilation.w;
    depthwise_window window;
    window.values = batch + (y * width + x) * in_c;
    window.weights = job->filter_data + (rows.first * job->filter->w + columns.first) * job->channels;
    window.rows = rows.end - rows.first;
    window.columns = columns.end - columns.first;
    window.value_row = dilation.h * width * in_c;
    window.value_column = dilation.w * in_c;
    window.weight_row = job->filter->w * job->channels;
    return window;
}

static inline int32_t channel_sum(const depthwise_job *job, const depthwise_window *window, int32_t in_channel,
                                  int32_t channel) {
    const int32_t offset = job->params->input_offset;
    const int8_t *value_row = window->values + in_channel, *weight_row = window->weights + channel;
    int32_t sum = job->bias ? job->bias[channel] : 0;
    for (int32_t row = 0; row < window->rows; row++) {
        const int8_t *value = value_row, *weight = weight_row;
        for (int32_t column = 0; column < window->columns; column++) {
            sum += (*value + offset) * *weight;
            value += window->value_column;
            weight += job->channels;
        }
        value_row += window->value_row;
        weight_row += window->weight_row;
    }
    return sum;
}

static void convolve_position(const depthwise_job *job, const depthwise_window *window, int8_t *output) {
    const int32_t ch_mult = job->params->ch_mult;
    for (int32_t in_channel = 0, channel = 0; in_channel < job->input->c; in_channel++) {
        for (int32_t copy = 0; copy < ch_mult; copy++, channel++) {
            const int32_t sum = channel_sum(job, window, in_channel, channel);
            const int32_t value = kws_requantize(sum, job->quant->multiplier[channel], job->quant->shift[channel]);
            output[channel] = kws_clamp(value + job->params->output_offset, &job->params->activation);
        }
    }
}

static void convolve_plane(const depthwise_job *job, const int8_t *batch, const kws_nn_dims *output_dims,
                           int8_t *output) {
    const kws_nn_dw_conv_params *params = job->params;
    for (int32_t y = 0; y < output_dims->h; y++) {
        const kws_span rows =
            kws_span_of(y, params->stride.h, params->padding.h, job->filter->h, params->dilation.h, job->input->h);
        for (int32_t x = 0; x < output_dims->w; x++, output += job->channels) {
            const kws_span columns =
                kws_span_of(x, params->stride.w, params->padding.w, job->filter->w, params->dilation.w, job->input->w);
            const depthwise_window window = window_of(job, batch, rows, columns);
            convolve_position(job, &window, output);
        }
    }
}

kws_nn_status kws_depthwise_conv_wrapper_s8(const kws_nn_context *ctx, const kws_nn_dw_conv_params *dw_conv_params,
                                            const kws_nn_per_channel_quant_params *quant_params,
                                            const kws_nn_dims *input_dims, const int8_t *input_data,
                                            const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                            const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                            const kws_nn_dims *output_dims, int8_t *output_data) {
    (void)ctx;
    (void)bias_dims;
    const depthwise_job job = {dw_conv_params, quant_params, input_dims,    filter_dims,
                               filter_data,    bias_data,    output_dims->c};
    if (input_dims->c * dw_conv_params->ch_mult != output_dims->c) {
        return KWS_NN_ARG_ERROR;
    }
    for (int32_t n = 0; n < input_dims->n; n++) {
        convolve_plane(&job, input_data, output_dims, output_data);
        input_data += input_dims->h * input_dims->w * input_dims->c;
        output_data += output_dims->h * output_dims->w * output_dims->c;
    }
    return KWS_NN_SUCCESS;
}

int32_t kws_depthwise_conv_wrapper_s8_get_buffer_size(const kws_nn_dw_conv_params *dw_conv_params,
                                                      const kws_nn_dims *input_dims, const kws_nn_dims *filter_dims,
                                                      const kws_nn_dims *output_dims) {
    (void)dw_conv_params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}
