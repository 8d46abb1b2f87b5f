#include "kws_protocol.h"

#include <string.h>

#include "kws_core.h"
#include "kws_features.h"
#include "kws_image.h" /* written by export.image: KWS_IMAGE_IDENTITY, KWS_STACK_BYTES */
#include "kws_mfcc_table.h"
#include "kws_transport.h"
#include "network.h"

_Static_assert(NETWORK_INPUT_BYTES == KWS_N_FRAMES * KWS_MFCC_COEFFICIENTS,
               "the input of the network is not KWS_N_FRAMES rows of the coefficients in kws_mfcc_table.h");

static uint8_t arena[NETWORK_ARENA_BYTES] __attribute__((aligned(NETWORK_ARENA_ALIGN), section(".bss.kws_arena")));
static kws_features stream;
static uint8_t codes[KWS_N_FRAMES * KWS_N_MELS];
static int8_t input[NETWORK_INPUT_BYTES], scores[NETWORK_OUTPUT_BYTES];
static size_t frame; /* of the clip that is arriving */
static uint32_t feature_ticks;

typedef union {
    uint8_t bytes[KWS_PIECE_BYTES];
    int16_t samples[KWS_PIECE_BYTES / sizeof(int16_t)];
    uint32_t word;
} piece;

/* ------------------------------------------------------------------ bytes with their CRC */

/* CRC-32 of IEEE 802.3, four bits at a time. */
static uint32_t crc_of(uint32_t crc, const uint8_t *bytes, size_t count) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    for (; count > 0; count--) {
        crc ^= *bytes++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

static uint32_t reply_crc;

static void reply_begin(enum kws_status status, size_t bytes) {
    const uint8_t head[4] = {'k', (uint8_t)status, 0, 0};
    const uint32_t count = (uint32_t)bytes;
    kws_write(head, sizeof head);
    kws_write(&count, sizeof count);
    reply_crc = UINT32_MAX;
}

static void reply_put(const void *part, size_t bytes) {
    reply_crc = crc_of(reply_crc, part, bytes);
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
    const uint32_t sizes[5] = {NETWORK_INPUT_ROWS, NETWORK_INPUT_COLUMNS, NETWORK_OUTPUT_BYTES,
                               NETWORK_ARENA_BYTES, KWS_STACK_BYTES};
    (void)none;
    reply_begin(KWS_OK, sizeof identity + sizeof sizes);
    reply_put(identity, sizeof identity);
    reply_put(sizes, sizeof sizes);
    reply_end();
}

static void spin(const piece *last) {
    const uint32_t count = last->word, start = kws_ticks();
    kws_spin(count);
    const uint32_t ticks = kws_ticks() - start;
    kws_reply(KWS_OK, &ticks, sizeof ticks);
}

/* Runs the network on `input`; returns the ticks it took, or replies and returns 0. */
static uint32_t infer(void) {
    const uint32_t start = kws_ticks();
    const int failed = network_run(arena, input, scores);
    const uint32_t ticks = kws_ticks() - start;
    if (failed) kws_reply(KWS_NETWORK_FAILED, &failed, sizeof failed);
    return failed ? 0 : ticks;
}

static void put_scores(const uint32_t *facts, size_t bytes) {
    reply_put(scores, sizeof scores);
    reply_put(facts, bytes);
    reply_end();
}

static void take_input(const piece *part, size_t offset, size_t bytes) { memcpy(input + offset, part->bytes, bytes); }

static void score_input(const piece *last) {
    const uint32_t facts[2] = {infer(), kws_stack_used()};
    (void)last;
    if (facts[0] == 0) return;
    reply_begin(KWS_OK, sizeof scores + sizeof facts);
    put_scores(facts, sizeof facts);
}

/* One frame of the clip: its codes and its row of the network's input. */
static void finish_frame(void) {
    if (frame == KWS_N_FRAMES) return;
    const uint32_t start = kws_ticks();
    kws_features_frame(&stream, codes + frame * KWS_N_MELS);
    kws_mfcc_row(&kws_network_mfcc, codes + frame * KWS_N_MELS, input + frame * KWS_MFCC_COEFFICIENTS);
    feature_ticks += kws_ticks() - start;
    frame++;
}

static void take_samples(const piece *part, size_t offset, size_t bytes) {
    if (offset == 0) {
        kws_features_init(&stream);
        frame = 0;
        feature_ticks = 0;
    }
    for (size_t at = 0, count = bytes / sizeof *part->samples; at < count;) {
        at += kws_features_push(&stream, part->samples + at, count - at);
        if (kws_features_ready(&stream)) finish_frame();
    }
}

static void score_clip(const piece *last) {
    const uint32_t inference_ticks = infer();
    const uint32_t facts[3] = {feature_ticks, inference_ticks, kws_stack_used()};
    (void)last;
    if (inference_ticks == 0) return;
    reply_begin(KWS_OK, sizeof codes + sizeof input + sizeof scores + sizeof facts);
    reply_put(codes, sizeof codes);
    reply_put(input, sizeof input);
    put_scores(facts, sizeof facts);
}

/* ------------------------------------------------------------------ requests */

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
    {KWS_INPUT, NETWORK_INPUT_BYTES, take_input, score_input},
    {KWS_CLIP, KWS_CLIP_SAMPLES * sizeof(int16_t), take_samples, score_clip},
};

void kws_greet(void) {
    const uint8_t ready = KWS_READY;
    kws_write(&ready, 1);
}

static void read_piece(void *bytes, size_t count) {
    kws_greet();
    kws_read(bytes, count);
}

static void serve(const service *wanted) {
    piece part = {{0}};
    uint32_t crc = UINT32_MAX, sent;
    for (size_t at = 0, count; at < wanted->bytes; at += count) {
        count = wanted->bytes - at < sizeof part.bytes ? wanted->bytes - at : sizeof part.bytes;
        read_piece(part.bytes, count);
        crc = crc_of(crc, part.bytes, count);
        if (wanted->take) wanted->take(&part, at, count);
    }
    read_piece(&sent, sizeof sent);
    if (sent != ~crc) kws_reply(KWS_BAD_CRC, &crc, sizeof crc);
    else wanted->answer(&part);
}

void kws_serve(void) {
    uint8_t head[4] = {0};
    uint32_t bytes;
    while (head[0] != 'K') kws_read(head, 1);
    kws_read(head + 1, 3);
    kws_read(&bytes, sizeof bytes);
    for (const service *each = services; each < services + sizeof services / sizeof *services; each++) {
        if (each->command != head[1]) continue;
        if (each->bytes != bytes) kws_reply(KWS_BAD_LENGTH, &each->bytes, sizeof each->bytes);
        else serve(each);
        return;
    }
    kws_reply(KWS_BAD_COMMAND, head + 1, 1);
}
