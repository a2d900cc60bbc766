/* Python's door to kernels_decode.c: the decoder's raw outputs into detections. */
#include "_kernels.h"
#include "kernels_decode.h"

/* ------------------------------ decode_outputs ------------------------------ */

PyDoc_STRVAR(decode_outputs_doc,
             "decode_outputs(scores, out_boxes, prompts, queries, logits, presence, boxes,\n"
             "               thresholds, height, width, overlap, /) -> int\n"
             "\n"
             "Fills scores (P * Q,), out_boxes (P * Q, 4), xyxy pixels, both float32, prompts\n"
             "and queries (P * Q,) int64, best first, and returns how many are kept. logits\n"
             "(P, Q), presence (P, 1), boxes (P, Q, 4) cxcywh, thresholds (P,): float32. overlap: the\n"
             "largest IoU with a better box; 1: any.");

enum { SCORES, OUT_BOXES, PROMPTS, QUERIES, LOGITS, PRESENCE, BOXES, THRESHOLDS, NUM_ARRAYS };

static const array_kind decode_arrays[NUM_ARRAYS] = {
    {"scores", 1, 'f', 1}, {"out_boxes", 2, 'f', 1}, {"prompts", 1, 'q', 1},
    {"queries", 1, 'q', 1}, {"logits", 2, 'f', 0},   {"presence", 2, 'f', 0},
    {"boxes", 3, 'f', 0},   {"thresholds", 1, 'f', 0},
};

static int decode_shapes(const Py_buffer *views)
{
    const Py_ssize_t p = views[LOGITS].shape[0], q = views[LOGITS].shape[1], n = p * q;
    const Py_ssize_t shapes[NUM_ARRAYS][3] = {{n},    {n, 4}, {n},       {n},
                                              {p, q}, {p, 1}, {p, q, 4}, {p}};
    for (int k = 0; k < NUM_ARRAYS; k++)
        if (!expect_shape(decode_arrays[k].name, &views[k], shapes[k][0], shapes[k][1],
                          shapes[k][2]))
            return 0;
    return 1;
}

static PyObject *decode_outputs_py(PyObject *module, PyObject *args)
{
    PyObject *objects[NUM_ARRAYS], *result = NULL;
    Py_buffer views[NUM_ARRAYS];
    Py_ssize_t height, width;
    float overlap;
    size_t count;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOOOOnnf:decode_outputs", &objects[0], &objects[1],
                          &objects[2], &objects[3], &objects[4], &objects[5], &objects[6],
                          &objects[7], &height, &width, &overlap))
        return NULL;
    const int num_views = open_arrays(views, objects, decode_arrays, NUM_ARRAYS);
    if (PyErr_Occurred() || !decode_shapes(views))
        goto done;
    if (height < 0 || width < 0) {
        PyErr_Format(PyExc_ValueError, "frame: expected sides of 0 or more, got %zd x %zd", width,
                     height);
        goto done;
    }
    kept_detections kept = {views[SCORES].buf, views[OUT_BOXES].buf, views[PROMPTS].buf,
                            views[QUERIES].buf};
    const decoder_output output = {views[LOGITS].buf,
                                   views[PRESENCE].buf,
                                   views[BOXES].buf,
                                   views[THRESHOLDS].buf,
                                   (size_t)views[LOGITS].shape[0],
                                   (size_t)views[LOGITS].shape[1]};
    Py_BEGIN_ALLOW_THREADS
    count = decode_detections(&kept, &output, (size_t)height, (size_t)width, overlap);
    Py_END_ALLOW_THREADS
    result = PyLong_FromSize_t(count);
done:
    close_arrays(views, num_views);
    return result;
}

/* ------------------------------ methods ------------------------------ */

PyMethodDef decode_methods[] = {
    {"decode_outputs", decode_outputs_py, METH_VARARGS, decode_outputs_doc},
    {NULL, NULL, 0, NULL},
};
