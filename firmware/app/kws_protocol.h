/* The serial protocol between host and image; export.emulate speaks the other side.
 *
 * Start     KWS_READY, once
 * Request   'K' command 0 0 | u32 payload bytes | payload, in pieces | u32 CRC
 *           The host sends the header, then each piece (at most KWS_PIECE_BYTES, the CRC last) after the image has
 *           written KWS_READY: no flow control is needed, and no buffer larger than a piece.
 * Reply     'k' status 0 0 | u32 payload bytes | payload | u32 CRC
 * Little-endian; the CRC is CRC-32 (zlib's) of the payload.
 */
#ifndef KWS_PROTOCOL_H
#define KWS_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

enum { KWS_PIECE_BYTES = 640, KWS_READY = '>' };

enum kws_command {
    KWS_HELLO = 'H', /* -> identity[32] u32 rows, columns, outputs, arena_bytes, stack_bytes */
    KWS_CLIP = 'C',  /* int16 samples[16000] -> codes[49][40] input scores u32 ticks: features, inference, stack used */
    KWS_INPUT = 'I', /* int8 input -> scores u32 ticks of the inference, stack used */
    KWS_SPIN = 'S',  /* u32 n -> u32 ticks of 2 n instructions */
};

enum kws_status { KWS_OK, KWS_BAD_CRC, KWS_BAD_COMMAND, KWS_BAD_LENGTH, KWS_NETWORK_FAILED, KWS_FAULT };

/* Write a whole reply. */
void kws_reply(enum kws_status status, const void *payload, size_t bytes);

/* Tell the host that the image has started. */
void kws_greet(void);

/* Serve one request, waiting for it. */
void kws_serve(void);

#endif
