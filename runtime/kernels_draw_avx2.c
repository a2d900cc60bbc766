#include "kernels_draw_lines.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

enum { BLOCK = MARK_BLOCK };

AVX2_INLINE __m256i load(const uint8_t *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

AVX2_INLINE void store(uint8_t *to, __m256i bytes)
{
    _mm256_storeu_si256((__m256i *)to, bytes);
}

AVX2_INLINE int all_zero(__m256i bytes)
{
    return _mm256_testz_si256(bytes, bytes);
}

AVX2_INLINE int all_equal(__m256i bytes, int value)
{
    const __m256i equal = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8((char)value));
    return _mm256_movemask_epi8(equal) == -1;
}

/* ------------------------------ mark ------------------------------ */

/* Zero where one of the pixels around is: the smallest byte is not zero where none is. */
AVX2_INLINE __m256i smallest_around(const uint8_t *bits, ptrdiff_t stride, const disc *near)
{
    __m256i smallest = load(bits);
    for (ptrdiff_t dx = 1; dx <= near->reach; dx++)
        smallest = _mm256_min_epu8(smallest, _mm256_min_epu8(load(bits - dx), load(bits + dx)));
    for (ptrdiff_t dy = 1; dy <= near->reach; dy++) {
        const uint8_t *above = bits - dy * stride, *below = bits + dy * stride;
        const ptrdiff_t half = near->half_widths[dy];
        for (ptrdiff_t dx = -half; dx <= half; dx++) {
            const __m256i both = _mm256_min_epu8(load(above + dx), load(below + dx));
            smallest = _mm256_min_epu8(smallest, both);
        }
    }
    return smallest;
}

AVX2 static int mark(uint8_t *marks, const uint8_t *bits, ptrdiff_t stride, size_t count,
                     const disc *near)
{
    const __m256i one = _mm256_set1_epi8(1), two = _mm256_set1_epi8(2);
    __m256i any = _mm256_setzero_si256();
    for (size_t x = 0; x < count; x += BLOCK) {
        const __m256i set = _mm256_min_epu8(load(bits + x), one);
        __m256i marked = set;
        if (near->reach > 0 && !all_zero(set)) {
            const __m256i inner =
                _mm256_min_epu8(smallest_around(bits + x, stride, near), one);
            marked = _mm256_min_epu8(_mm256_sub_epi8(two, inner), _mm256_add_epi8(set, set));
        }
        store(marks + x, marked);
        any = _mm256_or_si256(any, set);
    }
    return !all_zero(any);
}

/* ------------------------------ paint ------------------------------ */

/* 32 pixels are as many vectors as a pixel has bytes. Of each byte: which of 16 pixels it is of. */
static const uint8_t pixel_of_3[3][32] = {
    {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4,  5,
     5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10},
    {10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15,
     0,  0,  0,  1,  1,  1,  2,  2,  2,  3,  3,  3,  4,  4,  4,  5},
    {5,  5,  6,  6,  6,  7,  7,  7,  8,  8,  8,  9,  9,  9,  10, 10,
     10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15},
};
/* And which channel of it. */
static const uint8_t channel_of_3[3][32] = {
    {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
     1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1},
    {2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2,
     0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0},
    {1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1,
     2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2},
};
#define NO 0x80 /* a shuffle's zero: the fourth byte has no mark */
static const uint8_t pixel_of_4[2][32] = {
    {0, 0, 0, NO, 1, 1, 1, NO, 2, 2, 2, NO, 3, 3, 3, NO,
     4, 4, 4, NO, 5, 5, 5, NO, 6, 6, 6, NO, 7, 7, 7, NO},
    {8,  8,  8,  NO, 9,  9,  9,  NO, 10, 10, 10, NO, 11, 11, 11, NO,
     12, 12, 12, NO, 13, 13, 13, NO, 14, 14, 14, NO, 15, 15, 15, NO},
};

/* A colour as 32 pixels hold it, and what of it is added to the lower and upper bytes of halves. */
typedef struct {
    __m256i solid[4], add_low[4], add_high[4], keep;
} colours;

