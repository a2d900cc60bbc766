#include "kernels_mask_columns.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Every path rounds a * b + c twice, so that all set the same bits. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

enum { LANES = 8, WORD = 64 };

/* ------------------------------ which logit a pixel lies in ------------------------------ */

/* The last of num_in logits whose centre is not after that of pixel `at` of num_out; 0 before. */
static size_t cell_of(size_t at, size_t num_in, size_t num_out)
{
    const uint64_t centre = (2 * (uint64_t)at + 1) * num_in;
    return centre <= num_out ? 0 : (size_t)((centre - num_out) / (2 * (uint64_t)num_out));
}

size_t first_of_cell(size_t cell, size_t num_in, size_t num_out)
{
    if (cell == 0)
        return 0;
    if (cell >= num_in)
        return num_out;
    const uint64_t centre = (2 * (uint64_t)cell + 1) * num_out;
    if (centre <= num_in)
        return 0;
    return (size_t)((centre - num_in + 2 * (uint64_t)num_in - 1) / (2 * (uint64_t)num_in));
}

/* How much of the logit after `cell` there is in pixel `at`: 0 to below 1. */
static float share_of(size_t at, size_t cell, size_t num_in, size_t num_out)
{
    const int64_t past = (2 * (int64_t)at + 1) * (int64_t)num_in -
                         (2 * (int64_t)cell + 1) * (int64_t)num_out;
    if (past <= 0 || cell + 1 == num_in)
        return 0;
    return (float)((double)past / (double)(2 * (int64_t)num_out));
}

/* ------------------------------ one column along x ------------------------------ */

