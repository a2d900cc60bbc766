/* Runs the mask kernels under the sanitizers the build asked for: exact buffers on the heap, so
 * that one byte too far is seen. Every mask is compared with the image made pixel by pixel, and
 * every path with the scalar one; logits, sizes, boxes and windows are drawn, odd ones too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_masks.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void *allocate(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

static float draw_logit(int kind)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0, -0.0f, 1e-40f, -1e-40f, 1, -1};
    if (kind == 0)
        return odd[draw(sizeof odd / sizeof *odd)];
    return (float)draw(2001) / 1000 - (kind == 1 ? 1.0f : 1.9f);
}

/* ------------------------------ naive twin ------------------------------ */

static float clamped(float logit)
{
    if (logit != logit)
        return -0x1p126f;
    return logit > 0x1p80f ? 0x1p80f : logit < -0x1p80f ? -0x1p80f : logit;
}

static void place(size_t at, size_t num_in, size_t num_out, size_t *cell, float *share)
{
    const int64_t centre = (2 * (int64_t)at + 1) * (int64_t)num_in;
    const int64_t out = (int64_t)num_out;
    *cell = centre <= out ? 0 : (size_t)((centre - out) / (2 * out));
    const int64_t past = centre - (2 * (int64_t)*cell + 1) * out;
    *share = past <= 0 || *cell + 1 == num_in ? 0 : (float)((double)past / (double)(2 * out));
}

/* volatile: two roundings, whatever the compiler would like to fuse */
static float blend(float from, float to, float share)
{
    volatile float rise = (to - from) * share;
    return from + rise;
}

static int naive_pixel(const mask_logits *m, const rle_window *window, size_t x, size_t y)
{
    size_t row, column;
    float down, across, v[2];
    place(y, m->rows, window->frame_height, &row, &down);
    place(x, m->columns, window->frame_width, &column, &across);
    const size_t right = column + 1 < m->columns ? column + 1 : column;
    for (size_t k = 0; k < 2; k++) {
        const size_t r = row + k < m->rows ? row + k : row;
        v[k] = blend(clamped(m->values[r * m->columns + column]),
                     clamped(m->values[r * m->columns + right]), across);
    }
    return blend(v[0], v[1], down) > 0;
}

/* ------------------------------ one case ------------------------------ */

static int outside_box(const double *box, size_t x, size_t y)
{
    if (box == NULL)
        return 0;
    const double px = (double)x, py = (double)y;
    return !(box[0] < box[2] && box[1] < box[3] && px + 1 > box[0] && px < box[2] &&
             py + 1 > box[1] && py < box[3]);
}

static int same_bits(const mask_logits *m, const rle_window *window, const double *box)
{
    rle_window all = {.frame_height = window->frame_height, .frame_width = window->frame_width,
                      .height = window->frame_height, .width = window->frame_width};
    void *scratch = allocate(mask_scratch(m, window)), *whole = allocate(mask_scratch(m, &all));
    const size_t num_bits = window->height * window->width;
    const size_t num_all = all.height * all.width;
    uint8_t *bits = allocate(num_bits), *full = allocate(num_all);
    int same = 1;

    mask_to_bits(bits, window->width, scratch, m, window, MASK_FASTEST);
    mask_to_bits(full, all.width, whole, m, &all, MASK_SCALAR);
    for (size_t y = 0; y < all.height; y++)
        for (size_t x = 0; x < all.width; x++) {
            const int expected = naive_pixel(m, &all, x, y);
            const int in = x >= window->x && x - window->x < window->width && y >= window->y &&
                           y - window->y < window->height;
            same &= full[y * all.width + x] == expected;
            if (in)
                same &= bits[(y - window->y) * window->width + x - window->x] == expected;
            else
                same &= !expected || outside_box(box, x, y);
        }
    free(scratch);
    free(whole);
    free(bits);
    free(full);
    return same;
}

