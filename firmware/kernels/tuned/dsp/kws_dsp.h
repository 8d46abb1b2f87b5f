/* Kernels for cores with the DSP instructions: Cortex-M4, M7, M33. What they are given is packed by export/tuned/dsp;
 * results are those of the portable kernels, bit for bit. Activations are int8 [h][w][c]. */
#ifndef KWS_DSP_H
#define KWS_DSP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs that are sums over the same inputs.
 * packed: for each two outputs 2 + words + 4 words, see export/tuned/dsp/mix.py. words: pairs of inputs to a sum, a
 * multiple of 2. outputs: a multiple of 2. rectified: whether no output is below zero_point, so that it makes no
 * difference which way halves of negative numbers are rounded. min, max: of the fused activation. */
typedef struct {
    const int32_t *packed;
    int32_t words;
    int32_t outputs;
    int32_t zero_point;
    int32_t rectified;
    int32_t min;
    int32_t max;
} kws_dsp_mix;

/* 1x1 convolution of a plane of `positions`; the output may lie at the start of the input where outputs <= channels.
 * scratch: 4 words for each of mix->words. */
void kws_dsp_pointwise(const kws_dsp_mix *mix, int32_t channels, int32_t positions, int32_t *scratch,
                       const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
