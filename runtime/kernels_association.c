#include "kernels_association.h"

/* ------------------------------ rle_runs ------------------------------ */

size_t rle_max_runs(size_t length)
{
    return length / 2; /* a run of ones and the zeros before it: a character each, or more */
}

rle_status rle_runs(run_mask *mask, size_t height, size_t width, const char *text, size_t length,
                    size_t *where)
{
    rle_reader reader = {.text = text, .length = length, .total = (uint64_t)height * width};
    pixel_run *last = NULL;
    uint64_t run;

    mask->num_runs = 0;
    mask->extent = (mask_extent){0};
    while (rle_next(&reader, &run)) {
        if (reader.num_runs % 2 != 0 || run == 0)
            continue;
        const uint32_t stop = (uint32_t)reader.done, start = stop - (uint32_t)run;
        mask_stretch(&mask->extent, height, start, run);
        if (last != NULL && last->stop == start) {
            last->stop = stop;
            continue;
        }
        last = &mask->runs[mask->num_runs++];
        *last = (pixel_run){start, stop};
    }
    *where = reader.where;
    return reader.status;
}

/* ------------------------------ mask_iou ------------------------------ */

static int apart(const mask_extent *a, const mask_extent *b)
{
    return a->x2 <= b->x1 || b->x2 <= a->x1 || a->y2 <= b->y1 || b->y2 <= a->y1;
}

/* The first run that ends after pixel `start`. */
static const pixel_run *first_after(const run_mask *mask, uint32_t start)
{
    size_t low = 0, high = mask->num_runs;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mask->runs[middle].stop > start)
            high = middle;
        else
            low = middle + 1;
    }
    return mask->runs + low;
}

/* Number of pixels set in both, neither of them empty. */
static uint64_t shared_pixels(const run_mask *a, const run_mask *b)
{
    const pixel_run *one = first_after(a, b->runs->start), *one_end = a->runs + a->num_runs;
    const pixel_run *two = first_after(b, a->runs->start), *two_end = b->runs + b->num_runs;
    uint64_t shared = 0;
    while (one < one_end && two < two_end) {
        const uint32_t start = one->start > two->start ? one->start : two->start;
        const uint32_t stop = one->stop < two->stop ? one->stop : two->stop;
        shared += start < stop ? stop - start : 0;
        /* Both are asked, so that neither is a branch to guess. */
        const int next_one = one->stop == stop, next_two = two->stop == stop;
        one += next_one;
        two += next_two;
    }
    return shared;
}

static float iou_of(const run_mask *a, const run_mask *b)
{
    if (apart(&a->extent, &b->extent)) /* an empty one is apart from everything */
        return 0;
    const uint64_t both = shared_pixels(a, b);
    return (float)((double)both / (double)(a->extent.area + b->extent.area - both));
}

void mask_iou(float *ious, const run_mask *a, size_t num_a, const run_mask *b, size_t num_b)
{
    for (size_t n = 0; n < num_a; n++)
        for (size_t m = 0; m < num_b; m++)
            ious[n * num_b + m] =
                a == b && m < n ? ious[m * num_b + n] : iou_of(&a[n], &b[m]);
}

/* ------------------------------ suppress ------------------------------ */

size_t suppress(int64_t *kept, const float *ious, size_t num, float limit)
{
    size_t num_kept = 0;
    for (size_t n = 0; n < num; n++) {
        int hidden = 0;
        for (size_t k = 0; k < num_kept && !hidden; k++)
            hidden = ious[n * num + (size_t)kept[k]] > limit;
        if (!hidden)
            kept[num_kept++] = (int64_t)n;
    }
    return num_kept;
}
