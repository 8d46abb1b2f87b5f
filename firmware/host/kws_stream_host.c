#include "kws_stream_host.h"

#include <stdlib.h>
#include <string.h>

#include "network.h"

#if NETWORK_ARENA_ALIGN > 16
#error malloc aligns to less
#endif

struct kws_host {
    kws_detector detector;
    kws_features features;
    kws_engine engine;
    int8_t *scores;
    size_t rows, most; /* of scores: recorded, room for */
};

static kws_host *recording; /* network_run knows of no stream */

static int run(void *arena, const void *input, void *output) {
    const int failed = network_run(arena, input, output);
    if (failed || recording->rows == recording->most) return failed;
    memcpy(recording->scores + recording->rows * NETWORK_OUTPUT_BYTES, output, NETWORK_OUTPUT_BYTES);
    recording->rows++;
    return 0;
}

void kws_host_close(kws_host *host) {
    if (!host) return;
    free(host->engine.input);
    free(host->engine.history);
    free(host->engine.output);
    free(host->engine.arena);
    free(host);
}

static kws_host *refuse(kws_host *host, int fault, int *status) {
    kws_host_close(host);
    *status = fault;
    return NULL;
}

kws_host *kws_host_open(const kws_config *config, const kws_mfcc *mfcc, int8_t *scores, size_t rows, int *status) {
    kws_host *const host = calloc(1, sizeof *host);
    if (!host || config->labels != NETWORK_OUTPUT_BYTES) return refuse(host, KWS_ERROR_LABELS, status);
    host->engine = (kws_engine){run, mfcc, &host->features, malloc(NETWORK_INPUT_BYTES),
                                malloc((size_t)config->average_inferences * config->labels),
                                malloc(NETWORK_OUTPUT_BYTES), malloc(NETWORK_ARENA_BYTES)};
    host->scores = scores;
    host->most = scores ? rows : 0;
    *status = kws_init(&host->detector, config, &host->engine);
    if (*status) return refuse(host, *status, status);
    recording = host;
    return host;
}

void kws_host_count_from(kws_host *host, uint32_t count) {
    kws_detector *const detector = &host->detector;
    detector->frames = detector->inferences = detector->failures = detector->lost_events = count;
}

int kws_host_feed(kws_host *host, const int16_t *samples, size_t count) {
    return kws_feed(&host->detector, samples, count);
}

size_t kws_host_poll(kws_host *host, kws_event *events, size_t most) {
    size_t told = 0;
    while (told < most && kws_poll(&host->detector, &events[told]) > 0) told++;
    return told;
}

void kws_host_counters(const kws_host *host, uint32_t counters[4]) {
    const kws_detector *const detector = &host->detector;
    counters[0] = detector->frames;
    counters[1] = detector->inferences;
    counters[2] = detector->failures;
    counters[3] = detector->lost_events;
}

size_t kws_host_decide(const kws_config *config, int8_t *history, const int8_t *scores, size_t rows,
                       kws_event *events, size_t most) {
    kws_decision decision;
    size_t told = 0;
    kws_decision_init(&decision, config, history);
    for (size_t row = 0; row < rows; row++, scores += config->labels) {
        uint16_t score;
        if (!kws_decide(&decision, config, history, scores, config->frames_per_inference, &score)) continue;
        const uint32_t frames = KWS_N_FRAMES + (uint32_t)row * config->frames_per_inference;
        if (told < most) events[told] = (kws_event){kws_time_ms(frames), decision.top, score};
        told++;
    }
    return told;
}
