/* Kernels that compare masks with each other, for suppression and for tracks; boxes are compared in
 * kernels_decode.h. No Python, no allocation, no globals: outputs, inputs, sizes. */
#ifndef SAM3_EDGE_KERNELS_ASSOCIATION_H
#define SAM3_EDGE_KERNELS_ASSOCIATION_H

#include "kernels_rle.h"

/* Set pixels start <= k < stop, counted column by column. */
typedef struct {
    uint32_t start, stop;
} pixel_run;

/* A mask as its runs of ones, in order, none of them empty and no two that touch. */
typedef struct {
    pixel_run *runs;
    size_t num_runs;
    mask_extent extent;
} run_mask;

/* How many runs a text of so many characters can have: the room that rle_runs wants. */
size_t rle_max_runs(size_t length);

/* Reads a text into mask->runs, which has that room, and fills in the rest. Frames of at most
 * UINT32_MAX pixels. where: as rle_decode has it; what was refused leaves the mask undefined. */
rle_status rle_runs(run_mask *mask, size_t height, size_t width, const char *text, size_t length,
                    size_t *where);

/* ious[n][m]: intersection over union, 0..1, of masks a[n] and b[m] of one frame; 0 where both are
 * empty. ious: (N, M), C order. Where a == b every pair is compared once.
 * Equivalent to: rle_intersect of every pair. */
void mask_iou(float *ious, const run_mask *a, size_t num_a, const run_mask *b, size_t num_b);

/* kept: room for num. Writes the indices n, ascending, for which no k among those written before
 * has ious[n][k] > limit, and returns how many. ious: (num, num), C order; NaN is not above.
 * Equivalent to: greedy suppression of what is sorted best first. */
size_t suppress(int64_t *kept, const float *ious, size_t num, float limit);

#endif
