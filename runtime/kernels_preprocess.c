#include "kernels_preprocess.h"

#include <string.h>

#include "kernels_preprocess_lines.h"

_Static_assert(sizeof(size_t) >= 8, "sizes are multiplied without a check: 64 bits hold them");

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ------------------------------ picture ------------------------------ */

size_t plane_sizes(plane_size sizes[3], pixel_format format, size_t height, size_t width)
{
    const plane_size packed = {height, width}, chroma = {(height + 1) / 2, (width + 1) / 2};
    sizes[0] = packed;
    sizes[1] = sizes[2] = chroma;
    switch (format) {
    case FORMAT_GRAY8:
        return 1;
    case FORMAT_BGR:
    case FORMAT_RGB:
        sizes[0].bytes = 3 * width;
        return 1;
    case FORMAT_BGRX:
    case FORMAT_RGBA:
        sizes[0].bytes = 4 * width;
        return 1;
    case FORMAT_YUY2:
        sizes[0].bytes = 4 * chroma.bytes;
        return 1;
    case FORMAT_NV12:
        sizes[1].bytes = 2 * chroma.bytes;
        return 2;
    case FORMAT_I420:
        return 3;
    case NUM_FORMATS:
        break;
    }
    return 0;
}

static int is_yuv(pixel_format format)
{
    return format == FORMAT_NV12 || format == FORMAT_I420 || format == FORMAT_YUY2;
}

/* Bytes a pixel of the rows that are weighed. */
static size_t num_channels(pixel_format format)
{
    if (format == FORMAT_GRAY8)
        return 1;
    return format == FORMAT_BGRX || format == FORMAT_RGBA ? 4 : 3;
}

/* Where red, green and blue are in a pixel of the rows that are weighed. */
static const uint8_t *channel_order(pixel_format format)
{
    static const uint8_t rgb[3] = {0, 1, 2}, bgr[3] = {2, 1, 0}, gray[3] = {0, 0, 0};
    if (format == FORMAT_GRAY8)
        return gray;
    return format == FORMAT_BGR || format == FORMAT_BGRX ? bgr : rgb;
}

static const uint8_t *row_of(const picture *frame, size_t plane, size_t row)
{
    return frame->planes[plane].pixels + (ptrdiff_t)row * frame->planes[plane].stride;
}

static yuv_line yuv_row(const picture *frame, size_t row)
{
    yuv_line line = {.y = row_of(frame, 0, row), .y_step = 1, .format = frame->format};
    if (frame->format == FORMAT_YUY2) {
        line.u = line.y + 1;
        line.v = line.y + 3;
        line.y_step = 2;
        line.chroma_step = 4;
    } else if (frame->format == FORMAT_NV12) {
        line.u = row_of(frame, 1, row / 2);
        line.v = line.u + 1;
        line.chroma_step = 2;
    } else {
        line.u = row_of(frame, 1, row / 2);
        line.v = row_of(frame, 2, row / 2);
        line.chroma_step = 1;
    }
    return line;
}

/* ------------------------------ filter ------------------------------ */

static size_t larger_side(const line_filter *filter)
{
    return filter->num_in > filter->num_out ? filter->num_in : filter->num_out;
}

size_t filter_taps(size_t num_in, size_t num_out)
{
    const size_t reach = num_in > num_out ? num_in : num_out;
    return ((2 * reach + num_out - 1) / num_out + 3) / 4 * 4;
}

/* The triangle's height at source line i for output line o, as an integer: distances between
 * centres in units of 1 / (2 num_out) of a source line. Zero or less: it does not contribute. */
static int64_t height_at(const line_filter *filter, size_t o, size_t i)
{
    const int64_t centre = (int64_t)((2 * o + 1) * filter->num_in);
    const int64_t source = (int64_t)((2 * i + 1) * filter->num_out);
    const int64_t distance = source > centre ? source - centre : centre - source;
    return 2 * (int64_t)larger_side(filter) - distance;
}

static tap_range contributing(const line_filter *filter, size_t o)
{
    size_t first = (2 * o + 1) * filter->num_in / (2 * filter->num_out), stop = first + 1;
    while (first > 0 && height_at(filter, o, first - 1) > 0)
        first--;
    while (stop < filter->num_in && height_at(filter, o, stop) > 0)
        stop++;
    return (tap_range){(int32_t)first, (int32_t)(stop - first)};
}

/* Weights of output line o. What rounding takes from one goes to the next, so that they sum to
 * 1 << shift and a constant picture stays as it is. 0 where one does not fit. */
