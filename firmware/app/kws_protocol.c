#include "kws_protocol.h"

#include <string.h>

#include "kws_core.h"
#include "kws_crc.h"
#include "kws_image.h" /* written by export.image: KWS_IMAGE_IDENTITY, KWS_STACK_BYTES, KWS_DETECTOR */
#include "kws_memory.h"
#include "kws_transport.h"
#if KWS_FEATURES
#include "kws_clip.h"
#endif
#if KWS_DETECTOR
#include "kws_stream.h"
#endif
#ifdef KWS_LISTENING
#include "kws_listen.h"
#else
#define kws_listen_pause()
#endif

uint32_t kws_self_test_failed;
static const kws_network *network; /* of the request being served */

typedef union {
    uint8_t bytes[KWS_PIECE_BYTES];
    int16_t samples[KWS_PIECE_BYTES / sizeof(int16_t)];
    uint32_t word;
} piece;

/* ------------------------------------------------------------------ bytes with their CRC */

static uint32_t reply_crc;

static void reply_begin(enum kws_status status, size_t bytes) {
    const uint8_t head[4] = {'k', (uint8_t)status, 0, 0};
    const uint32_t count = (uint32_t)bytes;
    kws_write(head, sizeof head);
    kws_write(&count, sizeof count);
    reply_crc = UINT32_MAX;
}

static void reply_put(const void *part, size_t bytes) {
    reply_crc = kws_crc(reply_crc, part, bytes);
    kws_write(part, bytes);
}

static void reply_end(void) {
    const uint32_t crc = ~reply_crc;
    kws_write(&crc, sizeof crc);
}

void kws_reply(enum kws_status status, const void *payload, size_t bytes) {
    reply_begin(status, bytes);
    reply_put(payload, bytes);
    reply_end();
}

/* ------------------------------------------------------------------ what the commands do */

static void hello(const piece *none) {
    static const uint8_t identity[] = KWS_IMAGE_IDENTITY;
    const uint32_t facts[4] = {KWS_STACK_BYTES, kws_self_test_failed, KWS_FEATURES, kws_gave_up};
    uint32_t sizes[KWS_NETWORKS][3];
    (void)none;
    for (unsigned n = 0; n < KWS_NETWORKS; n++) {
        sizes[n][0] = kws_networks[n].input_bytes;
        sizes[n][1] = kws_networks[n].output_bytes;
        sizes[n][2] = kws_networks[n].arena_bytes;
    }
    reply_begin(KWS_OK, sizeof identity + sizeof facts + sizeof sizes);
    reply_put(identity, sizeof identity);
    reply_put(facts, sizeof facts);
    reply_put(sizes, sizeof sizes);
    reply_end();
}

static void spin(const piece *last) {
    const uint32_t count = last->word, start = kws_ticks();
    kws_spin(count);
    const uint32_t ticks = kws_ticks() - start;
    kws_reply(KWS_OK, &ticks, sizeof ticks);
}

/* Runs the network on kws_input; whether it did, else it has replied. `ticks`: what it took. */
static int infer(uint32_t *ticks) {
    const uint32_t start = kws_ticks();
    const int failed = network->run(&kws_arena, &kws_input, &kws_output);
    *ticks = kws_ticks() - start;
    if (failed) kws_reply(KWS_NETWORK_FAILED, &failed, sizeof failed);
    return !failed;
}

static void put_scores(const uint32_t *facts, size_t bytes) {
    reply_put(&kws_output, network->output_bytes);
    reply_put(facts, bytes);
    reply_end();
}

static void take_input(const piece *part, size_t offset, size_t bytes) {
    memcpy((uint8_t *)&kws_input + offset, part->bytes, bytes);
}

static void score_input(const piece *last) {
    uint32_t facts[2];
    (void)last;
    if (!infer(&facts[0])) return;
    facts[1] = kws_stack_used();
    reply_begin(KWS_OK, network->output_bytes + sizeof facts);
    put_scores(facts, sizeof facts);
}

#if KWS_FEATURES
static void take_samples(const piece *part, size_t offset, size_t bytes) {
    if (offset == 0) kws_clip_begin();
    kws_clip_take(part->samples, bytes / sizeof *part->samples);
}

static void score_clip(const piece *last) {
    uint32_t facts[3] = {kws_clip_ticks};
    (void)last;
    if (!infer(&facts[1])) return;
    facts[2] = kws_stack_used();
    reply_begin(KWS_OK, KWS_CLIP_CODES + network->input_bytes + network->output_bytes + sizeof facts);
    reply_put(kws_clip_codes, KWS_CLIP_CODES);
    reply_put(&kws_input, network->input_bytes);
    put_scores(facts, sizeof facts);
}
#endif

