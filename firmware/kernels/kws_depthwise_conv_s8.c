#include "kws_dot_s8.h"
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

/* The window of one output position: its first tap inside the plane, in plane and filter, and where the others are. */
typedef struct {
    const int8_t *x, *weights;
    kws_taps taps;
} depthwise_window;

static depthwise_window window_of(const depthwise_job *job, const int8_t *batch, kws_span rows, kws_span columns) {
    const int32_t in_c = job->input->c, width = job->input->w;
    const kws_nn_tile dilation = job->params->dilation;
    const int32_t y = rows.origin + rows.first * dilation.h, x = columns.origin + columns.first * dilation.w;
    depthwise_window window;
    window.x = batch + (y * width + x) * in_c;
    window.weights = job->filter_data + (rows.first * job->filter->w + columns.first) * job->channels;
    window.taps.rows = rows.end - rows.first;
    window.taps.columns = columns.end - columns.first;
    window.taps.x_row = dilation.h * width * in_c;
    window.taps.x_column = dilation.w * in_c;
    window.taps.weight_row = job->filter->w * job->channels;
    window.taps.weight_column = job->channels;
    return window;
}

static void requantize(const depthwise_job *job, const int32_t *sums, int32_t channel, int32_t count, int8_t *output) {
    for (int32_t k = 0; k < count; k++) {
        const int32_t bias = job->bias ? job->bias[channel + k] : 0;
        const int32_t value =
            kws_requantize(sums[k] + bias, job->quant->multiplier[channel + k], job->quant->shift[channel + k]);
        output[channel + k] = kws_clamp(value + job->params->output_offset, &job->params->activation);
    }
}

static void convolve_position(const depthwise_job *job, const depthwise_window *window, int8_t *output) {
    const int32_t ch_mult = job->params->ch_mult, offset = job->params->input_offset;
    int32_t channel = 0;
    for (; ch_mult == 1 && channel + 4 <= job->channels; channel += 4) {
        int32_t sums[4] = {0};
        kws_taps4_s8(&window->taps, window->x + channel, window->weights + channel, offset, sums);
        requantize(job, sums, channel, 4, output);
    }
    for (; channel < job->channels; channel++) {
        const int8_t *x = window->x + (ch_mult == 1 ? channel : channel / ch_mult);
        const int32_t sum = kws_taps_s8(&window->taps, x, window->weights + channel, offset);
        requantize(job, &sum, channel, 1, output);
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
