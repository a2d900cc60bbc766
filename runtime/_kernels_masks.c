/* Python's door to kernels_masks.c: mask logits into bits or text. */
#include "_kernels.h"
#include "kernels_masks.h"

/* ------------------------------ arguments ------------------------------ */

/* Mask logits and the size of their frame, as a mask_logits and the frame of a rle_window. */
static int mask_arguments(PyObject *object, Py_buffer *view, mask_logits *logits,
                          rle_window *window, Py_ssize_t height, Py_ssize_t width)
{
    const Py_ssize_t most = (Py_ssize_t)MASK_MAX_SIDE;
    if (whole_array(object, view, "logits", 2, "f", "float32", 0) < 0)
        return -1;
    const Py_ssize_t rows = view->shape[0], columns = view->shape[1];
    if (rows < 1 || columns < 1 || rows > most || columns > most)
        PyErr_Format(PyExc_ValueError, "logits: expected sides of 1 to %zd, got %zd x %zd", most,
                     columns, rows);
    else if (height < 0 || width < 0 || height > most || width > most)
        PyErr_Format(PyExc_ValueError, "frame: expected sides of 0 to %zd, got %zd x %zd", most,
                     width, height);
    else if (frame_fits(height, width)) {
        *logits = (mask_logits){view->buf, (size_t)rows, (size_t)columns};
        *window = (rle_window){.frame_height = (size_t)height, .frame_width = (size_t)width};
        return 0;
    }
    PyBuffer_Release(view);
    return -1;
}

/* None -> NULL, four numbers -> box. 0, or -1 with an exception. */
static int read_box(PyObject *object, double box[4], const double **pointer)
{
    *pointer = NULL;
    if (object == Py_None)
        return 0;
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 4) {
        PyErr_Format(PyExc_TypeError, "box: expected None or a tuple of 4 numbers, got %R", object);
        return -1;
    }
    for (Py_ssize_t k = 0; k < 4; k++) {
        box[k] = PyFloat_AsDouble(PyTuple_GET_ITEM(object, k));
        if (box[k] == -1 && PyErr_Occurred())
            return -1;
    }
    *pointer = box;
    return 0;
}

/* ------------------------------ mask_window ------------------------------ */

PyDoc_STRVAR(mask_window_doc,
             "mask_window(logits, height, width, box, /) -> (x, y, width, height)\n"
             "\n"
             "The window of the frame outside of which nothing can be set. logits: (h, w)\n"
             "float32; box: None, or x1, y1, x2, y2 in pixels. Nothing: (0, 0, 0, 0).");

