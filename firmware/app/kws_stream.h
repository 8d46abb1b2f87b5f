/* The commands of the serial protocol by which a host hears through the image's stream; export.stream_link speaks the
 * other side. */
#ifndef KWS_STREAM_H
#define KWS_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* KWS_STREAM_BEGIN: an empty stream. Replies with the status of kws_init, i32. */
void kws_stream_begin(void);

/* KWS_STREAM_FEED: the next second of samples, piece by piece, then the reply:
 * i32 the last failing status of kws_feed, or 0 | u32 frames, inferences, failures, lost events |
 * u32 CRC-32 of all scores since KWS_STREAM_BEGIN | u32 ticks of the second | its events, {u32 time_ms, u16 label,
 * u16 score} each. A second whose CRC was wrong has been heard all the same: begin anew. */
void kws_stream_take(const int16_t *samples, size_t count, int first);
void kws_stream_answer(void);

#endif
