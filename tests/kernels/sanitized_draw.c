/* Runs drawing under the sanitizers the build asked for: exact buffers on the heap, so that one
 * byte too far is seen. Random sizes, formats, strides and windows; the vector path gives the
 * scalar path's bits, and nothing changes outside the windows. Prints a sum of all pictures: the
 * same on every processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_draw.h"

enum { MOST_MASKS = 5 };

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes + (bytes == 0));
    if (memory == NULL)
        abort();
    return memory;
}

/* ------------------------------ frame ------------------------------ */

typedef struct {
    canvas frame;
    uint8_t *memory[2];
    size_t bytes[2], num_planes;
} scene;

/* Noise. Rows may lie apart, and upside down. */
static void fill_plane(scene *made, size_t k, plane_size size)
{
    const size_t stride = size.bytes + draw(3) * draw(20);
    made->bytes[k] = stride * (size.height - 1) + size.bytes;
    made->memory[k] = allocate(made->bytes[k]);
    for (size_t n = 0; n < made->bytes[k]; n++)
        made->memory[k][n] = (uint8_t)draw(256);
    made->frame.planes[k].pixels = made->memory[k];
    made->frame.planes[k].stride = (ptrdiff_t)stride;
    if (draw(4) == 0) {
        made->frame.planes[k].pixels += stride * (size.height - 1);
        made->frame.planes[k].stride = -(ptrdiff_t)stride;
    }
}

static scene make_scene(void)
{
    static const pixel_format formats[] = {FORMAT_BGR, FORMAT_RGB, FORMAT_BGRX, FORMAT_RGBA,
                                           FORMAT_NV12};
    scene made = {.frame = {.format = formats[draw(5)],
                            .height = 1 + draw(60),
                            .width = 1 + draw(draw(10) == 0 ? 1200 : 120)}};
    plane_size sizes[3];
    made.num_planes = plane_sizes(sizes, made.frame.format, made.frame.height, made.frame.width);
    for (size_t k = 0; k < made.num_planes; k++)
        fill_plane(&made, k, sizes[k]);
    return made;
}

/* ------------------------------ masks ------------------------------ */

/* Empty, full, noise, or a rectangle: outlines, uniform blocks and everything between. */
static uint8_t bit_of(uint32_t kind, size_t y, size_t x, const painted_mask *mask)
{
    switch (kind) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return (uint8_t)(draw(8) ? draw(256) : 0);
    default:
        return y > mask->height / 8 && y < mask->height - mask->height / 8 &&
               x > mask->width / 8 && x < mask->width - mask->width / 8;
    }
}

static uint8_t *fill_mask(painted_mask *mask, const canvas *frame)
{
    mask->height = draw((uint32_t)frame->height + 1);
    mask->width = draw((uint32_t)frame->width + 1);
    mask->y = draw((uint32_t)(frame->height - mask->height) + 1);
    mask->x = draw((uint32_t)(frame->width - mask->width) + 1);
    for (size_t c = 0; c < 3; c++)
        mask->bgr[c] = (uint8_t)draw(256);
    const size_t stride = mask->width + draw(2) * draw(9);
    const size_t bytes = mask->height ? stride * (mask->height - 1) + mask->width : 0;
    const uint32_t kind = draw(4);
    uint8_t *bits = allocate(bytes);
    memset(bits, 0, bytes);
    for (size_t y = 0; y < mask->height; y++)
        for (size_t x = 0; x < mask->width; x++)
            bits[y * stride + x] = bit_of(kind, y, x, mask);
    mask->bits = bits;
    mask->stride = (ptrdiff_t)stride;
    return bits;
}

static int is_covered(const painted_mask *masks, size_t num_masks, size_t y, size_t x)
{
    for (size_t k = 0; k < num_masks; k++)
        if (y >= masks[k].y && y < masks[k].y + masks[k].height && x >= masks[k].x &&
            x < masks[k].x + masks[k].width)
            return 1;
    return 0;
}

/* ------------------------------ checks ------------------------------ */

/* Of the first plane: pixels in no window are as before. */
static int outside_is_kept(const scene *made, const uint8_t *before, const painted_mask *masks,
                           size_t num_masks)
{
    const canvas *frame = &made->frame;
    const size_t pixel = frame->format == FORMAT_NV12                             ? 1
                         : frame->format == FORMAT_BGR || frame->format == FORMAT_RGB ? 3
                                                                                      : 4;
    for (size_t y = 0; y < frame->height; y++)
        for (size_t x = 0; x < frame->width; x++) {
            const uint8_t *here =
                frame->planes[0].pixels + (ptrdiff_t)y * frame->planes[0].stride + x * pixel;
            const int same = memcmp(here, before + (here - made->memory[0]), pixel) == 0;
            if (!same && !is_covered(masks, num_masks, y, x))
                return 0;
        }
    return 1;
}

/* One picture through both paths; adds it to `sum`. */
static int check_picture(uint32_t *sum)
{
    scene made = make_scene();
    painted_mask masks[MOST_MASKS];
    uint8_t *bits[MOST_MASKS], *before[2], *fastest[2];
    const size_t num_masks = draw(MOST_MASKS + 1);
    const paint_style style = {.strength = draw(5) ? draw(DRAW_OPAQUE + 1) : draw(2) * DRAW_OPAQUE,
                               .thickness = draw(draw(3) ? 12 : 2 * DRAW_MAX_THICKNESS + 1) * 0.5};
    int good = 1;

    for (size_t k = 0; k < num_masks; k++)
        bits[k] = fill_mask(&masks[k], &made.frame);
    for (size_t k = 0; k < made.num_planes; k++) {
        before[k] = memcpy(allocate(made.bytes[k]), made.memory[k], made.bytes[k]);
        fastest[k] = allocate(made.bytes[k]);
    }
    paint_masks(&made.frame, masks, num_masks, &style, DRAW_FASTEST);
    for (size_t k = 0; k < made.num_planes; k++) {
        memcpy(fastest[k], made.memory[k], made.bytes[k]);
        memcpy(made.memory[k], before[k], made.bytes[k]);
    }
    paint_masks(&made.frame, masks, num_masks, &style, DRAW_SCALAR);
    good &= outside_is_kept(&made, before[0], masks, num_masks);
    for (size_t k = 0; k < made.num_planes; k++) {
        good &= memcmp(fastest[k], made.memory[k], made.bytes[k]) == 0;
        for (size_t n = 0; n < made.bytes[k]; n++)
            *sum = *sum * 31 + made.memory[k][n];
        free(before[k]);
        free(fastest[k]);
        free(made.memory[k]);
    }
    for (size_t k = 0; k < num_masks; k++)
        free(bits[k]);
    if (!good)
        printf("format %d, %zu x %zu, %zu masks differ\n", (int)made.frame.format,
               made.frame.width, made.frame.height, num_masks);
    return good;
}

int main(void)
{
    uint32_t sum = 0;
    for (int k = 0; k < 1500; k++)
        if (!check_picture(&sum))
            return 1;
    printf("ok %08x\n", (unsigned)sum);
    return 0;
}
