#include "kws_self_test.h"

#include <string.h>

#include "kws_crc.h"
#include "kws_memory.h"
#ifdef KWS_CHIRP_CRC
#include "kws_clip.h"
#endif

/* Noise of strength seed >> 8 above level seed & 255, modulo 256. */
static void generate(uint32_t seed, uint8_t *bytes, size_t count) {
    uint32_t state = seed;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed + ((state >> 24) * (seed >> 8) >> 8));
    }
}

static int network_fails(const kws_network *network) {
    generate(network->seed, (uint8_t *)&kws_input, network->input_bytes);
    return network->run(&kws_arena, &kws_input, &kws_output) ||
           memcmp(&kws_output, network->expected, network->expected_bytes) != 0;
}

#ifdef KWS_CHIRP_CRC
enum { CHIRP_RATE = (1 << 30) / KWS_CLIP_SAMPLES }; /* from 0 to a quarter of the sample rate */

/* A triangle wave whose frequency rises. */
static int features_fail(void) {
    uint32_t phase = 0, step = 0;
    kws_clip_begin();
    for (int i = 0; i < KWS_CLIP_SAMPLES; i++) {
        phase += step += CHIRP_RATE;
        const uint32_t fold = phase >> 31 ? ~phase : phase;
        const int16_t sample = (int16_t)((int32_t)(fold >> 15) - 32768);
        kws_clip_take(&sample, 1);
    }
    return ~kws_crc(UINT32_MAX, kws_clip_codes, KWS_CLIP_CODES) != KWS_CHIRP_CRC;
}
#endif

uint32_t kws_self_test(void) {
    uint32_t failed = 0;
    for (unsigned n = 0; n < KWS_NETWORKS; n++) failed |= (uint32_t)network_fails(&kws_networks[n]) << n;
#ifdef KWS_CHIRP_CRC
    failed |= (uint32_t)features_fail() << KWS_FEATURES_FAILED;
#endif
    return failed;
}
