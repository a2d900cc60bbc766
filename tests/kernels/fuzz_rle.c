/* libFuzzer target: whatever the text, nothing is read or written outside, and the functions that
 * count on runs agree with the decoded mask. First two bytes: the mask's sides; then the text. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

static void check(int condition)
{
    if (!condition)
        abort();
}

static uint64_t count_ones(const uint8_t *mask, size_t count)
{
    uint64_t ones = 0;
    for (size_t k = 0; k < count; k++) {
        check(mask[k] <= 1);
        ones += mask[k];
    }
    return ones;
}

static void encoded_again_is_the_same(const uint8_t *mask, size_t height, size_t width)
{
    const rle_window all = {.frame_height = height, .frame_width = width, .height = height,
                            .width = width};
    const size_t length = rle_encode(NULL, 0, mask, (ptrdiff_t)width, 1, &all);
    char *text = malloc(length);
    uint8_t *back = malloc(height * width + 1);
    size_t where;
    check(text != NULL && back != NULL);
    check(rle_encode(text, length, mask, (ptrdiff_t)width, 1, &all) == length);
    check(rle_decode(back, height, width, text, length, &where) == RLE_OK);
    check(memcmp(back, mask, height * width) == 0);
    free(text);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t height = data[0] % 40, width = data[1] % 40, length = size - 2;
    char *text = malloc(length + (length == 0));
    uint8_t *mask = malloc(height * width + (height * width == 0));
    mask_extent extent;
    rle_overlap overlap;
    size_t where, where_measured, where_shared;
    int refused;

    check(text != NULL && mask != NULL);
    memcpy(text, data + 2, length);
    const char *const texts[2] = {text, text};
    const size_t lengths[2] = {length, length};
    const rle_status status = rle_decode(mask, height, width, text, length, &where);
    check(rle_measure(&extent, height, width, text, length, &where_measured) == status);
    check(rle_intersect(&overlap, height * width, texts, lengths, &refused, &where_shared) ==
          status);
    check(where == where_measured);
    if (status == RLE_OK) {
        const uint64_t ones = count_ones(mask, height * width);
        check(extent.area == ones && extent.x2 <= width && extent.y2 <= height);
        check(overlap.first == ones && overlap.second == ones && overlap.both == ones);
        encoded_again_is_the_same(mask, height, width);
    } else {
        check(where == where_shared && refused == 0);
        check(where <= length || status == RLE_SHORT);
    }
    free(text);
    free(mask);
    return 0;
}
