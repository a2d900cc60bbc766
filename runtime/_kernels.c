/* Python's door to kernels.c: checks buffers, releases the GIL, calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"
#include "kernels_preprocess.h"

/* Fills `view` with a 2-D buffer of single bytes (bool or uint8). 0, or -1 with an exception. */
static int byte_mask(PyObject *object, Py_buffer *view, int flags)
{
    if (PyObject_GetBuffer(object, view, flags | PyBUF_FORMAT) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    const int bytes = strcmp(format, "?") == 0 || strcmp(format, "B") == 0;
    if (view->ndim == 2 && bytes)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "mask: expected 2 dimensions of bool or uint8, got %d of format '%s'", view->ndim,
                 format);
    PyBuffer_Release(view);
    return -1;
}

static int frame_fits(Py_ssize_t height, Py_ssize_t width)
{
    if (height == 0 || width <= (Py_ssize_t)(UINT32_MAX / (size_t)height))
        return 1;
    PyErr_Format(PyExc_ValueError, "mask: expected at most 4294967295 pixels, got %zd x %zd", width,
                 height);
    return 0;
}

/* ------------------------------ encode_rle ------------------------------ */

PyDoc_STRVAR(encode_rle_doc,
             "encode_rle(bits, height, width, x, y, /) -> str\n"
             "\n"
             "COCO's compressed RLE of a height x width mask that is `bits` at (x, y) and zero\n"
             "elsewhere. bits: 2-D buffer of bool or uint8, nonzero = object, any strides.");

static int read_window(rle_window *window, const Py_buffer *bits, Py_ssize_t height,
                       Py_ssize_t width, Py_ssize_t x, Py_ssize_t y)
{
    const Py_ssize_t h = bits->shape[0], w = bits->shape[1];
    if (x < 0 || y < 0 || h > height || w > width || x > width - w || y > height - h) {
        PyErr_Format(PyExc_ValueError,
                     "mask: expected a window inside the frame of %zd x %zd pixels, got "
                     "%zd x %zd at (%zd, %zd)",
                     width, height, w, h, x, y);
        return -1;
    }
    if (!frame_fits(height, width))
        return -1;
    window->frame_height = (size_t)height;
    window->frame_width = (size_t)width;
    window->x = (size_t)x;
    window->y = (size_t)y;
    window->height = (size_t)h;
    window->width = (size_t)w;
    return 0;
}

static PyObject *encode_window(const Py_buffer *bits, const rle_window *window)
{
    char small[4096], *text = small;
    size_t capacity = sizeof small, needed;
    PyObject *result = NULL;

    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        needed = rle_encode(text, capacity, bits->buf, bits->strides[0], bits->strides[1], window);
        Py_END_ALLOW_THREADS
        if (needed <= capacity)
            break;
        char *larger = PyMem_Realloc(text == small ? NULL : text, needed);
        if (larger == NULL) {
            PyErr_NoMemory();
            goto done;
        }
        text = larger;
        capacity = needed;
    }
    result = PyUnicode_DecodeASCII(text, (Py_ssize_t)needed, NULL);
done:
    if (text != small)
        PyMem_Free(text);
    return result;
}

static PyObject *encode_rle(PyObject *module, PyObject *args)
{
    PyObject *object;
    Py_ssize_t height, width, x, y;
    Py_buffer bits;
    rle_window window;
    PyObject *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "Onnnn:encode_rle", &object, &height, &width, &x, &y))
        return NULL;
    if (byte_mask(object, &bits, PyBUF_STRIDED_RO) < 0)
        return NULL;
    if (read_window(&window, &bits, height, width, x, y) == 0)
        result = encode_window(&bits, &window);
    PyBuffer_Release(&bits);
    return result;
}

/* ------------------------------ decode_rle ------------------------------ */

