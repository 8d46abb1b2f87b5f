/* The inner loops of convolutions and fully-connected layer, internal. Functions of their own, so that their variables
 * get all of a Cortex-M's registers. */
#ifndef KWS_DOT_S8_H
#define KWS_DOT_S8_H

#include <stdint.h>

/* sums[k] += sum over i < length of (x[i] + offset) * rows[k * row_stride + i], for k = 0..3. */
void kws_dot4_s8(const int8_t *x, const int8_t *rows, int32_t row_stride, int32_t length, int32_t offset,
                 int32_t sums[4]);

/* The same for one row: returns the sum. */
int32_t kws_dot_s8(const int8_t *x, const int8_t *row, int32_t length, int32_t offset);

/* The taps of a depthwise window: bytes from one row, one column to the next, in plane and filter. */
typedef struct {
    int32_t rows, columns;
    int32_t x_row, x_column;
    int32_t weight_row, weight_column;
} kws_taps;

/* sums[k] += sum over the taps of (x[tap + k] + offset) * weights[tap + k], for k = 0..3: four channels at once. */
void kws_taps4_s8(const kws_taps *taps, const int8_t *x, const int8_t *weights, int32_t offset, int32_t sums[4]);

/* The same for one channel: returns the sum. */
int32_t kws_taps_s8(const kws_taps *taps, const int8_t *x, const int8_t *weights, int32_t offset);

#endif
