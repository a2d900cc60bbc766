#include "kernels_rle.h"

#include <string.h>

/* ------------------------------ rle_reader ------------------------------ */

/* Reads one number at text[*at] and moves *at behind it, or leaves it at what was refused. */
static rle_status read_number(int64_t *number, const char *text, size_t length, size_t *at)
{
    int64_t sum = 0, weight = 1;
    for (int k = 0; k < 7; k++, weight *= 32) { /* 35 bits hold any difference of two uint32 */
        if (*at == length)
            return RLE_CUT;
        if (text[*at] < '0' || text[*at] > '0' + 0x3f)
            return RLE_CHARACTER;
        const int group = text[*at] - '0';
        sum += (group & 0x1f) * weight;
        (*at)++;
        if (!(group & 0x20)) {
            *number = (group & 0x10) ? sum - 32 * weight : sum;
            return RLE_OK;
        }
    }
    (*at)--;
    return RLE_RANGE;
}

static int refused(rle_reader *reader, rle_status status, size_t where)
{
    reader->status = status;
    reader->where = where;
    return 0;
}

int rle_next(rle_reader *reader, uint64_t *run)
{
    const size_t start = reader->at;
    int64_t number = 0;

    if (start == reader->length)
        return reader->done == reader->total ? 0 : refused(reader, RLE_SHORT, (size_t)reader->done);
    const rle_status status = read_number(&number, reader->text, reader->length, &reader->at);
    if (status != RLE_OK)
        return refused(reader, status, reader->at);
    if (reader->num_runs > 2)
        number += reader->before_last;
    if (number < 0)
        return refused(reader, RLE_RANGE, start);
    if ((uint64_t)number > reader->total - reader->done)
        return refused(reader, RLE_LONG, start);
    *run = (uint64_t)number;
    reader->done += *run;
    reader->before_last = reader->last;
    reader->last = number;
    reader->num_runs++;
    return 1;
}

/* ------------------------------ rle_measure ------------------------------ */

void mask_stretch(mask_extent *extent, size_t height, uint64_t first, uint64_t count)
{
    const size_t x1 = (size_t)(first / height), y1 = (size_t)(first % height);
    const size_t x2 = (size_t)((first + count - 1) / height);
    const size_t y2 = (size_t)((first + count - 1) % height);
    const size_t top = x1 < x2 ? 0 : y1, bottom = x1 < x2 ? height : y2 + 1;
    if (extent->area == 0)
        *extent = (mask_extent){.x1 = x1, .y1 = top};
    extent->area += count;
    extent->x2 = x2 + 1;
    extent->y1 = top < extent->y1 ? top : extent->y1;
    extent->y2 = bottom > extent->y2 ? bottom : extent->y2;
}

rle_status rle_measure(mask_extent *extent, size_t height, size_t width, const char *text,
                       size_t length, size_t *where)
{
    rle_reader reader = {.text = text, .length = length, .total = (uint64_t)height * width};
    uint64_t run;

    *extent = (mask_extent){0};
    while (rle_next(&reader, &run))
        if (reader.num_runs % 2 == 0 && run > 0)
            mask_stretch(extent, height, reader.done - run, run);
    *where = reader.where;
    return reader.status;
}

/* ------------------------------ rle_decode ------------------------------ */

/* Rows y1 <= y < y2 of a column of the frame: the first row of the window that is set, and the
 * first that is not any more, change places; what lies outside the window is left out. */
static void mark_column(uint8_t *bits, const rle_window *window, size_t x, size_t y1, size_t y2)
{
    const size_t top = y1 > window->y ? y1 - window->y : 0;
    const size_t below = y2 > window->y ? y2 - window->y : 0;
    const size_t bottom = below < window->height ? below : window->height;
    if (x < window->x || x - window->x >= window->width || top >= bottom)
        return;
    uint8_t *column = bits + (x - window->x);
    column[top * window->width] ^= 1;
    if (bottom < window->height)
        column[bottom * window->width] ^= 1;
}

/* The changes down every column of frame.T.ravel()[first : first + count] = 1 */
static void mark_changes(uint8_t *bits, const rle_window *window, uint64_t first, uint64_t count)
{
    const size_t height = window->frame_height;
    size_t x = (size_t)(first / height), y = (size_t)(first % height);
    for (; count > 0; x++, y = 0) {
        const size_t rest = height - y, rows = count < rest ? (size_t)count : rest;
        mark_column(bits, window, x, y, y + rows);
        count -= rows;
    }
}

/* Changes -> values: every row becomes the exclusive or of all rows from the extent's first on. */
static void accumulate_rows(uint8_t *bits, const rle_window *window, const mask_extent *extent)
{
    const size_t x1 = extent->x1 > window->x ? extent->x1 - window->x : 0;
    const size_t y1 = extent->y1 > window->y ? extent->y1 - window->y : 0;
    const size_t right = extent->x2 > window->x ? extent->x2 - window->x : 0;
    const size_t x2 = right < window->width ? right : window->width;
    for (size_t y = y1 + 1; y < window->height && window->y + y < extent->y2 + 1; y++) {
        uint8_t *restrict row = bits + y * window->width;
        const uint8_t *restrict above = row - window->width;
        for (size_t x = x1; x < x2; x++)
            row[x] ^= above[x];
    }
}

rle_status rle_decode(uint8_t *bits, const rle_window *window, const char *text, size_t length,
                      size_t *where)
{
    const size_t height = window->frame_height, width = window->frame_width;
    rle_reader reader = {.text = text, .length = length, .total = (uint64_t)height * width};
    mask_extent extent;
    uint64_t run;

    const rle_status status = rle_measure(&extent, height, width, text, length, where);
    if (status != RLE_OK)
        return status;
    if (window->height > 0 && window->width > 0)
        memset(bits, 0, window->height * window->width);
    while (rle_next(&reader, &run))
        if (reader.num_runs % 2 == 0 && run > 0)
            mark_changes(bits, window, reader.done - run, run);
    accumulate_rows(bits, window, &extent);
    return RLE_OK;
}

/* ------------------------------ rle_intersect ------------------------------ */

rle_status rle_intersect(rle_overlap *overlap, uint64_t total, const char *const text[2],
                         const size_t length[2], int *refused, size_t *where)
{
    rle_reader readers[2];
    uint64_t left[2] = {0, 0}, area[2] = {0, 0}, both = 0;
    int k = 0;

    for (k = 0; k < 2; k++)
        readers[k] = (rle_reader){.text = text[k], .length = length[k], .total = total};
    for (;;) {
        for (k = 0; k < 2; k++) {
            while (left[k] == 0 && rle_next(&readers[k], &left[k]))
                area[k] += readers[k].num_runs % 2 == 0 ? left[k] : 0;
            if (readers[k].status != RLE_OK)
                goto done;
        }
        if (left[0] == 0 || left[1] == 0) /* of both: neither ends before pixel `total` */
            break;
        const uint64_t step = left[0] < left[1] ? left[0] : left[1];
        if (readers[0].num_runs % 2 == 0 && readers[1].num_runs % 2 == 0)
            both += step;
        left[0] -= step;
        left[1] -= step;
    }
    k = 0;
done:
    *overlap = (rle_overlap){.first = area[0], .second = area[1], .both = both};
    *refused = k;
    *where = readers[k].where;
    return readers[k].status;
}
