#include "kws_connect_s8.h"

#include "kws_dot_s8.h"
#include "kws_requantize.h"

/* Outputs first..first + count - 1 of one batch; count is 4 or 1. */
static void connect_outputs(const kws_connection *layer, const int8_t *input, int32_t first, int32_t count,
                            int8_t *output) {
    const int8_t *filter = layer->filter + first * layer->length;
    const int32_t offset = layer->params->input_offset;
    int32_t sums[4] = {0};
    for (int32_t k = 0; k < count; k++) {
        sums[k] = layer->bias ? layer->bias[first + k] : 0;
    }
    if (count == 4) {
        kws_dot4_s8(input, filter, layer->length, layer->length, offset, sums);
    } else {
        sums[0] += kws_dot_s8(input, filter, layer->length, offset);
    }
    for (int32_t k = 0; k < count; k++) {
        const int32_t scaling = (first + k) * layer->step;
        const int32_t value = kws_requantize(sums[k], layer->multiplier[scaling], layer->shift[scaling]);
        output[first + k] = kws_clamp(value + layer->params->output_offset, &layer->params->activation);
    }
}

kws_nn_status kws_connect_s8(const kws_connection *layer, const int8_t *input, int32_t batches, int8_t *output) {
    if (layer->params->filter_offset != 0) {
        return KWS_NN_ARG_ERROR;
    }
    for (int32_t n = 0; n < batches; n++, input += layer->length, output += layer->outputs) {
        for (int32_t o = 0, count; o < layer->outputs; o += count) {
            count = o + 4 <= layer->outputs ? 4 : 1;
            connect_outputs(layer, input, o, count, output);
        }
    }
    return KWS_NN_SUCCESS;
}
