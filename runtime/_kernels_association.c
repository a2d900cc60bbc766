/* Python's door to what compares boxes and masks. */
#include "_kernels.h"

#include "kernels_association.h"
#include "kernels_decode.h"

/* ------------------------------ box_iou ------------------------------ */

PyDoc_STRVAR(box_iou_doc,
             "box_iou(ious, a, b, /) -> None\n"
             "\n"
             "Fills ious (N, M) with the intersection over union of boxes a (N, 4) and b (M, 4),\n"
             "xyxy, all float32.");

static const array_kind box_arrays[3] = {{"ious", 2, 'f', 1}, {"a", 2, 'f', 0}, {"b", 2, 'f', 0}};

static PyObject *box_iou_py(PyObject *module, PyObject *args)
{
    PyObject *objects[3], *result = NULL;
    Py_buffer views[3];

    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:box_iou", &objects[0], &objects[1], &objects[2]))
        return NULL;
    const int num_views = open_arrays(views, objects, box_arrays, 3);
    if (PyErr_Occurred())
        goto done;
    const Py_ssize_t num_a = views[1].shape[0], num_b = views[2].shape[0];
    if (!expect_shape("a", &views[1], num_a, 4, 0) || !expect_shape("b", &views[2], num_b, 4, 0) ||
        !expect_shape("ious", &views[0], num_a, num_b, 0))
        goto done;
    Py_BEGIN_ALLOW_THREADS
    box_iou(views[0].buf, views[1].buf, (size_t)num_a, views[2].buf, (size_t)num_b);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    close_arrays(views, num_views);
    return result;
}

/* ------------------------------ mask_iou ------------------------------ */

PyDoc_STRVAR(mask_iou_doc,
             "mask_iou(ious, a, b, height, width, /) -> None\n"
             "\n"
             "Fills ious (N, M) float32 with the intersection over union of the masks of tuples\n"
             "a and b, of N and M texts in COCO's compressed RLE. Raises ValueError as decode_rle\n"
             "does, of the first that is refused. Where b is a, every pair is compared once.");

/* The masks of a tuple and their texts, in one piece of memory with all their runs. */
typedef struct {
    size_t num;
    run_mask *masks;
    rle_text *texts;
} mask_list;

/* Bytes that a list of `num` masks wants, whose texts have `length` characters together. */
static size_t list_bytes(size_t num, size_t length)
{
    return num * (sizeof(run_mask) + sizeof(rle_text)) +
           rle_max_runs(length) * sizeof(pixel_run);
}

/* The characters of all texts together, or -1 with an exception. */
static Py_ssize_t text_length(PyObject *tuple, const char *name)
{
    Py_ssize_t sum = 0;
    char place[32];
    rle_text text;
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple of str, got %s", name,
                     Py_TYPE(tuple)->tp_name);
        return -1;
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(tuple); k++) {
        PyOS_snprintf(place, sizeof place, "%s[%zd]", name, k);
        if (read_rle(PyTuple_GET_ITEM(tuple, k), place, &text) < 0)
            return -1;
        sum += (Py_ssize_t)text.length;
    }
    return sum;
}

/* Lays the list out in `memory` of list_bytes; its texts are good and are still to be read. */
static void lay_out(mask_list *list, char *memory, PyObject *tuple)
{
    list->num = (size_t)PyTuple_GET_SIZE(tuple);
    list->masks = (run_mask *)memory;
    list->texts = (rle_text *)(list->masks + list->num);
    pixel_run *runs = (pixel_run *)(list->texts + list->num);
    for (size_t k = 0; k < list->num; k++) {
        (void)read_rle(PyTuple_GET_ITEM(tuple, (Py_ssize_t)k), "", &list->texts[k]);
        list->masks[k].runs = runs;
        runs += rle_max_runs(list->texts[k].length);
    }
}

/* What was refused, and where. */
typedef struct {
    rle_status status;
    size_t mask, where;
} refusal;

static refusal read_list(mask_list *list, Py_ssize_t height, Py_ssize_t width)
{
    refusal refused = {.status = RLE_OK};
    for (size_t k = 0; k < list->num && refused.status == RLE_OK; k++) {
        refused.mask = k;
        refused.status = rle_runs(&list->masks[k], (size_t)height, (size_t)width, list->texts[k].characters,
                                  list->texts[k].length, &refused.where);
    }
    return refused;
}

static int raise_refusal(const refusal *refused, const mask_list *list, const char *name,
                         Py_ssize_t height, Py_ssize_t width)
{
    char place[32];
    if (refused->status == RLE_OK)
        return 0;
    PyOS_snprintf(place, sizeof place, "%s[%zu]", name, refused->mask);
    refuse_rle(refused->status, refused->where, place, &list->texts[refused->mask], height, width);
    return -1;
}

