/* The inner part of convolutions and fully-connected layers: every output a sum of products of the same inputs,
 * internal. */
#ifndef KWS_DSP_MIX_H
#define KWS_DSP_MIX_H

#include "kws_dsp.h"

enum { KWS_DSP_TILE = 4 }; /* positions that are mixed at once */

/* All outputs of KWS_DSP_TILE positions. x [mix->words][KWS_DSP_TILE]: pairs of int16 inputs; output
 * [KWS_DSP_TILE][mix->outputs]. */
void kws_dsp_mix_tile(const kws_dsp_mix *mix, const int32_t *x, int8_t *output);

/* All outputs of one position. x [mix->words]. */
void kws_dsp_mix_one(const kws_dsp_mix *mix, const int32_t *x, int8_t *output);

/* The clamp of a fused activation that saturation to int8 left undone. */
void kws_dsp_clamp(const kws_dsp_mix *mix, int8_t *output, int32_t count);

#endif
