/* The library's face: feed samples of 16 kHz to kws_spotter and poll it for words; see examples/KeywordSpotter. */
#ifndef KWS_SPOTTER_H
#define KWS_SPOTTER_H

#include "kws.h"
#include "kws_audio.h"

#ifdef __cplusplus
extern "C" {
#endif

#include "kws_detector_config.h"

/* Give it to kws_feed and kws_poll. Its memory and the network's are the library's own. */
extern kws_detector kws_spotter;

/* An empty stream; as kws_init. */
int kws_spotter_begin(void);

#ifdef __cplusplus
}
#endif

#endif
