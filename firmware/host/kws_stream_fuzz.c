/* kws_stream_fuzz SEED ROUNDS: random samples in random pieces, and configs that must be refused, for sanitizers: all
 * memory of a stream lies on the heap and has exactly its size. Prints what went wrong, and stops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_stream_host.h"
#include "network.h"

enum { COEFFICIENTS = NETWORK_INPUT_COLUMNS, LABELS = NETWORK_OUTPUT_BYTES, MOST_SAMPLES = 40000, MOST_EVENTS = 512 };

static uint32_t state;

static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)state * below >> 32);
}

static int fail(const char *what) {
    printf("%s\n", what);
    return 1;
}

typedef struct {
    kws_word words[LABELS];
    int32_t table[COEFFICIENTS * KWS_N_MELS];
    kws_config config;
    kws_mfcc mfcc;
} settings;

static void draw_settings(settings *at) {
    for (int i = 0; i < LABELS; i++) at->words[i] = (kws_word){(uint16_t)draw(KWS_SCORE_ONE + 1), (uint16_t)draw(4)};
    for (int i = 0; i < COEFFICIENTS * KWS_N_MELS; i++) at->table[i] = (int32_t)draw(400) - 200;
    at->config = (kws_config){at->words, LABELS, (uint16_t)(1 + draw(KWS_N_FRAMES)),
                              (uint16_t)(1 + draw(KWS_MAX_AVERAGE)), (uint16_t)draw(draw(2) ? 65536 : 10)};
    at->mfcc = (kws_mfcc){at->table, COEFFICIENTS, (int32_t)(1 + draw(20)), (int32_t)draw(256) - 128};
}

/* Feeds `samples`, copied to the heap piece by piece; returns how many events it told, or a negative number. */
static int hear(const settings *of, const int16_t *samples, size_t count, uint32_t longest, kws_event *events) {
    int status, told = 0;
    kws_host *const host = kws_host_open(&of->config, &of->mfcc, NULL, 0, &status);
    for (size_t at = 0, step; host && !status && at < count; at += step) {
        step = draw(longest + 1);
        if (step > count - at) step = count - at;
        int16_t *const piece = malloc(step * sizeof *piece + 1);
        memcpy(piece, samples + at, step * sizeof *piece);
        status = kws_host_feed(host, piece, step);
        free(piece);
        told += (int)kws_host_poll(host, events + told, (size_t)(MOST_EVENTS - told));
    }
    uint32_t counters[4] = {0};
    if (host) kws_host_counters(host, counters);
    kws_host_close(host);
    const size_t frames = count < KWS_FRAME_LENGTH ? 0 : 1 + (count - KWS_FRAME_LENGTH) / KWS_HOP_LENGTH;
    return status || counters[0] != frames || counters[3] ? -1 : told;
}

/* The same events, whatever the pieces; some of them as short as a sample. */
static int round_of_samples(const settings *of, int16_t *samples, kws_event *events, kws_event *others) {
    const size_t count = draw(MOST_SAMPLES);
    const uint32_t loudness = draw(17);
    for (size_t i = 0; i < count; i++) samples[i] = (int16_t)((int32_t)(draw(65536) >> loudness) - (32768 >> loudness));
    const int told = hear(of, samples, count, 320, events), again = hear(of, samples, count, 1 + draw(2000), others);
    if (told < 0 || again < 0) return fail("a stream failed, or lost a sample or an event");
    if (told != again || memcmp(events, others, (size_t)told * sizeof *events)) return fail("events differ by pieces");
    return 0;
}

static int refused(const settings *of, int right) {
    int status = 0;
    kws_host *const host = kws_host_open(&of->config, &of->mfcc, NULL, 0, &status);
    kws_host_close(host);
    return !host && status == right ? 0 : fail("a bad config got another error");
}

static int round_of_refusals(const settings *good) {
    settings bad = *good;
    bad.config.words = bad.words;
    bad.config.labels = (uint16_t)(LABELS + 1 + draw(60000));
    if (refused(&bad, KWS_ERROR_LABELS)) return 1;
    bad.config = good->config;
    bad.config.frames_per_inference = (uint16_t)(draw(2) ? 0 : KWS_N_FRAMES + 1 + draw(60000));
    if (refused(&bad, KWS_ERROR_INFERENCE)) return 1;
    bad.config = good->config;
    bad.config.average_inferences = (uint16_t)(draw(2) ? 0 : KWS_MAX_AVERAGE + 1 + draw(60000));
    if (refused(&bad, KWS_ERROR_AVERAGE)) return 1;
    bad.config = good->config;
    bad.config.words = bad.words;
    bad.words[draw(LABELS)].threshold = (uint16_t)(KWS_SCORE_ONE + 1 + draw(255));
    if (refused(&bad, KWS_ERROR_THRESHOLD)) return 1;
    bad.config = good->config;
    bad.mfcc.shift = draw(2) ? 0 : 21;
    if (refused(&bad, KWS_ERROR_MFCC)) return 1;
    bad.mfcc = good->mfcc;
    bad.config.words = NULL;
    return refused(&bad, KWS_ERROR_ARGUMENT);
}

/* Null pointers, and a detector that was refused. */
static int round_of_nulls(const settings *good) {
    kws_detector *const detector = malloc(sizeof *detector);
    kws_event event;
    const int16_t sample = 0;
    int wrong = kws_init(NULL, &good->config, NULL) != KWS_ERROR_ARGUMENT;
    wrong |= kws_init(detector, &good->config, NULL) != KWS_ERROR_ARGUMENT;
    wrong |= kws_feed(detector, &sample, 1) != KWS_ERROR_ARGUMENT || kws_poll(detector, &event) != 0;
    wrong |= kws_feed(NULL, &sample, 1) != KWS_ERROR_ARGUMENT || kws_poll(NULL, &event) != KWS_ERROR_ARGUMENT;
    free(detector);
    return wrong ? fail("a null pointer was taken") : 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return fail("usage: kws_stream_fuzz SEED ROUNDS");
    state = (uint32_t)strtoul(argv[1], NULL, 10);
    int16_t *const samples = malloc(MOST_SAMPLES * sizeof *samples);
    kws_event *const events = calloc(2 * MOST_EVENTS, sizeof *events);
    int failed = !samples || !events;
    for (unsigned long left = strtoul(argv[2], NULL, 10); left > 0 && !failed; left--) {
        settings good;
        draw_settings(&good);
        failed = round_of_samples(&good, samples, events, events + MOST_EVENTS) || round_of_refusals(&good) ||
                 round_of_nulls(&good);
    }
    free(samples);
    free(events);
    return failed;
}
