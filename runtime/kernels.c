#include "kernels.h"

#include <string.h>

/* ------------------------------ rle_writer ------------------------------ */

static void write_number(rle_writer *w, int64_t number)
{
    int more = 1;
    while (more) {
        unsigned group = (unsigned)(number & 0x1f);
        /* floor(number / 32): a shift of a negative number is the compiler's choice */
        number = (number - (int64_t)group) / 32;
        more = number != ((group & 0x10) ? -1 : 0);
        if (w->length < w->capacity)
            w->text[w->length] = (char)('0' + (group | (more ? 0x20u : 0u)));
        w->length++;
    }
}

static void close_run(rle_writer *w)
{
    write_number(w, w->num_runs > 2 ? w->run - w->before_last : w->run);
    w->before_last = w->last;
    w->last = w->run;
    w->num_runs++;
    w->run = 0;
    w->value = !w->value;
}

void rle_append(rle_writer *writer, int value, size_t count)
{
    if (count == 0)
        return;
    if (value != writer->value)
        close_run(writer);
    writer->run += (int64_t)count;
}

size_t rle_finish(rle_writer *writer)
{
    close_run(writer);
    return writer->length;
}

/* ------------------------------ rle_encode ------------------------------ */

enum { TILE = 8, WORD = 64, MOST_TILES = 1024 }; /* 8 kB of stack: 64 columns of 1024 rows */

/* Eight rows of up to eight columns as bits: byte c is column c, its bit j is row j. */
static uint64_t pack_tile(const uint8_t *bits, ptrdiff_t row_stride, size_t num_rows,
                          size_t num_columns)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t tile = 0;
    for (size_t j = 0; j < num_rows; j++, bits += row_stride) {
        uint64_t bytes = 0;
        if (num_columns == TILE) /* a constant: one load */
            memcpy(&bytes, bits, TILE);
        else
            memcpy(&bytes, bits, num_columns);
        /* The top bit of every byte: any of its bits was set. */
        bytes |= (bytes & 0x7f * ones) + 0x7f * ones;
        tile |= (bytes >> 7 & ones) << j;
    }
    return tile;
}

/* Tile k of columns 8 g to 8 g + 7 -> tiles[g * num_tiles + k]. All columns of eight rows at once:
 * every cache line is read once. */
static void pack_tiles(uint64_t *tiles, const uint8_t *bits, ptrdiff_t row_stride, size_t height,
                       size_t num_columns)
{
    const size_t num_tiles = (height + TILE - 1) / TILE;
    for (size_t k = 0; k < num_tiles; k++) {
        const size_t rows = height - k * TILE < TILE ? height - k * TILE : TILE;
        const uint8_t *row = bits + (ptrdiff_t)(k * TILE) * row_stride;
        for (size_t c = 0; c < num_columns; c += TILE) {
            const size_t rest = num_columns - c, columns = rest < TILE ? rest : TILE;
            tiles[c / TILE * num_tiles + k] = pack_tile(row + c, row_stride, rows, columns);
        }
    }
}

/* Rows y to y + 63 of column c, as bits; zeros after the last tile. */
static uint64_t column_word(const uint64_t *tiles, size_t num_tiles, size_t y, size_t c)
{
    uint64_t word = 0;
    for (size_t k = 0; k < TILE && y / TILE + k < num_tiles; k++)
        word |= (tiles[y / TILE + k] >> 8 * c & 0xff) << 8 * k;
    return word;
}

static void append_packed(rle_writer *w, const uint64_t *tiles, size_t height, size_t c)
{
    const size_t num_tiles = (height + TILE - 1) / TILE;
    size_t done = 0;
    uint64_t carry = 0;
    for (size_t y = 0; y < height; y += WORD) {
        const uint64_t word = column_word(tiles, num_tiles, y, c);
        for (uint64_t turns = word ^ (word << 1 | carry); turns != 0; turns &= turns - 1) {
            const size_t turn = y + (size_t)__builtin_ctzll(turns);
            if (turn >= height) /* the zeros after the last row */
                break;
            rle_append(w, word >> (turn - y) & 1 ? 0 : 1, turn - done);
            done = turn;
        }
        carry = word >> (WORD - 1);
    }
    const size_t last = height - 1;
    rle_append(w, (int)(tiles[last / TILE] >> (8 * c + last % TILE) & 1), height - done);
}

static void append_strided(rle_writer *w, const uint8_t *column, ptrdiff_t row_stride,
                           size_t height)
{
    for (size_t y = 0; y < height; y++) {
        if ((column[(ptrdiff_t)y * row_stride] != 0) != w->value)
            close_run(w);
        w->run++;
    }
}

/* How many columns of the height are packed at once, a multiple of 8; 0: none. */
static size_t packed_columns(size_t height, ptrdiff_t column_stride)
{
    if (column_stride != 1 || height == 0 || height > TILE * MOST_TILES)
        return 0;
    const size_t columns = MOST_TILES / ((height + TILE - 1) / TILE) * TILE;
    return columns < WORD ? columns : WORD;
}

size_t rle_encode(char *text, size_t capacity, const uint8_t *bits, ptrdiff_t row_stride,
                  ptrdiff_t column_stride, const rle_window *window)
{
    rle_writer w = {.text = text, .capacity = capacity};
    const size_t height = window->height, below = window->frame_height - window->y - height;
    const size_t num_tiles = (height + TILE - 1) / TILE;
    const size_t packed = packed_columns(height, column_stride);
    uint64_t tiles[MOST_TILES];

    rle_append(&w, 0, window->x * window->frame_height);
    for (size_t x = 0; x < window->width; x++) {
        const uint8_t *column = bits + (ptrdiff_t)x * column_stride;
        const size_t rest = window->width - x, k = packed > 0 ? x % packed : 0;
        if (packed > 0 && k == 0)
            pack_tiles(tiles, column, row_stride, height, rest < packed ? rest : packed);
        rle_append(&w, 0, window->y);
        if (packed > 0)
            append_packed(&w, tiles + k / TILE * num_tiles, height, k % TILE);
        else
            append_strided(&w, column, row_stride, height);
        rle_append(&w, 0, below);
    }
    rle_append(&w, 0, (window->frame_width - window->x - window->width) * window->frame_height);
    return rle_finish(&w);
}

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