/* Factors of 16 bits, for the four bytes of a pixel over and over. */
AVX2_INLINE __m256i factors(unsigned three, unsigned fourth)
{
    const uint64_t all = (uint64_t)three * 0x000100010001 | (uint64_t)fourth << 48;
    return _mm256_set1_epi64x((int64_t)all);
}

AVX2_INLINE colours prepare(const line_paint *paint, size_t channels)
{
    const unsigned strength = paint->strength, keep = DRAW_OPAQUE - strength;
    const int has_fourth = channels == 4; /* it keeps all of itself */
    const __m256i share = factors(strength, has_fourth ? 0 : strength);
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi16(128);
    colours all;
    int32_t pixel;
    all.keep = factors(keep, has_fourth ? DRAW_OPAQUE : keep);
    memcpy(&pixel, paint->colour, sizeof pixel);
    for (size_t v = 0; v < channels; v++) {
        all.solid[v] = _mm256_set1_epi32(pixel);
        if (channels == 3)
            all.solid[v] = _mm256_shuffle_epi8(all.solid[v], load(channel_of_3[v]));
        else if (channels == 1)
            all.solid[v] = _mm256_set1_epi8((char)paint->colour[0]);
        const __m256i low = _mm256_unpacklo_epi8(all.solid[v], zero);
        const __m256i high = _mm256_unpackhi_epi8(all.solid[v], zero);
        all.add_low[v] = _mm256_add_epi16(_mm256_mullo_epi16(low, share), half);
        all.add_high[v] = _mm256_add_epi16(_mm256_mullo_epi16(high, share), half);
    }
    return all;
}

AVX2_INLINE __m256i blend(__m256i bytes, const colours *all, size_t v)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = _mm256_mullo_epi16(_mm256_unpacklo_epi8(bytes, zero), all->keep);
    const __m256i high = _mm256_mullo_epi16(_mm256_unpackhi_epi8(bytes, zero), all->keep);
    return _mm256_packus_epi16(_mm256_srli_epi16(_mm256_add_epi16(low, all->add_low[v]), 8),
                               _mm256_srli_epi16(_mm256_add_epi16(high, all->add_high[v]), 8));
}

/* The marks of vector v's bytes. */
AVX2_INLINE __m256i spread(__m256i marks, size_t v, size_t channels)
{
    const __m256i first = _mm256_permute2x128_si256(marks, marks, 0x00);
    const __m256i second = _mm256_permute2x128_si256(marks, marks, 0x11);
    if (channels == 3)
        return _mm256_shuffle_epi8(v == 0 ? first : v == 1 ? marks : second, load(pixel_of_3[v]));
    if (channels == 4)
        return _mm256_shuffle_epi8(v < 2 ? first : second, load(pixel_of_4[v % 2]));
    return marks;
}

AVX2_INLINE void paint_block(uint8_t *pixels, __m256i marks, const colours *all, size_t channels)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi8(1);
    if (all_equal(marks, MARK_INSIDE)) {
        for (size_t v = 0; v < channels; v++, pixels += 32)
            store(pixels, blend(load(pixels), all, v));
        return;
    }
    for (size_t v = 0; v < channels; v++, pixels += 32) {
        const __m256i bytes = load(pixels), each = spread(marks, v, channels);
        const __m256i inside = _mm256_blendv_epi8(bytes, blend(bytes, all, v),
                                                  _mm256_cmpgt_epi8(each, zero));
        store(pixels, _mm256_blendv_epi8(inside, all->solid[v], _mm256_cmpgt_epi8(each, one)));
    }
}

