/* What the image checks of itself at boot, without a recording: export.self_test has the same formulas. */
#ifndef KWS_SELF_TEST_H
#define KWS_SELF_TEST_H

#include <stdint.h>

enum { KWS_FEATURES_FAILED = 31 };

/* 0 where all is well; else bit n for network n, and bit KWS_FEATURES_FAILED for the features. */
uint32_t kws_self_test(void);

#endif
