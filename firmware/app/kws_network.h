/* The networks of the image as the app sees them; the table is kws_networks.c, written by export.networks. */
#ifndef KWS_NETWORK_H
#define KWS_NETWORK_H

#include <stddef.h>
#include <stdint.h>

/* run: PREFIX_run of the generated C, whose input and output may be int8 or uint8.
 * seed, expected: of the self-test; `expected` holds the first expected_bytes bytes of the output that the input
 * of kws_generate(seed, ...) gives. */
typedef struct {
    int (*run)(void *arena, const void *input, void *output);
    uint32_t input_bytes, output_bytes, arena_bytes;
    uint32_t seed, expected_bytes;
    const uint8_t *expected;
} kws_network;

#endif
