#include "kws_dsp_mix.h"

void kws_dsp_depthwise(const kws_dsp_depthwise_layer *layer, int32_t *scratch, const int8_t *input, int8_t *output) {
    const int32_t *packed = layer->packed;
    const uint32_t zero = (uint32_t)layer->zero_point & 0xffffu;
    for (int32_t i = 0; i < layer->scratch_words; i++) {
        scratch[i] = (int32_t)(zero << 16 | zero);
    }
    for (int32_t channel = 0; channel < layer->channels; channel += 4, packed += layer->packed_words) {
        layer->gather(input + channel, scratch);
        layer->filter(packed, scratch, output + channel);
    }
    kws_dsp_clamp(layer->min, layer->max, output, layer->count);
}
