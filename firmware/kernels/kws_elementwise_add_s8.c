#include "kws_nn_functions.h"
#include "kws_requantize.h"

kws_nn_status kws_elementwise_add_s8(const int8_t *input_1_vect, const int8_t *input_2_vect, int32_t input_1_offset,
                                     int32_t input_1_mult, int32_t input_1_shift, int32_t input_2_offset,
                                     int32_t input_2_mult, int32_t input_2_shift, int32_t left_shift, int8_t *output,
                                     int32_t out_offset, int32_t out_mult, int32_t out_shift,
                                     int32_t out_activation_min, int32_t out_activation_max, int32_t block_size) {
    const kws_nn_activation range = {out_activation_min, out_activation_max};
    for (int32_t i = 0; i < block_size; i++) {
        const int32_t first = kws_shift_left(input_1_vect[i] + input_1_offset, left_shift);
        const int32_t second = kws_shift_left(input_2_vect[i] + input_2_offset, left_shift);
        const int32_t sum = kws_requantize(first, input_1_mult, input_1_shift) +
                            kws_requantize(second, input_2_mult, input_2_shift);
        output[i] = kws_clamp(kws_requantize(sum, out_mult, out_shift) + out_offset, &range);
    }
    return KWS_NN_SUCCESS;
}
