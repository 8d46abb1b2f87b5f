/* What the kernels have in common, internal. */
#ifndef KWS_MVE_VECTOR_H
#define KWS_MVE_VECTOR_H

#include <arm_mve.h>

#include "kws_mve.h"

#define KWS_INLINE static inline __attribute__((always_inline))

enum { KWS_MVE_TILE = 4, KWS_MVE_LANES = 16 };

/* Sixteen weights of two outputs with four vectors of inputs. GCC's intrinsics would spill: sums take every even
 * register. */
#define KWS_MVE_BLOCK(multiply)                                                                                        \
    "vldrb.8 %q[first], [%[w]], %[w_step]\n\t"                                                                         \
    "vldrb.8 %q[even], [%[x]], %[x_step]\n\t" multiply " %[a0], %q[even], %q[first]\n\t"                               \
    "vldrb.8 %q[second], [%[w]], %[w_rest]\n\t" multiply " %[b0], %q[even], %q[second]\n\t"                            \
    "vldrb.8 %q[odd], [%[x]], %[x_step]\n\t" multiply " %[a1], %q[odd], %q[first]\n\t"                                 \
    "vldrb.8 %q[even], [%[x]], %[x_step]\n\t" multiply " %[b1], %q[odd], %q[second]\n\t"                               \
    multiply " %[a2], %q[even], %q[first]\n\t"                                                                         \
    "vldrb.8 %q[odd], [%[x]], %[x_rest]\n\t" multiply " %[b2], %q[even], %q[second]\n\t"                               \
    multiply " %[a3], %q[odd], %q[first]\n\t" multiply " %[b3], %q[odd], %q[second]\n\t"

#define KWS_MVE_FIRST KWS_MVE_BLOCK("vmladav.s8")
#define KWS_MVE_NEXT KWS_MVE_BLOCK("vmladava.s8")
#define KWS_MVE_LAST                                                                                                   \
    "vmov %q[first][2], %q[first][0], %[a0], %[a2]\n\tvmov %q[first][3], %q[first][1], %[a1], %[a3]\n\t"               \
    "vmov %q[second][2], %q[second][0], %[b0], %[b2]\n\tvmov %q[second][3], %q[second][1], %[b1], %[b3]"

#define KWS_MVE_OUTPUTS                                                                                                \
    [x] "+r"(*x), [w] "+r"(*w), [first] "=&w"(sums.first), [second] "=&w"(sums.second), [even] "=&w"(even),            \
        [odd] "=&w"(odd), [a0] "=&Te"(a0), [a1] "=&Te"(a1), [a2] "=&Te"(a2), [a3] "=&Te"(a3),                  \
        [b0] "=&Te"(b0), [b1] "=&Te"(b1), [b2] "=&Te"(b2), [b3] "=&Te"(b3)
#define KWS_MVE_STEPS                                                                                                  \
    [x_step] "i"(step.x), [x_rest] "i"(step.x_rest), [w_step] "i"(step.w), [w_rest] "i"(step.w_rest)

/* Bytes from one vector of a block to the next, and from the last one to the next block. */
typedef struct {
    int x, x_rest, w, w_rest;
} kws_mve_step;

/* Of the first weights, of the second, with each of four vectors of inputs. */
typedef struct {
    int32x4_t first, second;
} kws_mve_pair;

/* Sums over blocks of inputs. x and w go on behind them. unrolled: 1..4, the blocks; 0: a loop over 2 or more. */
KWS_INLINE kws_mve_pair kws_mve_sums(const kws_mve_step step, int unrolled, int32_t blocks, const int8_t **x,
                                     const int8_t **w) {
    kws_mve_pair sums;
    int8x16_t even, odd;
    int32_t a0, a1, a2, a3, b0, b1, b2, b3, left = blocks - 1;
    switch (unrolled) {
        case 1:
            __asm__(KWS_MVE_FIRST KWS_MVE_LAST : KWS_MVE_OUTPUTS : KWS_MVE_STEPS : "memory");
            break;
        case 2:
            __asm__(KWS_MVE_FIRST KWS_MVE_NEXT KWS_MVE_LAST : KWS_MVE_OUTPUTS : KWS_MVE_STEPS : "memory");
            break;
        case 3:
            __asm__(KWS_MVE_FIRST KWS_MVE_NEXT KWS_MVE_NEXT KWS_MVE_LAST : KWS_MVE_OUTPUTS : KWS_MVE_STEPS : "memory");
            break;
        case 4:
            __asm__(KWS_MVE_FIRST KWS_MVE_NEXT KWS_MVE_NEXT KWS_MVE_NEXT KWS_MVE_LAST
                    : KWS_MVE_OUTPUTS
                    : KWS_MVE_STEPS
                    : "memory");
            break;
        default:
            __asm__(KWS_MVE_FIRST "1:\n\t" KWS_MVE_NEXT "subs %[left], #1\n\tbne 1b\n\t" KWS_MVE_LAST
                    : KWS_MVE_OUTPUTS, [left] "+r"(left)
                    : KWS_MVE_STEPS
                    : "cc", "memory");
    }
    return sums;
}

