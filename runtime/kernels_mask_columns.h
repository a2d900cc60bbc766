/* Where one column of the frame's pixels turns on and off, found on the logits: the part of
 * kernels_masks.c that all its outputs share. */
#ifndef SAM3_EDGE_KERNELS_MASK_COLUMNS_H
#define SAM3_EDGE_KERNELS_MASK_COLUMNS_H

#include "kernels_masks.h"

/* values[k] = left[k] + (right[k] - left[k]) * share for `count` k, a multiple of 8, at most 64.
 * Returns the bits k where that is above 0. */
typedef uint64_t blend_column(float *values, const float *left, const float *right, float share,
                              size_t count);

/* What all columns of a window share. Rows of logits and of pixels count from the window's. */
typedef struct {
    blend_column *blend;
    size_t rows, first_row;       /* of logits: how many, and where they start in the mask */
    size_t columns, first_column; /* of logits */
    size_t num_in, num_out;       /* columns of all logits, of the frame */
    size_t stride;                /* of `logits`: rows, rounded up to whole vectors */
    double slope, start;          /* pixel = slope * row of logits + start */
    float *logits;                /* (columns, stride): transposed, clamped, zeros after `rows` */
    float *values;                /* (stride): one column, blended along x */
    float *shares;                /* (window height): of the lower logit in every row of pixels */
    uint32_t *firsts;             /* (rows + 1): the first row of pixels after that of logits r */
    uint32_t *changes;            /* (rows + 1): rows of pixels before which the value changes */
} column_plan;

/* The first of num_out pixels whose centre is not before that of logit `cell` of num_in. */
size_t first_of_cell(size_t cell, size_t num_in, size_t num_out);

/* Lays the plan of a window that is not empty out in `scratch`, mask_scratch bytes of it. */
void plan_columns(column_plan *plan, void *scratch, const mask_logits *logits,
                  const rle_window *window, mask_path path);

/* Fills plan->changes for column x of the frame: rows of pixels, ascending, before which it turns
 * from 0 to 1 and back, starting as 0; two equal ones are no change. Returns how many. */
size_t column_changes(const column_plan *plan, size_t x);

#endif
