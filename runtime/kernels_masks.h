/* Kernels that turn the network's mask logits into pixels of the frame. No Python, no allocation,
 * no globals: outputs, inputs, sizes.
 *
 * A pixel of the frame is set where the bilinear interpolation of the logits (half-pixel centres,
 * torch's align_corners=False) is above 0: first along x, then along y,
 *     v[r] = logits[r][c] + (logits[r][c + 1] - logits[r][c]) * share of column c + 1
 *     set  = v[r] + (v[r + 1] - v[r]) * share of row r + 1 > 0
 * in float32, every operation rounded. In one column of pixels, between two rows of logits, v is
 * one straight line, and rounding keeps it monotone: it is enough to find where it changes sign.
 * So the work goes with the logits and the outline, not with the pixels, and no float image exists.
 *
 * Logits are read as if clamped to +-2^80, and NaN as -2^126: no difference overflows, and wherever
 * a NaN has a share nothing is set, however small (1 / MASK_MAX_SIDE^2 / 4) the share. */
#ifndef SAM3_EDGE_KERNELS_MASKS_H
#define SAM3_EDGE_KERNELS_MASKS_H

#include "kernels_rle.h"

/* Sides of logits and of frames, so that products of three sides and weights stay exact. */
#define MASK_MAX_SIDE ((size_t)1 << 20)

typedef enum {
    MASK_FASTEST,  /* AVX2 or NEON where the processor has it */
    MASK_SCALAR /* what MASK_FASTEST must equal, and the path of other processors */
} mask_path;

/* The logits of one object. rows and columns are 1 to MASK_MAX_SIDE. */
typedef struct {
    const float *values; /* (rows, columns), C order */
    size_t rows, columns;
} mask_logits;

/* The pixels outside of which nothing can be set: those that touch a positive logit, and the box.
 * window: its frame_height and frame_width (0 to MASK_MAX_SIDE) are read, the rest is written.
 * box: x1, y1, x2, y2 in pixels of the frame, every pixel it touches is inside; NULL: the frame.
 * A box with a NaN, turned around or outside the frame has no pixels. Nothing: all four are 0. */
void mask_window(rle_window *window, const mask_logits *logits, const double *box);

/* Bytes of scratch, aligned as malloc's, that the two below want for this window. */
size_t mask_scratch(const mask_logits *logits, const rle_window *window);

/* Writes at most `capacity` characters of the mask's compressed RLE and returns how many there
 * are, as rle_encode does. window: of mask_window, or any inside the frame.
 * Equivalent to: rle_encode(text, capacity, mask_to_bits(window), window). */
size_t mask_to_rle(char *text, size_t capacity, void *scratch, const mask_logits *logits,
                   const rle_window *window, mask_path path);

/* Writes the window: window->height rows of window->width bytes of 0 or 1, row_stride bytes apart.
 * Equivalent to: (interpolate(logits, frame, "bilinear") > 0)[y : y + height, x : x + width]. */
void mask_to_bits(uint8_t *bits, size_t row_stride, void *scratch, const mask_logits *logits,
                  const rle_window *window, mask_path path);

/* The same, eight pixels a byte, the first in the highest bit; a row's last byte ends in zeros.
 * row_stride: at least (window->width + 7) / 8 bytes.
 * Equivalent to: np.packbits(mask_to_bits(window), axis=1). */
void mask_to_packed(uint8_t *packed, size_t row_stride, void *scratch, const mask_logits *logits,
                    const rle_window *window, mask_path path);

/* bits: height x width bytes, nonzero = object, rows row_stride bytes apart.
 * Equivalent to: np.count_nonzero(bits), and min and max + 1 of np.nonzero(bits). */
void mask_measure(mask_extent *extent, const uint8_t *bits, size_t height, size_t width,
                  ptrdiff_t row_stride);

#endif
