/* Runs the kernels that compare masks under the sanitizers the build asked for: exact buffers on
 * the heap. Random masks against the count of their pixels, damaged text, matrices of anything. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels_association.h"

enum { MOST = 6 };

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = malloc(count > 0 ? count * size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

/* ------------------------------ masks ------------------------------ */

typedef struct {
    uint8_t *bits;
    char *text;
    size_t length;
    run_mask runs;
} drawn_mask;

/* A rectangle, or noise of some density, or nothing. */
static void draw_mask(drawn_mask *mask, size_t height, size_t width)
{
    const rle_window all = {.frame_height = height, .frame_width = width, .height = height,
                            .width = width};
    const uint32_t density = draw(17), kind = draw(3);
    const size_t top = draw(40), left = draw(40), bottom = draw(40), right = draw(40);
    mask->bits = allocate(height * width, 1);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            mask->bits[y * width + x] = kind == 0   ? draw(16) < density
                                        : kind == 1 ? y >= top && y < bottom && x >= left && x < right
                                                    : 0;
    mask->length = rle_encode(NULL, 0, mask->bits, (ptrdiff_t)width, 1, &all);
    mask->text = allocate(mask->length, 1);
    (void)rle_encode(mask->text, mask->length, mask->bits, (ptrdiff_t)width, 1, &all);
    mask->runs.runs = allocate(rle_max_runs(mask->length), sizeof(pixel_run));
}

static void free_mask(drawn_mask *mask)
{
    free(mask->bits);
    free(mask->text);
    free(mask->runs.runs);
}

static float naive_iou(const uint8_t *a, const uint8_t *b, size_t num)
{
    size_t both = 0, any = 0;
    for (size_t k = 0; k < num; k++) {
        both += a[k] & b[k];
        any += a[k] | b[k];
    }
    return any > 0 ? (float)((double)both / (double)any) : 0;
}

static int masks_agree(void)
{
    const size_t height = 1 + draw(40), width = 1 + draw(40), num_a = draw(MOST), num_b = draw(MOST);
    drawn_mask masks[2 * MOST];
    run_mask *runs = allocate(num_a + num_b, sizeof *runs);
    float *ious = allocate(num_a * num_b, sizeof *ious), *own = allocate(num_a * num_a, sizeof *own);
    size_t where;
    int good = 1;

    for (size_t k = 0; k < num_a + num_b; k++) {
        draw_mask(&masks[k], height, width);
        good &= rle_runs(&masks[k].runs, height, width, masks[k].text, masks[k].length, &where) ==
                RLE_OK;
        runs[k] = masks[k].runs;
    }
    mask_iou(ious, runs, num_a, runs + num_a, num_b);
    mask_iou(own, runs, num_a, runs, num_a);
    for (size_t n = 0; n < num_a; n++) {
        for (size_t m = 0; m < num_b; m++)
            good &= ious[n * num_b + m] ==
                    naive_iou(masks[n].bits, masks[num_a + m].bits, height * width);
        for (size_t m = 0; m < num_a; m++)
            good &= own[n * num_a + m] == naive_iou(masks[n].bits, masks[m].bits, height * width);
    }
    for (size_t k = 0; k < num_a + num_b; k++) {
        for (size_t n = 0; n < 20; n++) {
            masks[k].text[draw((uint32_t)masks[k].length)] = (char)draw(256);
            (void)rle_runs(&masks[k].runs, height, width, masks[k].text, masks[k].length, &where);
        }
        free_mask(&masks[k]);
    }
    free(runs);
    free(ious);
    free(own);
    return good;
}

/* ------------------------------ suppress ------------------------------ */

/* None above the limit with another that is kept; every other with one before it. */
static int suppression_is_greedy(void)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, -1};
    const float limits[] = {0, 0.3f, 1, NAN, -1}, limit = limits[draw(5)];
    const size_t num = draw(12);
    float *ious = allocate(num * num, sizeof *ious);
    int64_t *kept = allocate(num, sizeof *kept);
    int good = 1;

    for (size_t k = 0; k < num * num; k++)
        ious[k] = draw(9) == 0 ? odd[draw(4)] : (float)draw(1001) / 1000;
    const size_t count = suppress(kept, ious, num, limit);
    for (size_t n = 0, k = 0; n < num; n++) {
        int hidden = 0;
        for (size_t m = 0; m < k; m++)
            hidden |= ious[n * num + (size_t)kept[m]] > limit;
        good &= hidden == !(k < count && kept[k] == (int64_t)n);
        k += !hidden;
    }
    free(ious);
    free(kept);
    return good;
}

int main(void)
{
    for (size_t k = 0; k < 3000; k++)
        if (!masks_agree() || !suppression_is_greedy()) {
            printf("case %zu is wrong\n", k);
            return 1;
        }
    puts("ok");
    return 0;
}
