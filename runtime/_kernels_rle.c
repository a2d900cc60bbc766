/* Python's door to kernels_rle.h: masks as text. */
#include "_kernels.h"

/* ------------------------------ text ------------------------------ */

int read_rle(PyObject *object, const char *name, rle_text *text)
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a str, got %s", name,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    const Py_ssize_t length = PyUnicode_GetLength(object);
    if (length < 0)
        return -1;
    if (PyUnicode_IS_ASCII(object)) {
        *text = (rle_text){(const char *)PyUnicode_1BYTE_DATA(object), (size_t)length};
        return 0;
    }
    Py_ssize_t k = 0;
    while (PyUnicode_READ_CHAR(object, k) < 0x80)
        k++;
    PyErr_Format(PyExc_ValueError, "%s: expected characters from '0' to 'o', got U+%04x at %zd",
                 name, (unsigned)PyUnicode_READ_CHAR(object, k), k);
    return -1;
}

/* For PyArg_ParseTuple's O& into an rle_text. */
static int convert_rle(PyObject *object, void *text)
{
    return read_rle(object, "RLE", text) == 0;
}

void refuse_rle(rle_status status, size_t where, const char *name, const rle_text *text,
                Py_ssize_t height, Py_ssize_t width)
{
    switch (status) {
    case RLE_OK:
        break;
    case RLE_CHARACTER:
        PyErr_Format(PyExc_ValueError,
                     "%s: expected characters from '0' to 'o', got byte 0x%02x at %zu", name,
                     (unsigned char)text->characters[where], where);
        break;
    case RLE_CUT:
        PyErr_Format(PyExc_ValueError, "%s: expected the last run to be whole, got its beginning",
                     name);
        break;
    case RLE_RANGE:
        PyErr_Format(PyExc_ValueError,
                     "%s: expected a run of 0 to 4294967295 pixels, got another at character %zu",
                     name, where);
        break;
    case RLE_LONG:
        PyErr_Format(PyExc_ValueError,
                     "%s: expected %zd pixels (%zd x %zd), got more from character %zu on", name,
                     height * width, width, height, where);
        break;
    case RLE_SHORT:
        PyErr_Format(PyExc_ValueError, "%s: expected %zd pixels (%zd x %zd), got %zu", name,
                     height * width, width, height, where);
        break;
    }
}

/* ------------------------------ encode_rle ------------------------------ */

PyDoc_STRVAR(encode_rle_doc,
             "encode_rle(bits, height, width, x, y, /) -> str\n"
             "\n"
             "COCO's compressed RLE of a height x width mask that is `bits` at (x, y) and zero\n"
             "elsewhere. bits: 2-D buffer of bool or uint8, nonzero = object, any strides.");

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
             "decode_rle(bits, counts, height, width, x, y, /) -> None\n"
             "\n"
             "Fills `bits`, a writable C-contiguous 2-D buffer of bool or uint8, with what lies at\n"
             "(x, y) of a height x width mask in COCO's compressed RLE. Raises ValueError, and\n"
             "writes nothing, where `counts` is not one of a mask that size.");

static PyObject *decode_rle(PyObject *module, PyObject *args)
{
    PyObject *object, *result = NULL;
    rle_text text;
    Py_ssize_t height, width, x, y;
    Py_buffer bits;
    rle_window window;
    rle_status status;
    size_t where = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO&nnnn:decode_rle", &object, convert_rle, &text, &height, &width,
                          &x, &y) ||
        !rle_frame(height, width) || whole_mask(object, &bits, 1) < 0)
        return NULL;
    if (read_window(&window, &bits, height, width, x, y) == 0) {
        Py_BEGIN_ALLOW_THREADS
        status = rle_decode(bits.buf, &window, text.characters, text.length, &where);
        Py_END_ALLOW_THREADS
        if (status == RLE_OK)
            result = Py_NewRef(Py_None);
        else
            refuse_rle(status, where, "RLE", &text, height, width);
    }
    PyBuffer_Release(&bits);
    return result;
}

/* ------------------------------ rle_measure ------------------------------ */

PyDoc_STRVAR(rle_measure_doc,
             "rle_measure(counts, height, width, /) -> (area, x1, y1, x2, y2)\n"
             "\n"
             "mask_measure of what `counts` decodes to. Raises ValueError as decode_rle does.");

static PyObject *rle_measure_py(PyObject *module, PyObject *args)
{
    rle_text text;
    Py_ssize_t height, width;
    mask_extent extent;
    size_t where;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&nn:rle_measure", convert_rle, &text, &height, &width) ||
        !rle_frame(height, width))
        return NULL;
    const rle_status status =
        rle_measure(&extent, (size_t)height, (size_t)width, text.characters, text.length, &where);
    if (status == RLE_OK)
        return extent_tuple(&extent);
    refuse_rle(status, where, "RLE", &text, height, width);
    return NULL;
}

/* ------------------------------ rle_intersect ------------------------------ */

PyDoc_STRVAR(rle_intersect_doc,
             "rle_intersect(a, b, height, width, /) -> (area of a, area of b, area of both)\n"
             "\n"
             "Counted on the runs. Raises ValueError as decode_rle does, of whichever is refused.");

static PyObject *rle_intersect_py(PyObject *module, PyObject *args)
{
    rle_text a, b;
    Py_ssize_t height, width;
    rle_overlap overlap;
    size_t where;
    int refused;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&nn:rle_intersect", convert_rle, &a, convert_rle, &b, &height,
                          &width) ||
        !rle_frame(height, width))
        return NULL;
    const char *const texts[2] = {a.characters, b.characters};
    const size_t lengths[2] = {a.length, b.length};
    const rle_status status = rle_intersect(&overlap, (uint64_t)height * (uint64_t)width, texts,
                                            lengths, &refused, &where);
    if (status == RLE_OK)
        return Py_BuildValue("KKK", (unsigned long long)overlap.first,
                             (unsigned long long)overlap.second, (unsigned long long)overlap.both);
    refuse_rle(status, where, "RLE", refused ? &b : &a, height, width);
    return NULL;
}

/* ------------------------------ methods ------------------------------ */

PyMethodDef rle_methods[] = {
    {"encode_rle", encode_rle, METH_VARARGS, encode_rle_doc},
    {"decode_rle", decode_rle, METH_VARARGS, decode_rle_doc},
    {"rle_measure", rle_measure_py, METH_VARARGS, rle_measure_doc},
    {"rle_intersect", rle_intersect_py, METH_VARARGS, rle_intersect_doc},
    {NULL, NULL, 0, NULL},
};
