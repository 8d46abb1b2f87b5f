/* The inner loops of convolution and fully-connected layer, internal. */
#ifndef KWS_DOT_S8_H
#define KWS_DOT_S8_H

#include <stdint.h>

/* sums[0..3] += sum over i of (x[i] + offset) * rows[k * row_stride + i], i < length. */
static inline void kws_dot4_s8(const int8_t *x, const int8_t *rows, int32_t row_stride, int32_t length, int32_t offset,
                               int32_t sums[4]) {
    const int8_t *row0 = rows, *row1 = rows + row_stride;
    const int8_t *row2 = rows + 2 * row_stride, *row3 = rows + 3 * row_stride;
    int32_t sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
    for (int32_t i = 0; i < length; i++) {
        const int32_t value = x[i] + offset;
        sum0 += value * row0[i];
        sum1 += value * row1[i];
        sum2 += value * row2[i];
        sum3 += value * row3[i];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static inline int32_t kws_dot_s8(const int8_t *x, const int8_t *row, int32_t length, int32_t offset) {
    int32_t sum = 0;
    for (int32_t i = 0; i < length; i++) {
        sum += (x[i] + offset) * row[i];
    }
    return sum;
}

#endif
