#include "kws_ear.h"

#include "kws_clip.h"
#include "kws_detector_config.h"
#include "kws_memory.h"

kws_detector kws_ear;
static int8_t history[KWS_AVERAGE_INFERENCES * KWS_LABELS];
static kws_engine engine;

int kws_ear_begin(void) {
    engine = (kws_engine){kws_networks[0].run, kws_clip_mfcc,         &kws_clip_features, (int8_t *)&kws_input,
                          history,             (int8_t *)&kws_output, &kws_arena};
    return kws_init(&kws_ear, &kws_detector_config, &engine);
}
