#include "kernels_draw_lines.h"

#if defined(__aarch64__)

#include <arm_neon.h>

enum { BLOCK = 16 };

/* ------------------------------ mark ------------------------------ */

/* Zero where one of the pixels around is: the smallest byte is not zero where none is. */
static uint8x16_t smallest_around(const uint8_t *bits, ptrdiff_t stride, const disc *near)
{
    uint8x16_t smallest = vld1q_u8(bits);
    for (ptrdiff_t dx = 1; dx <= near->reach; dx++)
        smallest = vminq_u8(smallest, vminq_u8(vld1q_u8(bits - dx), vld1q_u8(bits + dx)));
    for (ptrdiff_t dy = 1; dy <= near->reach; dy++) {
        const uint8_t *above = bits - dy * stride, *below = bits + dy * stride;
        const ptrdiff_t half = near->half_widths[dy];
        for (ptrdiff_t dx = -half; dx <= half; dx++)
            smallest = vminq_u8(smallest, vminq_u8(vld1q_u8(above + dx), vld1q_u8(below + dx)));
    }
    return smallest;
}

static int mark(uint8_t *marks, const uint8_t *bits, ptrdiff_t stride, size_t count,
                const disc *near)
{
    const uint8x16_t one = vdupq_n_u8(1), two = vdupq_n_u8(2);
    uint8x16_t any = vdupq_n_u8(0);
    for (size_t x = 0; x < count; x += BLOCK) {
        const uint8x16_t set = vminq_u8(vld1q_u8(bits + x), one);
        uint8x16_t marked = set;
        if (near->reach > 0 && vmaxvq_u8(set) != 0) {
            const uint8x16_t inner = vminq_u8(smallest_around(bits + x, stride, near), one);
            marked = vminq_u8(vsubq_u8(two, inner), vaddq_u8(set, set));
        }
        vst1q_u8(marks + x, marked);
        any = vorrq_u8(any, set);
    }
    return vmaxvq_u8(any) != 0;
}

/* ------------------------------ paint ------------------------------ */

typedef struct {
    uint8x16_t solid;
    uint16x8_t add;
    uint16_t keep;
} channel_paint;

static channel_paint prepare(const line_paint *paint, size_t channel)
{
    const unsigned colour = paint->colour[channel];
    return (channel_paint){vdupq_n_u8((uint8_t)colour),
                           vdupq_n_u16((uint16_t)(colour * paint->strength + 128)),
                           (uint16_t)(DRAW_OPAQUE - paint->strength)};
}

static uint8x16_t blend(uint8x16_t bytes, const channel_paint *paint)
{
    const uint16x8_t low = vmlaq_n_u16(paint->add, vmovl_u8(vget_low_u8(bytes)), paint->keep);
    const uint16x8_t high = vmlaq_n_u16(paint->add, vmovl_high_u8(bytes), paint->keep);
    return vshrn_high_n_u16(vshrn_n_u16(low, 8), high, 8);
}

/* marks are not all zero. */
static uint8x16_t blend_marked(uint8x16_t bytes, uint8x16_t marks, const channel_paint *paint)
{
    const uint8x16_t inside = vcgtq_u8(marks, vdupq_n_u8(MARK_NONE));
    const uint8x16_t outline = vceqq_u8(marks, vdupq_n_u8(MARK_OUTLINE));
    return vbslq_u8(outline, paint->solid, vbslq_u8(inside, blend(bytes, paint), bytes));
}

static void paint_block(uint8_t *pixels, uint8x16_t marks, const channel_paint paints[3],
                        size_t channels)
{
    if (vmaxvq_u8(marks) == 0)
        return;
    if (channels == 1) {
        vst1q_u8(pixels, blend_marked(vld1q_u8(pixels), marks, &paints[0]));
    } else if (channels == 3) {
        uint8x16x3_t all = vld3q_u8(pixels);
        for (size_t c = 0; c < 3; c++)
            all.val[c] = blend_marked(all.val[c], marks, &paints[c]);
        vst3q_u8(pixels, all);
    } else {
        uint8x16x4_t all = vld4q_u8(pixels);
        for (size_t c = 0; c < 3; c++)
            all.val[c] = blend_marked(all.val[c], marks, &paints[c]);
        vst4q_u8(pixels, all);
    }
}

