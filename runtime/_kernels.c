/* Python's door to kernels.c: checks buffers, releases the GIL, calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

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

/* ------------------------------ module ------------------------------ */

static PyMethodDef methods[] = {
    {"encode_rle", encode_rle, METH_VARARGS, encode_rle_doc},
    {"decode_rle", decode_rle, METH_VARARGS, decode_rle_doc},
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
