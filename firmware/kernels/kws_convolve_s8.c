#include "kws_dot_s8.h"
#include "kws_nn_functions.h"
#include "kws_window.h"

/* One call of the kernel, as its parts pass it on. */
typedef struct {
    const kws_nn_conv_params *params;
    const kws_nn_per_channel_quant_params *quant;
    const kws_nn_dims *input, *filter;
    const int8_t *filter_data;
    const int32_t *bias;
    int32_t channels; /* of the output */
} conv_job;

/* The window of one output position: the rows and columns of the filter that lie inside the plane. */
typedef struct {
    const int8_t *batch;
    kws_span rows, columns;
} conv_window;

/* sums[k] += window . filter of output channel `channel` + k, for k < count; count is 4 or 1.
 * The filter's columns are contiguous in input and filter unless dilated: then each is a run of its own. */
static inline void add_window(const conv_job *job, const conv_window *window, int32_t channel, int32_t count,
                              int32_t sums[4]) {
    const kws_nn_tile dilation = job->params->dilation;
    const int32_t in_c = job->input->c, offset = job->params->input_offset;
    const int32_t taps = job->filter->h * job->filter->w * in_c;
    const int32_t columns = window->columns.end - window->columns.first;
    const int32_t runs = dilation.w == 1 ? 1 : columns, length = dilation.w == 1 ? columns * in_c : in_c;
    for (int32_t row = window->rows.first; row < window->rows.end; row++) {
        const int32_t y = window->rows.origin + row * dilation.h;
        for (int32_t column = window->columns.first; column < window->columns.first + runs; column++) {
            const int32_t x = window->columns.origin + column * dilation.w;
            const int8_t *values = window->batch + (y * job->input->w + x) * in_c;
            const int8_t *weights = job->filter_data + channel * taps + (row * job->filter->w + column) * in_c;
            if (count == 4) {
                kws_dot4_s8(values, weights, taps, length, offset, sums);
            } else {
                sums[0] += kws_dot_s8(values, weights, length, offset);
            }
        }
    }
}

static inline void convolve_channels(const conv_job *job, const conv_window *window, int32_t channel, int32_t count,
                                     int8_t *output) {
    int32_t sums[4] = {0};
    for (int32_t k = 0; k < count; k++) {
        sums[k] = job->bias ? job->bias[channel + k] : 0;
    }
    add_window(job, window, channel, count, sums);
    for (int32_t k = 0; k < count; k++) {
        const int32_t value =
            kws_requantize(sums[k], job->quant->multiplier[channel + k], job->quant->shift[channel + k]);
        output[channel + k] = kws_clamp(value + job->params->output_offset, &job->params->activation);
    }
}

static void convolve_position(const conv_job *job, const conv_window *window, int8_t *output) {
    int32_t channel = 0;
    for (; channel + 4 <= job->channels; channel += 4) {
        convolve_channels(job, window, channel, 4, output);
    }
    for (; channel < job->channels; channel++) {
        convolve_channels(job, window, channel, 1, output);
    }
}

static void convolve_plane(const conv_job *job, const int8_t *batch, const kws_nn_dims *output_dims, int8_t *output) {
    const kws_nn_conv_params *params = job->params;
    for (int32_t y = 0; y < output_dims->h; y++) {
        conv_window window = {batch, {0, 0, 0}, {0, 0, 0}};
        window.rows =
            kws_span_of(y, params->stride.h, params->padding.h, job->filter->h, params->dilation.h, job->input->h);
        for (int32_t x = 0; x < output_dims->w; x++, output += job->channels) {
            window.columns =
                kws_span_of(x, params->stride.w, params->padding.w, job->filter->w, params->dilation.w, job->input->w);
            convolve_position(job, &window, output);
        }
    }
}

kws_nn_status kws_convolve_wrapper_s8(const kws_nn_context *ctx, const kws_nn_conv_params *conv_params,
                                      const kws_nn_per_channel_quant_params *quant_params,
                                      const kws_nn_dims *input_dims, const int8_t *input_data,
                                      const kws_nn_dims *filter_dims, const int8_t *filter_data,
                                      const kws_nn_dims *bias_dims, const int32_t *bias_data,
                                      const kws_nn_dims *output_dims, int8_t *output_data) {
    (void)ctx;
    (void)bias_dims;
    const conv_job job = {conv_params, quant_params, input_dims, filter_dims, filter_data, bias_data, output_dims->c};
    if (filter_dims->c != input_dims->c) {
        return KWS_NN_ARG_ERROR; /* grouped convolution */
    }
    for (int32_t n = 0; n < input_dims->n; n++) {
        convolve_plane(&job, input_data, output_dims, output_data);
        input_data += input_dims->h * input_dims->w * input_dims->c;
        output_data += output_dims->h * output_dims->w * output_dims->c;
    }
    return KWS_NN_SUCCESS;
}

int32_t kws_convolve_wrapper_s8_get_buffer_size(const kws_nn_conv_params *conv_params, const kws_nn_dims *input_dims,
                                                const kws_nn_dims *filter_dims, const kws_nn_dims *output_dims) {
    (void)conv_params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}
