#include "KwsSpotter.h"

#include "kws_mfcc_table.h"
#include "kws_model.h"

kws_detector kws_spotter;

static uint8_t arena[KWS_MODEL_ARENA_BYTES] __attribute__((aligned(KWS_MODEL_ARENA_ALIGN)));
static int8_t input[KWS_MODEL_INPUT_BYTES], output[KWS_MODEL_OUTPUT_BYTES];
static int8_t history[KWS_AVERAGE_INFERENCES * KWS_LABELS];
static kws_features features;

static int run(void *memory, const void *from, void *to) { return kws_model_run(memory, from, to); }

static const kws_engine engine = {run, &kws_network_mfcc, &features, input, history, output, arena};

int kws_spotter_begin(void) { return kws_init(&kws_spotter, &kws_detector_config, &engine); }
