/* Kernels of the data path. No Python, no allocation, no globals: outputs, inputs, sizes.
 *
 * COCO's run-length encoding: the lengths of alternating runs of zeros and ones of a mask read
 * column by column, starting with zeros (the first run may be empty). As text every length is
 * written in groups of five bits, least significant first, sign in the last group's bit 4,
 * bit 5 = another group follows, plus '0'; from the fourth length on the difference to the
 * length two before is written instead. */
#ifndef SAM3_EDGE_KERNELS_H
#define SAM3_EDGE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Where a window of pixels lies in its frame; outside the window the mask is zero.
 * x + width <= frame_width, y + height <= frame_height, frame_height * frame_width <= UINT32_MAX. */
typedef struct {
    size_t frame_height, frame_width;
    size_t x, y; /* the window's top left pixel in the frame */
    size_t height, width;
} rle_window;

typedef enum {
    RLE_OK,
    RLE_CHARACTER, /* a character outside '0'..'o' */
    RLE_CUT,       /* the text ends inside a length */
    RLE_RANGE,     /* a length below zero or of more than seven groups */
    RLE_LONG,      /* the lengths sum to more than height * width */
    RLE_SHORT      /* the lengths sum to less than height * width */
} rle_status;

/* Writes at most `capacity` characters of the mask's compressed RLE, without a terminator, and
 * returns how many there are: more than `capacity` means call again with that much room.
 * bits: window->height x window->width bytes, nonzero = object, strides in bytes.
 * Equivalent to: pycocotools.mask.encode(np.asfortranarray(frame))["counts"]. */
size_t rle_encode(char *text, size_t capacity, const uint8_t *bits, ptrdiff_t row_stride,
                  ptrdiff_t column_stride, const rle_window *window);

/* Writes the mask, height x width bytes of 0 or 1, C order; text: `length` characters.
 * where: index of the character that was refused, or the sum of the lengths for RLE_SHORT.
 * On failure the mask holds what was read so far.
 * Equivalent to: pycocotools.mask.decode({"size": [height, width], "counts": text}). */
rle_status rle_decode(uint8_t *mask, size_t height, size_t width, const char *text, size_t length,
                      size_t *where);

#endif
