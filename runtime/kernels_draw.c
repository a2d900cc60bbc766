#include "kernels_draw.h"

#include <string.h>

#include "kernels_draw_lines.h"

/* The frame is painted in tiles, all masks in one before the next: its pixels stay in the nearest
 * cache however many masks lie over them. Both are even, so that no 2 x 2 pixels are divided. */
enum { TILE_ROWS = 8, TILE_COLUMNS = 512 };

/* Columns around the tile's bits that may be read and around its marks that may be written. */
enum { LEFT = 32, RIGHT = 64 };

_Static_assert(LEFT >= DRAW_MAX_THICKNESS, "the disc reaches into what is beside the bits");
_Static_assert(RIGHT >= MARK_BLOCK + DRAW_MAX_THICKNESS, "so does that of the last block");

/* A part of one mask, in rows and columns of its window. */
typedef struct {
    size_t x, y, height, width;
    uint8_t bits[TILE_ROWS + 2 * DRAW_MAX_THICKNESS][LEFT + TILE_COLUMNS + RIGHT];
    uint8_t marks[TILE_ROWS][TILE_COLUMNS + RIGHT];
    int any[TILE_ROWS]; /* whether the row has marks at all */
} tile;

/* What all tiles of a call share. */
typedef struct {
    const canvas *frame;
    const draw_kernels *lines;
    unsigned strength;
    disc near;
} brush;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ------------------------------ colour ------------------------------ */

int is_drawable(pixel_format format)
{
    return format == FORMAT_BGR || format == FORMAT_RGB || format == FORMAT_BGRX ||
           format == FORMAT_RGBA || format == FORMAT_NV12;
}

/* BT.601, limited range, in 1/65536: the factors of Y sum to 219/255, those of U and V to 0. */
static void to_yuv(uint8_t yuv[3], const uint8_t bgr[3])
{
    const int b = bgr[0], g = bgr[1], r = bgr[2], half = 1 << 15;
    yuv[0] = (uint8_t)((16829 * r + 33039 * g + 6416 * b + (16 << 16) + half) >> 16);
    yuv[1] = (uint8_t)((-9714 * r - 19071 * g + 28785 * b + (128 << 16) + half) >> 16);
    yuv[2] = (uint8_t)((28785 * r - 24104 * g - 4681 * b + (128 << 16) + half) >> 16);
}

static line_paint packed_paint(const brush *brush, const uint8_t bgr[3])
{
    const pixel_format format = brush->frame->format;
    const int blue_first = format == FORMAT_BGR || format == FORMAT_BGRX;
    return (line_paint){
        .channels = format == FORMAT_BGR || format == FORMAT_RGB ? 3 : 4,
        .strength = brush->strength,
        .colour = {bgr[blue_first ? 0 : 2], bgr[1], bgr[blue_first ? 2 : 0], 0},
    };
}

/* ------------------------------ tile ------------------------------ */

/* Row y of the tile's bits, with what is `reach` around them; y and rows count from the tile's,
 * and what is outside the window is zero. */
static void copy_bits(uint8_t *bits, const painted_mask *mask, const tile *part, ptrdiff_t y,
                      size_t reach)
{
    const ptrdiff_t row = (ptrdiff_t)part->y + y;
    const size_t whole = (part->width + MARK_BLOCK - 1) / MARK_BLOCK * MARK_BLOCK;
    if (row < 0 || row >= (ptrdiff_t)mask->height) {
        memset(bits - reach, 0, whole + 2 * reach);
        return;
    }
    const size_t before = smaller(reach, part->x);
    const size_t stop = smaller(part->x + part->width + reach, mask->width);
    const size_t count = stop - (part->x - before);
    memset(bits - reach, 0, reach - before);
    memcpy(bits - before, mask->bits + row * mask->stride + (part->x - before), count);
    memset(bits - before + count, 0, whole + reach + before - count);
}

static uint8_t *bits_row(tile *part, ptrdiff_t y)
{
    return part->bits[y + DRAW_MAX_THICKNESS] + LEFT;
}

/* Makes the tile's marks, from column `shift`. Returns whether there are any. */
static int mark_tile(tile *part, const brush *brush, const painted_mask *mask, size_t shift)
{
    const ptrdiff_t reach = brush->near.reach, stride = sizeof part->bits[0];
    int any = 0;
    for (ptrdiff_t y = -reach; y < (ptrdiff_t)part->height + reach; y++)
        copy_bits(bits_row(part, y), mask, part, y, (size_t)reach);
    for (size_t y = 0; y < part->height; y++) {
        uint8_t *marks = part->marks[y];
        marks[0] = 0;
        part->any[y] = brush->lines->mark(marks + shift, bits_row(part, (ptrdiff_t)y), stride,
                                          part->width, &brush->near);
        memset(marks + shift + part->width, 0, MARK_BLOCK);
        any |= part->any[y];
    }
    return any;
}

/* ------------------------------ one mask in one tile ------------------------------ */

static uint8_t *pixel_at(const canvas *frame, size_t plane, size_t row, size_t byte)
{
    return frame->planes[plane].pixels + (ptrdiff_t)row * frame->planes[plane].stride + byte;
}

