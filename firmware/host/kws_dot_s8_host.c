/* kernels/kws_dot_s8.c, for hours of audio on this machine: where it has AVX2, a dot product by it, of the same sums. */
#ifndef __AVX2__
#include "kws_dot_s8.c"
#else

#include <immintrin.h>

#define kws_dot4_s8 kws_dot4_portable_s8
#include "kws_dot_s8.c"
#undef kws_dot4_s8

enum { LANES = 16 };

/* int8 [16] to int16. */
static inline __m256i wide(const int8_t *x) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x)); }

static inline int32_t total(__m256i sums) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

/* What is left behind the last whole step: the last LANES once more, without those that were summed. */
static inline __m256i behind(int32_t left) {
    static const int16_t mask[2 * LANES] = {[LANES] = -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(mask + left));
}

void kws_dot4_s8(const int8_t *x, const int8_t *rows, int32_t row_stride, int32_t length, int32_t offset,
                 int32_t sums[4]) {
    if (length < LANES) {
        kws_dot4_portable_s8(x, rows, row_stride, length, offset, sums);
        return;
    }
    const __m256i add = _mm256_set1_epi16((int16_t)offset);
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int32_t i = 0; i + LANES <= length; i += LANES) {
        const __m256i value = _mm256_add_epi16(wide(x + i), add);
        for (int k = 0; k < 4; k++) {
            sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(value, wide(rows + k * row_stride + i)));
        }
    }
    const __m256i last = _mm256_and_si256(_mm256_add_epi16(wide(x + length - LANES), add), behind(length % LANES));
    for (int k = 0; k < 4; k++) {
        const __m256i product = _mm256_madd_epi16(last, wide(rows + k * row_stride + length - LANES));
        sums[k] += total(_mm256_add_epi32(sum[k], product));
    }
}

#endif
