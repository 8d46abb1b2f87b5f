/* The DSP instructions of Armv7E-M and Armv8-M that the tuned kernels use, internal: ACLE intrinsics, GCC's assembler
 * where ACLE has none, and C for a machine without them. A word holds two int16, or four int8, the first lowest. */
#ifndef KWS_DSP_INTRINSICS_H
#define KWS_DSP_INTRINSICS_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
/* The kernels are written in the order of a Cortex-M4's registers; GCC's scheduler before their allocation spills. */
#pragma GCC optimize("no-schedule-insns", "no-schedule-insns2")
#endif

#define KWS_INLINE static inline __attribute__((always_inline))

/* Values that are loaded before the first of them is used: loads side by side cost a cycle less each. */
#define KWS_TOGETHER2(a, b) __asm__("" : "+r"(a), "+r"(b))
#define KWS_TOGETHER3(a, b, c) __asm__("" : "+r"(a), "+r"(b), "+r"(c))

/* What is read above is loaded here, not where it is used. */
#define KWS_LOADED() __asm__ volatile("" ::: "memory")

/* Four bytes at any address. */
KWS_INLINE int32_t kws_word_at(const int8_t *bytes) {
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>

KWS_INLINE int32_t kws_smlad(int32_t a, int32_t b, int32_t sum) { return __smlad(a, b, sum); }

/* a.low * b.high + sum, a.high * b.low + sum. */
KWS_INLINE int32_t kws_smlabt(int32_t a, int32_t b, int32_t sum) { return __smlabt(a, b, sum); }

KWS_INLINE int32_t kws_smlatb(int32_t a, int32_t b, int32_t sum) { return __smlatb(a, b, sum); }

KWS_INLINE int32_t kws_sxtb16(int32_t bytes) { return __sxtb16(bytes); }

KWS_INLINE int32_t kws_sxtb16_odd(int32_t bytes) {
    int32_t result;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(bytes));
    return result;
}

KWS_INLINE int32_t kws_sxtab16(int32_t sums, int32_t bytes) { return __sxtab16(sums, bytes); }

KWS_INLINE int32_t kws_sxtab16_odd(int32_t sums, int32_t bytes) {
    int32_t result;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(sums), "r"(bytes));
    return result;
}

KWS_INLINE int32_t kws_pkhbt(int32_t a, int32_t b) {
    int32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

KWS_INLINE int32_t kws_pkhtb(int32_t a, int32_t b) {
    int32_t result;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(b), "r"(a));
    return result;
}

KWS_INLINE int32_t kws_smmulr(int32_t a, int32_t b) {
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

KWS_INLINE int32_t kws_smmlar(int32_t a, int32_t b, int32_t sum) {
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

KWS_INLINE int8_t kws_ssat8(int32_t value) {
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return (int8_t)result;
}

#else

KWS_INLINE int32_t kws_low(int32_t word) { return (int16_t)(uint16_t)word; }

KWS_INLINE int32_t kws_high(int32_t word) { return word >> 16; }

KWS_INLINE int32_t kws_pair(int32_t low, int32_t high) {
    return (int32_t)(((uint32_t)high << 16) | ((uint32_t)low & 0xffffu));
}

/* a.low * b.low + a.high * b.high + sum, modulo 2^32. */
KWS_INLINE int32_t kws_smlad(int32_t a, int32_t b, int32_t sum) {
    const uint32_t low = (uint32_t)(kws_low(a) * kws_low(b)), high = (uint32_t)(kws_high(a) * kws_high(b));
    return (int32_t)((uint32_t)sum + low + high);
}

KWS_INLINE int32_t kws_smlabt(int32_t a, int32_t b, int32_t sum) {
    return (int32_t)((uint32_t)sum + (uint32_t)(kws_low(a) * kws_high(b)));
}

KWS_INLINE int32_t kws_smlatb(int32_t a, int32_t b, int32_t sum) { return kws_smlabt(b, a, sum); }

/* Bytes 0 and 2. */
KWS_INLINE int32_t kws_sxtb16(int32_t bytes) {
    return kws_pair((int8_t)(uint8_t)bytes, (int8_t)(uint8_t)((uint32_t)bytes >> 16));
}

/* Bytes 1 and 3. */
KWS_INLINE int32_t kws_sxtb16_odd(int32_t bytes) { return kws_sxtb16((int32_t)((uint32_t)bytes >> 8)); }

/* Those added to two sums of 16 bits. */
KWS_INLINE int32_t kws_sxtab16(int32_t sums, int32_t bytes) {
    const int32_t more = kws_sxtb16(bytes);
    return kws_pair(kws_low(sums) + kws_low(more), kws_high(sums) + kws_high(more));
}

KWS_INLINE int32_t kws_sxtab16_odd(int32_t sums, int32_t bytes) {
    return kws_sxtab16(sums, (int32_t)((uint32_t)bytes >> 8));
}

/* The low halves of both, the high halves of both. */
KWS_INLINE int32_t kws_pkhbt(int32_t a, int32_t b) { return kws_pair(kws_low(a), kws_low(b)); }

KWS_INLINE int32_t kws_pkhtb(int32_t a, int32_t b) { return kws_pair(kws_high(a), kws_high(b)); }

/* a b / 2^32 to nearest, halves up. */
KWS_INLINE int32_t kws_smmulr(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}

/* The same, and sum. */
KWS_INLINE int32_t kws_smmlar(int32_t a, int32_t b, int32_t sum) { return sum + kws_smmulr(a, b); }

KWS_INLINE int8_t kws_ssat8(int32_t value) { return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value); }
#endif

#endif
