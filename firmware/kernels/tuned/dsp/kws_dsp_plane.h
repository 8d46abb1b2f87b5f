/* Depthwise convolution of four channels: what generated code makes functions of, with a layer's sizes as constants.
 * Internal.
 *
 * The channels' planes are laid apart in scratch, padded, as lines of int16: [4][lines][words]. A line runs along the
 * columns of the plane, or along its rows, as export/tuned/dsp/depthwise.py chooses. */
#ifndef KWS_DSP_PLANE_H
#define KWS_DSP_PLANE_H

#include "kws_dsp_intrinsics.h"
#include "kws_dsp_tile.h"

enum { KWS_DSP_CHUNK = 5, KWS_DSP_LOADED = 4 }; /* most outputs of a line, words of inputs at once */

/* Sizes of a layer, lengths along a line first. inputs, lines: of the plane. in_step, in_line: bytes of the input from a
 * position to the next, from a line to the next; out_step, out_line: of the output. before, lines_before: padding.
 * words, all_lines: of a padded plane. outputs, out_lines; taps (odd), tap_lines; stride, line_stride. */
typedef struct {
    int32_t inputs, lines, in_step, in_line, before, lines_before, words, all_lines;
    int32_t outputs, out_lines, out_step, out_line, taps, tap_lines, stride, line_stride;
} kws_dsp_plane;

/* Two positions of four channels, as a word of each plane. */
KWS_INLINE void kws_dsp_part(int32_t a, int32_t b, int32_t *planes, int32_t pitch) {
    const int32_t a_even = kws_sxtb16(a), a_odd = kws_sxtb16_odd(a);
    const int32_t b_even = kws_sxtb16(b), b_odd = kws_sxtb16_odd(b);
    planes[0] = kws_pkhbt(a_even, b_even);
    planes[pitch] = kws_pkhbt(a_odd, b_odd);
    planes[2 * pitch] = kws_pkhtb(a_even, b_even);
    planes[3 * pitch] = kws_pkhtb(a_odd, b_odd);
}

/* One line; zeros: four zero points. */
KWS_INLINE void kws_dsp_gather_line(const kws_dsp_plane *sizes, const int8_t *input, int32_t zeros, int32_t *planes) {
    const int32_t pitch = sizes->all_lines * sizes->words, step = sizes->in_step, skipped = sizes->before / 2;
    int32_t at = 0;
    planes += skipped;
    if (sizes->before % 2) {
        kws_dsp_part(zeros, kws_word_at(input), planes++, pitch);
        at = 1;
    }
#pragma GCC unroll 4
    for (; at + 2 <= sizes->inputs; at += 2) {
        kws_dsp_part(kws_word_at(input + at * step), kws_word_at(input + (at + 1) * step), planes++, pitch);
    }
    if (at < sizes->inputs) {
        kws_dsp_part(kws_word_at(input + at * step), zeros, planes, pitch);
    }
}

/* Four channels of the input into their planes, whose padding is left as it is. */
KWS_INLINE void kws_dsp_gather(const kws_dsp_plane *sizes, int32_t zeros, const int8_t *input, int32_t *planes) {
    planes += sizes->lines_before * sizes->words;
    for (int32_t line = 0; line < sizes->lines; line++, input += sizes->in_line, planes += sizes->words) {
        kws_dsp_gather_line(sizes, input, zeros, planes);
    }
}

/* `count` sums of a line's products with one line of taps. x: word of the first; pairs: the taps in pairs from the first,
 * then in pairs from the second. */
