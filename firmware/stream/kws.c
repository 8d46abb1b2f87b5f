#include "kws.h"

#include <string.h>

enum { SAMPLES_PER_MS = KWS_SAMPLE_RATE / 1000, FRAME_MS = KWS_FRAME_LENGTH / SAMPLES_PER_MS,
       HOP_MS = KWS_HOP_LENGTH / SAMPLES_PER_MS };

#if KWS_HOP_LENGTH % (KWS_SAMPLE_RATE / 1000) || KWS_FRAME_LENGTH % (KWS_SAMPLE_RATE / 1000)
#error frames do not last whole milliseconds
#endif

static int check_engine(const kws_engine *engine) {
    if (!engine->run || !engine->mfcc || !engine->mfcc->table || !engine->features) return KWS_ERROR_ARGUMENT;
    if (!engine->input || !engine->history || !engine->output || !engine->arena) return KWS_ERROR_ARGUMENT;
    const kws_mfcc *mfcc = engine->mfcc;
    const int whole = mfcc->n_coefficients >= 1 && mfcc->n_coefficients <= KWS_N_MELS && mfcc->shift >= 1 &&
                      mfcc->shift <= 20 && mfcc->zero_point >= INT8_MIN && mfcc->zero_point <= INT8_MAX;
    return whole ? 0 : KWS_ERROR_MFCC;
}

static int check(const kws_config *config, const kws_engine *engine) {
    if (!config || !config->words || !engine) return KWS_ERROR_ARGUMENT;
    if (config->frames_per_inference < 1 || config->frames_per_inference > KWS_N_FRAMES) return KWS_ERROR_INFERENCE;
    const int fault = kws_check_config(config);
    return fault ? fault : check_engine(engine);
}

int kws_init(kws_detector *detector, const kws_config *config, const kws_engine *engine) {
    if (!detector) return KWS_ERROR_ARGUMENT;
    memset(detector, 0, sizeof *detector);
    const int fault = check(config, engine);
    if (fault) return fault;
    detector->config = config;
    detector->engine = engine;
    kws_features_init(engine->features);
    kws_decision_init(&detector->decision, config, engine->history);
    return 0;
}

/* ------------------------------------------------------------------ events */

/* HOP_MS times a counter that has wrapped is right modulo 2^32, too. */
uint32_t kws_time_ms(uint32_t frames) { return (frames - 1) * HOP_MS + FRAME_MS; }

static void enqueue(kws_detector *detector, uint16_t score) {
    if (detector->queued == KWS_QUEUE_EVENTS) {
        detector->lost_events++;
        return;
    }
    const unsigned place = ((unsigned)detector->first + detector->queued++) % KWS_QUEUE_EVENTS;
    detector->queue[place] = (kws_event){kws_time_ms(detector->frames), detector->decision.top, score};
}

int kws_poll(kws_detector *detector, kws_event *event) {
    if (!detector || !event) return KWS_ERROR_ARGUMENT;
    if (!detector->queued) return 0;
    *event = detector->queue[detector->first];
    detector->first = (uint8_t)((detector->first + 1) % KWS_QUEUE_EVENTS);
    detector->queued--;
    return 1;
}

/* ------------------------------------------------------------------ samples */

/* The network's input is the ring: it wants its rows in order, so what a ring would copy there before an inference is
 * moved up after it, and no frame is held twice. */
static void make_room(kws_detector *detector) {
    const kws_engine *engine = detector->engine;
    const size_t row = (size_t)engine->mfcc->n_coefficients, gone = detector->config->frames_per_inference;
    detector->held = (uint16_t)(KWS_N_FRAMES - gone);
    memmove(engine->input, engine->input + gone * row, detector->held * row);
}

static int infer(kws_detector *detector) {
    const kws_engine *engine = detector->engine;
    uint16_t score;
    const int failed = engine->run(engine->arena, engine->input, engine->output);
    make_room(detector);
    if (failed) {
        detector->failures++;
        return KWS_ERROR_NETWORK;
    }
    detector->inferences++;
    const uint32_t frames = detector->config->frames_per_inference;
    if (kws_decide(&detector->decision, detector->config, engine->history, engine->output, frames, &score)) {
        enqueue(detector, score);
    }
    return 0;
}

static int take_frame(kws_detector *detector) {
    const kws_engine *engine = detector->engine;
    uint8_t codes[KWS_N_MELS];
    kws_features_frame(engine->features, codes);
    kws_mfcc_row(engine->mfcc, codes, engine->input + detector->held * engine->mfcc->n_coefficients);
    detector->frames++;
    return ++detector->held == KWS_N_FRAMES ? infer(detector) : 0;
}

int kws_feed(kws_detector *detector, const int16_t *samples, size_t count) {
    if (!detector || !detector->config || (!samples && count)) return KWS_ERROR_ARGUMENT;
    int status = 0;
    for (size_t at = 0; at < count;) {
        at += kws_features_push(detector->engine->features, samples + at, count - at);
        if (!kws_features_ready(detector->engine->features)) continue;
        const int failed = take_frame(detector);
        if (failed) status = failed;
    }
    return status;
}
