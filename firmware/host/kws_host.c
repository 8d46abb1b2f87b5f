/* The image's networks as a program for this machine: kws_host NETWORK INPUTS OUTPUTS scores one input after the other.
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

int main(int argc, char **argv) {
    const unsigned long index = argc == 4 ? strtoul(argv[1], NULL, 10) : KWS_NETWORKS;
    if (index >= KWS_NETWORKS) return fail("usage: kws_host NETWORK INPUTS OUTPUTS");
    if (kws_self_test()) return fail("the self-test failed");
    FILE *const inputs = fopen(argv[2], "rb"), *const outputs = fopen(argv[3], "wb");
    int status = inputs && outputs ? score_all(&kws_networks[index], inputs, outputs) : fail("cannot open the files");
    if (inputs) fclose(inputs);
    if (outputs && fclose(outputs)) status = fail("cannot write the scores");
    return status;
}
