/* Runs preprocessing under the sanitizers the build asked for: exact buffers on the heap, so that
 * one byte too far is seen. Random sizes, formats and strides; the vector path gives the scalar
 * path's bits. Prints a sum of all pictures: the same on every processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_preprocess.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static line_filter make_filter(size_t num_in, size_t num_out)
{
    line_filter filter = {.num_in = num_in, .num_out = num_out};
    filter.num_taps = filter_taps(num_in, num_out);
    filter.ranges = allocate(num_out * sizeof *filter.ranges);
    filter.weights = allocate(num_out * filter.num_taps * sizeof *filter.weights);
    fill_filter(&filter);
    return filter;
}

static void free_filter(const line_filter *filter)
{
    free(filter->ranges);
    free(filter->weights);
}

/* Taps are lines that exist, weights are not negative and sum to one. */
static int is_sound(size_t num_in, size_t num_out)
{
    const line_filter filter = make_filter(num_in, num_out);
    int sound = filter.shift >= 14 && filter.shift <= 16;
    for (size_t o = 0; sound && o < num_out; o++) {
        const tap_range range = filter.ranges[o];
        const int16_t *weights = filter.weights + o * filter.num_taps;
        int32_t sum = 0;
        sound = range.first >= 0 && range.count >= 1 && (size_t)range.count <= filter.num_taps &&
                (size_t)range.first + (size_t)range.count <= num_in;
        for (size_t k = 0; k < filter.num_taps; k++) {
            sum += weights[k];
            sound &= weights[k] >= 0 && (weights[k] == 0 || k < (size_t)range.count);
        }
        sound &= sum == 1 << filter.shift;
    }
    free_filter(&filter);
    if (!sound)
        printf("the filter from %zu to %zu is not sound\n", num_in, num_out);
    return sound;
}

/* Noise, or `constant` everywhere if that is a byte. Rows may lie apart, and upside down. */
static uint8_t *fill_plane(picture_plane *plane, plane_size size, int constant)
{
    const size_t stride = size.bytes + draw(3) * draw(20);
    const size_t bytes = stride * (size.height - 1) + size.bytes;
    uint8_t *memory = allocate(bytes);
    for (size_t k = 0; k < bytes; k++)
        memory[k] = (uint8_t)(constant < 0 ? draw(256) : (uint32_t)constant);
    plane->pixels = memory;
    plane->stride = (ptrdiff_t)stride;
    if (draw(4) == 0) {
        plane->pixels += stride * (size.height - 1);
        plane->stride = -plane->stride;
    }
    return memory;
}

static uint8_t *run(const picture *frame, size_t side, preprocess_path path)
{
    const line_filter rows = make_filter(frame->height, side);
    const line_filter columns = make_filter(frame->width, side);
    void *scratch = allocate(preprocess_scratch(frame, &rows));
    uint8_t *out = allocate(side * side * 3);
    preprocess_picture(out, scratch, frame, &rows, &columns, path);
    free(scratch);
    free_filter(&rows);
    free_filter(&columns);
    return out;
}

static int is_constant(const uint8_t *bytes, size_t count, int value)
{
    for (size_t k = 0; k < count; k++)
        if (bytes[k] != value)
            return 0;
    return 1;
}

/* One picture through both paths; adds it to `sum`. */
static int check_picture(uint32_t *sum, int constant)
{
    picture frame = {.format = (pixel_format)draw(NUM_FORMATS), .height = 1 + draw(90),
                     .width = 1 + draw(150)};
    const size_t side = 1 + draw(64), bytes = side * side * 3;
    plane_size sizes[3];
    uint8_t *memory[3] = {NULL, NULL, NULL};
    const size_t num_planes = plane_sizes(sizes, frame.format, frame.height, frame.width);
    for (size_t k = 0; k < num_planes; k++)
        memory[k] = fill_plane(&frame.planes[k], sizes[k], constant);

    uint8_t *fastest = run(&frame, side, PATH_FASTEST), *scalar = run(&frame, side, PATH_SCALAR);
    int good = memcmp(fastest, scalar, bytes) == 0;
    if (constant >= 0 && frame.format <= FORMAT_GRAY8)
        good &= is_constant(scalar, bytes, constant);
    for (size_t k = 0; k < bytes; k++)
        *sum = *sum * 31 + scalar[k];
    for (size_t k = 0; k < 3; k++)
        free(memory[k]);
    free(fastest);
    free(scalar);
    if (!good)
        printf("format %d, %zu x %zu to %zu differs\n", (int)frame.format, frame.width,
               frame.height, side);
    return good;
}

int main(void)
{
    enum { most = PICTURE_MAX_SIDE };
    static const size_t pairs[][2] = {
        {1, 1},      {1, most}, {most, 1}, {most, 252}, {252, most},
        {1080, 252}, {2, 3},    {3, 2},
    };
    uint32_t sum = 0;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        if (!is_sound(pairs[k][0], pairs[k][1]))
            return 1;
    for (size_t k = 0; k < 300; k++)
        if (!is_sound(1 + draw(400), 1 + draw(100)))
            return 1;
    for (int k = 0; k < 600; k++)
        if (!check_picture(&sum, k % 4 ? -1 : (int)draw(256)))
            return 1;
    printf("ok %08x\n", (unsigned)sum);
    return 0;
}
