/* Portable int8 kernels that CMSIS-NN has no match for: linked beside either set. The arithmetic of TFLite Micro, bit
 * for bit. Plain integers, no struct of either set; no heap, no mutable static data, no scratch.
 *
 * Requantization: value * multiplier / 2^31 * 2^shift, rounded twice; multiplier 0..2^31 - 1, shift -31..30, and
 * |value| * 2^shift below 2^31 - 256. Offsets are added to values: of an input, minus its zero point, of an output, its
 * zero point; both -255..255. Results are clamped to min..max, which the output's type holds. */
#ifndef KWS_NN_EXTRA_H
#define KWS_NN_EXTRA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* output [channels]: the mean of input [positions][channels] over the positions, requantized. The multiplier and shift
 * hold the division by positions. Sums are 32 bits: at most 2^23 positions. */
void kws_mean_s8(const int8_t *input, int32_t positions, int32_t channels, int32_t input_offset, int32_t multiplier,
                 int32_t shift, int32_t output_offset, int8_t *output);

/* output [before_h + h + after_h][before_w + w + after_w][before_c + c + after_c]: input [h][w][c] amid value, an int8.
 * Not in place. */
void kws_pad_s8(const int8_t *input, int32_t h, int32_t w, int32_t c, int32_t before_h, int32_t after_h,
                int32_t before_w, int32_t after_w, int32_t before_c, int32_t after_c, int32_t value, int8_t *output);

/* output [size]: input [size] requantized. The output may be the input. */
void kws_requantize_s8(const int8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift,
                       int32_t output_offset, int32_t min, int32_t max, int32_t size, int8_t *output);

/* The same from uint8. */
void kws_requantize_u8_s8(const uint8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift,
                          int32_t output_offset, int32_t min, int32_t max, int32_t size, int8_t *output);

/* The same to uint8. */
void kws_requantize_s8_u8(const int8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift,
                          int32_t output_offset, int32_t min, int32_t max, int32_t size, uint8_t *output);

/* output [size]: input [size] clamped to min..max. The output may be the input. */
void kws_clamp_s8(const int8_t *input, int32_t min, int32_t max, int32_t size, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
