/* Python's door to kernels_preprocess.c: frames into the network's square. */
#include "_kernels.h"

/* ------------------------------ line_filter ------------------------------ */

#define LINE_FILTER "sam3_edge.line_filter"

PyDoc_STRVAR(line_filter_doc,
             "line_filter(num_in, num_out, /) -> a capsule\n"
             "\n"
             "The weights that `preprocess` makes num_out lines of num_in with; to be kept.");

static void free_line_filter(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, LINE_FILTER));
}

/* One piece of memory: the filter, its ranges, its weights. */
static line_filter *allocate_filter(size_t num_in, size_t num_out)
{
    const size_t num_taps = filter_taps(num_in, num_out);
    const size_t ranges = num_out * sizeof(tap_range);
    line_filter *filter =
        PyMem_Malloc(sizeof *filter + ranges + num_out * num_taps * sizeof(int16_t));
    if (filter == NULL)
        return NULL;
    filter->num_in = num_in;
    filter->num_out = num_out;
    filter->num_taps = num_taps;
    filter->ranges = (tap_range *)(filter + 1);
    filter->weights = (int16_t *)(filter->ranges + num_out);
    return filter;
}

static PyObject *new_line_filter(PyObject *module, PyObject *args)
{
    Py_ssize_t num_in, num_out;

    (void)module;
    if (!PyArg_ParseTuple(args, "nn:line_filter", &num_in, &num_out))
        return NULL;
    if (num_in < 1 || num_in > PICTURE_MAX_SIDE || num_out < 1 || num_out > PICTURE_MAX_SIDE)
        return PyErr_Format(PyExc_ValueError, "filter: expected 1 to %d lines, got %zd to %zd",
                            PICTURE_MAX_SIDE, num_in, num_out);
    line_filter *filter = allocate_filter((size_t)num_in, (size_t)num_out);
    if (filter == NULL)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    fill_filter(filter);
    Py_END_ALLOW_THREADS
    PyObject *capsule = PyCapsule_New(filter, LINE_FILTER, free_line_filter);
    if (capsule == NULL)
        PyMem_Free(filter);
    return capsule;
}

/* ------------------------------ preprocess ------------------------------ */

PyDoc_STRVAR(preprocess_doc,
             "preprocess(out, planes, format, height, width, rows, columns, scalar=False, /)\n"
             "\n"
             "Fills `out`, a writable C-contiguous (S, S, 3) buffer of uint8, with the RGB\n"
             "picture of a frame. planes: a tuple of (rows, bytes) buffers of uint8, as\n"
             "kernels_preprocess.h lists them by format; their rows may be any distance apart.\n"
             "rows, columns: the filters from height and from width to S. scalar: without vector\n"
             "instructions, to the same bits.");

const char *const format_names[NUM_FORMATS] = {
    [FORMAT_BGR] = "BGR",   [FORMAT_RGB] = "RGB",     [FORMAT_BGRX] = "BGRx",
    [FORMAT_RGBA] = "RGBA", [FORMAT_GRAY8] = "GRAY8", [FORMAT_NV12] = "NV12",
    [FORMAT_I420] = "I420", [FORMAT_YUY2] = "YUY2",
};

