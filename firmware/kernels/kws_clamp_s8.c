#include "kws_nn_extra.h"
#include "kws_requantize.h"

void kws_clamp_s8(const int8_t *input, int32_t min, int32_t max, int32_t size, int8_t *output) {
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)kws_min(kws_max(input[i], min), max);
    }
}