static uint64_t blend_scalar(float *values, const float *left, const float *right, float share,
                             size_t count)
{
    uint64_t set = 0;
    for (size_t k = 0; k < count; k++) {
        values[k] = left[k] + (right[k] - left[k]) * share;
        set |= (uint64_t)(values[k] > 0) << k;
    }
    return set;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t blend_avx2(float *values, const float *left,
                                                           const float *right, float share,
                                                           size_t count)
{
    const __m256 shares = _mm256_set1_ps(share), zero = _mm256_setzero_ps();
    uint64_t set = 0;
    for (size_t k = 0; k < count; k += LANES) {
        const __m256 from = _mm256_loadu_ps(left + k);
        const __m256 rise = _mm256_sub_ps(_mm256_loadu_ps(right + k), from);
        const __m256 value = _mm256_add_ps(from, _mm256_mul_ps(rise, shares));
        _mm256_storeu_ps(values + k, value);
        const int above = _mm256_movemask_ps(_mm256_cmp_ps(value, zero, _CMP_GT_OQ));
        set |= (uint64_t)(unsigned)above << k;
    }
    return set;
}
#elif defined(__aarch64__)
static float32x4_t blend_four(const float *left, const float *right, float32x4_t shares)
{
    const float32x4_t from = vld1q_f32(left);
    return vaddq_f32(from, vmulq_f32(vsubq_f32(vld1q_f32(right), from), shares));
}

static uint64_t blend_neon(float *values, const float *left, const float *right, float share,
                           size_t count)
{
    static const uint16_t powers[LANES] = {1, 2, 4, 8, 16, 32, 64, 128};
    const float32x4_t shares = vdupq_n_f32(share);
    const uint16x8_t weights = vld1q_u16(powers);
    uint64_t set = 0;
    for (size_t k = 0; k < count; k += LANES) {
        const float32x4_t low = blend_four(left + k, right + k, shares);
        const float32x4_t high = blend_four(left + k + 4, right + k + 4, shares);
        vst1q_f32(values + k, low);
        vst1q_f32(values + k + 4, high);
        const uint16x8_t above =
            vcombine_u16(vmovn_u32(vcgtzq_f32(low)), vmovn_u32(vcgtzq_f32(high)));
        set |= (uint64_t)vaddvq_u16(vandq_u16(above, weights)) << k;
    }
    return set;
}
#endif

static blend_column *fastest_blend(mask_path path)
{
    if (path == MASK_SCALAR)
        return blend_scalar;
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") ? blend_avx2 : blend_scalar;
#elif defined(__aarch64__)
    return blend_neon;
#else
    return blend_scalar;
#endif
}

/* ------------------------------ where a column changes ------------------------------ */

static size_t whole_vectors(size_t count)
{
    return (count + LANES - 1) / LANES * LANES;
}

/* The sizes: `logits` and what they need; the pointers are left alone. */
static void plan_sizes(column_plan *plan, const mask_logits *logits, const rle_window *window)
{
    const size_t last_x = window->x + window->width - 1, last_y = window->y + window->height - 1;
    const size_t last_row = cell_of(last_y, logits->rows, window->frame_height) + 1;
    const size_t last_column = cell_of(last_x, logits->columns, window->frame_width) + 1;
    plan->first_row = cell_of(window->y, logits->rows, window->frame_height);
    plan->first_column = cell_of(window->x, logits->columns, window->frame_width);
    plan->rows = (last_row < logits->rows ? last_row + 1 : logits->rows) - plan->first_row;
    plan->columns =
        (last_column < logits->columns ? last_column + 1 : logits->columns) - plan->first_column;
    plan->stride = whole_vectors(plan->rows);
}

size_t mask_scratch(const mask_logits *logits, const rle_window *window)
{
    column_plan plan;
    if (window->height == 0 || window->width == 0)
        return 0;
    plan_sizes(&plan, logits, window);
    return sizeof(float) * ((plan.columns + 1) * plan.stride + window->height) +
           sizeof(uint32_t) * 2 * (plan.rows + 1);
}

static float clamped(float logit)
{
    const float most = 0x1p80f;
    const float low = logit > -most ? logit : -most;
    const float both = low < most ? low : most;
    return logit == logit ? both : -0x1p126f;
}

static void transpose(const column_plan *plan, const mask_logits *logits)
{
    const float *corner =
        logits->values + plan->first_row * logits->columns + plan->first_column;
    for (size_t c = 0; c < plan->columns; c++) {
        float *column = plan->logits + c * plan->stride;
        for (size_t r = 0; r < plan->rows; r++)
            column[r] = clamped(corner[r * logits->columns + c]);
        for (size_t r = plan->rows; r < plan->stride; r++)
            column[r] = 0;
    }
}

static void plan_rows(const column_plan *plan, size_t num_in, const rle_window *window)
{
    const size_t num_out = window->frame_height, bottom = window->y + window->height;
    for (size_t r = 0; r <= plan->rows; r++) {
        size_t first = first_of_cell(plan->first_row + r, num_in, num_out);
        first = first < window->y || r == 0 ? window->y : first;
        plan->firsts[r] = (uint32_t)((first < bottom ? first : bottom) - window->y);
    }
    for (size_t r = 0; r < plan->rows; r++)
        for (size_t y = plan->firsts[r]; y < plan->firsts[r + 1]; y++)
            plan->shares[y] = share_of(window->y + y, plan->first_row + r, num_in, num_out);
}

void plan_columns(column_plan *plan, void *scratch, const mask_logits *logits,
                  const rle_window *window, mask_path path)
{
    plan_sizes(plan, logits, window);
    plan->blend = fastest_blend(path);
    plan->num_in = logits->columns;
    plan->num_out = window->frame_width;
    plan->logits = scratch;
    plan->values = plan->logits + plan->columns * plan->stride;
    plan->shares = plan->values + plan->stride;
    plan->firsts = (uint32_t *)(plan->shares + window->height);
    plan->changes = plan->firsts + plan->rows + 1;
    plan->slope = (double)window->frame_height / (double)logits->rows;
    plan->start = plan->slope * ((double)plan->first_row + 0.5) - 0.5 - (double)window->y;
    transpose(plan, logits);
    plan_rows(plan, logits->rows, window);
}

static int is_set(float upper, float lower, float share)
{
    return upper + (lower - upper) * share > 0;
}

/* The first row of pixels between logits r and r + 1, of different sign, that is as r + 1 is; the
 * first row after them where none is. The line's zero is a guess, which rounding may move. */
static uint32_t change_after(const column_plan *plan, size_t r)
{
    const uint32_t low = plan->firsts[r], high = plan->firsts[r + 1];
    const float upper = plan->values[r], lower = plan->values[r + 1];
    const int after = lower > 0;
    const float zero = upper / (upper - lower);
    const double guess = plan->slope * ((double)r + (double)zero) + plan->start;
    uint32_t y = guess < (double)low ? low : guess < (double)high ? (uint32_t)guess + 1 : high;
    while (y > low && is_set(upper, lower, plan->shares[y - 1]) == after)
        y--;
    while (y < high && is_set(upper, lower, plan->shares[y]) != after)
        y++;
    return y;
}

size_t column_changes(const column_plan *plan, size_t x)
{
    const size_t cell = cell_of(x, plan->num_in, plan->num_out);
    const float share = share_of(x, cell, plan->num_in, plan->num_out);
    const size_t column = cell - plan->first_column;
    const float *left = plan->logits + column * plan->stride;
    const float *right = column + 1 < plan->columns ? left + plan->stride : left;
    size_t num_changes = 0;
    uint64_t carry = 0;
    for (size_t base = 0; base < plan->rows; base += WORD) {
        const size_t rest = plan->rows - base, count = rest < WORD ? rest : WORD;
        const uint64_t set = plan->blend(plan->values + base, left + base, right + base, share,
                                         whole_vectors(count));
        uint64_t turns = set ^ (set << 1 | carry);
        if (count < WORD)
            turns &= ((uint64_t)1 << count) - 1;
        carry = set >> (WORD - 1);
        for (; turns != 0; turns &= turns - 1) {
            const size_t r = base + (size_t)__builtin_ctzll(turns);
            plan->changes[num_changes++] = r == 0 ? 0 : change_after(plan, r - 1);
        }
    }
    return num_changes;
}
