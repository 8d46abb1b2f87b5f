/* Listening: the microphone's samples through the image's stream, a line for every word heard. Linked only where a board
 * has a microphone and the image a detector. */
#ifndef KWS_LISTEN_H
#define KWS_LISTEN_H

enum { KWS_HOST_GONE_MS = 2000 }; /* without a byte; until then no line is printed and nothing heard */

/* Start the microphone and say so. */
void kws_listen_begin(void);

/* A host talks: its requests use the stream's memory. */
void kws_listen_pause(void);

/* Hear what the microphone has heard, at most a hop of it; where there is nothing, sleep until there is. */
void kws_listen(void);

#endif
