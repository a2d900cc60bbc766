/* Masks and their outlines painted into a frame, in place. No Python, no allocation.
 *
 * Every pixel has an opacity: `strength` in a mask, 256 on its outline, 0 elsewhere. A byte of it
 * becomes (byte * (256 - opacity) + colour * opacity + 128) >> 8. All paths give the same bits. */
#ifndef SAM3_EDGE_KERNELS_DRAW_H
#define SAM3_EDGE_KERNELS_DRAW_H

#include "kernels_preprocess.h"

#define DRAW_MAX_THICKNESS 16 /* pixels */
#define DRAW_OPAQUE 256

/* A picture that is painted into: BGR, RGB, BGRx, RGBA (the fourth byte stays) or NV12. */
typedef struct {
    pixel_format format;
    size_t height, width; /* 1 to PICTURE_MAX_SIDE */
    struct {
        uint8_t *pixels;
        ptrdiff_t stride; /* bytes from one row to the next, any sign */
    } planes[2];          /* the sizes of plane_sizes */
} canvas;

/* A window inside the canvas; outside it nothing is set. */
typedef struct {
    const uint8_t *bits; /* (height, width), nonzero = set */
    ptrdiff_t stride;    /* bytes from one row of bits to the next, any sign */
    size_t x, y, height, width;
    uint8_t bgr[3];
} painted_mask;

/* The outline lies inside the mask: its pixels that have one that is not set, in the frame or
 * not, at most `thickness` away (centre to centre): none below 1, four neighbours at 1, eight at
 * 1.5. */
typedef struct {
    unsigned strength; /* 0 to DRAW_OPAQUE */
    double thickness;  /* 0 to DRAW_MAX_THICKNESS */
} paint_style;

typedef enum {
    DRAW_FASTEST, /* AVX2 or NEON where the processor has it */
    DRAW_SCALAR
} draw_path;

/* Whether masks can be painted into pictures of this format. */
int is_drawable(pixel_format format);

/* Paints the masks one over the other, the first one first. A chroma sample of NV12 takes the mean
 * opacity of its four pixels, (sum + 2) >> 2; past an odd side the last pixels count again.
 * Equivalent to, for each: window = canvas[y : y + height, x : x + width]
 * window[bits] = window[bits] * (1 - strength / 256) + colour * strength / 256, rounded
 * window[bits & ~binary_erosion(bits, disc(thickness))] = colour */
void paint_masks(const canvas *frame, const painted_mask *masks, size_t num_masks,
                 const paint_style *style, draw_path path);

#endif
