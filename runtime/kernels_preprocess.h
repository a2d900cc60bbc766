/* Any camera frame -> the square RGB picture the vision graph takes. No Python, no allocation.
 *
 * The filter is antialiased bilinear, a triangle over the source pixels, in integers: the same
 * bits from every path. Rows are weighed first, from bytes to 1/128 steps of 16 bits, then
 * columns. YUV is converted before it is resized: resizing its planes first would be cheaper by
 * half, but colours that leave the gamut are then clipped after the average and not before it,
 * which in photographs moves edges by up to 64 of 255. */
#ifndef SAM3_EDGE_KERNELS_PREPROCESS_H
#define SAM3_EDGE_KERNELS_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

#define PICTURE_MAX_SIDE 32768 /* pixels; a weighed sum of so many lines still fits */

/* Named as GStreamer does: bytes in memory order. YUV is BT.601, limited range, and a pixel takes
 * the chroma sample it lies in. h, w: the picture's size; c(n) = (n + 1) / 2. */
typedef enum {
    FORMAT_BGR,   /* (h, 3 w) */
    FORMAT_RGB,   /* (h, 3 w) */
    FORMAT_BGRX,  /* (h, 4 w) */
    FORMAT_RGBA,  /* (h, 4 w), alpha is left out */
    FORMAT_GRAY8, /* (h, w) */
    FORMAT_NV12,  /* (h, w) Y and (c(h), 2 c(w)) U, V alternating */
    FORMAT_I420,  /* (h, w) Y, (c(h), c(w)) U and (c(h), c(w)) V */
    FORMAT_YUY2,  /* (h, 4 c(w)): Y U Y V */
    NUM_FORMATS
} pixel_format;

typedef struct {
    const uint8_t *pixels;
    ptrdiff_t stride; /* bytes from one row to the next, any sign */
} picture_plane;

typedef struct {
    pixel_format format;
    size_t height, width; /* 1 to PICTURE_MAX_SIDE */
    picture_plane planes[3];
} picture;

typedef struct {
    size_t height, bytes;
} plane_size;

/* How many planes the format has, and the size of each. */
size_t plane_sizes(plane_size sizes[3], pixel_format format, size_t height, size_t width);

/* ------------------------------ filter ------------------------------ */

typedef struct {
    int32_t first, count; /* of the lines that contribute */
} tap_range;

/* num_out lines as weighted sums of num_in lines. */
typedef struct {
    size_t num_in, num_out; /* 1 to PICTURE_MAX_SIDE */
    size_t num_taps;        /* filter_taps(num_in, num_out) */
    unsigned shift;         /* the weights of a line sum to 1 << shift, 14 to 16 */
    tap_range *ranges;      /* (num_out,) */
    int16_t *weights;       /* (num_out, num_taps), zero from the line's count on */
} line_filter;

/* The most lines that contribute to one, rounded up to a multiple of four. */
size_t filter_taps(size_t num_in, size_t num_out);

/* Fills shift, ranges and weights of a filter that has its sizes and its memory.
 * Equivalent to: distance = abs((arange(num_in) + 0.5) * num_out / num_in - arange(num_out) - 0.5)
 * weights = maximum(0, 1 - distance * min(1, num_in / num_out)), each line divided by its sum. */
void fill_filter(line_filter *filter);

/* ------------------------------ preprocess ------------------------------ */

typedef enum {
    PATH_FASTEST, /* AVX2 or NEON where the processor has it */
    PATH_SCALAR
} preprocess_path;

/* Bytes of scratch memory that `preprocess_picture` needs, aligned as malloc does. */
size_t preprocess_scratch(const picture *frame, const line_filter *rows);

/* Fills out, (S, S, 3) RGB. rows: from frame->height, columns: from frame->width, both to S.
 * Equivalent to: PIL.Image.fromarray(rgb).resize((S, S), BILINEAR), within 1. */
void preprocess_picture(uint8_t *out, void *scratch, const picture *frame, const line_filter *rows,
                        const line_filter *columns, preprocess_path path);

#endif
