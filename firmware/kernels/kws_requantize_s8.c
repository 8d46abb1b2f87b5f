#include "kws_nn_extra.h"
#include "kws_requantize.h"

void kws_requantize_s8(const int8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift,
                       int32_t output_offset, int32_t min, int32_t max, int32_t size, int8_t *output) {
    for (int32_t i = 0; i < size; i++) {
        const int32_t value = kws_requantize(input[i] + input_offset, multiplier, shift) + output_offset;
        output[i] = (int8_t)kws_min(kws_max(value, min), max);
    }
}