static void paint_packed(const tile *part, const brush *brush, const painted_mask *mask)
{
    const line_paint paint = packed_paint(brush, mask->bgr);
    const size_t x = mask->x + part->x, y = mask->y + part->y;
    for (size_t k = 0; k < part->height; k++)
        if (part->any[k])
            brush->lines->paint(pixel_at(brush->frame, 0, y + k, x * paint.channels),
                                part->marks[k], part->width, &paint);
}

/* Marks start in an even column; the first row of 2 x 2 pixels may begin above the tile. */
static void paint_nv12(tile *part, const brush *brush, const painted_mask *mask)
{
    static const uint8_t none[TILE_COLUMNS + RIGHT];
    const canvas *frame = brush->frame;
    const size_t x = mask->x + part->x, y = mask->y + part->y, shift = x % 2, above = y % 2;
    uint8_t yuv[3];
    to_yuv(yuv, mask->bgr);
    const line_paint luma = {1, brush->strength, {yuv[0]}};
    const line_paint chroma = {2, brush->strength, {yuv[1], yuv[2]}};

    for (size_t k = 0; k < part->height; k++)
        if (part->any[k])
            brush->lines->paint(pixel_at(frame, 0, y + k, x), part->marks[k] + shift, part->width,
                                &luma);
    if (x + part->width == frame->width) /* an odd side's last column counts twice */
        for (size_t k = 0; k < part->height; k++)
            part->marks[k][shift + part->width] = part->marks[k][shift + part->width - 1];
    for (size_t row = (y - above) / 2; 2 * row < y + part->height; row++) {
        const ptrdiff_t k = (ptrdiff_t)(2 * row) - (ptrdiff_t)y;
        const int has_top = k >= 0, has_bottom = k + 1 < (ptrdiff_t)part->height;
        if (!(has_top && part->any[k]) && !(has_bottom && part->any[k + 1]))
            continue;
        const uint8_t *top = has_top ? part->marks[k] : none;
        const uint8_t *bottom = has_bottom                   ? part->marks[k + 1]
                                : 2 * row + 1 < frame->height ? none
                                                              : top;
        brush->lines->paint_chroma(pixel_at(frame, 1, row, x - shift), top, bottom,
                                   (shift + part->width + 1) / 2, &chroma);
    }
}

static void paint_tile(tile *part, const brush *brush, const painted_mask *mask)
{
    const int is_nv12 = brush->frame->format == FORMAT_NV12;
    if (!mark_tile(part, brush, mask, is_nv12 ? (mask->x + part->x) % 2 : 0))
        return;
    if (is_nv12)
        paint_nv12(part, brush, mask);
    else
        paint_packed(part, brush, mask);
}

/* ------------------------------ all masks ------------------------------ */

static const draw_kernels *choose(draw_path path)
{
    if (path == DRAW_SCALAR)
        return &scalar_draw;
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") ? &avx2_draw : &scalar_draw;
#elif defined(__aarch64__)
    return &neon_draw;
#else
    return &scalar_draw;
#endif
}

static disc disc_of(double thickness)
{
    disc near = {.reach = (ptrdiff_t)thickness};
    for (ptrdiff_t dy = 0; dy <= near.reach; dy++) {
        ptrdiff_t half = near.reach;
        while ((double)(half * half + dy * dy) > thickness * thickness)
            half--;
        near.half_widths[dy] = half;
    }
    return near;
}

/* What of [start, start + length) is in [from, until): where it begins, counted from start. */
static size_t overlap(size_t *first, size_t start, size_t length, size_t from, size_t until)
{
    const size_t low = larger(start, from), high = smaller(start + length, until);
    *first = low - start;
    return low < high ? high - low : 0;
}

static void paint_at(const brush *brush, const painted_mask *masks, size_t num_masks, size_t x,
                     size_t y)
{
    tile part;
    for (size_t k = 0; k < num_masks; k++) {
        const painted_mask *mask = &masks[k];
        part.height = overlap(&part.y, mask->y, mask->height, y, y + TILE_ROWS);
        part.width = overlap(&part.x, mask->x, mask->width, x, x + TILE_COLUMNS);
        if (part.height > 0 && part.width > 0)
            paint_tile(&part, brush, mask);
    }
}

void paint_masks(const canvas *frame, const painted_mask *masks, size_t num_masks,
                 const paint_style *style, draw_path path)
{
    const brush brush = {
        .frame = frame,
        .lines = choose(path),
        .strength = style->strength,
        .near = disc_of(style->thickness),
    };
    size_t top = frame->height, bottom = 0;
    for (size_t k = 0; k < num_masks; k++) {
        top = smaller(top, masks[k].y);
        bottom = larger(bottom, masks[k].y + masks[k].height);
    }
    for (size_t y = top - top % TILE_ROWS; y < bottom; y += TILE_ROWS)
        for (size_t x = 0; x < frame->width; x += TILE_COLUMNS)
            paint_at(&brush, masks, num_masks, x, y);
}
