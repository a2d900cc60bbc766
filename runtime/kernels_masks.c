#include "kernels_masks.h"

#include <math.h>
#include <string.h>

#include "kernels_mask_columns.h"

/* ------------------------------ mask_window ------------------------------ */

typedef struct {
    size_t start, stop;
} span;

static span intersection(span a, span b)
{
    span both = {.start = a.start > b.start ? a.start : b.start,
                 .stop = a.stop < b.stop ? a.stop : b.stop};
    if (both.start >= both.stop)
        both.start = both.stop = 0;
    return both;
}

/* The pixels of 0..size that low..high touches; none where either is NaN. */
static span touched(double low, double high, size_t size)
{
    const double end = (double)size;
    span pixels = {0, 0};
    if (!(low < end) || !(high > 0) || !(low < high))
        return pixels;
    pixels.start = low > 0 ? (size_t)floor(low) : 0;
    pixels.stop = high < end ? (size_t)ceil(high) : size;
    return pixels;
}

/* Rows and columns that hold a positive logit. */
static void positive_cells(span *rows, span *columns, const mask_logits *logits)
{
    *rows = (span){0, 0};
    *columns = (span){logits->columns, 0};
    for (size_t r = 0; r < logits->rows; r++) {
        const float *row = logits->values + r * logits->columns;
        size_t first = 0, last = logits->columns;
        while (first < last && !(row[first] > 0))
            first++;
        if (first == last)
            continue;
        while (!(row[last - 1] > 0))
            last--;
        if (rows->stop == 0)
            rows->start = r;
        rows->stop = r + 1;
        columns->start = first < columns->start ? first : columns->start;
        columns->stop = last > columns->stop ? last : columns->stop;
    }
}

/* The pixels whose interpolation has a share of the logits `cells`. */
static span reached(span cells, size_t num_in, size_t num_out)
{
    span pixels = {0, 0};
    if (cells.stop == 0)
        return pixels;
    pixels.start = cells.start > 0 ? first_of_cell(cells.start - 1, num_in, num_out) : 0;
    pixels.stop = first_of_cell(cells.stop, num_in, num_out);
    return pixels;
}

void mask_window(rle_window *window, const mask_logits *logits, const double *box)
{
    span rows, columns;
    positive_cells(&rows, &columns, logits);
    rows = reached(rows, logits->rows, window->frame_height);
    columns = reached(columns, logits->columns, window->frame_width);
    if (box != NULL) {
        columns = intersection(columns, touched(box[0], box[2], window->frame_width));
        rows = intersection(rows, touched(box[1], box[3], window->frame_height));
    }
    window->x = window->y = window->height = window->width = 0;
    if (rows.start >= rows.stop || columns.start >= columns.stop)
        return;
    window->x = columns.start;
    window->y = rows.start;
    window->width = columns.stop - columns.start;
    window->height = rows.stop - rows.start;
}

/* ------------------------------ mask_to_rle ------------------------------ */

static void append_column(rle_writer *writer, const column_plan *plan, size_t num_changes,
                          const rle_window *window)
{
    size_t done = 0;
    int value = 0;
    rle_append(writer, 0, window->y);
    for (size_t k = 0; k < num_changes; k++) {
        rle_append(writer, value, plan->changes[k] - done);
        done = plan->changes[k];
        value = !value;
    }
    rle_append(writer, value, window->height - done);
    rle_append(writer, 0, window->frame_height - window->y - window->height);
}

size_t mask_to_rle(char *text, size_t capacity, void *scratch, const mask_logits *logits,
                   const rle_window *window, mask_path path)
{
    column_plan plan;
    rle_writer writer = {.text = text, .capacity = capacity};
    if (window->height == 0 || window->width == 0) {
        rle_append(&writer, 0, window->frame_width * window->frame_height);
        return rle_finish(&writer);
    }
    plan_columns(&plan, scratch, logits, window, path);
    rle_append(&writer, 0, window->x * window->frame_height);
    for (size_t x = window->x; x < window->x + window->width; x++) {
        const size_t num_changes = column_changes(&plan, x);
        append_column(&writer, &plan, num_changes, window);
    }
    rle_append(&writer, 0,
               (window->frame_width - window->x - window->width) * window->frame_height);
    return rle_finish(&writer);
}

