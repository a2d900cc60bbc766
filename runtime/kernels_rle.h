/* Masks as text. No Python, no allocation, no globals: outputs, inputs, sizes.
 *
 * COCO's run-length encoding: the lengths of alternating runs of zeros and ones of a mask read
 * column by column, starting with zeros (the first run may be empty). As text every length is
 * written in groups of five bits, least significant first, sign in the last group's bit 4,
 * bit 5 = another group follows, plus '0'; from the fourth length on the difference to the
 * length two before is written instead. */
#ifndef SAM3_EDGE_KERNELS_RLE_H
#define SAM3_EDGE_KERNELS_RLE_H

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

/* Text that is being written: start with {.text = text, .capacity = capacity}. */
typedef struct {
    char *text;
    size_t capacity, length; /* length may pass capacity: it counts what is needed */
    size_t num_runs;
    int64_t run, last, before_last; /* the open run, and the two closed before it */
    int value;                      /* what the open run consists of */
} rle_writer;

/* Adds `count` pixels of `value`, 0 or 1; more of the last value makes its run longer. */
void rle_append(rle_writer *writer, int value, size_t count);

/* Closes the last run. Returns how many characters there are; more than `capacity` means that the
 * rest was not written: begin again with that much room. */
size_t rle_finish(rle_writer *writer);

/* Writes at most `capacity` characters of the mask's compressed RLE, without a terminator, and
 * returns how many there are, as rle_finish does.
 * bits: window->height x window->width bytes, nonzero = object, strides in bytes.
 * Equivalent to: pycocotools.mask.encode(np.asfortranarray(frame))["counts"]. */
size_t rle_encode(char *text, size_t capacity, const uint8_t *bits, ptrdiff_t row_stride,
                  ptrdiff_t column_stride, const rle_window *window);

/* Text that is being read: start with {.text = text, .length = length, .total = height * width}. */
typedef struct {
    const char *text;
    size_t length, at;
    uint64_t done, total; /* pixels; done <= total */
    size_t num_runs;
    int64_t last, before_last;
    rle_status status; /* RLE_OK until something is refused */
    size_t where;      /* the character that was refused, or `done` for RLE_SHORT */
} rle_reader;

/* Reads one run: of ones where num_runs is now even. 0 at the end and where text is refused. */
int rle_next(rle_reader *reader, uint64_t *run);

/* Number of set pixels and the box around them; nothing set: area 0, all edges 0. */
typedef struct {
    uint64_t area;
    size_t x1, y1, x2, y2; /* pixels x1 <= x < x2, y1 <= y < y2 */
} mask_extent;

/* Stretches it, zeros at first, over `count` > 0 more pixels, counted column by column of `height`
 * from pixel `first` on, which comes after all before. */
void mask_stretch(mask_extent *extent, size_t height, uint64_t first, uint64_t count);

/* The extent of the mask that rle_decode would write in the whole frame, without writing it.
 * where: as rle_decode has it.
 * Equivalent to: pycocotools.mask.area and toBbox. */
rle_status rle_measure(mask_extent *extent, size_t height, size_t width, const char *text,
                       size_t length, size_t *where);

/* Writes the window's part of the mask, window->height x window->width bytes of 0 or 1, C order;
 * text: `length` characters that fill the whole frame. where: index of the character that was
 * refused, or the sum of the lengths for RLE_SHORT. What is refused writes nothing.
 * Equivalent to: pycocotools.mask.decode({"size": frame, "counts": text})[y : y + h, x : x + w]. */
rle_status rle_decode(uint8_t *bits, const rle_window *window, const char *text, size_t length,
                      size_t *where);

/* What two masks of `total` pixels share. */
typedef struct {
    uint64_t first, second, both; /* set pixels of each, and of both at once */
} rle_overlap;

/* refused: 0 or 1, whose text it is that `where` and the status speak of.
 * Equivalent to: sums of a, of b and of a & b after decoding both. */
rle_status rle_intersect(rle_overlap *overlap, uint64_t total, const char *const text[2],
                         const size_t length[2], int *refused, size_t *where);

#endif