#if KWS_DETECTOR
static void begin_stream(const piece *none) {
    (void)none;
    kws_stream_begin();
}

static void take_stream(const piece *part, size_t offset, size_t bytes) {
    kws_stream_take(part->samples, bytes / sizeof *part->samples, offset == 0);
}

static void answer_stream(const piece *last) {
    (void)last;
    kws_stream_answer();
}
#endif

/* ------------------------------------------------------------------ requests */

enum { INPUT_OF_NETWORK = UINT16_MAX }; /* in place of a number of bytes */

/* take: called for every piece of the payload as it arrives; answer: once all of it is there and whole. */
typedef struct {
    uint8_t command;
    uint32_t bytes;
    void (*take)(const piece *part, size_t offset, size_t bytes);
    void (*answer)(const piece *last);
} service;

static const service services[] = {
    {KWS_HELLO, 0, NULL, hello},
    {KWS_SPIN, sizeof(uint32_t), NULL, spin},
    {KWS_INPUT, INPUT_OF_NETWORK, take_input, score_input},
#if KWS_FEATURES
    {KWS_CLIP, KWS_CLIP_SAMPLES * sizeof(int16_t), take_samples, score_clip},
#endif
#if KWS_DETECTOR
    {KWS_STREAM_BEGIN, 0, NULL, begin_stream},
    {KWS_STREAM_FEED, KWS_CLIP_SAMPLES * sizeof(int16_t), take_stream, answer_stream},
#endif
};

static void greet(void) {
    const uint8_t ready = KWS_READY;
    kws_write(&ready, 1);
}

void kws_greet(uint32_t self_test) {
    kws_self_test_failed = self_test;
    greet();
}

/* Whether exactly `count` bytes came, none of them KWS_SILENCE_MS after the one before: a host that fell silent in the
 * middle of a request has gone, and the next byte begins another one. */
static int hear(void *bytes, size_t count) {
    uint32_t since = kws_ticks();
    for (uint8_t *at = bytes, *end = at + count; at < end;) {
        if ((int32_t)(kws_ticks() - since) > (int32_t)(kws_clock_hz() / 1000u * KWS_SILENCE_MS)) return 0;
        const size_t came = kws_take(at, (size_t)(end - at));
        if (came > 0) since = kws_ticks();
        else kws_doze_unless(kws_bytes_wait);
        at += came;
    }
    return 1;
}

static int hear_piece(void *bytes, size_t count) {
    greet();
    return hear(bytes, count);
}

static void serve(const service *wanted, uint32_t bytes) {
    piece part = {{0}};
    uint32_t crc = UINT32_MAX, sent;
    for (size_t at = 0, count; at < bytes; at += count) {
        count = bytes - at < sizeof part.bytes ? bytes - at : sizeof part.bytes;
        if (!hear_piece(part.bytes, count)) return;
        crc = kws_crc(crc, part.bytes, count);
        if (wanted->take) wanted->take(&part, at, count);
    }
    if (!hear_piece(&sent, sizeof sent)) return;
    if (sent != ~crc) kws_reply(KWS_BAD_CRC, &crc, sizeof crc);
    else wanted->answer(&part);
}

static const service *service_of(uint8_t command) {
    for (const service *each = services; each < services + sizeof services / sizeof *services; each++) {
        if (each->command == command) return each;
    }
    return NULL;
}

/* Serves or refuses a request whose header says so much. */
static void answer(const service *wanted, uint8_t index, uint32_t bytes) {
    const uint32_t last = wanted->bytes == INPUT_OF_NETWORK ? KWS_NETWORKS - 1u : 0;
    if (index > last) {
        kws_reply(KWS_BAD_NETWORK, &last, sizeof last);
        return;
    }
    network = &kws_networks[index];
    const uint32_t right = wanted->bytes == INPUT_OF_NETWORK ? network->input_bytes : wanted->bytes;
    if (right != bytes) kws_reply(KWS_BAD_LENGTH, &right, sizeof right);
    else serve(wanted, bytes);
}

/* The rest of a request, behind its first byte. */
static void hear_request(void) {
    uint8_t head[3];
    uint32_t bytes;
    if (!hear(head, sizeof head) || !hear(&bytes, sizeof bytes)) return;
    const service *wanted = service_of(head[0]);
    if (wanted) answer(wanted, head[1], bytes);
    else kws_reply(KWS_BAD_COMMAND, head, 1);
}

int kws_serve(void) {
    uint8_t first;
    if (kws_take(&first, 1) == 0) return 0;
    kws_listen_pause(); /* what it hears with is the request's from now on */
    if (first == 'K') hear_request();
    kws_listen_pause(); /* the host was heard until now */
    return 1;
}
