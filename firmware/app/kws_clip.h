/* One second of samples to the input of the first network. Linked only where that network takes our features. */
#ifndef KWS_CLIP_H
#define KWS_CLIP_H

#include <stddef.h>
#include <stdint.h>

#include "kws_features.h"

/* The codes of the clip, and the SysTick ticks that its frames took. */
enum { KWS_CLIP_CODES = KWS_N_FRAMES * KWS_N_MELS };
extern uint8_t *const kws_clip_codes;
extern uint32_t kws_clip_ticks;

/* The state of its features, shared with the image's stream (kws_ear.h), and the first network's input. */
extern kws_features kws_clip_features;
extern const kws_mfcc *const kws_clip_mfcc;

/* Start anew. */
void kws_clip_begin(void);

/* More samples of the clip; fills kws_clip_codes and kws_input frame by frame. */
void kws_clip_take(const int16_t *samples, size_t count);

#endif
