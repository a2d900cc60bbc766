#include "kernels_preprocess_lines.h"

/* Sums are unsigned: they never pass 32 bits with a filter's weights, and with others they wrap. */

/* A block of pixels before the next row: compilers make vectors of that, of what there is. */
#define BLOCK 64

static void weigh_rows(int16_t *line, const uint8_t *const *rows, const int16_t *weights,
                       size_t count, size_t length, unsigned shift)
{
    const unsigned down = shift - STEP_BITS;
    for (size_t start = 0; start < length; start += BLOCK) {
        const size_t width = length - start < BLOCK ? length - start : BLOCK;
        uint32_t sums[BLOCK];
        for (size_t x = 0; x < width; x++)
            sums[x] = UINT32_C(1) << (down - 1);
        for (size_t k = 0; k < count; k++)
            for (size_t x = 0; x < width; x++)
                sums[x] += (uint32_t)rows[k][start + x] * (uint32_t)weights[k];
        for (size_t x = 0; x < width; x++)
            line[start + x] = (int16_t)(sums[x] >> down);
    }
}

static void weigh_columns(uint8_t *out, const int16_t *line, const line_filter *filter,
                          size_t channels, const uint8_t order[3])
{
    const unsigned down = filter->shift + STEP_BITS;
    for (size_t j = 0; j < filter->num_out; j++) {
        const int16_t *from = line + channels * (size_t)filter->ranges[j].first;
        const int16_t *weights = filter->weights + j * filter->num_taps;
        for (size_t c = 0; c < 3; c++) {
            uint32_t sum = UINT32_C(1) << (down - 1);
            for (size_t k = 0; k < (size_t)filter->ranges[j].count; k++)
                sum += (uint32_t)from[channels * k + order[c]] * (uint32_t)weights[k];
            out[3 * j + c] = (uint8_t)(sum >> down);
        }
    }
}

/* a * b / 32768, halves rounded up, as vpmulhrsw and sqrdmulh do. A right shift of a negative
 * number rounds down with every compiler that has those. */
static int multiply(int a, int b)
{
    return (a * b + 0x4000) >> 15;
}

static uint8_t colour(int sixty_fourths)
{
    const int value = (sixty_fourths + 32) >> 6;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void yuv_to_rgb(uint8_t *rgb, const yuv_line *line, size_t width)
{
    for (size_t x = 0; x < width; x++, rgb += 3) {
        const int above_black = line->y[x * line->y_step] - 16;
        const int y = multiply((above_black > 0 ? above_black : 0) * 128, LUMA);
        const int u = (line->u[x / 2 * line->chroma_step] - 128) * 256;
        const int v = (line->v[x / 2 * line->chroma_step] - 128) * 256;
        rgb[0] = colour(y + multiply(v, RED_V));
        rgb[1] = colour(y + multiply(u, GREEN_U) + multiply(v, GREEN_V));
        rgb[2] = colour(y + multiply(u, BLUE_U));
    }
}

const line_kernels scalar_lines = {weigh_rows, weigh_columns, yuv_to_rgb};