static int same_packed(const mask_logits *m, const rle_window *window)
{
    const size_t stride = (window->width + 7) / 8;
    void *scratch = allocate(mask_scratch(m, window));
    uint8_t *bits = allocate(window->height * window->width);
    uint8_t *packed = allocate(window->height * stride);
    int same = 1;
    mask_to_bits(bits, window->width, scratch, m, window, MASK_SCALAR);
    mask_to_packed(packed, stride, scratch, m, window, MASK_FASTEST);
    for (size_t y = 0; y < window->height; y++)
        for (size_t x = 0; x < stride * 8; x++) {
            const int bit = packed[y * stride + x / 8] >> (7 - x % 8) & 1;
            same &= bit == (x < window->width && bits[y * window->width + x]);
        }
    free(scratch);
    free(bits);
    free(packed);
    return same;
}

static int same_text(const mask_logits *m, const rle_window *window)
{
    void *scratch = allocate(mask_scratch(m, window));
    uint8_t *bits = allocate(window->height * window->width);
    mask_to_bits(bits, window->width, scratch, m, window, MASK_FASTEST);
    const size_t length = rle_encode(NULL, 0, bits, (ptrdiff_t)window->width, 1, window);
    char *expected = allocate(length), *fast = allocate(length), *scalar = allocate(length);
    int same =
        rle_encode(expected, length, bits, (ptrdiff_t)window->width, 1, window) == length &&
        mask_to_rle(fast, length, scratch, m, window, MASK_FASTEST) == length &&
        mask_to_rle(scalar, length, scratch, m, window, MASK_SCALAR) == length &&
        memcmp(fast, expected, length) == 0 && memcmp(scalar, expected, length) == 0;
    if (length > 1) /* too little room: what is written stays inside */
        same &= mask_to_rle(fast, length - 1, scratch, m, window, MASK_FASTEST) == length;

    mask_extent from_bits, from_text;
    size_t where;
    mask_measure(&from_bits, bits, window->height, window->width, (ptrdiff_t)window->width);
    same &= rle_measure(&from_text, window->frame_height, window->frame_width, expected, length,
                        &where) == RLE_OK;
    same &= from_bits.area == from_text.area;
    if (from_bits.area > 0)
        same &= from_bits.x1 + window->x == from_text.x1 &&
                from_bits.x2 + window->x == from_text.x2 &&
                from_bits.y1 + window->y == from_text.y1 &&
                from_bits.y2 + window->y == from_text.y2;

    rle_overlap overlap;
    int refused;
    const char *const texts[2] = {expected, fast};
    const size_t lengths[2] = {length, length};
    (void)mask_to_rle(fast, length, scratch, m, window, MASK_FASTEST);
    same &= rle_intersect(&overlap, (uint64_t)window->frame_height * window->frame_width, texts,
                          lengths, &refused, &where) == RLE_OK;
    same &= overlap.both == from_bits.area && overlap.first == from_bits.area &&
            overlap.second == from_bits.area;
    free(scratch);
    free(bits);
    free(expected);
    free(fast);
    free(scalar);
    return same;
}

static double draw_edge(void)
{
    const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 0, -0.0, 1e-300};
    return draw(8) == 0 ? odd[draw(8)] : (double)draw(1400) / 10 - 20;
}

static int one_case(void)
{
    const size_t rows = 1 + draw(draw(2) ? 9 : 100), columns = 1 + draw(draw(2) ? 9 : 100);
    const int kind = (int)draw(3);
    float *values = allocate(rows * columns * sizeof *values);
    for (size_t k = 0; k < rows * columns; k++)
        values[k] = draw_logit(kind);
    const mask_logits m = {values, rows, columns};
    rle_window window = {.frame_height = draw(90), .frame_width = draw(90)};
    const double edges[4] = {draw_edge(), draw_edge(), draw_edge(), draw_edge()};
    const double *box = draw(3) == 0 ? NULL : edges;
    mask_window(&window, &m, box);
    const int same = same_bits(&m, &window, box) && same_packed(&m, &window) &&
                     same_text(&m, &window);
    free(values);
    return same;
}

int main(void)
{
    for (size_t k = 0; k < 1500; k++)
        if (!one_case()) {
            printf("case %zu differs\n", k);
            return 1;
        }
    puts("ok");
    return 0;
}