PyDoc_STRVAR(decode_rle_doc,
             "decode_rle(mask, counts, /) -> None\n"
             "\n"
             "Fills `mask`, a writable C-contiguous 2-D buffer of bool or uint8, from COCO's\n"
             "compressed RLE. Raises ValueError where `counts` is not one of a mask that size.");

static void refuse(rle_status status, size_t where, const char *text, const Py_buffer *mask)
{
    const Py_ssize_t height = mask->shape[0], width = mask->shape[1];
    switch (status) {
    case RLE_OK:
        break;
    case RLE_CHARACTER:
        PyErr_Format(PyExc_ValueError,
                     "RLE: expected characters from '0' to 'o', got byte 0x%02x at %zu",
                     (unsigned char)text[where], where);
        break;
    case RLE_CUT:
        PyErr_Format(PyExc_ValueError, "RLE: expected the last run to be whole, got its beginning");
        break;
    case RLE_RANGE:
        PyErr_Format(PyExc_ValueError,
                     "RLE: expected a run of 0 to 4294967295 pixels, got another at character %zu",
                     where);
        break;
    case RLE_LONG:
        PyErr_Format(PyExc_ValueError,
                     "RLE: expected %zd pixels (%zd x %zd), got more from character %zu on",
                     height * width, width, height, where);
        break;
    case RLE_SHORT:
        PyErr_Format(PyExc_ValueError, "RLE: expected %zd pixels (%zd x %zd), got %zu",
                     height * width, width, height, where);
        break;
    }
}

static PyObject *decode_rle(PyObject *module, PyObject *args)
{
    PyObject *object;
    const char *text;
    Py_ssize_t length;
    Py_buffer mask;
    rle_status status;
    size_t where = 0;
    int fits;

    (void)module;
    if (!PyArg_ParseTuple(args, "Os#:decode_rle", &object, &text, &length))
        return NULL;
    if (byte_mask(object, &mask, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0)
        return NULL;
    fits = frame_fits(mask.shape[0], mask.shape[1]);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        status = rle_decode(mask.buf, (size_t)mask.shape[0], (size_t)mask.shape[1], text,
                            (size_t)length, &where);
        Py_END_ALLOW_THREADS
        refuse(status, where, text, &mask);
    }
    PyBuffer_Release(&mask);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

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

static const char *const format_names[NUM_FORMATS] = {
    [FORMAT_BGR] = "BGR",   [FORMAT_RGB] = "RGB",     [FORMAT_BGRX] = "BGRx",
    [FORMAT_RGBA] = "RGBA", [FORMAT_GRAY8] = "GRAY8", [FORMAT_NV12] = "NV12",
    [FORMAT_I420] = "I420", [FORMAT_YUY2] = "YUY2",
};

static int read_format(pixel_format *format, const char *name)
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

/* Fills `view` with a buffer of uint8 of so many dimensions. 0, or -1 with an exception. */
static int byte_buffer(PyObject *object, Py_buffer *view, int ndim, const char *name)
{
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    if (view->ndim == ndim && strcmp(format, "B") == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected %d dimensions of uint8, got %d of format '%s'",
                 name, ndim, view->ndim, format);
    PyBuffer_Release(view);
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
    if (read_planes(&frame, views, planes) == 0)
        done = fill_square(&out, &frame, rows, columns, scalar) == 0;
    for (size_t k = 0; k < 3; k++)
        PyBuffer_Release(&views[k]);
    PyBuffer_Release(&out);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------ module ------------------------------ */

static PyMethodDef methods[] = {
    {"encode_rle", encode_rle, METH_VARARGS, encode_rle_doc},
    {"decode_rle", decode_rle, METH_VARARGS, decode_rle_doc},
    {"line_filter", new_line_filter, METH_VARARGS, line_filter_doc},
    {"preprocess", preprocess, METH_VARARGS, preprocess_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sam3_edge.runtime._kernels",
    .m_doc = "The data path's kernels in C. Use the modules that wrap them, such as rle.py.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&module);
}