/* lists: of a and b, which are one where b is a. 0, or -1 with an exception. */
static int fill_mask_ious(float *ious, mask_list *lists[2], Py_ssize_t height, Py_ssize_t width)
{
    refusal refused[2] = {{.status = RLE_OK}, {.status = RLE_OK}};
    mask_list *a = lists[0], *b = lists[1];
    Py_BEGIN_ALLOW_THREADS
    refused[0] = read_list(a, height, width);
    if (b != a)
        refused[1] = read_list(b, height, width);
    if (refused[0].status == RLE_OK && refused[1].status == RLE_OK)
        mask_iou(ious, a->masks, a->num, b->masks, b->num);
    Py_END_ALLOW_THREADS
    if (raise_refusal(&refused[0], a, "a", height, width) < 0)
        return -1;
    return raise_refusal(&refused[1], b, "b", height, width);
}

/* The memory of two tuples of texts: 0, or -1 with an exception. */
static int compare_masks(float *ious, PyObject *const tuples[2], const Py_ssize_t lengths[2],
                         Py_ssize_t height, Py_ssize_t width)
{
    mask_list a, b, *lists[2] = {&a, tuples[0] == tuples[1] ? &a : &b};
    const size_t first = list_bytes((size_t)PyTuple_GET_SIZE(tuples[0]), (size_t)lengths[0]);
    const size_t second = list_bytes((size_t)PyTuple_GET_SIZE(tuples[1]), (size_t)lengths[1]);
    char *memory = PyMem_Malloc(first + second);
    if (memory == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    lay_out(&a, memory, tuples[0]);
    if (lists[1] == &b)
        lay_out(&b, memory + first, tuples[1]);
    const int done = fill_mask_ious(ious, lists, height, width);
    PyMem_Free(memory);
    return done;
}

static PyObject *mask_iou_py(PyObject *module, PyObject *args)
{
    PyObject *object, *tuples[2], *result = NULL;
    Py_ssize_t height, width, lengths[2];
    Py_buffer view;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOOnn:mask_iou", &object, &tuples[0], &tuples[1], &height,
                          &width) ||
        !rle_frame(height, width) || (lengths[0] = text_length(tuples[0], "a")) < 0 ||
        (lengths[1] = text_length(tuples[1], "b")) < 0 ||
        whole_array(object, &view, "ious", 2, "f", "float32", 1) < 0)
        return NULL;
    if (expect_shape("ious", &view, PyTuple_GET_SIZE(tuples[0]), PyTuple_GET_SIZE(tuples[1]), 0) &&
        compare_masks(view.buf, tuples, lengths, height, width) == 0)
        result = Py_NewRef(Py_None);
    PyBuffer_Release(&view);
    return result;
}

/* ------------------------------ suppress ------------------------------ */

PyDoc_STRVAR(suppress_doc,
             "suppress(kept, ious, limit, /) -> int\n"
             "\n"
             "Fills kept (N,) int64 with the indices, ascending, that no index kept before has an\n"
             "IoU above `limit` with, and returns how many. ious: (N, N) float32, [n][k] of n\n"
             "with k. NaN is not above, and nothing is above NaN.");

static const array_kind suppress_arrays[2] = {{"kept", 1, 'q', 1}, {"ious", 2, 'f', 0}};

static PyObject *suppress_py(PyObject *module, PyObject *args)
{
    PyObject *objects[2], *result = NULL;
    Py_buffer views[2];
    float limit;
    size_t num_kept;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOf:suppress", &objects[0], &objects[1], &limit))
        return NULL;
    const int num_views = open_arrays(views, objects, suppress_arrays, 2);
    if (PyErr_Occurred())
        goto done;
    const Py_ssize_t num = views[1].shape[0];
    if (!expect_shape("ious", &views[1], num, num, 0) || !expect_shape("kept", &views[0], num, 0, 0))
        goto done;
    Py_BEGIN_ALLOW_THREADS
    num_kept = suppress(views[0].buf, views[1].buf, (size_t)num, limit);
    Py_END_ALLOW_THREADS
    result = PyLong_FromSize_t(num_kept);
done:
    close_arrays(views, num_views);
    return result;
}

/* ------------------------------ methods ------------------------------ */

PyMethodDef association_methods[] = {
    {"box_iou", box_iou_py, METH_VARARGS, box_iou_doc},
    {"mask_iou", mask_iou_py, METH_VARARGS, mask_iou_doc},
    {"suppress", suppress_py, METH_VARARGS, suppress_doc},
    {NULL, NULL, 0, NULL},
};
