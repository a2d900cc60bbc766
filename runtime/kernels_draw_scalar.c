#include "kernels_draw_lines.h"

static uint8_t mark_of(const uint8_t *bits, ptrdiff_t stride, const disc *near)
{
    if (*bits == 0)
        return MARK_NONE;
    for (ptrdiff_t dy = -near->reach; dy <= near->reach; dy++) {
        const ptrdiff_t half = near->half_widths[dy < 0 ? -dy : dy];
        for (ptrdiff_t dx = -half; dx <= half; dx++)
            if (bits[dy * stride + dx] == 0)
                return MARK_OUTLINE;
    }
    return MARK_INSIDE;
}

static int mark(uint8_t *marks, const uint8_t *bits, ptrdiff_t stride, size_t count,
                const disc *near)
{
    int any = 0;
    for (size_t x = 0; x < count; x++) {
        marks[x] = mark_of(bits + x, stride, near);
        any |= marks[x];
    }
    return any != 0;
}

static uint8_t blend(unsigned byte, unsigned colour, unsigned opacity)
{
    return (uint8_t)((byte * (DRAW_OPAQUE - opacity) + colour * opacity + 128) >> 8);
}

static unsigned opacity_of(uint8_t mark, unsigned strength)
{
    return mark == MARK_NONE ? 0 : mark == MARK_INSIDE ? strength : DRAW_OPAQUE;
}

static void paint(uint8_t *pixels, const uint8_t *marks, size_t count, const line_paint *paint)
{
    const size_t painted = paint->channels < 3 ? paint->channels : 3;
    for (size_t x = 0; x < count; x++, pixels += paint->channels) {
        if (marks[x] == MARK_NONE)
            continue;
        const unsigned opacity = opacity_of(marks[x], paint->strength);
        for (size_t c = 0; c < painted; c++)
            pixels[c] = blend(pixels[c], paint->colour[c], opacity);
    }
}

static void paint_chroma(uint8_t *pairs, const uint8_t *top, const uint8_t *bottom, size_t count,
                         const line_paint *paint)
{
    for (size_t k = 0; k < count; k++, pairs += 2) {
        unsigned sum = 2;
        for (size_t x = 2 * k; x < 2 * k + 2; x++)
            sum += opacity_of(top[x], paint->strength) + opacity_of(bottom[x], paint->strength);
        pairs[0] = blend(pairs[0], paint->colour[0], sum >> 2);
        pairs[1] = blend(pairs[1], paint->colour[1], sum >> 2);
    }
}

const draw_kernels scalar_draw = {mark, paint, paint_chroma};