/* All of the last `count` lanes of 16, below 16. */
static uint8x16_t last_lanes(size_t count)
{
    static const uint8_t edge[32] = {
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    return vld1q_u8(edge + count);
}

static void paint(uint8_t *pixels, const uint8_t *marks, size_t count, const line_paint *paint)
{
    const size_t channels = paint->channels;
    const channel_paint paints[3] = {prepare(paint, 0), prepare(paint, 1), prepare(paint, 2)};
    size_t x = 0;
    if (count < BLOCK) {
        scalar_draw.paint(pixels, marks, count, paint);
        return;
    }
    for (; x + BLOCK <= count; x += BLOCK)
        paint_block(pixels + channels * x, vld1q_u8(marks + x), paints, channels);
    /* The rest is the end of a block whose beginning is painted: there its marks are taken away. */
    if (x < count)
        paint_block(pixels + channels * (count - BLOCK),
                    vandq_u8(vld1q_u8(marks + count - BLOCK), last_lanes(count - x)), paints,
                    channels);
}

/* ------------------------------ paint_chroma ------------------------------ */

static uint8x8_t blend_chroma(uint8x8_t bytes, uint16x8_t opacity, uint8_t colour)
{
    const uint16x8_t keep = vsubq_u16(vdupq_n_u16(DRAW_OPAQUE), opacity);
    const uint16x8_t sum = vmlaq_u16(vmulq_n_u16(opacity, colour), vmovl_u8(bytes), keep);
    return vrshrn_n_u16(sum, 8);
}

static void chroma_block(uint8_t *pairs, uint8x16_t top, uint8x16_t bottom,
                         const line_paint *paint)
{
    const uint8x16_t one = vdupq_n_u8(1);
    const uint8x16_t set = vaddq_u8(vminq_u8(top, one), vminq_u8(bottom, one));
    const uint8x16_t outline = vsubq_u8(vaddq_u8(top, bottom), set);
    const uint16x8_t tint = vmulq_n_u16(vpaddlq_u8(set), (uint16_t)paint->strength);
    const uint16x8_t sum = vmlaq_n_u16(tint, vpaddlq_u8(outline),
                                       (uint16_t)(DRAW_OPAQUE - paint->strength));
    const uint16x8_t opacity = vrshrq_n_u16(sum, 2);
    uint8x8x2_t both = vld2_u8(pairs);
    both.val[0] = blend_chroma(both.val[0], opacity, paint->colour[0]);
    both.val[1] = blend_chroma(both.val[1], opacity, paint->colour[1]);
    vst2_u8(pairs, both);
}

static void paint_chroma(uint8_t *pairs, const uint8_t *top, const uint8_t *bottom, size_t count,
                         const line_paint *paint)
{
    enum { PAIRS = BLOCK / 2 };
    if (count < PAIRS) {
        scalar_draw.paint_chroma(pairs, top, bottom, count, paint);
        return;
    }
    size_t k = 0;
    for (; k + PAIRS <= count; k += PAIRS) {
        const uint8x16_t above = vld1q_u8(top + 2 * k), below = vld1q_u8(bottom + 2 * k);
        if (vmaxvq_u8(vorrq_u8(above, below)) != 0)
            chroma_block(pairs + 2 * k, above, below, paint);
    }
    if (k < count) {
        const size_t last = 2 * (count - PAIRS);
        const uint8x16_t rest = last_lanes(2 * (count - k));
        chroma_block(pairs + last, vandq_u8(vld1q_u8(top + last), rest),
                     vandq_u8(vld1q_u8(bottom + last), rest), paint);
    }
}

const draw_kernels neon_draw = {mark, paint, paint_chroma};

#endif
