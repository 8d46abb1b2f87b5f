/* The stream of an image: its first network, its features, its memory. Linked only where an image has a detector. */
#ifndef KWS_EAR_H
#define KWS_EAR_H

#include "kws.h"

/* Feed it and poll it. Requests of the host for clips and inputs use the same memory: begin anew after them. */
extern kws_detector kws_ear;

/* An empty stream; as kws_init. */
int kws_ear_begin(void);

#endif
