#include "kernels_decode.h"

#include <math.h>

/* A product is rounded before it is subtracted: the IoU of a box with itself is 1 everywhere. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

/* ------------------------------ box_iou ------------------------------ */

/* 0 where it is turned around or not finite. */
static float area_of(const float *box)
{
    const float width = box[2] - box[0], height = box[3] - box[1];
    const float area = width * height;
    return width > 0 && height > 0 && area < INFINITY ? area : 0;
}

static float iou_of(const float *a, float area_a, const float *b, float area_b)
{
    const float x1 = a[0] > b[0] ? a[0] : b[0], y1 = a[1] > b[1] ? a[1] : b[1];
    const float x2 = a[2] < b[2] ? a[2] : b[2], y2 = a[3] < b[3] ? a[3] : b[3];
    if (!(area_a > 0) || !(area_b > 0) || !(x1 < x2) || !(y1 < y2))
        return 0;
    const float both = (x2 - x1) * (y2 - y1);
    const float iou = both / (area_a + (area_b - both));
    return iou < 1 ? iou : 1;
}

void box_iou(float *ious, const float *a, size_t num_a, const float *b, size_t num_b)
{
    for (size_t n = 0; n < num_a; n++) {
        const float area = area_of(a + 4 * n);
        for (size_t m = 0; m < num_b; m++)
            ious[n * num_b + m] = iou_of(a + 4 * n, area, b + 4 * m, area_of(b + 4 * m));
    }
}

/* ------------------------------ scores and boxes ------------------------------ */

/* By tanh, which does not overflow. */
static float sigmoid(float logit)
{
    return 0.5f + 0.5f * tanhf(0.5f * logit);
}

static float clipped(float share)
{
    return share > 0 ? (share < 1 ? share : 1) : 0;
}

/* cxcywh of the square -> xyxy pixels of the frame. 0 where no area is left, or a number is NaN. */
static int box_to_pixels(float *pixels, const float *box, size_t frame_height, size_t frame_width)
{
    const float sides[2] = {(float)frame_width, (float)frame_height};
    for (int k = 0; k < 2; k++) {
        const float half = box[2 + k] / 2;
        pixels[k] = clipped(box[k] - half) * sides[k];
        pixels[2 + k] = clipped(box[k] + half) * sides[k];
        if (isnan(box[k]) || isnan(half) || !(pixels[k] < pixels[2 + k]))
            return 0;
    }
    return 1;
}

/* ------------------------------ best first ------------------------------ */

/* Of candidates, each a score and its index p * Q + q: is k to come after m? */
static int is_after(const kept_detections *kept, size_t k, size_t m)
{
    if (kept->scores[k] != kept->scores[m])
        return kept->scores[k] < kept->scores[m];
    return kept->queries[k] > kept->queries[m];
}

static void swap_candidates(kept_detections *kept, size_t k, size_t m)
{
    const float score = kept->scores[k];
    const int64_t query = kept->queries[k];
    kept->scores[k] = kept->scores[m];
    kept->queries[k] = kept->queries[m];
    kept->scores[m] = score;
    kept->queries[m] = query;
}

/* Lets candidate k of a heap, in which parents come after their children, sink to its place. */
static void sink(kept_detections *kept, size_t k, size_t count)
{
    for (size_t child = 2 * k + 1; child < count; child = 2 * k + 1) {
        if (child + 1 < count && is_after(kept, child + 1, child))
            child++;
        if (is_after(kept, k, child))
            return;
        swap_candidates(kept, k, child);
        k = child;
    }
}

/* A heap sort: in place, and n log n where a threshold of 0 keeps all. */
static void sort_candidates(kept_detections *kept, size_t count)
{
    for (size_t k = count / 2; k > 0; k--)
        sink(kept, k - 1, count);
    for (size_t rest = count; rest > 1; rest--) {
        swap_candidates(kept, 0, rest - 1);
        sink(kept, 0, rest - 1);
    }
}

/* ------------------------------ decode_detections ------------------------------ */

static void copy_detection(kept_detections *kept, size_t to, size_t from)
{
    kept->scores[to] = kept->scores[from];
    kept->prompts[to] = kept->prompts[from];
    kept->queries[to] = kept->queries[from];
    for (int k = 0; k < 4; k++)
        kept->boxes[4 * to + k] = kept->boxes[4 * from + k];
}

/* Drops every box that overlaps a better one by more than `overlap`. Returns how many are left. */
static size_t suppress(kept_detections *kept, size_t count, float overlap)
{
    size_t num_left = 0;
    for (size_t n = 0; n < count; n++) {
        const float *box = kept->boxes + 4 * n;
        int hidden = 0;
        for (size_t k = 0; k < num_left && !hidden; k++) {
            const float *better = kept->boxes + 4 * k;
            hidden = iou_of(box, area_of(box), better, area_of(better)) > overlap;
        }
        if (!hidden)
            copy_detection(kept, num_left++, n);
    }
    return num_left;
}

/* Fills in scores, and as queries the index p * Q + q. Returns how many there are. */
static size_t find_candidates(kept_detections *kept, const decoder_output *output,
                              size_t frame_height, size_t frame_width)
{
    size_t count = 0, k = 0;
    float box[4];
    for (size_t p = 0; p < output->num_prompts; p++) {
        const float presence = sigmoid(output->presence[p]), least = output->thresholds[p];
        for (size_t q = 0; q < output->num_queries; q++, k++) {
            const float score = sigmoid(output->logits[k]) * presence;
            if (!(score >= least) ||
                !box_to_pixels(box, output->boxes + 4 * k, frame_height, frame_width))
                continue;
            kept->scores[count] = score;
            kept->queries[count++] = (int64_t)k;
        }
    }
    return count;
}

size_t decode_detections(kept_detections *kept, const decoder_output *output, size_t frame_height,
                         size_t frame_width, float overlap)
{
    const size_t count = find_candidates(kept, output, frame_height, frame_width);
    sort_candidates(kept, count);
    for (size_t n = 0; n < count; n++) {
        const size_t k = (size_t)kept->queries[n];
        kept->prompts[n] = (int64_t)(k / output->num_queries);
        kept->queries[n] = (int64_t)(k % output->num_queries);
        (void)box_to_pixels(kept->boxes + 4 * n, output->boxes + 4 * k, frame_height, frame_width);
    }
    return overlap < 1 ? suppress(kept, count, overlap) : count;
}
