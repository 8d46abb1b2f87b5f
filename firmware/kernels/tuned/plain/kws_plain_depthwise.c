#include "kws_plain.h"

/* The input of one channel, into the padded plane. */
static void gather(const kws_plain_plane *plane, const int8_t *input, int32_t *x) {
    const int32_t channels = plane->channels, width = plane->width, pitch = plane->out_width + 2;
    x += plane->top * pitch + plane->left;
    for (const int32_t *last = x + plane->height * pitch; x < last; x += pitch - width) {
        for (const int32_t *end = x + width; x < end; input += channels) {
            *x++ = *input;
        }
    }
}

void kws_plain_depthwise(const kws_plain_plane *plane, int32_t *scratch, const int8_t *input, int8_t *output) {
    const int32_t words = (plane->out_height + plane->rows - 1) * (plane->out_width + 2);
    for (int32_t i = 0; i < words; i++) {
        scratch[i] = plane->zero_point;
    }
    const int32_t *record = plane->records;
    for (int32_t c = 0; c < plane->channels; c++, record += plane->record_words) {
        gather(plane, input + c, scratch);
        plane->filter(plane, scratch, record, output + c);
    }
    kws_plain_clamp(plane->min, plane->max, output, plane->out_height * plane->out_width * plane->channels);
}
