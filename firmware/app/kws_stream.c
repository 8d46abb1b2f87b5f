#include "kws_stream.h"

#include <string.h>

#include "kws_core.h"
#include "kws_crc.h"
#include "kws_ear.h"
#include "kws_memory.h"
#include "kws_protocol.h"

typedef struct {
    int32_t status;
    uint32_t frames, inferences, failures, lost_events, scores_crc, ticks;
} facts;

static facts heard;
static uint32_t crc;

void kws_stream_begin(void) {
    const int32_t status = kws_ear_begin();
    crc = UINT32_MAX;
    kws_reply(KWS_OK, &status, sizeof status);
}

/* At most a hop: at most one inference. */
static void feed(const int16_t *samples, size_t count) {
    const uint32_t inferences = kws_ear.inferences, start = kws_ticks();
    const int status = kws_feed(&kws_ear, samples, count);
    heard.ticks += kws_ticks() - start;
    if (status) heard.status = status;
    if (kws_ear.inferences != inferences) crc = kws_crc(crc, (const uint8_t *)&kws_output, kws_networks[0].output_bytes);
}

void kws_stream_take(const int16_t *samples, size_t count, int first) {
    if (first) memset(&heard, 0, sizeof heard);
    for (size_t at = 0; at < count; at += KWS_HOP_LENGTH) {
        feed(samples + at, count - at < KWS_HOP_LENGTH ? count - at : KWS_HOP_LENGTH);
    }
}

void kws_stream_answer(void) {
    struct {
        facts facts;
        kws_event events[KWS_QUEUE_EVENTS];
    } reply;
    heard.frames = kws_ear.frames;
    heard.inferences = kws_ear.inferences;
    heard.failures = kws_ear.failures;
    heard.lost_events = kws_ear.lost_events;
    heard.scores_crc = ~crc;
    reply.facts = heard;
    size_t events = 0;
    while (events < KWS_QUEUE_EVENTS && kws_poll(&kws_ear, &reply.events[events]) > 0) events++;
    kws_reply(KWS_OK, &reply, sizeof reply.facts + events * sizeof reply.events[0]);
}
