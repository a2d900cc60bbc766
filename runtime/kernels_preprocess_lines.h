/* What preprocessing does to one line, once for every instruction set. All give the same bits. */
#ifndef SAM3_EDGE_KERNELS_PREPROCESS_LINES_H
#define SAM3_EDGE_KERNELS_PREPROCESS_LINES_H

#include "kernels_preprocess.h"

#define STEP_BITS 7  /* a line between the two passes counts in 1/128 of a pixel's step */
#define LINE_PAD 16  /* numbers behind such a line that may be read, and are weighed with zero */
#define RGB_PAD 16   /* bytes behind a converted line that may be written */

/* BT.601, limited range, as OpenCV rounds it, in 1/32768. Luma is multiplied in 1/128 and chroma
 * in 1/256, since some factors exceed one: every product then counts in 1/64. */
#define LUMA 19071     /* 1.164 / 2 */
#define RED_V 13074    /* 1.596 / 4 */
#define GREEN_U (-3203)  /* 0.391 / 4 */
#define GREEN_V (-6660)  /* 0.813 / 4 */
#define BLUE_U 16531   /* 2.018 / 4 */

/* One row of a YUV picture: pixel x is y[x * y_step], u[x / 2 * chroma_step], v[the same]. */
typedef struct {
    const uint8_t *y, *u, *v;
    size_t y_step, chroma_step;
    pixel_format format;
} yuv_line;

typedef struct {
    /* line[x] = (sum over k < count of rows[k][x] * weights[k]) in 1/128, for x < length.
     * weights and rows are readable up to the next even count; the weight there is zero. */
    void (*weigh_rows)(int16_t *line, const uint8_t *const *rows, const int16_t *weights,
                       size_t count, size_t length, unsigned shift);
    /* out[3 j + c] = sum over k of line[channels * (first + k) + order[c]] * weights[k], for
     * every output j of the filter, whose first, count and weights these are. */
    void (*weigh_columns)(uint8_t *out, const int16_t *line, const line_filter *filter,
                          size_t channels, const uint8_t order[3]);
    /* rgb: (width, 3) */
    void (*yuv_to_rgb)(uint8_t *rgb, const yuv_line *line, size_t width);
} line_kernels;

extern const line_kernels scalar_lines;
#if defined(__x86_64__)
extern const line_kernels avx2_lines; /* only where __builtin_cpu_supports("avx2") */
#elif defined(__aarch64__)
extern const line_kernels neon_lines;
#endif

#endif
