#include "kws_decide.h"

#include <string.h>

int kws_check_config(const kws_config *config) {
    if (config->labels < 1 || config->labels > KWS_MAX_LABELS) return KWS_ERROR_LABELS;
    if (config->average_inferences < 1 || config->average_inferences > KWS_MAX_AVERAGE) return KWS_ERROR_AVERAGE;
    for (unsigned label = 0; label < config->labels; label++) {
        if (config->words[label].threshold > KWS_SCORE_ONE) return KWS_ERROR_THRESHOLD;
    }
    return 0;
}

void kws_decision_init(kws_decision *decision, const kws_config *config, int8_t *history) {
    memset(decision, 0, sizeof *decision);
    memset(history, INT8_MIN, (size_t)config->average_inferences * config->labels);
}

/* Sum of a label's scores over the history, 0..255 each. */
static uint32_t sum_of(const kws_config *config, const int8_t *history, uint32_t label) {
    uint32_t sum = 0;
    for (uint32_t row = 0; row < config->average_inferences; row++) {
        sum += (uint32_t)(history[row * config->labels + label] - INT8_MIN);
    }
    return sum;
}

/* The label of the highest sum, the first of equal ones. */
static uint16_t highest(const kws_config *config, const int8_t *history, uint32_t *sum) {
    uint16_t top = 0;
    *sum = sum_of(config, history, 0);
    for (uint16_t label = 1; label < config->labels; label++) {
        const uint32_t other = sum_of(config, history, label);
        if (other <= *sum) continue;
        *sum = other;
        top = label;
    }
    return top;
}

static void remember(kws_decision *decision, const kws_config *config, int8_t *history, const int8_t *scores) {
    memcpy(history + (size_t)decision->next * config->labels, scores, config->labels);
    decision->next = (uint16_t)((decision->next + 1) % config->average_inferences);
}

static void pass_time(kws_decision *decision, uint32_t frames) {
    const uint32_t left = decision->refractory_frames;
    decision->refractory_frames = (uint16_t)(left > frames ? left - frames : 0);
}

/* A run ends where another label gets the highest, or the score falls below the threshold. */
static void count_run(kws_decision *decision, uint16_t top, int reached) {
    if (!reached || top != decision->top) {
        decision->run = 0;
        decision->told = 0;
    }
    decision->top = top;
    if (reached && decision->run < UINT32_MAX) decision->run++;
}

int kws_decide(kws_decision *decision, const kws_config *config, int8_t *history, const int8_t *scores,
               uint32_t frames, uint16_t *score) {
    uint32_t sum;
    remember(decision, config, history, scores);
    const uint16_t top = highest(config, history, &sum);
    *score = (uint16_t)(sum * 256 / config->average_inferences);
    const kws_word *word = &config->words[top];
    pass_time(decision, frames);
    count_run(decision, top, *score >= word->threshold);
    if (!word->min_count || decision->run < word->min_count) return 0;
    if (decision->told || decision->refractory_frames) return 0;
    decision->told = 1;
    decision->refractory_frames = config->refractory_frames;
    return 1;
}
