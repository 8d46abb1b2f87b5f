/* Where a kernel's window meets the plane, internal. */
#ifndef KWS_WINDOW_H
#define KWS_WINDOW_H

#include "kws_requantize.h"

/* The taps of one axis that lie inside the plane: first <= tap < end, at positions origin + tap * dilation. */
typedef struct {
    int32_t origin;
    int32_t first;
    int32_t end;
} kws_span;

static inline kws_span kws_span_of(int32_t output, int32_t stride, int32_t padding, int32_t taps, int32_t dilation,
                                   int32_t size) {
    kws_span span;
    span.origin = output * stride - padding;
    span.first = span.origin >= 0 ? 0 : (-span.origin + dilation - 1) / dilation;
    span.end = kws_max(span.first, kws_min(taps, (size - span.origin + dilation - 1) / dilation));
    return span;
}

#endif
