/* libFuzzer target: whatever the text, nothing is read or written outside, what is refused writes
 * nothing, and the functions that count on runs agree with the decoded mask. First two bytes: the
 * mask's sides; then the text. */
#include <stdlib.h>
#include <string.h>

#include "kernels_rle.h"
#include "kernels_association.h"

static void check(int condition)
{
    if (!condition)
        abort();
}

static rle_window whole(size_t height, size_t width)
{
    return (rle_window){.frame_height = height, .frame_width = width, .height = height,
                        .width = width};
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
    const rle_window all = whole(height, width);
    const size_t length = rle_encode(NULL, 0, mask, (ptrdiff_t)width, 1, &all);
    char *text = malloc(length);
    uint8_t *back = malloc(height * width + 1);
    size_t where;
    check(text != NULL && back != NULL);
    check(rle_encode(text, length, mask, (ptrdiff_t)width, 1, &all) == length);
    check(rle_decode(back, &all, text, length, &where) == RLE_OK);
    check(memcmp(back, mask, height * width) == 0);
    free(text);
    free(back);
}

/* Its box, and a part of that; both cut out of the mask. */
static void windows_are_parts(const uint8_t *mask, const mask_extent *extent, size_t height,
                              size_t width, const char *text, size_t length)
{
    rle_window part = {.frame_height = height, .frame_width = width, .x = extent->x1,
                       .y = extent->y1, .height = extent->y2 - extent->y1,
                       .width = extent->x2 - extent->x1};
    for (int k = 0; k < 2; k++) {
        const size_t num = part.height * part.width;
        uint8_t *bits = malloc(num + (num == 0));
        size_t where;
        check(bits != NULL && rle_decode(bits, &part, text, length, &where) == RLE_OK);
        for (size_t y = 0; y < part.height; y++)
            check(memcmp(bits + y * part.width, mask + (part.y + y) * width + part.x,
                         part.width) == 0);
        free(bits);
        part.x += part.width / 3;
        part.y += part.height / 3;
        part.width /= 2;
        part.height /= 2;
    }
}

/* Read as runs: the same status and place as when it is decoded, and as many pixels. */
static void runs_agree(rle_status expected, size_t place, const mask_extent *extent, size_t height,
                       size_t width, const char *text, size_t length)
{
    const size_t room = rle_max_runs(length);
    run_mask mask = {.runs = malloc((room + (room == 0)) * sizeof *mask.runs)};
    uint64_t area = 0;
    size_t where;
    float iou;
    check(mask.runs != NULL);
    check(rle_runs(&mask, height, width, text, length, &where) == expected && where == place);
    if (expected == RLE_OK) {
        for (size_t k = 0; k < mask.num_runs; k++) {
            check(mask.runs[k].start < mask.runs[k].stop);
            check(k == 0 || mask.runs[k - 1].stop < mask.runs[k].start);
            area += mask.runs[k].stop - mask.runs[k].start;
        }
        check(area == extent->area && memcmp(&mask.extent, extent, sizeof *extent) == 0);
        mask_iou(&iou, &mask, 1, &mask, 1);
        check(iou == (area > 0));
    }
    free(mask.runs);
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
    memset(mask, 7, height * width);
    const rle_window all = whole(height, width);
    const char *const texts[2] = {text, text};
    const size_t lengths[2] = {length, length};
    const rle_status status = rle_decode(mask, &all, text, length, &where);
    check(rle_measure(&extent, height, width, text, length, &where_measured) == status);
    check(rle_intersect(&overlap, height * width, texts, lengths, &refused, &where_shared) ==
          status);
    check(where == where_measured);
    runs_agree(status, where, &extent, height, width, text, length);
    if (status == RLE_OK) {
        const uint64_t ones = count_ones(mask, height * width);
        check(extent.area == ones && extent.x2 <= width && extent.y2 <= height);
        check(overlap.first == ones && overlap.second == ones && overlap.both == ones);
        encoded_again_is_the_same(mask, height, width);
        windows_are_parts(mask, &extent, height, width, text, length);
    } else {
        check(where == where_shared && refused == 0);
        check(where <= length || status == RLE_SHORT);
        for (size_t k = 0; k < height * width; k++)
            check(mask[k] == 7);
    }
    free(text);
    free(mask);
    return 0;
}
