#include "kws_nn_extra.h"
#include "kws_requantize.h"

void kws_mean_s8(const int8_t *input, int32_t positions, int32_t channels, int32_t input_offset, int32_t multiplier,
                 int32_t shift, int32_t output_offset, int8_t *output) {
    const kws_nn_activation range = {INT8_MIN, INT8_MAX};
    for (int32_t channel = 0; channel < channels; channel++) {
        const int8_t *value = input + channel;
        int32_t sum = positions * input_offset;
        for (int32_t position = 0; position < positions; position++, value += channels) {
            sum += *value;
        }
        output[channel] = kws_clamp(kws_requantize(sum, multiplier, shift) + output_offset, &range);
    }
}
