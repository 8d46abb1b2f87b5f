#include "kws_clip.h"

#include "kws_core.h"
#include "kws_memory.h"
#include "kws_mfcc_table.h"

#if KWS_FIRST_INPUT_BYTES != KWS_N_FRAMES * KWS_MFCC_COEFFICIENTS
#error the input of the network is not KWS_N_FRAMES rows of the coefficients in kws_mfcc_table.h
#endif

#ifdef KWS_LISTENING
#include "kws_audio.h"
#include "kws_image.h"
#if KWS_AUDIO_SAMPLES * 2 < KWS_N_FRAMES * KWS_N_MELS
#error the ring, closed while the host sends clips, has no room for their codes
#endif
uint8_t *const kws_clip_codes = (uint8_t *)kws_audio_ring;
#else
static uint8_t codes_of_clip[KWS_CLIP_CODES];
uint8_t *const kws_clip_codes = codes_of_clip;
#endif

uint32_t kws_clip_ticks;
kws_features kws_clip_features;
const kws_mfcc *const kws_clip_mfcc = &kws_network_mfcc;
static size_t frame;

void kws_clip_begin(void) {
    kws_features_init(&kws_clip_features);
    frame = 0;
    kws_clip_ticks = 0;
}

/* One frame of the clip: its codes and its row of the network's input. */
static void finish_frame(void) {
    if (frame == KWS_N_FRAMES) return;
    const uint32_t start = kws_ticks();
    uint8_t *const codes = kws_clip_codes + frame * KWS_N_MELS;
    kws_features_frame(&kws_clip_features, codes);
    kws_mfcc_row(&kws_network_mfcc, codes, (int8_t *)&kws_input + frame * KWS_MFCC_COEFFICIENTS);
    kws_clip_ticks += kws_ticks() - start;
    frame++;
}

void kws_clip_take(const int16_t *samples, size_t count) {
    for (size_t at = 0; at < count;) {
        at += kws_features_push(&kws_clip_features, samples + at, count - at);
        if (kws_features_ready(&kws_clip_features)) finish_frame();
    }
}
