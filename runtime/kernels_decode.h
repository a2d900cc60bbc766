/* Kernels that choose among the decoder graph's raw outputs. No Python, no allocation, no globals:
 * outputs, inputs, sizes. P prompts, Q queries each; all arrays in C order. */
#ifndef SAM3_EDGE_KERNELS_DECODE_H
#define SAM3_EDGE_KERNELS_DECODE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const float *logits;     /* (P, Q) */
    const float *presence;   /* (P, 1), logits */
    const float *boxes;      /* (P, Q, 4), cxcywh in 0..1 of the network's square */
    const float *thresholds; /* (P,), 0..1 */
    size_t num_prompts, num_queries;
} decoder_output;

/* Room for P * Q detections, best score first. */
typedef struct {
    float *scores;    /* sigmoid(logit) * sigmoid(presence) */
    float *boxes;     /* (P * Q, 4), xyxy pixels of the frame, clipped to it */
    int64_t *prompts; /* which of the P */
    int64_t *queries; /* which of the Q */
} kept_detections;

/* Keeps what reaches its prompt's threshold and has an area inside the frame; equal scores stay in
 * the order of prompts and queries. NaN, in a score or a box, is not kept. Returns how many.
 * overlap: the largest IoU of boxes with a better one, whatever their prompts; 1 or more, or NaN:
 * any.
 * Equivalent to: postprocess's scores, to_pixels, thresholds and stable argsort of -scores. */
size_t decode_detections(kept_detections *kept, const decoder_output *output, size_t frame_height,
                         size_t frame_width, float overlap);

/* ious[n][m]: intersection over union, 0..1, of boxes a[n] and b[m]; 0 where the union has no
 * area, and for a box that is turned around or not finite. ious: (N, M); a: (N, 4); b: (M, 4),
 * xyxy. Equivalent to: torchvision.ops.box_iou for boxes with an area. */
void box_iou(float *ious, const float *a, size_t num_a, const float *b, size_t num_b);

#endif
