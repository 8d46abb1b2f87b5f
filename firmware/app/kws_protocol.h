/* The serial protocol between host and image; export.link speaks the other side.
 *
 * Start     KWS_READY, once, after the self-test
 * Request   'K' command network 0 | u32 payload bytes | payload, in pieces | u32 CRC
 *           The host sends the header, then each piece (at most KWS_PIECE_BYTES, the CRC last) after the image has
 *           written KWS_READY: no flow control is needed, and no buffer larger than a piece.
 * Reply     'k' status 0 0 | u32 payload bytes | payload | u32 CRC
 * Silence   of KWS_SILENCE_MS within a request ends it: the image has forgotten it, and waits for another
 * Little-endian; the CRC is CRC-32 (zlib's) of the payload. network: the index of the one that KWS_INPUT is for; 0 in
 * other requests.
 */
#ifndef KWS_PROTOCOL_H
#define KWS_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

enum { KWS_PIECE_BYTES = 640, KWS_READY = '>', KWS_SILENCE_MS = 500 };

enum kws_command {
    KWS_HELLO = 'H', /* -> identity[32] u32 stack_bytes, self-test, features, gave up, {input, output, arena}[networks] */
    KWS_CLIP = 'C',  /* int16 samples[16000] -> codes[49][40] input scores u32 ticks: features, inference, stack used */
    KWS_INPUT = 'I', /* input -> scores u32 ticks of the inference, stack used */
    KWS_SPIN = 'S',  /* u32 n -> u32 ticks of 2 n instructions */
    KWS_STREAM_BEGIN = 'B', /* -> i32 status; this one and the next: kws_stream.h */
    KWS_STREAM_FEED = 'F',  /* int16 samples[16000] -> i32 status u32[6] events */
};

enum kws_status { KWS_OK, KWS_BAD_CRC, KWS_BAD_COMMAND, KWS_BAD_LENGTH, KWS_BAD_NETWORK, KWS_NETWORK_FAILED, KWS_FAULT };

/* Write a whole reply. */
void kws_reply(enum kws_status status, const void *payload, size_t bytes);

/* What kws_greet was told. */
extern uint32_t kws_self_test_failed;

/* Tell the host that the image has started. self_test: what KWS_HELLO will say of it, 0 where nothing failed. */
void kws_greet(uint32_t self_test);

/* Serve one request, if a byte has come; whether one had. An image that listens pauses from that byte on. */
int kws_serve(void);

#endif
