/* Buffers, frames and windows as the kernels take them: checked, with expected and got. */
#include "_kernels.h"

/* ------------------------------ buffers ------------------------------ */

/* NumPy refuses dtypes that struct has no letter for, such as dates: said in our words. */
static int open_buffer(PyObject *object, Py_buffer *view, int flags, const char *name)
{
    if (PyObject_GetBuffer(object, view, flags | PyBUF_FORMAT) == 0)
        return 0;
    if (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_BufferError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError,
                     "%s: expected an array of numbers in memory, got %s that gives no such buffer",
                     name, Py_TYPE(object)->tp_name);
    }
    return -1;
}

int byte_mask(PyObject *object, Py_buffer *view, int flags)
{
    if (open_buffer(object, view, flags, "mask") < 0)
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

int whole_mask(PyObject *object, Py_buffer *view, int writable)
{
    if (byte_mask(object, view, PyBUF_STRIDED_RO) < 0)
        return -1;
    const int whole = PyBuffer_IsContiguous(view, 'C');
    if (whole && !(writable && view->readonly))
        return 0;
    PyErr_Format(PyExc_ValueError, "mask: expected a %sC-contiguous array, got one that is %s",
                 writable ? "writable " : "", whole ? "read-only" : "not contiguous");
    PyBuffer_Release(view);
    return -1;
}

int byte_buffer(PyObject *object, Py_buffer *view, int ndim, const char *name)
{
    if (open_buffer(object, view, PyBUF_STRIDED_RO, name) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    if (view->ndim == ndim && strcmp(format, "B") == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected %d dimensions of uint8, got %d of format '%s'",
                 name, ndim, view->ndim, format);
    PyBuffer_Release(view);
    return -1;
}

/* long and long long are both int64, and NumPy has arrays of each. */
static int same_format(const char *got, const char *expected)
{
    if (strcmp(got, expected) == 0)
        return 1;
    const int both_int64 = sizeof(long) == sizeof(long long);
    return both_int64 && (strcmp(got, "l") == 0 || strcmp(got, "q") == 0) &&
           (strcmp(expected, "l") == 0 || strcmp(expected, "q") == 0);
}

int whole_array(PyObject *object, Py_buffer *view, const char *name, int num_dimensions,
                const char *format, const char *type, int writable)
{
    if (open_buffer(object, view, PyBUF_STRIDED_RO, name) < 0)
        return -1;
    const char *got = view->format ? view->format : "B";
    if (view->ndim != num_dimensions || !same_format(got, format))
        PyErr_Format(PyExc_ValueError, "%s: expected %d dimensions of %s, got %d of format '%s'",
                     name, num_dimensions, type, view->ndim, got);
    else if (!PyBuffer_IsContiguous(view, 'C') || (uintptr_t)view->buf % (size_t)view->itemsize)
        PyErr_Format(PyExc_ValueError,
                     "%s: expected a C-contiguous, aligned array, got another; use "
                     "np.ascontiguousarray",
                     name);
    else if (writable && view->readonly)
        PyErr_Format(PyExc_ValueError, "%s: expected an array to write, got a read-only one", name);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

/* From the first byte of a view to behind its last. */
static void memory_span(const Py_buffer *view, uintptr_t *start, uintptr_t *stop)
{
    *start = *stop = (uintptr_t)view->buf;
    for (int k = 0; k < view->ndim; k++) {
        if (view->shape[k] == 0) {
            *stop = *start;
            return;
        }
        const Py_ssize_t reach = (view->shape[k] - 1) * view->strides[k];
        *(reach < 0 ? start : stop) += (uintptr_t)reach;
    }
    *stop += (uintptr_t)view->itemsize;
}

int own_memory(const char *name, const Py_buffer *written, const char *other_name,
               const Py_buffer *other)
{
    uintptr_t start, stop, other_start, other_stop;
    memory_span(written, &start, &stop);
    memory_span(other, &other_start, &other_stop);
    if (start == stop || other_start == other_stop || stop <= other_start || other_stop <= start)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s: expected memory of its own, got some of %s", name,
                 other_name);
    return 0;
}

int open_arrays(Py_buffer *views, PyObject *const *objects, const array_kind *kinds, int num)
{
    for (int k = 0; k < num; k++) {
        const char format[2] = {kinds[k].format, 0};
        if (whole_array(objects[k], &views[k], kinds[k].name, kinds[k].num_dimensions, format,
                        kinds[k].format == 'f' ? "float32" : "int64", kinds[k].writable) < 0)
            return k;
        for (int m = 0; m < k; m++)
            if ((kinds[k].writable || kinds[m].writable) &&
                !own_memory(kinds[k].name, &views[k], kinds[m].name, &views[m]))
                return k + 1;
    }
    return num;
}

void close_arrays(Py_buffer *views, int num)
{
    while (num > 0)
        PyBuffer_Release(&views[--num]);
}

int expect_shape(const char *name, const Py_buffer *view, Py_ssize_t first, Py_ssize_t second,
                 Py_ssize_t third)
{
    const Py_ssize_t expected[3] = {first, second, third};
    for (int k = 0; k < view->ndim; k++)
        if (view->shape[k] != expected[k]) {
            PyErr_Format(PyExc_ValueError, "%s: expected %zd along axis %d, got %zd", name,
                         expected[k], k, view->shape[k]);
            return 0;
        }
    return 1;
}

/* ------------------------------ frames and windows ------------------------------ */

int frame_fits(Py_ssize_t height, Py_ssize_t width)
{
    if (height == 0 || width <= (Py_ssize_t)(UINT32_MAX / (size_t)height))
        return 1;
    PyErr_Format(PyExc_ValueError, "mask: expected at most 4294967295 pixels, got %zd x %zd", width,
                 height);
    return 0;
}

int rle_frame(Py_ssize_t height, Py_ssize_t width)
{
    if (height >= 0 && width >= 0)
        return frame_fits(height, width);
    PyErr_Format(PyExc_ValueError, "RLE: expected sides of 0 or more, got %zd x %zd", width,
                 height);
    return 0;
}

int read_window(rle_window *window, const Py_buffer *bits, Py_ssize_t height,
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

PyObject *extent_tuple(const mask_extent *extent)
{
    return Py_BuildValue("Knnnn", (unsigned long long)extent->area, (Py_ssize_t)extent->x1,
                         (Py_ssize_t)extent->y1, (Py_ssize_t)extent->x2, (Py_ssize_t)extent->y2);
}
