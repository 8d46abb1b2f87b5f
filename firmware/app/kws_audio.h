/* Samples between the microphone's interrupt and who listens: a ring whose size export.image chose. */
#ifndef KWS_AUDIO_H
#define KWS_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* While it is closed the ring's memory is free for others. */
extern int16_t kws_audio_ring[];

/* Samples that found no room, or were missed, since reset, modulo 2^32. */
extern volatile uint32_t kws_audio_overruns;

/* Empty the ring, and take what comes from now on. */
void kws_audio_open(void);

/* Take no more. */
void kws_audio_close(void);

/* Whether it takes any. */
int kws_audio_is_open(void);

/* By the interrupt: count samples as overruns that came and were not put, if the ring is open. */
void kws_audio_miss(size_t count);

/* By the interrupt: samples of the microphone, 16 kHz; without their constant part, and KWS_MICROPHONE_SHIFT bits
 * louder (board.toml), they go into the ring. All of them, or none where there is no room. */
void kws_audio_put(const int16_t *samples, size_t count);

/* The oldest samples that lie in one piece; returns how many, 0 where there are none. */
size_t kws_audio_peek(const int16_t **samples);

/* Give the memory of the oldest `count` samples back. */
void kws_audio_drop(size_t count);

#ifdef __cplusplus
}
#endif

#endif