/* ------------------------------ mask_to_bits ------------------------------ */

enum { STRIPE = 64 }; /* bytes that are filled at once: a cache line of every row */

/* Changes -> values: every row becomes the exclusive or of all rows down to it. */
static void accumulate_rows(uint8_t *bits, size_t row_stride, size_t height, size_t width)
{
    uint8_t values[STRIPE] = {0};
    for (size_t y = 0; y < height; y++) {
        uint8_t *row = bits + y * row_stride;
        if (width == STRIPE) /* a constant, for the compiler's vectors */
            for (size_t k = 0; k < STRIPE; k++)
                row[k] = values[k] ^= row[k];
        else
            for (size_t k = 0; k < width; k++)
                row[k] = values[k] ^= row[k];
    }
}

/* One column of a stripe: `bit` of its byte is turned in every row where the column changes. */
static void mark_changes(uint8_t *bytes, size_t row_stride, const column_plan *plan,
                         const rle_window *window, size_t column, uint8_t bit)
{
    const size_t num_changes = column_changes(plan, window->x + column);
    for (size_t n = 0; n < num_changes && plan->changes[n] < window->height; n++)
        bytes[plan->changes[n] * row_stride] ^= bit;
}

/* per_byte: columns in one byte, 1 or 8; of 8 the first is the highest bit. */
static void fill_rows(uint8_t *rows, size_t row_stride, void *scratch, const mask_logits *logits,
                      const rle_window *window, mask_path path, size_t per_byte)
{
    column_plan plan;
    if (window->height == 0 || window->width == 0)
        return;
    plan_columns(&plan, scratch, logits, window, path);
    const size_t num_bytes = (window->width + per_byte - 1) / per_byte;
    for (size_t left = 0; left < num_bytes; left += STRIPE) {
        const size_t width = num_bytes - left < STRIPE ? num_bytes - left : STRIPE;
        const size_t end = (left + width) * per_byte;
        const size_t stop = end < window->width ? end : window->width;
        for (size_t y = 0; y < window->height; y++)
            memset(rows + left + y * row_stride, 0, width);
        for (size_t x = left * per_byte; x < stop; x++) {
            const uint8_t bit = per_byte == 1 ? 1 : (uint8_t)(0x80 >> (x % 8));
            mark_changes(rows + x / per_byte, row_stride, &plan, window, x, bit);
        }
        accumulate_rows(rows + left, row_stride, window->height, width);
    }
}

void mask_to_bits(uint8_t *bits, size_t row_stride, void *scratch, const mask_logits *logits,
                  const rle_window *window, mask_path path)
{
    fill_rows(bits, row_stride, scratch, logits, window, path, 1);
}

void mask_to_packed(uint8_t *packed, size_t row_stride, void *scratch, const mask_logits *logits,
                    const rle_window *window, mask_path path)
{
    fill_rows(packed, row_stride, scratch, logits, window, path, 8);
}

/* ------------------------------ mask_measure ------------------------------ */

void mask_measure(mask_extent *extent, const uint8_t *bits, size_t height, size_t width,
                  ptrdiff_t row_stride)
{
    *extent = (mask_extent){.x1 = width};
    for (size_t y = 0; y < height; y++) {
        const uint8_t *row = bits + (ptrdiff_t)y * row_stride;
        uint64_t count = 0;
        for (size_t x = 0; x < width; x++)
            count += row[x] != 0;
        if (count == 0)
            continue;
        if (extent->area == 0)
            extent->y1 = y;
        extent->y2 = y + 1;
        extent->area += count;
        for (size_t x = 0; x < extent->x1; x++)
            if (row[x] != 0)
                extent->x1 = x;
        size_t last = width;
        while (last > extent->x2 && row[last - 1] == 0)
            last--;
        extent->x2 = last;
    }
    if (extent->area == 0)
        extent->x1 = 0;
}
