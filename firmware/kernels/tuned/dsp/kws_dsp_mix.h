/* What the kernels have in common, internal. */
#ifndef KWS_DSP_MIX_H
#define KWS_DSP_MIX_H

#include "kws_dsp.h"

/* All outputs of one position. x [mix->words]: pairs of int16 inputs. */
void kws_dsp_mix_one(const kws_dsp_mix *mix, const int32_t *x, int8_t *output);

/* The clamp of a fused activation that saturation to int8 left undone. */
void kws_dsp_clamp(int32_t min, int32_t max, int8_t *output, int32_t count);

/* Bytes 0 and 2 of four, then 1 and 3, into every `pitch`-th word. */
KWS_INLINE void kws_dsp_widen_word(int32_t bytes, int pitch, int32_t *x) {
    x[0] = kws_sxtb16(bytes);
    x[pitch] = kws_sxtb16_odd(bytes);
}

#endif
