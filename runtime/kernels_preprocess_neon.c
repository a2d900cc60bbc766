#include "kernels_preprocess_lines.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* ------------------------------ weigh_rows ------------------------------ */

#define BLOCK 16

static void weigh_block(int16_t *line, const uint8_t *const *rows, const int16_t *weights,
                        size_t count, size_t x, unsigned shift)
{
    const int32x4_t down = vdupq_n_s32(STEP_BITS - (int)shift); /* a shift to the left, negative */
    uint32x4_t sum0 = vdupq_n_u32(UINT32_C(1) << (shift - STEP_BITS - 1));
    uint32x4_t sum1 = sum0, sum2 = sum0, sum3 = sum0;

    for (size_t k = 0; k < count; k++) {
        const uint16_t weight = (uint16_t)weights[k];
        const uint8x16_t bytes = vld1q_u8(rows[k] + x);
        const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
        sum0 = vmlal_n_u16(sum0, vget_low_u16(low), weight);
        sum1 = vmlal_high_n_u16(sum1, low, weight);
        sum2 = vmlal_n_u16(sum2, vget_low_u16(high), weight);
        sum3 = vmlal_high_n_u16(sum3, high, weight);
    }
    sum0 = vshlq_u32(sum0, down);
    sum1 = vshlq_u32(sum1, down);
    sum2 = vshlq_u32(sum2, down);
    sum3 = vshlq_u32(sum3, down);
    const uint16x8_t first = vmovn_high_u32(vmovn_u32(sum0), sum1);
    const uint16x8_t second = vmovn_high_u32(vmovn_u32(sum2), sum3);
    vst1q_s16(line + x, vreinterpretq_s16_u16(first));
    vst1q_s16(line + x + 8, vreinterpretq_s16_u16(second));
}

static void weigh_rows(int16_t *line, const uint8_t *const *rows, const int16_t *weights,
                       size_t count, size_t length, unsigned shift)
{
    if (length < BLOCK) {
        scalar_lines.weigh_rows(line, rows, weights, count, length, shift);
        return;
    }
    for (size_t x = 0; x + BLOCK <= length; x += BLOCK)
        weigh_block(line, rows, weights, count, x, shift);
    if (length % BLOCK)
        weigh_block(line, rows, weights, count, length - BLOCK, shift);
}

/* ------------------------------ weigh_columns ------------------------------ */

/* A pixel's channels lie side by side: a vector of four holds them, whatever follows included. */
static void weigh_columns(uint8_t *out, const int16_t *line, const line_filter *filter,
                          size_t channels, const uint8_t order[3])
{
    const int32x4_t down = vdupq_n_s32(-(int)(filter->shift + STEP_BITS));
    const int32x4_t half = vdupq_n_s32(1 << (filter->shift + STEP_BITS - 1));
    const int16_t *weights = filter->weights;

    for (size_t j = 0; j < filter->num_out; j++, weights += filter->num_taps, out += 3) {
        const tap_range range = filter->ranges[j];
        const int16_t *from = line + channels * (size_t)range.first;
        int32x4_t sum0 = half, sum1 = vdupq_n_s32(0);
        for (int32_t k = 0; k < range.count; k += 4, from += 4 * channels) {
            const int16x4_t four = vld1_s16(weights + k);
            sum0 = vmlal_lane_s16(sum0, vld1_s16(from), four, 0);
            sum1 = vmlal_lane_s16(sum1, vld1_s16(from + channels), four, 1);
            sum0 = vmlal_lane_s16(sum0, vld1_s16(from + 2 * channels), four, 2);
            sum1 = vmlal_lane_s16(sum1, vld1_s16(from + 3 * channels), four, 3);
        }
        uint32_t pixel[4];
        vst1q_u32(pixel, vshlq_u32(vreinterpretq_u32_s32(vaddq_s32(sum0, sum1)), down));
        for (size_t c = 0; c < 3; c++)
            out[c] = (uint8_t)pixel[order[c]];
    }
}

/* ------------------------------ yuv_to_rgb ------------------------------ */

static int16x8_t chroma(uint8x8_t bytes)
{
    return vreinterpretq_s16_u16(veorq_u16(vshll_n_u8(bytes, 8), vdupq_n_u16(0x8000)));
}

/* 8 pixels: luma above black and the chroma bytes -> red, green and blue. */
static uint8x8x3_t convert(uint8x8_t y_bytes, uint8x8_t u_bytes, uint8x8_t v_bytes)
{
    const int16x8_t y = vqrdmulhq_n_s16(vreinterpretq_s16_u16(vshll_n_u8(y_bytes, 7)), LUMA);
    const int16x8_t u = chroma(u_bytes), v = chroma(v_bytes);
    const int16x8_t red = vqaddq_s16(y, vqrdmulhq_n_s16(v, RED_V));
    const int16x8_t less_u = vqaddq_s16(y, vqrdmulhq_n_s16(u, GREEN_U));
    const int16x8_t green = vqaddq_s16(less_u, vqrdmulhq_n_s16(v, GREEN_V));
    const int16x8_t blue = vqaddq_s16(y, vqrdmulhq_n_s16(u, BLUE_U));
    return (uint8x8x3_t){{vqrshrun_n_s16(red, 6), vqrshrun_n_s16(green, 6),
                          vqrshrun_n_s16(blue, 6)}};
}

static void yuv_to_rgb(uint8_t *rgb, const yuv_line *line, size_t width)
{
    const uint8x8_t black = vdup_n_u8(16);
    size_t x = 0;

    for (; x + 16 <= width; x += 16, rgb += 48) {
        uint8x8_t first, second, u, v; /* luma of 16 pixels, chroma of 8 pairs */
        if (line->format == FORMAT_YUY2) {
            const uint8x8x4_t pairs = vld4_u8(line->y + 2 * x);
            first = vzip1_u8(pairs.val[0], pairs.val[2]);
            second = vzip2_u8(pairs.val[0], pairs.val[2]);
            u = pairs.val[1];
            v = pairs.val[3];
        } else {
            first = vld1_u8(line->y + x);
            second = vld1_u8(line->y + x + 8);
            if (line->format == FORMAT_I420) {
                u = vld1_u8(line->u + x / 2);
                v = vld1_u8(line->v + x / 2);
            } else {
                const uint8x8x2_t pairs = vld2_u8(line->u + x);
                u = pairs.val[0];
                v = pairs.val[1];
            }
        }
        first = vqsub_u8(first, black);
        second = vqsub_u8(second, black);
        vst3_u8(rgb, convert(first, vzip1_u8(u, u), vzip1_u8(v, v)));
        vst3_u8(rgb + 24, convert(second, vzip2_u8(u, u), vzip2_u8(v, v)));
    }
    const yuv_line rest = {.y = line->y + x * line->y_step,
                           .u = line->u + x / 2 * line->chroma_step,
                           .v = line->v + x / 2 * line->chroma_step,
                           .y_step = line->y_step,
                           .chroma_step = line->chroma_step};
    scalar_lines.yuv_to_rgb(rgb, &rest, width - x);
}

const line_kernels neon_lines = {weigh_rows, weigh_columns, yuv_to_rgb};

#endif