int read_format(pixel_format *format, const char *name)
{
    for (int k = 0; k < NUM_FORMATS; k++) {
        if (strcmp(name, format_names[k]) == 0) {
            *format = (pixel_format)k;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "format: expected BGR, RGB, BGRx, RGBA, GRAY8, NV12, I420 or YUY2, got '%s'",
                 name);
    return -1;
}

static int read_plane(picture_plane *plane, const Py_buffer *view, plane_size size)
{
    if (view->shape[0] != (Py_ssize_t)size.height || view->shape[1] != (Py_ssize_t)size.bytes) {
        PyErr_Format(PyExc_ValueError, "plane: expected %zu rows of %zu bytes, got %zd of %zd",
                     size.height, size.bytes, view->shape[0], view->shape[1]);
        return -1;
    }
    if (view->strides[1] != 1 && size.bytes > 1) {
        PyErr_Format(PyExc_ValueError,
                     "plane: expected the bytes of a row side by side, got one every %zd",
                     view->strides[1]);
        return -1;
    }
    plane->pixels = view->buf;
    plane->stride = view->strides[0];
    return 0;
}

/* Fills frame->planes and the views they lie in, all zero before. 0, or -1 with an exception;
 * the views are to be released in both cases. */
static int read_planes(picture *frame, Py_buffer views[3], PyObject *planes)
{
    plane_size sizes[3];
    const size_t num = plane_sizes(sizes, frame->format, frame->height, frame->width);
    const char *name = format_names[frame->format];

    if (!PyTuple_Check(planes)) {
        PyErr_Format(PyExc_TypeError, "planes: expected a tuple, got %s", Py_TYPE(planes)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(planes) != (Py_ssize_t)num) {
        PyErr_Format(PyExc_ValueError, "planes: expected %zu of %s, got %zd", num, name,
                     PyTuple_GET_SIZE(planes));
        return -1;
    }
    for (size_t k = 0; k < num; k++) {
        PyObject *plane = PyTuple_GET_ITEM(planes, (Py_ssize_t)k);
        if (byte_buffer(plane, &views[k], 2, "plane") < 0)
            return -1;
        if (read_plane(&frame->planes[k], &views[k], sizes[k]) < 0)
            return -1;
    }
    return 0;
}

static int read_sides(picture *frame, Py_ssize_t height, Py_ssize_t width)
{
    if (height < 1 || height > PICTURE_MAX_SIDE || width < 1 || width > PICTURE_MAX_SIDE) {
        PyErr_Format(PyExc_ValueError, "picture: expected sides of 1 to %d pixels, got %zd x %zd",
                     PICTURE_MAX_SIDE, width, height);
        return -1;
    }
    frame->height = (size_t)height;
    frame->width = (size_t)width;
    return 0;
}

static int open_square(PyObject *object, Py_buffer *out)
{
    if (byte_buffer(object, out, 3, "out") < 0)
        return -1;
    const Py_ssize_t *shape = out->shape;
    const int square = shape[0] == shape[1] && shape[0] >= 1 && shape[0] <= PICTURE_MAX_SIDE;
    const int contiguous = PyBuffer_IsContiguous(out, 'C');
    if (square && shape[2] == 3 && contiguous && !out->readonly)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "out: expected (S, S, 3) with S from 1 to %d, C-contiguous and writable, got "
                 "(%zd, %zd, %zd), %s and %s",
                 PICTURE_MAX_SIDE, shape[0], shape[1], shape[2],
                 contiguous ? "C-contiguous" : "not C-contiguous",
                 out->readonly ? "read-only" : "writable");
    PyBuffer_Release(out);
    return -1;
}

/* views: three, all zero where there is no plane. 1, or 0 with an exception. */
static int apart_from_planes(const Py_buffer *out, const Py_buffer views[3])
{
    for (int k = 0; k < 3; k++)
        if (views[k].obj != NULL && !own_memory("out", out, "a plane", &views[k]))
            return 0;
    return 1;
}

static const line_filter *read_filter(PyObject *object, const char *name, size_t num_in,
                                      size_t num_out)
{
    if (!PyCapsule_IsValid(object, LINE_FILTER)) {
        PyErr_Format(PyExc_TypeError, "%s: expected what line_filter returns, got %s", name,
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    const line_filter *filter = PyCapsule_GetPointer(object, LINE_FILTER);
    if (filter->num_in == num_in && filter->num_out == num_out)
        return filter;
    PyErr_Format(PyExc_ValueError, "%s: expected a filter from %zu to %zu lines, got %zu to %zu",
                 name, num_in, num_out, filter->num_in, filter->num_out);
    return NULL;
}

static int fill_square(Py_buffer *out, const picture *frame, PyObject *rows, PyObject *columns,
                       int scalar)
{
    const size_t size = (size_t)out->shape[0];
    const line_filter *down = read_filter(rows, "rows", frame->height, size);
    const line_filter *across =
        down ? read_filter(columns, "columns", frame->width, size) : NULL;
    if (across == NULL)
        return -1;
    void *scratch = PyMem_Malloc(preprocess_scratch(frame, down));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    preprocess_picture(out->buf, scratch, frame, down, across, scalar ? PATH_SCALAR : PATH_FASTEST);
    Py_END_ALLOW_THREADS
    PyMem_Free(scratch);
    return 0;
}

static PyObject *preprocess(PyObject *module, PyObject *args)
{
    PyObject *object, *planes, *rows, *columns;
    const char *format;
    Py_ssize_t height, width;
    int scalar = 0, done = 0;
    picture frame = {0};
    Py_buffer out, views[3] = {{0}};

    (void)module;
    if (!PyArg_ParseTuple(args, "OOsnnOO|p:preprocess", &object, &planes, &format, &height, &width,
                          &rows, &columns, &scalar))
        return NULL;
    if (read_format(&frame.format, format) < 0 || read_sides(&frame, height, width) < 0)
        return NULL;
    if (open_square(object, &out) < 0)
        return NULL;
    if (read_planes(&frame, views, planes) == 0 && apart_from_planes(&out, views))
        done = fill_square(&out, &frame, rows, columns, scalar) == 0;
    for (size_t k = 0; k < 3; k++)
        PyBuffer_Release(&views[k]);
    PyBuffer_Release(&out);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------ methods ------------------------------ */

PyMethodDef preprocess_methods[] = {
    {"line_filter", new_line_filter, METH_VARARGS, line_filter_doc},
    {"preprocess", preprocess, METH_VARARGS, preprocess_doc},
    {NULL, NULL, 0, NULL},
};
