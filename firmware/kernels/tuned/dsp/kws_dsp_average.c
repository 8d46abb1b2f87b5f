#include "kws_dsp_mix.h"

/* sum / count to nearest, halves away from zero. */
static int32_t average(int32_t sum, int32_t count) {
    return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

void kws_dsp_average(int32_t positions, int32_t channels, int32_t min, int32_t max, const int8_t *input,
                     int8_t *output) {
    for (int32_t channel = 0; channel < channels; channel += 4) {
        const int8_t *at = input + channel;
        int32_t even = 0, odd = 0; /* two sums of 16 bits each */
#pragma GCC unroll 4
        for (int32_t i = 0; i < positions; i++, at += channels) {
            const int32_t bytes = kws_word_at(at);
            even = kws_sxtab16(even, bytes);
            odd = kws_sxtab16_odd(odd, bytes);
        }
        const int16_t sums[4] = {(int16_t)even, (int16_t)odd, (int16_t)(even >> 16), (int16_t)(odd >> 16)};
        for (int k = 0; k < 4; k++) {
            const int32_t value = average(sums[k], positions);
            output[channel + k] = (int8_t)(value < min ? min : value > max ? max : value);
        }
    }
}
