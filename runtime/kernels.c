#include "kernels.h"

#include <string.h>

/* ------------------------------ rle_encode ------------------------------ */

typedef struct {
    char *text;
    size_t capacity, length; /* length may pass capacity: it counts what is needed */
    size_t num_runs;
    int64_t run, last, before_last; /* the open run, and the two closed before it */
    int value;                      /* what the open run consists of */
} rle_writer;

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

static void add_zeros(rle_writer *w, size_t count)
{
    if (count == 0)
        return;
    if (w->value)
        close_run(w);
    w->run += (int64_t)count;
}

size_t rle_encode(char *text, size_t capacity, const uint8_t *bits, ptrdiff_t row_stride,
                  ptrdiff_t column_stride, const rle_window *window)
{
    rle_writer w = {.text = text, .capacity = capacity};
    const size_t below = window->frame_height - window->y - window->height;

    add_zeros(&w, window->x * window->frame_height);
    for (size_t x = 0; x < window->width; x++) {
        const uint8_t *column = bits + (ptrdiff_t)x * column_stride;
        add_zeros(&w, window->y);
        for (size_t y = 0; y < window->height; y++) {
            if ((column[(ptrdiff_t)y * row_stride] != 0) != w.value)
                close_run(&w);
            w.run++;
        }
        add_zeros(&w, below);
    }
    add_zeros(&w, (window->frame_width - window->x - window->width) * window->frame_height);
    close_run(&w);
    return w.length;
}

/* ------------------------------ rle_decode ------------------------------ */

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

/* mask.T.ravel()[first : first + count] = 1 */
static void set_ones(uint8_t *mask, size_t height, size_t width, size_t first, size_t count)
{
    for (size_t k = 0, x = first / height, y = first % height; k < count; k++) {
        mask[y * width + x] = 1;
        if (++y == height) {
            y = 0;
            x++;
        }
    }
}

rle_status rle_decode(uint8_t *mask, size_t height, size_t width, const char *text, size_t length,
                      size_t *where)
{
    const size_t total = height * width;
    size_t done = 0, at = 0;
    int64_t run, last = 0, before_last = 0;

    memset(mask, 0, total);
    for (size_t num_runs = 0; at < length; num_runs++) {
        *where = at;
        const rle_status status = read_number(&run, text, length, &at);
        if (status != RLE_OK) {
            *where = at;
            return status;
        }
        if (num_runs > 2)
            run += before_last;
        if (run < 0)
            return RLE_RANGE;
        if ((uint64_t)run > total - done)
            return RLE_LONG;
        if (num_runs % 2 == 1 && run > 0)
            set_ones(mask, height, width, done, (size_t)run);
        done += (size_t)run;
        before_last = last;
        last = run;
    }
    *where = done;
    return done == total ? RLE_OK : RLE_SHORT;
}
