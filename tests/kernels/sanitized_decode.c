/* Runs the kernels that choose detections under the sanitizers the build asked for: exact buffers
 * on the heap, logits and boxes that no network should give. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels_decode.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static float draw_number(void)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0, -0.0f, 1e-40f};
    return draw(12) == 0 ? odd[draw(8)] : (float)draw(3000) / 1000 - 1;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = malloc(count > 0 ? count * size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

static float *draw_numbers(size_t count)
{
    float *numbers = allocate(count, sizeof *numbers);
    for (size_t k = 0; k < count; k++)
        numbers[k] = draw_number();
    return numbers;
}

/* In the frame, best first, and no two that overlap by more than was asked. */
static int in_order(const kept_detections *kept, size_t count, float height, float width,
                    float overlap)
{
    float *ious = allocate(count * count, sizeof *ious);
    int good = 1;
    box_iou(ious, kept->boxes, count, kept->boxes, count);
    for (size_t n = 0; n < count; n++) {
        const float *box = kept->boxes + 4 * n;
        good &= box[0] >= 0 && box[0] < box[2] && box[2] <= width;
        good &= box[1] >= 0 && box[1] < box[3] && box[3] <= height;
        good &= n == 0 || kept->scores[n - 1] >= kept->scores[n];
        for (size_t m = 0; m < n; m++)
            good &= !(overlap < 1) || ious[n * count + m] <= overlap;
        for (size_t m = 0; m < count; m++)
            good &= ious[n * count + m] >= 0 && ious[n * count + m] <= 1;
    }
    free(ious);
    return good;
}

static int one_case(void)
{
    const size_t p = draw(4), q = draw(40), n = p * q, height = draw(90), width = draw(90);
    const float overlaps[] = {0, 0.3f, 0.7f, 1, NAN}, overlap = overlaps[draw(5)];
    float *logits = draw_numbers(n), *presence = draw_numbers(p), *boxes = draw_numbers(4 * n);
    float *thresholds = draw_numbers(p);
    kept_detections kept = {allocate(n, sizeof(float)), allocate(4 * n, sizeof(float)),
                            allocate(n, sizeof(int64_t)), allocate(n, sizeof(int64_t))};
    const decoder_output output = {logits, presence, boxes, thresholds, p, q};

    const size_t count = decode_detections(&kept, &output, height, width, overlap);
    int good = count <= n && in_order(&kept, count, (float)height, (float)width, overlap);
    for (size_t k = 0; k < count; k++)
        good &= (size_t)kept.prompts[k] < p && (size_t)kept.queries[k] < q;
    float *ious = allocate(n * n, sizeof *ious); /* of raw boxes: whatever they are */
    box_iou(ious, boxes, n, boxes, n);
    for (size_t k = 0; k < n * n; k++)
        good &= ious[k] >= 0 && ious[k] <= 1;
    free(ious);
    free(logits);
    free(presence);
    free(boxes);
    free(thresholds);
    free(kept.scores);
    free(kept.boxes);
    free(kept.prompts);
    free(kept.queries);
    return good;
}

int main(void)
{
    for (size_t k = 0; k < 3000; k++)
        if (!one_case()) {
            printf("case %zu is wrong\n", k);
            return 1;
        }
    puts("ok");
    return 0;
}
