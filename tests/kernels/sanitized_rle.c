/* Runs the RLE kernels under the sanitizers the build asked for: exact buffers on the heap, so
 * that one byte too far is seen. Round trips of random masks, damaged text, hostile text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_rle.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static rle_window whole(size_t height, size_t width)
{
    return (rle_window){.frame_height = height, .frame_width = width, .height = height,
                        .width = width};
}

static char *encode(const uint8_t *mask, size_t height, size_t width, size_t *length)
{
    const rle_window all = whole(height, width);
    *length = rle_encode(NULL, 0, mask, (ptrdiff_t)width, 1, &all);
    char *text = malloc(*length);
    if (text == NULL || rle_encode(text, *length, mask, (ptrdiff_t)width, 1, &all) != *length)
        abort();
    return text;
}

/* Any window of the frame is that part of the mask. */
static int window_is_part(const uint8_t *mask, size_t height, size_t width, const char *text,
                          size_t length)
{
    rle_window part = {.frame_height = height, .frame_width = width};
    part.y = draw((uint32_t)height + 1);
    part.x = draw((uint32_t)width + 1);
    part.height = draw((uint32_t)(height - part.y) + 1);
    part.width = draw((uint32_t)(width - part.x) + 1);
    uint8_t *bits = malloc(part.height * part.width);
    size_t where;
    int same = rle_decode(bits, &part, text, length, &where) == RLE_OK;
    for (size_t y = 0; y < part.height; y++)
        same &= memcmp(bits + y * part.width, mask + (part.y + y) * width + part.x, part.width) == 0;
    free(bits);
    return same;
}

/* What is refused writes nothing. */
static int damaged(uint8_t *back, const rle_window *all, char *text, size_t length)
{
    const size_t num = all->height * all->width;
    size_t where;
    for (size_t k = 0; k < 20; k++) {
        text[draw((uint32_t)length)] = (char)draw(256);
        memset(back, 7, num);
        const uint8_t most = rle_decode(back, all, text, length, &where) == RLE_OK ? 1 : 7;
        for (size_t n = 0; n < num; n++)
            if (most == 7 ? back[n] != 7 : back[n] > 1)
                return 0;
    }
    return 1;
}

static int round_trip(size_t height, size_t width, uint32_t density)
{
    uint8_t *mask = malloc(height * width), *back = malloc(height * width);
    const rle_window all = whole(height, width);
    size_t length, where;
    for (size_t k = 0; k < height * width; k++)
        mask[k] = draw(16) < density;
    char *text = encode(mask, height, width, &length);
    int same = rle_decode(back, &all, text, length, &where) == RLE_OK &&
               memcmp(mask, back, height * width) == 0;
    for (size_t k = 0; k < 4; k++)
        same &= window_is_part(mask, height, width, text, length);
    same &= damaged(back, &all, text, length);
    free(text);
    free(mask);
    free(back);
    return same;
}

static int hostile(const char *literal, rle_status expected)
{
    const size_t length = strlen(literal);
    char *text = malloc(length);
    uint8_t *mask = malloc(2 * 3);
    const rle_window all = whole(2, 3);
    size_t where;
    memcpy(text, literal, length);
    const rle_status status = rle_decode(mask, &all, text, length, &where);
    free(text);
    free(mask);
    if (status != expected)
        printf("\"%s\": expected status %d, got %d\n", literal, (int)expected, (int)status);
    return status == expected;
}

int main(void)
{
    const int refused = hostile("07", RLE_LONG) & hostile("06", RLE_OK) & hostile("05", RLE_SHORT) &
                        hostile("0O", RLE_RANGE) & hostile("0oooooo?", RLE_LONG) &
                        hostile("0ooooooooooooooooooooooo?", RLE_RANGE) &
                        hostile("0PPPPPPPPPPPPPPPPPPPPPPPPPPPPP1", RLE_RANGE) &
                        hostile("02P", RLE_CUT) & hostile("02~", RLE_CHARACTER);
    if (!refused)
        return 1;
    for (size_t k = 0; k < 2000; k++) {
        const size_t height = 1 + draw(40), width = 1 + draw(40);
        if (!round_trip(height, width, draw(17))) {
            printf("round trip %zu of %zu x %zu differs\n", k, width, height);
            return 1;
        }
    }
    puts("ok");
    return 0;
}
