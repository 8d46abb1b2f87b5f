/* The stream on this machine, for export.stream_host: every score of the network can be recorded, and decisions can be
 * made anew from recorded scores. Compiled with one network, `network`; one stream at a time. */
#ifndef KWS_STREAM_HOST_H
#define KWS_STREAM_HOST_H

#include "kws.h"

typedef struct kws_host kws_host;

/* An empty stream on the heap. scores: int8 [rows][labels] for the first `rows` inferences, or null. Null where memory
 * is out or kws_init refuses; *status is what it returned. Config, words and tables stay the caller's. */
kws_host *kws_host_open(const kws_config *config, const kws_mfcc *mfcc, int8_t *scores, size_t rows, int *status);
void kws_host_close(kws_host *host);

/* As if the stream had run for so long: every counter. */
void kws_host_count_from(kws_host *host, uint32_t count);

int kws_host_feed(kws_host *host, const int16_t *samples, size_t count);

/* The events that wait, at most `most` of them; returns how many. */
size_t kws_host_poll(kws_host *host, kws_event *events, size_t most);

/* Frames, inferences, failures, lost events. */
void kws_host_counters(const kws_host *host, uint32_t counters[4]);

/* What a stream of this config would have told of these scores, int8 [rows][labels], of all its inferences; history:
 * as kws_engine's. At most `most` events; returns how many there were. */
size_t kws_host_decide(const kws_config *config, int8_t *history, const int8_t *scores, size_t rows,
                       kws_event *events, size_t most);

#endif
