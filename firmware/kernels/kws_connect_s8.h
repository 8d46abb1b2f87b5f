/* What the fully-connected kernels share, internal. */
#ifndef KWS_CONNECT_S8_H
#define KWS_CONNECT_S8_H

#include "kws_nn_types.h"

/* filter [outputs][length]; bias [outputs] or NULL. Output o is requantized by multiplier[o * step], shift[o * step]:
 * step 0 per tensor, 1 per channel. */
typedef struct {
    const kws_nn_fc_params *params;
    const int32_t *multiplier, *shift;
    int32_t step;
    const int8_t *filter;
    const int32_t *bias;
    int32_t length, outputs;
} kws_connection;

/* output [batches][outputs] of input [batches][length]. */
kws_nn_status kws_connect_s8(const kws_connection *layer, const int8_t *input, int32_t batches, int8_t *output);

#endif