/* All of the last `count` lanes of 32, below 32. */
AVX2_INLINE __m256i last_lanes(size_t count)
{
    static const uint8_t edge[64] = {
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    return load(edge + count);
}

AVX2_INLINE void paint_line(uint8_t *pixels, const uint8_t *marks, size_t count,
                            const line_paint *paint, size_t channels)
{
    const colours all = prepare(paint, channels);
    size_t x = 0;
    for (; x + BLOCK <= count; x += BLOCK) {
        const __m256i block = load(marks + x);
        if (!all_zero(block))
            paint_block(pixels + channels * x, block, &all, channels);
    }
    /* The rest is the end of a block whose beginning is painted: there its marks are taken away. */
    if (x < count) {
        const __m256i block = _mm256_and_si256(load(marks + count - BLOCK), last_lanes(count - x));
        if (!all_zero(block))
            paint_block(pixels + channels * (count - BLOCK), block, &all, channels);
    }
}

AVX2 static void paint(uint8_t *pixels, const uint8_t *marks, size_t count,
                       const line_paint *paint)
{
    if (count < BLOCK)
        scalar_draw.paint(pixels, marks, count, paint);
    else if (paint->channels == 3)
        paint_line(pixels, marks, count, paint, 3);
    else if (paint->channels == 4)
        paint_line(pixels, marks, count, paint, 4);
    else
        paint_line(pixels, marks, count, paint, 1);
}

/* ------------------------------ paint_chroma ------------------------------ */

/* bytes: one of U, V in 16 bits, its opacity and colour. */
AVX2_INLINE __m256i blend_chroma(__m256i bytes, __m256i opacity, int colour)
{
    const __m256i keep = _mm256_sub_epi16(_mm256_set1_epi16(DRAW_OPAQUE), opacity);
    const __m256i added = _mm256_mullo_epi16(_mm256_set1_epi16((short)colour), opacity);
    const __m256i sum = _mm256_add_epi16(_mm256_mullo_epi16(bytes, keep), added);
    return _mm256_srli_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(128)), 8);
}

AVX2_INLINE void chroma_block(uint8_t *pairs, __m256i top, __m256i bottom,
                              const line_paint *paint)
{
    const __m256i one = _mm256_set1_epi8(1);
    const __m256i set = _mm256_add_epi8(_mm256_min_epu8(top, one), _mm256_min_epu8(bottom, one));
    const __m256i marks = _mm256_add_epi8(top, bottom), outline = _mm256_sub_epi8(marks, set);
    /* Of 2 x 2 pixels: how many are set, and how many of them are outline. */
    const __m256i num_set = _mm256_maddubs_epi16(set, one);
    const __m256i num_outline = _mm256_maddubs_epi16(outline, one);
    const __m256i tint = _mm256_set1_epi16((short)paint->strength);
    const __m256i more = _mm256_set1_epi16((short)(DRAW_OPAQUE - paint->strength));
    const __m256i sum = _mm256_add_epi16(_mm256_mullo_epi16(num_set, tint),
                                         _mm256_mullo_epi16(num_outline, more));
    const __m256i opacity = _mm256_srli_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(2)), 2);
    const __m256i both = load(pairs);
    const __m256i u = blend_chroma(_mm256_and_si256(both, _mm256_set1_epi16(0xff)), opacity,
                                   paint->colour[0]);
    const __m256i v = blend_chroma(_mm256_srli_epi16(both, 8), opacity, paint->colour[1]);
    store(pairs, _mm256_or_si256(u, _mm256_slli_epi16(v, 8)));
}

AVX2 static void paint_chroma(uint8_t *pairs, const uint8_t *top, const uint8_t *bottom,
                              size_t count, const line_paint *paint)
{
    enum { PAIRS = BLOCK / 2 };
    if (count < PAIRS) {
        scalar_draw.paint_chroma(pairs, top, bottom, count, paint);
        return;
    }
    size_t k = 0;
    for (; k + PAIRS <= count; k += PAIRS) {
        const __m256i above = load(top + 2 * k), below = load(bottom + 2 * k);
        if (!all_zero(_mm256_or_si256(above, below)))
            chroma_block(pairs + 2 * k, above, below, paint);
    }
    if (k < count) {
        const size_t last = 2 * (count - PAIRS);
        const __m256i rest = last_lanes(2 * (count - k));
        chroma_block(pairs + last, _mm256_and_si256(load(top + last), rest),
                     _mm256_and_si256(load(bottom + last), rest), paint);
    }
}

const draw_kernels avx2_draw = {mark, paint, paint_chroma};

#endif
