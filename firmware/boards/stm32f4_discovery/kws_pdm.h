/* PDM to PCM in integers: a sinc of order 4 (CIC), 64 bits to a sample. */
#ifndef KWS_PDM_H
#define KWS_PDM_H

#include <stddef.h>
#include <stdint.h>

enum { KWS_PDM_RATIO = 64, KWS_PDM_WORDS = KWS_PDM_RATIO / 16 }; /* words of 16 bits, the first in time uppermost */

/* All zero at the start. The sums wrap; their differences do not. */
typedef struct {
    uint32_t sum[4], last[4];
} kws_pdm;

/* words: [KWS_PDM_WORDS * count] to samples: [count]. -3.6 dB at 4 kHz, as sinc^4; full scale is all ones. */
void kws_pdm_samples(kws_pdm *state, const uint16_t *words, int16_t *samples, size_t count);

#endif