/* GCC does not know how often a loop runs that changes `pointer`: it makes none of LE, whose register sums need. */
#define KWS_MVE_CHANGED(pointer) __asm__("" : "+r"(pointer))

/* How sums become outputs; shift: -31..-1. */
typedef struct {
    int32_t bias, multiplier, shift;
} kws_mve_scale;

/* The second rounding takes halves up, and away from zero where a negative value has one taken off; where no output is
 * below zero, neither is seen. */
KWS_INLINE int32x4_t kws_mve_requantize(int32x4_t sums, kws_mve_scale scale, int rectified) {
    int32x4_t value = vqrdmulhq_n_s32(vaddq_n_s32(sums, scale.bias), scale.multiplier);
    if (!rectified) {
        value = vaddq_s32(value, vshrq_n_s32(value, 31));
    }
    return vrshlq_n_s32(value, scale.shift);
}

/* Both plus zero_point, saturated to int8: the lower bytes of the lanes, which are lane 0 of `even`, lane 0 of `odd`,
 * lane 1 of `even` and so on. */
KWS_INLINE int16x8_t kws_mve_narrow(int32x4_t even, int32x4_t odd, int32_t zero_point) {
    int16x8_t results;
    __asm__("vqmovnb.s32 %q0, %q1\n\tvqmovnt.s32 %q0, %q2\n\tvqadd.s16 %q0, %q0, %3\n\tvqmovnb.s16 %q0, %q0"
            : "=&w"(results)
            : "w"(even), "w"(odd), "r"(zero_point));
    return results;
}

/* Of eight, those whose places are not negative: the lower bytes to `to`. GCC's intrinsics would take the predicate
 * through a core register. */
KWS_INLINE void kws_mve_scatter(int8_t *to, int16x8_t places, int16x8_t values) {
    __asm__ volatile("vpt.s16 ge, %q1, zr\n\tvstrbt.16 %q2, [%0, %q1]" : : "r"(to), "w"(places), "w"(values) : "memory");
}

/* Of eight bytes of `from`, those whose places are not negative, side by side in `to`, which goes on behind them. */
KWS_INLINE void kws_mve_gather(const int8_t *from, int16x8_t places, int8_t **to) {
    int16x8_t values;
    __asm__ volatile("vptt.s16 ge, %q2, zr\n\tvldrbt.u16 %q1, [%3, %q2]\n\tvstrbt.16 %q1, [%0], #8"
                     : "+l"(*to), "=&w"(values)
                     : "w"(places), "r"(from)
                     : "memory");
}

/* `count` bytes, sixteen at a time, which are to_step bytes apart in `to`. */
KWS_INLINE void kws_mve_copy(const int8_t *from, int32_t count, int8_t *to, int to_step) {
    int8x16_t values;
    __asm__ volatile("wlstp.8 lr, %3, 2f\n\t1:\n\tvldrb.8 %q0, [%1], #16\n\tvstrb.8 %q0, [%2], %4\n\tletp lr, 1b\n\t2:"
                     : "=&w"(values), "+r"(from), "+r"(to)
                     : "r"(count), "i"(to_step)
                     : "lr", "memory");
}

KWS_INLINE void kws_mve_fill(int32_t value, int8_t *to, int32_t count) {
    const int8x16_t values = vdupq_n_s8((int8_t)value);
    __asm__ volatile("wlstp.8 lr, %2, 2f\n\t1:\n\tvstrb.8 %q1, [%0], #16\n\tletp lr, 1b\n\t2:"
                     : "+r"(to)
                     : "w"(values), "r"(count)
                     : "lr", "memory");
}

/* All outputs of `count` positions, 1..KWS_MVE_TILE. x: [blocks][KWS_MVE_TILE][KWS_MVE_LANES]; where there are fewer
 * positions, the last one is repeated; what lies behind a position's last input has weights of zero. */
void kws_mve_mix_tile(const kws_mve_mix *mix, const int8_t *x, int32_t count, int8_t *output);

/* Bring `count` outputs into min..max, which they are in if that is all of int8. */
void kws_mve_clamp(int32_t min, int32_t max, int8_t *output, int32_t count);

#endif
