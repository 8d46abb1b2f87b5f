/* The image's networks as a program for this machine: kws_host NETWORK INPUTS OUTPUTS scores one input after the other;
 * kws_host alone runs the self-test and prints a line for each network that fails it.
 * Made for sanitizers: every buffer lies on the heap and has exactly its size, and the arena starts as garbage. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_networks.h"
#include "kws_self_test.h"

enum { GARBAGE = 0xa5 };

static int fail(const char *what) {
    fprintf(stderr, "error: %s\n", what);
    return 1;
}

static int score_all(const kws_network *network, FILE *inputs, FILE *outputs) {
    uint8_t *const arena = malloc(network->arena_bytes);
    uint8_t *const input = malloc(network->input_bytes), *const output = malloc(network->output_bytes);
    int status = arena && input && output ? 0 : fail("out of memory");
    while (!status && fread(input, network->input_bytes, 1, inputs) == 1) {
        memset(arena, GARBAGE, network->arena_bytes);
        if (network->run(arena, input, output)) status = fail("a kernel refused its arguments");
        else if (fwrite(output, network->output_bytes, 1, outputs) != 1) status = fail("cannot write the scores");
    }
    free(arena);
    free(input);
    free(output);
    return status;
}

static int print_self_test(void) {
    const uint32_t failed = kws_self_test();
    for (unsigned n = 0; n < KWS_NETWORKS; n++) {
        if (failed >> n & 1u) printf("network %u\n", n);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 1) return print_self_test();
    const unsigned long index = argc == 4 ? strtoul(argv[1], NULL, 10) : KWS_NETWORKS;
    if (index >= KWS_NETWORKS) return fail("usage: kws_host [NETWORK INPUTS OUTPUTS]");
    FILE *const inputs = fopen(argv[2], "rb"), *const outputs = fopen(argv[3], "wb");
    int status = inputs && outputs ? score_all(&kws_networks[index], inputs, outputs) : fail("cannot open the files");
    if (inputs) fclose(inputs);
    if (outputs && fclose(outputs)) status = fail("cannot write the scores");
    return status;
}
