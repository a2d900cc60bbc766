#include "kernels_rle.h"

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
