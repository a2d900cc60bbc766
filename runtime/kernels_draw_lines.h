/* What drawing does to one line, once for every instruction set. All give the same bits. */
#ifndef SAM3_EDGE_KERNELS_DRAW_LINES_H
#define SAM3_EDGE_KERNELS_DRAW_LINES_H

#include "kernels_draw.h"

#define MARK_BLOCK 32 /* marks are made for whole blocks */

/* What a pixel is to a mask. */
enum { MARK_NONE, MARK_INSIDE, MARK_OUTLINE };

/* Pixels at most a thickness away. */
typedef struct {
    ptrdiff_t reach;                              /* 0: only the pixel itself */
    ptrdiff_t half_widths[DRAW_MAX_THICKNESS + 1]; /* of the row so far above or below */
} disc;

typedef struct {
    size_t channels;   /* bytes a pixel: 1, 3, or 4 of which the last stays */
    unsigned strength; /* 0 to DRAW_OPAQUE */
    uint8_t colour[4]; /* as the bytes of a pixel lie */
} line_paint;

typedef struct {
    /* marks[x] for x < count, from bits that are readable `reach` further in all directions, on
     * the right from the next multiple of MARK_BLOCK: so far are marks written as well. bits + r *
     * stride: the row r below. Returns whether any is set. */
    int (*mark)(uint8_t *marks, const uint8_t *bits, ptrdiff_t stride, size_t count,
                const disc *near);
    /* Each of `count` pixels by its mark. */
    void (*paint)(uint8_t *pixels, const uint8_t *marks, size_t count, const line_paint *paint);
    /* Each of `count` pairs U, V by four marks: 2 k and 2 k + 1 of top and of bottom. colour: U
     * and V; channels are not read. */
    void (*paint_chroma)(uint8_t *pairs, const uint8_t *top, const uint8_t *bottom, size_t count,
                         const line_paint *paint);
} draw_kernels;

extern const draw_kernels scalar_draw;
#if defined(__x86_64__)
extern const draw_kernels avx2_draw; /* only where __builtin_cpu_supports("avx2") */
#elif defined(__aarch64__)
extern const draw_kernels neon_draw;
#endif

#endif
