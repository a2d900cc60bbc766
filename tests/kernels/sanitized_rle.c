/* Runs the RLE kernels under the sanitizers the build asked for: exact buffers on the heap, so
 * that one byte too far is seen. Round trips of random masks, damaged text, hostile text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static char *encode(const uint8_t *mask, size_t height, size_t width, size_t *length)
{
    const rle_window all = {.frame_height = height, .frame_width = width, .height = height,
                            .width = width};
    *length = rle_encode(NULL, 0, mask, (ptrdiff_t)width, 1, &all);
    char *text = malloc(*length);
    if (text == NULL || rle_encode(text, *length, mask, (ptrdiff_t)width, 1, &all) != *length)
        abort();
    return text;
}

static int round_trip(size_t height, size_t width, uint32_t density)
{
    uint8_t *mask = malloc(height * width), *back = malloc(height * width);
    size_t length, where;
    for (size_t k = 0; k < height * width; k++)
        mask[k] = draw(16) < density;
    char *text = encode(mask, height, width, &length);
    int same = rle_decode(back, height, width, text, length, &where) == RLE_OK &&
               memcmp(mask, back, height * width) == 0;
    for (size_t k = 0; k < 20; k++) {
        text[draw((uint32_t)length)] = (char)draw(256);
        (void)rle_decode(back, height, width, text, length, &where);
    }
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
    size_t where;
    memcpy(text, literal, length);
    const rle_status status = rle_decode(mask, 2, 3, text, length, &where);
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