static int fill_weights(line_filter *filter, size_t o)
{
    const tap_range range = filter->ranges[o];
    int16_t *weights = filter->weights + o * filter->num_taps;
    int64_t total = 0, sum = 0, before = 0;

    for (int32_t k = 0; k < range.count; k++)
        total += height_at(filter, o, (size_t)(range.first + k));
    memset(weights, 0, filter->num_taps * sizeof *weights);
    for (int32_t k = 0; k < range.count; k++) {
        sum += height_at(filter, o, (size_t)(range.first + k));
        const int64_t until = (sum * (INT64_C(1) << filter->shift) + total / 2) / total;
        if (until - before > INT16_MAX)
            return 0;
        weights[k] = (int16_t)(until - before);
        before = until;
    }
    return 1;
}

static int fill_all_weights(line_filter *filter)
{
    for (size_t o = 0; o < filter->num_out; o++)
        if (!fill_weights(filter, o))
            return 0;
    return 1;
}

void fill_filter(line_filter *filter)
{
    for (size_t o = 0; o < filter->num_out; o++)
        filter->ranges[o] = contributing(filter, o);
    /* With 16 bits a sum of 128 * 255 still fits 31, with 14 a weight of one fits 15. */
    filter->shift = 16;
    while (!fill_all_weights(filter))
        filter->shift--;
}

/* ------------------------------ preprocess ------------------------------ */

/* The parts of the scratch memory. */
typedef struct {
    const uint8_t **rows; /* (an even number,) the rows that one output row is made of */
    int16_t *line;        /* (width * channels + LINE_PAD,) their weighted sum */
    uint8_t *ring;        /* (ring_rows, ring_stride) row r of a YUV picture as RGB, at
                             r % ring_rows */
    size_t ring_rows, ring_stride;
    size_t num_converted; /* rows of the picture that are, or have been, in the ring */
    size_t bytes;         /* of all */
} workspace;

static size_t rounded_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static workspace divide(void *scratch, const picture *frame, const line_filter *rows)
{
    const size_t length = frame->width * num_channels(frame->format);
    const size_t most = smaller(rows->num_taps, rows->num_in);
    const size_t rows_bytes = rounded_up((most + 1) * sizeof(uint8_t *));
    const size_t line_bytes = rounded_up((length + LINE_PAD) * sizeof(int16_t));
    workspace parts = {.ring_rows = is_yuv(frame->format) ? most : 0,
                       .ring_stride = rounded_up(length + RGB_PAD)};

    parts.bytes = rows_bytes + line_bytes + parts.ring_rows * parts.ring_stride;
    if (scratch == NULL)
        return parts;
    parts.rows = scratch;
    parts.line = (int16_t *)((uint8_t *)scratch + rows_bytes);
    parts.ring = (uint8_t *)scratch + rows_bytes + line_bytes;
    memset(parts.line + length, 0, LINE_PAD * sizeof *parts.line);
    return parts;
}

size_t preprocess_scratch(const picture *frame, const line_filter *rows)
{
    return divide(NULL, frame, rows).bytes;
}

static const line_kernels *choose(preprocess_path path)
{
    if (path == PATH_SCALAR)
        return &scalar_lines;
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") ? &avx2_lines : &scalar_lines;
#elif defined(__aarch64__)
    return &neon_lines;
#else
    return &scalar_lines;
#endif
}

/* Row `row` as bytes that may be weighed: where it lies, or converted into the ring. */
static const uint8_t *weighable_row(workspace *parts, const picture *frame, size_t row,
                                    const line_kernels *lines)
{
    if (!is_yuv(frame->format))
        return row_of(frame, 0, row);
    uint8_t *rgb = parts->ring + row % parts->ring_rows * parts->ring_stride;
    if (row >= parts->num_converted) {
        const yuv_line line = yuv_row(frame, row);
        lines->yuv_to_rgb(rgb, &line, frame->width);
        parts->num_converted = row + 1;
    }
    return rgb;
}

void preprocess_picture(uint8_t *out, void *scratch, const picture *frame, const line_filter *rows,
                        const line_filter *columns, preprocess_path path)
{
    const line_kernels *lines = choose(path);
    const size_t channels = num_channels(frame->format);
    const uint8_t *order = channel_order(frame->format);
    workspace parts = divide(scratch, frame, rows);

    for (size_t o = 0; o < rows->num_out; o++, out += 3 * columns->num_out) {
        const size_t first = (size_t)rows->ranges[o].first, count = (size_t)rows->ranges[o].count;
        for (size_t k = 0; k < count; k++)
            parts.rows[k] = weighable_row(&parts, frame, first + k, lines);
        parts.rows[count] = parts.rows[count - 1]; /* rows go in pairs; this one weighs nothing */
        lines->weigh_rows(parts.line, parts.rows, rows->weights + o * rows->num_taps, count,
                          frame->width * channels, rows->shift);
        lines->weigh_columns(out, parts.line, columns, channels, order);
    }
}