KWS_INLINE void kws_dsp_add_line(const kws_dsp_plane *sizes, int32_t count, const int32_t *x, const int32_t *pairs,
                                 int32_t *sums) {
    const int32_t half = sizes->taps / 2;
#pragma GCC unroll 5
    for (int32_t i = 0; i < count; i++) {
        const int32_t *at = x + i * sizes->stride / 2;
        if (i * sizes->stride % 2 == 0) {
#pragma GCC unroll 4
            for (int32_t k = 0; k < half; k++) {
                sums[i] = kws_smlad(at[k], pairs[k], sums[i]);
            }
            sums[i] = kws_smlabt(at[half], pairs[2 * half - 1], sums[i]);
        } else {
            sums[i] = kws_smlatb(at[0], pairs[0], sums[i]);
#pragma GCC unroll 4
            for (int32_t k = 0; k < half; k++) {
                sums[i] = kws_smlad(at[k + 1], pairs[half + k], sums[i]);
            }
        }
    }
}

/* The same; where all inputs and taps fit the registers of a Cortex-M4, they are loaded first, side by side. */
KWS_INLINE void kws_dsp_add_short_line(const kws_dsp_plane *sizes, int32_t count, const int32_t *x,
                                       const int32_t *pairs, int32_t *sums) {
    const int32_t words = ((count - 1) * sizes->stride + sizes->taps + 1) / 2;
    if (sizes->taps == 3 && words <= KWS_DSP_LOADED) {
        int32_t inputs[KWS_DSP_LOADED];
        const int32_t taps[2] = {pairs[0], pairs[1]};
        for (int32_t i = 0; i < words; i++) {
            inputs[i] = x[i];
        }
        KWS_LOADED();
        kws_dsp_add_line(sizes, count, inputs, taps, sums);
    } else {
        kws_dsp_add_line(sizes, count, x, pairs, sums);
    }
}

/* `count` outputs of one channel, side by side in a line. w: bias, multiplier, scale, taps. */
KWS_INLINE void kws_dsp_filter_chunk(const kws_dsp_plane *sizes, int32_t count, const int32_t *w, const int32_t *x,
                                     int32_t zero_point, int rectified, int8_t *output) {
    int32_t sums[KWS_DSP_CHUNK];
    for (int32_t i = 0; i < count; i++) {
        sums[i] = w[0];
    }
#pragma GCC unroll 8
    for (int32_t line = 0; line < sizes->tap_lines; line++) {
        kws_dsp_add_short_line(sizes, count, x + line * sizes->words, w + 3 + line * (sizes->taps - 1), sums);
    }
    const int32_t multiplier = w[1], scale = w[2];
    for (int32_t i = 0; i < count; i++) {
        output[i * sizes->out_step] = kws_dsp_requantize(sums[i], multiplier, scale, zero_point, rectified);
    }
}

/* One channel. */
KWS_INLINE void kws_dsp_filter_one(const kws_dsp_plane *sizes, const int32_t *w, const int32_t *plane,
                                   int32_t zero_point, int rectified, int8_t *output) {
    for (int32_t line = 0; line < sizes->out_lines; line++) {
        int32_t at = 0;
        for (; at + KWS_DSP_CHUNK < sizes->outputs; at += 4) {
            kws_dsp_filter_chunk(sizes, 4, w, plane + at * sizes->stride / 2, zero_point, rectified,
                                 output + at * sizes->out_step);
        }
        kws_dsp_filter_chunk(sizes, sizes->outputs - at, w, plane + at * sizes->stride / 2, zero_point, rectified,
                             output + at * sizes->out_step);
        plane += sizes->line_stride * sizes->words;
        output += sizes->out_line;
    }
}

/* Four channels. packed: of each, bias, multiplier, final scale and taps; see export/tuned/dsp/depthwise.py. */
KWS_INLINE void kws_dsp_filter(const kws_dsp_plane *sizes, const int32_t *packed, const int32_t *planes,
                               int32_t zero_point, int rectified, int8_t *output) {
    for (int8_t *end = output + 4; output != end; output++) {
        kws_dsp_filter_one(sizes, packed, planes, zero_point, rectified, output);
        packed += 3 + sizes->tap_lines * (sizes->taps - 1);
        planes += sizes->all_lines * sizes->words;
    }
}

#endif
