#include "kws_audio.h"

#include "kws_image.h" /* KWS_AUDIO_SAMPLES */

#ifndef KWS_MICROPHONE_SHIFT
#define KWS_MICROPHONE_SHIFT 0
#endif

enum { SIZE = KWS_AUDIO_SAMPLES, DC_BITS = 9 }; /* the constant part: over 2^9 samples, so below 5 Hz */

int16_t kws_audio_ring[SIZE] __attribute__((section(".bss.kws_audio")));
volatile uint32_t kws_audio_overruns;
static volatile uint32_t head, tail; /* places; the interrupt alone moves head, the listener alone tail */
static volatile int open;
static int32_t constant; /* times 2^DC_BITS */

void kws_audio_open(void) {
    tail = head;
    open = 1;
}

void kws_audio_close(void) { open = 0; }

int kws_audio_is_open(void) { return open; }

void kws_audio_miss(size_t count) {
    if (open) kws_audio_overruns += (uint32_t)count;
}

/* Without the constant part; louder. */
static int16_t cleaned(int16_t sample) {
    const int32_t rest = sample - (constant >> DC_BITS);
    constant += rest;
    const int32_t louder = rest * (1 << KWS_MICROPHONE_SHIFT);
    return (int16_t)(louder < INT16_MIN ? INT16_MIN : louder > INT16_MAX ? INT16_MAX : louder);
}

/* One place stays free: a full ring is no empty one. */
static size_t room(void) {
    const uint32_t held = (head + SIZE - tail) % SIZE;
    return SIZE - 1u - held;
}

void kws_audio_put(const int16_t *samples, size_t count) {
    if (!open) return;
    if (room() < count) {
        kws_audio_miss(count);
        return;
    }
    uint32_t at = head;
    for (size_t i = 0; i < count; i++) {
        kws_audio_ring[at] = cleaned(samples[i]);
        at = at + 1 == SIZE ? 0 : at + 1;
    }
    head = at;
}

size_t kws_audio_peek(const int16_t **samples) {
    const uint32_t end = head;
    *samples = kws_audio_ring + tail;
    return (end >= tail ? end : SIZE) - tail;
}

void kws_audio_drop(size_t count) { tail = (tail + (uint32_t)count) % SIZE; }
