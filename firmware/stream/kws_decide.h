/* From the scores of one inference after the other to words: averaged, compared, kept apart. */
#ifndef KWS_DECIDE_H
#define KWS_DECIDE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Averaged scores: KWS_SCORE_ONE is what an int8 network with softmax gives for a probability of one. */
enum { KWS_SCORE_ONE = 65280, KWS_MAX_AVERAGE = 64, KWS_MAX_LABELS = 1024 };

enum kws_error {
    KWS_ERROR_ARGUMENT = -1,
    KWS_ERROR_NETWORK = -2,
    KWS_ERROR_LABELS = -3,    /* not 1..KWS_MAX_LABELS */
    KWS_ERROR_INFERENCE = -4, /* frames_per_inference is not 1..KWS_N_FRAMES */
    KWS_ERROR_AVERAGE = -5,   /* average_inferences is not 1..KWS_MAX_AVERAGE */
    KWS_ERROR_THRESHOLD = -6, /* of a word: above KWS_SCORE_ONE */
    KWS_ERROR_MFCC = -7,      /* coefficients not 1..KWS_N_MELS, shift not 1..20, or zero point not int8 */
};

/* min_count: consecutive inferences at which the word must be the highest and at least at its threshold; 0: the label
 * is no word, and never an event. threshold: 0..KWS_SCORE_ONE. */
typedef struct {
    uint16_t threshold, min_count;
} kws_word;

/* How words are told; written in C by export.detector. */
typedef struct {
    const kws_word *words;         /* [labels] */
    uint16_t labels;               /* scores of the network, 1..KWS_MAX_LABELS */
    uint16_t frames_per_inference; /* 1..KWS_N_FRAMES */
    uint16_t average_inferences;   /* 1..KWS_MAX_AVERAGE */
    uint16_t refractory_frames;    /* after an event in which there is no other */
} kws_config;

typedef struct {
    uint32_t run;              /* consecutive inferences at which `top` was the highest and at its threshold */
    uint16_t top;              /* the label that was the highest */
    uint16_t next;             /* row of the history to be overwritten */
    uint16_t refractory_frames; /* that are left */
    uint16_t told;             /* whether this run has been an event */
} kws_decision;

/* 0, or what is wrong. */
int kws_check_config(const kws_config *config);

/* Before the first inference. history: int8 [average_inferences][labels]. */
void kws_decision_init(kws_decision *decision, const kws_config *config, int8_t *history);

/* One inference later, `frames` frames after the one before; scores: int8 [labels]. Returns whether a word was heard:
 * decision->top, of the averaged score *score, which is told in any case. */
int kws_decide(kws_decision *decision, const kws_config *config, int8_t *history, const int8_t *scores,
               uint32_t frames, uint16_t *score);

#ifdef __cplusplus
}
#endif

#endif
