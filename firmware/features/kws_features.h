/* Speech to log-mel codes to int8 MFCC, integer only, frame by frame as samples arrive.
 *
 * C99, no heap, no mutable static data: all state is in the caller's kws_features.
 * The same bits on every compiler and core; within one code of datasets.features.log_mel_codes (float64).
 */
#ifndef KWS_FEATURES_H
#define KWS_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_feature_tables.h" /* written by export.feature_tables from datasets.features */

#ifdef __cplusplus
extern "C" {
#endif

/* State of one stream of samples. */
typedef struct {
    size_t filled;                              /* samples held, 0..KWS_FRAME_LENGTH */
    int16_t samples[KWS_FFT_LENGTH];            /* the frame, oldest first; zero from KWS_FRAME_LENGTH on */
    int32_t spectrum[KWS_FFT_LENGTH];           /* scratch: KWS_FFT_LENGTH / 2 complex values */
} kws_features;

/* Codes to the int8 input of one network: datasets.features.MfccQuantizer in C. */
typedef struct {
    const int32_t *table;                       /* [n_coefficients][KWS_N_MELS], scaled by 2^shift */
    int32_t n_coefficients;
    int32_t shift;                              /* 1..20 */
    int32_t zero_point;                         /* -128..127 */
} kws_mfcc;

/* An empty stream. */
void kws_features_init(kws_features *state);

/* Take samples (16 kHz, full int16 range) until the frame is full; returns how many of `count` were taken. */
size_t kws_features_push(kws_features *state, const int16_t *samples, size_t count);

/* Whether a whole frame is held. */
bool kws_features_ready(const kws_features *state);

/* The codes of the frame held; then drops its first KWS_HOP_LENGTH samples. Call only when ready. */
void kws_features_frame(kws_features *state, uint8_t codes[KWS_N_MELS]);

/* One row of a network's input; mfcc: int8 [n_coefficients]. */
void kws_mfcc_row(const kws_mfcc *quantizer, const uint8_t codes[KWS_N_MELS], int8_t *mfcc);

#ifdef __cplusplus
}
#endif

#endif
