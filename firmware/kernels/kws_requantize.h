/* Fixed-point steps that the kernels share, internal. Right shifts of negative integers are arithmetic, as on every
 * compiler for Cortex-M and on gcc and clang everywhere. */
#ifndef KWS_REQUANTIZE_H
#define KWS_REQUANTIZE_H

#include <stdint.h>

#include "kws_nn_types.h"

static inline int32_t kws_max(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t kws_min(int32_t a, int32_t b) { return a < b ? a : b; }

static inline int8_t kws_clamp(int32_t value, const kws_nn_activation *range) {
    return (int8_t)kws_min(kws_max(value, range->min), range->max);
}

/* a b / 2^31, to nearest, halves up; b >= 0 or a > -2^31. */
static inline int32_t kws_high_multiply(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* value / 2^exponent, to nearest, halves away from zero; exponent 0..31. */
static inline int32_t kws_rounding_shift(int32_t value, int32_t exponent) {
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
    const int32_t threshold = (int32_t)((uint32_t)mask >> 1) + (value < 0);
    return (value >> exponent) + ((value & mask) > threshold);
}

/* value * 2^exponent, modulo 2^32; exponent 0..31. */
static inline int32_t kws_shift_left(int32_t value, int32_t exponent) {
    return (int32_t)((uint32_t)value << exponent);
}

/* value * multiplier / 2^31 * 2^shift, rounded twice, as TFLite Micro does. */
static inline int32_t kws_requantize(int32_t value, int32_t multiplier, int32_t shift) {
    const int32_t product = kws_high_multiply(kws_shift_left(value, kws_max(shift, 0)), multiplier);
    return kws_rounding_shift(product, kws_max(-shift, 0));
}

#endif
