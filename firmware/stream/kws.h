/* A stream of samples to the words heard in it: features frame by frame, an inference every few frames, decisions.
 *
 * C99, integers only, no heap, no mutable static data: all memory is the caller's. The same events on every compiler
 * and core, however the samples are cut into calls.
 *
 *     kws_init(&detector, &config, &engine);
 *     for (;;) {
 *         kws_feed(&detector, samples, count);
 *         while (kws_poll(&detector, &event) > 0) ...
 *     }
 */
#ifndef KWS_H
#define KWS_H

#include "kws_decide.h"
#include "kws_features.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KWS_QUEUE_EVENTS = 8 }; /* that wait for kws_poll */

/* What scores a second of speech, and the memory that it works in. */
typedef struct {
    int (*run)(void *arena, const void *input, void *output); /* the network's; 0 on success */
    const kws_mfcc *mfcc;   /* of the network's input */
    kws_features *features; /* state: the stream's from kws_init on */
    int8_t *input;          /* state: [KWS_N_FRAMES][mfcc->n_coefficients], the newest frames, oldest first */
    int8_t *history;        /* state: [config->average_inferences][config->labels] */
    int8_t *output;         /* scratch between two calls: [config->labels] */
    void *arena;            /* scratch between two calls: as the network wants it */
} kws_engine;

typedef struct {
    uint32_t time_ms; /* from kws_init to the last sample that was heard, modulo 2^32 */
    uint16_t label;   /* index of the word */
    uint16_t score;   /* averaged, 0..KWS_SCORE_ONE */
} kws_event;

/* One stream. Its fields are for reading. */
typedef struct {
    const kws_config *config;
    const kws_engine *engine;
    kws_decision decision;
    uint32_t frames;      /* since kws_init, modulo 2^32 */
    uint32_t inferences;  /* the same */
    uint32_t failures;    /* of the network; the same */
    uint32_t lost_events; /* that found the queue full; the same */
    uint16_t held;        /* frames in the engine's input, 0..KWS_N_FRAMES */
    uint8_t first, queued;
    kws_event queue[KWS_QUEUE_EVENTS];
} kws_detector;

/* Start an empty stream. config and engine stay the caller's and are used until the end of the stream. Returns 0, or
 * KWS_ERROR_ARGUMENT where a pointer is null, or the error of kws_check_config: then the detector is not to be fed. */
int kws_init(kws_detector *detector, const kws_config *config, const kws_engine *engine);

/* Take all of `count` samples (16 kHz, full int16 range), with all the inferences that they make due; any count. Poll
 * before KWS_QUEUE_EVENTS refractory times have passed. Returns 0, KWS_ERROR_ARGUMENT (nothing was taken), or
 * KWS_ERROR_NETWORK where the network refused: those inferences are left out, the stream goes on. */
int kws_feed(kws_detector *detector, const int16_t *samples, size_t count);

/* Take the oldest event that waits. Returns 1, or 0 where there is none, or KWS_ERROR_ARGUMENT. */
int kws_poll(kws_detector *detector, kws_event *event);

/* Milliseconds from kws_init to the last sample of so many frames, modulo 2^32. */
uint32_t kws_time_ms(uint32_t frames);

#ifdef __cplusplus
}
#endif

#endif