static PyObject *mask_window_py(PyObject *module, PyObject *args)
{
    PyObject *object, *edges;
    Py_ssize_t height, width;
    Py_buffer view;
    mask_logits logits;
    rle_window window;
    double numbers[4];
    const double *box;

    (void)module;
    if (!PyArg_ParseTuple(args, "OnnO:mask_window", &object, &height, &width, &edges) ||
        read_box(edges, numbers, &box) < 0 ||
        mask_arguments(object, &view, &logits, &window, height, width) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    mask_window(&window, &logits, box);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return Py_BuildValue("nnnn", (Py_ssize_t)window.x, (Py_ssize_t)window.y,
                         (Py_ssize_t)window.width, (Py_ssize_t)window.height);
}

/* ------------------------------ mask_to_rle ------------------------------ */

PyDoc_STRVAR(mask_to_rle_doc,
             "mask_to_rle(logits, height, width, box, scalar, /) -> str\n"
             "\n"
             "COCO's compressed RLE of the pixels whose interpolated logit is above 0, inside\n"
             "`box`. Arguments as of mask_window; scalar: leave the processor's vectors alone.");

/* One block for both: a new text of `needed` characters behind `scratch` bytes. */
static PyObject *mask_text(const mask_logits *logits, const rle_window *window, mask_path path)
{
    const size_t scratch = mask_scratch(logits, window);
    size_t capacity = 1 << 16, needed;
    for (;;) {
        char *block = PyMem_Malloc(scratch + capacity);
        if (block == NULL)
            return PyErr_NoMemory();
        Py_BEGIN_ALLOW_THREADS
        needed = mask_to_rle(block + scratch, capacity, block, logits, window, path);
        Py_END_ALLOW_THREADS
        PyObject *text = NULL;
        if (needed <= capacity)
            text = PyUnicode_DecodeASCII(block + scratch, (Py_ssize_t)needed, NULL);
        PyMem_Free(block);
        if (needed <= capacity)
            return text;
        capacity = needed;
    }
}

static PyObject *mask_to_rle_py(PyObject *module, PyObject *args)
{
    PyObject *object, *edges, *text;
    Py_ssize_t height, width;
    Py_buffer view;
    mask_logits logits;
    rle_window window;
    double numbers[4];
    const double *box;
    int scalar;

    (void)module;
    if (!PyArg_ParseTuple(args, "OnnOp:mask_to_rle", &object, &height, &width, &edges, &scalar) ||
        read_box(edges, numbers, &box) < 0 ||
        mask_arguments(object, &view, &logits, &window, height, width) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    mask_window(&window, &logits, box);
    Py_END_ALLOW_THREADS
    text = mask_text(&logits, &window, scalar ? MASK_SCALAR : MASK_FASTEST);
    PyBuffer_Release(&view);
    return text;
}

/* ------------------------------ mask_to_bits ------------------------------ */

PyDoc_STRVAR(mask_to_bits_doc,
             "mask_to_bits(bits, logits, height, width, x, y, scalar, /) -> None\n"
             "\n"
             "Fills `bits`, a writable C-contiguous 2-D buffer of bool or uint8, with the window\n"
             "at (x, y) of the height x width pixels whose interpolated logit is above 0.");

typedef void mask_fill(uint8_t *, size_t, void *, const mask_logits *, const rle_window *,
                       mask_path);

/* rows: one of the frame's each, whatever `fill` writes into it. */
static int fill_rows(mask_fill *fill, const Py_buffer *rows, const mask_logits *logits,
                     const rle_window *window, int scalar)
{
    void *scratch = PyMem_Malloc(mask_scratch(logits, window));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    fill(rows->buf, (size_t)rows->shape[1], scratch, logits, window,
         scalar ? MASK_SCALAR : MASK_FASTEST);
    Py_END_ALLOW_THREADS
    PyMem_Free(scratch);
    return 0;
}

static int read_packed_window(rle_window *window, const Py_buffer *packed, Py_ssize_t height,
                              Py_ssize_t width, Py_ssize_t x, Py_ssize_t y, Py_ssize_t columns)
{
    Py_ssize_t shape[2] = {packed->shape[0], columns};
    Py_buffer pixels = {.shape = shape};
    if (columns < 0 || packed->shape[1] != columns / 8 + (columns % 8 != 0)) {
        PyErr_Format(PyExc_ValueError,
                     "packed: expected (columns + 7) // 8 bytes a row, got %zd for %zd columns",
                     packed->shape[1], columns);
        return -1;
    }
    return read_window(window, &pixels, height, width, x, y);
}

/* columns: of pixels in a row of packed ones; NULL: a byte is a pixel. */
static PyObject *fill_target(mask_fill *fill, const char *name, PyObject *target, PyObject *object,
                             Py_ssize_t height, Py_ssize_t width, Py_ssize_t x, Py_ssize_t y,
                             const Py_ssize_t *columns, int scalar)
{
    PyObject *result = NULL;
    Py_buffer rows, view;
    mask_logits logits;
    rle_window window;

    if (mask_arguments(object, &view, &logits, &window, height, width) < 0)
        return NULL;
    if (whole_mask(target, &rows, 1) < 0)
        goto release_logits;
    if (!own_memory(name, &rows, "logits", &view) ||
        (columns == NULL ? read_window(&window, &rows, height, width, x, y)
                         : read_packed_window(&window, &rows, height, width, x, y, *columns)) < 0 ||
        fill_rows(fill, &rows, &logits, &window, scalar) < 0)
        goto release_rows;
    result = Py_NewRef(Py_None);
release_rows:
    PyBuffer_Release(&rows);
release_logits:
    PyBuffer_Release(&view);
    return result;
}

static PyObject *mask_to_bits_py(PyObject *module, PyObject *args)
{
    PyObject *target, *object;
    Py_ssize_t height, width, x, y;
    int scalar;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOnnnnp:mask_to_bits", &target, &object, &height, &width, &x, &y,
                          &scalar))
        return NULL;
    return fill_target(mask_to_bits, "mask", target, object, height, width, x, y, NULL, scalar);
}

/* ------------------------------ mask_to_packed ------------------------------ */

PyDoc_STRVAR(mask_to_packed_doc,
             "mask_to_packed(packed, logits, height, width, x, y, columns, scalar, /) -> None\n"
             "\n"
             "As mask_to_bits, eight pixels a byte: fills `packed`, a writable C-contiguous 2-D\n"
             "buffer of uint8, (columns + 7) // 8 wide, with `columns` of the pixels from (x, y).");

static PyObject *mask_to_packed_py(PyObject *module, PyObject *args)
{
    PyObject *target, *object;
    Py_ssize_t height, width, x, y, columns;
    int scalar;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOnnnnnp:mask_to_packed", &target, &object, &height, &width, &x,
                          &y, &columns, &scalar))
        return NULL;
    return fill_target(mask_to_packed, "packed", target, object, height, width, x, y, &columns,
                       scalar);
}

/* ------------------------------ mask_measure ------------------------------ */

PyDoc_STRVAR(mask_measure_doc,
             "mask_measure(bits, /) -> (area, x1, y1, x2, y2)\n"
             "\n"
             "How many pixels of a C-contiguous 2-D buffer of bool or uint8 are set, and the box\n"
             "around them, x1 <= x < x2; nothing set: five zeros.");

static PyObject *mask_measure_py(PyObject *module, PyObject *object)
{
    Py_buffer bits;
    mask_extent extent;

    (void)module;
    if (whole_mask(object, &bits, 0) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    mask_measure(&extent, bits.buf, (size_t)bits.shape[0], (size_t)bits.shape[1], bits.shape[1]);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&bits);
    return extent_tuple(&extent);
}

/* ------------------------------ methods ------------------------------ */

PyMethodDef mask_methods[] = {
    {"mask_window", mask_window_py, METH_VARARGS, mask_window_doc},
    {"mask_to_rle", mask_to_rle_py, METH_VARARGS, mask_to_rle_doc},
    {"mask_to_bits", mask_to_bits_py, METH_VARARGS, mask_to_bits_doc},
    {"mask_to_packed", mask_to_packed_py, METH_VARARGS, mask_to_packed_doc},
    {"mask_measure", mask_measure_py, METH_O, mask_measure_doc},
    {NULL, NULL, 0, NULL},
};
