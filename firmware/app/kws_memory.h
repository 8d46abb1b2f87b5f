/* Working memory that all networks of the image share; kws_any_* are unions, written by export.networks. */
#ifndef KWS_MEMORY_H
#define KWS_MEMORY_H

#include "kws_networks.h"

extern kws_any_arena kws_arena;
extern kws_any_input kws_input;
extern kws_any_output kws_output;

#endif
