#include "kws_dot_s8.h"

void kws_dot4_s8(const int8_t *x, const int8_t *rows, int32_t row_stride, int32_t length, int32_t offset,
                 int32_t sums[4]) {
    const int8_t *row0 = rows, *row1 = rows + row_stride;
    const int8_t *row2 = rows + 2 * row_stride, *row3 = rows + 3 * row_stride;
    int32_t sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
    for (int32_t i = 0; i < length; i++) {
        const int32_t value = x[i] + offset;
        sum0 += value * *row0++;
        sum1 += value * *row1++;
        sum2 += value * *row2++;
        sum3 += value * *row3++;
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

int32_t kws_dot_s8(const int8_t *x, const int8_t *row, int32_t length, int32_t offset) {
    int32_t sum = 0;
    for (int32_t i = 0; i < length; i++) {
        sum += (x[i] + offset) * row[i];
    }
    return sum;
}

void kws_taps4_s8(const kws_taps *taps, const int8_t *x, const int8_t *weights, int32_t offset, int32_t sums[4]) {
    int32_t sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
    for (int32_t row = 0; row < taps->rows; row++, x += taps->x_row, weights += taps->weight_row) {
        const int8_t *value = x, *weight = weights;
        for (int32_t left = taps->columns; left > 0; left--) {
            sum0 += (value[0] + offset) * weight[0];
            sum1 += (value[1] + offset) * weight[1];
            sum2 += (value[2] + offset) * weight[2];
            sum3 += (value[3] + offset) * weight[3];
            value += taps->x_column;
            weight += taps->weight_column;
        }
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

int32_t kws_taps_s8(const kws_taps *taps, const int8_t *x, const int8_t *weights, int32_t offset) {
    int32_t sum = 0;
    for (int32_t row = 0; row < taps->rows; row++) {
        for (int32_t column = 0; column < taps->columns; column++) {
            sum += (x[row * taps->x_row + column * taps->x_column] + offset) *
                   weights[row * taps->weight_row + column * taps->weight_column];
        }
    }
    return sum;
}
