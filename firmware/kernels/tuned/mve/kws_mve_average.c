#include "kws_mve_vector.h"

enum { GROUP = 8 };

/* sum / count to nearest, halves away from zero. */
static int32_t average(int32_t sum, int32_t count) {
    return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

void kws_mve_average(int32_t positions, int32_t channels, int32_t min, int32_t max, const int8_t *input,
                     int8_t *output) {
    for (int32_t channel = 0; channel < channels; channel += GROUP) {
        const int32_t first = channel < channels - GROUP ? channel : channels - GROUP; /* the last may overlap */
        const int8_t *at = input + first;
        int16x8_t sums = vdupq_n_s16(0);
#pragma GCC unroll 4
        for (int32_t i = 0; i < positions; i++, at += channels) {
            sums = vaddq_s16(sums, vldrbq_s16(at));
        }
        int16_t values[GROUP];
        vstrhq_s16(values, sums);
        for (int32_t k = 0; k < GROUP; k++) {
            const int32_t value = average(values[k], positions);
            output[first + k] = (int8_t)(value < min ? min : value > max ? max : value);
        }
    }
}
