/* Python's door to kernels.c: checks buffers, releases the GIL, calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"
#include "kernels_masks.h"
#include "kernels_decode.h"
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

static void refuse(rle_status status, size_t where, const char *text, Py_ssize_t height,
                   Py_ssize_t width)
{
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
        refuse(status, where, text, mask.shape[0], mask.shape[1]);
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

/* ------------------------------ arrays ------------------------------ */

/* Fills `view` with a C-contiguous buffer of num_dimensions of struct's type `format`, which
 * messages call `type`. 0, or -1 with an exception. */
static int whole_array(PyObject *object, Py_buffer *view, const char *name, int num_dimensions,
                       const char *format, const char *type, int writable)
{
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0)
        return -1;
    const char *got = view->format ? view->format : "B";
    if (view->ndim != num_dimensions || strcmp(got, format) != 0)
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

static int fill_bits(const Py_buffer *bits, const mask_logits *logits, const rle_window *window,
                     mask_path path)
{
    void *scratch = PyMem_Malloc(mask_scratch(logits, window));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    mask_to_bits(bits->buf, window->width, scratch, logits, window, path);
    Py_END_ALLOW_THREADS
    PyMem_Free(scratch);
    return 0;
}

static PyObject *mask_to_bits_py(PyObject *module, PyObject *args)
{
    PyObject *target, *object, *result = NULL;
    Py_ssize_t height, width, x, y;
    Py_buffer bits, view;
    mask_logits logits;
    rle_window window;
    int scalar;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOnnnnp:mask_to_bits", &target, &object, &height, &width, &x, &y,
                          &scalar) ||
        mask_arguments(object, &view, &logits, &window, height, width) < 0)
        return NULL;
    if (byte_mask(target, &bits, PyBUF_STRIDED_RO) < 0)
        goto release_logits;
    if (bits.readonly || !PyBuffer_IsContiguous(&bits, 'C')) {
        PyErr_Format(PyExc_ValueError,
                     "mask: expected a writable C-contiguous array, got one that is %s",
                     bits.readonly ? "read-only" : "not contiguous");
        goto release_bits;
    }
    if (read_window(&window, &bits, height, width, x, y) < 0 ||
        fill_bits(&bits, &logits, &window, scalar ? MASK_SCALAR : MASK_FASTEST) < 0)
        goto release_bits;
    result = Py_NewRef(Py_None);
release_bits:
    PyBuffer_Release(&bits);
release_logits:
    PyBuffer_Release(&view);
    return result;
}

/* ------------------------------ mask_measure ------------------------------ */

PyDoc_STRVAR(mask_measure_doc,
             "mask_measure(bits, /) -> (area, x1, y1, x2, y2)\n"
             "\n"
             "How many pixels of a C-contiguous 2-D buffer of bool or uint8 are set, and the box\n"
             "around them, x1 <= x < x2; nothing set: five zeros.");

static PyObject *extent_tuple(const mask_extent *extent)
{
    return Py_BuildValue("Knnnn", (unsigned long long)extent->area, (Py_ssize_t)extent->x1,
                         (Py_ssize_t)extent->y1, (Py_ssize_t)extent->x2, (Py_ssize_t)extent->y2);
}

static PyObject *mask_measure_py(PyObject *module, PyObject *object)
{
    Py_buffer bits;
    mask_extent extent;

    (void)module;
    if (byte_mask(object, &bits, PyBUF_STRIDED_RO) < 0)
        return NULL;
    if (!PyBuffer_IsContiguous(&bits, 'C')) {
        PyErr_SetString(PyExc_ValueError,
                        "mask: expected a C-contiguous array, got one that is not contiguous");
        PyBuffer_Release(&bits);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    mask_measure(&extent, bits.buf, (size_t)bits.shape[0], (size_t)bits.shape[1], bits.shape[1]);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&bits);
    return extent_tuple(&extent);
}

/* ------------------------------ rle_measure ------------------------------ */

PyDoc_STRVAR(rle_measure_doc,
             "rle_measure(counts, height, width, /) -> (area, x1, y1, x2, y2)\n"
             "\n"
             "mask_measure of what `counts` decodes to. Raises ValueError as decode_rle does.");

static int rle_frame(Py_ssize_t height, Py_ssize_t width)
{
    if (height >= 0 && width >= 0)
        return frame_fits(height, width);
    PyErr_Format(PyExc_ValueError, "RLE: expected sides of 0 or more, got %zd x %zd", width,
                 height);
    return 0;
}

static PyObject *rle_measure_py(PyObject *module, PyObject *args)
{
    const char *text;
    Py_ssize_t length, height, width;
    mask_extent extent;
    size_t where;

    (void)module;
    if (!PyArg_ParseTuple(args, "s#nn:rle_measure", &text, &length, &height, &width) ||
        !rle_frame(height, width))
        return NULL;
    const rle_status status =
        rle_measure(&extent, (size_t)height, (size_t)width, text, (size_t)length, &where);
    if (status == RLE_OK)
        return extent_tuple(&extent);
    refuse(status, where, text, height, width);
    return NULL;
}

/* ------------------------------ rle_intersect ------------------------------ */

PyDoc_STRVAR(rle_intersect_doc,
             "rle_intersect(a, b, height, width, /) -> (area of a, area of b, area of both)\n"
             "\n"
             "Counted on the runs. Raises ValueError as decode_rle does, of whichever is refused.");

static PyObject *rle_intersect_py(PyObject *module, PyObject *args)
{
    const char *text[2];
    Py_ssize_t lengths[2], height, width;
    rle_overlap overlap;
    size_t where;
    int refused;

    (void)module;
    if (!PyArg_ParseTuple(args, "s#s#nn:rle_intersect", &text[0], &lengths[0], &text[1],
                          &lengths[1], &height, &width) ||
        !rle_frame(height, width))
        return NULL;
    const size_t length[2] = {(size_t)lengths[0], (size_t)lengths[1]};
    const rle_status status = rle_intersect(&overlap, (uint64_t)height * (uint64_t)width, text,
                                            length, &refused, &where);
    if (status == RLE_OK)
        return Py_BuildValue("KKK", (unsigned long long)overlap.first,
                             (unsigned long long)overlap.second, (unsigned long long)overlap.both);
    refuse(status, where, text[refused], height, width);
    return NULL;
}

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

static const struct {
    const char *name;
    int num_dimensions;
} decode_arrays[NUM_ARRAYS] = {
    {"scores", 1}, {"out_boxes", 2}, {"prompts", 1}, {"queries", 1},
    {"logits", 2}, {"presence", 2},  {"boxes", 3},   {"thresholds", 1},
};

static int expect_shape(const char *name, const Py_buffer *view, Py_ssize_t first,
                        Py_ssize_t second, Py_ssize_t third)
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
    int num_views = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOOOOnnf:decode_outputs", &objects[0], &objects[1],
                          &objects[2], &objects[3], &objects[4], &objects[5], &objects[6],
                          &objects[7], &height, &width, &overlap))
        return NULL;
    for (; num_views < NUM_ARRAYS; num_views++) {
        const int is_index = num_views == PROMPTS || num_views == QUERIES;
        if (whole_array(objects[num_views], &views[num_views], decode_arrays[num_views].name,
                        decode_arrays[num_views].num_dimensions, is_index ? "l" : "f",
                        is_index ? "int64" : "float32", num_views < LOGITS) < 0)
            goto done;
    }
    if (!decode_shapes(views))
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
    while (num_views > 0)
        PyBuffer_Release(&views[--num_views]);
    return result;
}

/* ------------------------------ box_iou ------------------------------ */

PyDoc_STRVAR(box_iou_doc,
             "box_iou(ious, a, b, /) -> None\n"
             "\n"
             "Fills ious (N, M) with the intersection over union of boxes a (N, 4) and b (M, 4),\n"
             "xyxy, all float32.");

static PyObject *box_iou_py(PyObject *module, PyObject *args)
{
    static const char *const names[3] = {"ious", "a", "b"};
    PyObject *objects[3], *result = NULL;
    Py_buffer views[3];
    int num_views = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:box_iou", &objects[0], &objects[1], &objects[2]))
        return NULL;
    for (; num_views < 3; num_views++)
        if (whole_array(objects[num_views], &views[num_views], names[num_views], 2, "f", "float32",
                        num_views == 0) < 0)
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
    while (num_views > 0)
        PyBuffer_Release(&views[--num_views]);
    return result;
}

/* ------------------------------ module ------------------------------ */

static PyMethodDef methods[] = {
    {"encode_rle", encode_rle, METH_VARARGS, encode_rle_doc},
    {"decode_rle", decode_rle, METH_VARARGS, decode_rle_doc},
    {"line_filter", new_line_filter, METH_VARARGS, line_filter_doc},
    {"preprocess", preprocess, METH_VARARGS, preprocess_doc},
    {"mask_window", mask_window_py, METH_VARARGS, mask_window_doc},
    {"mask_to_rle", mask_to_rle_py, METH_VARARGS, mask_to_rle_doc},
    {"mask_to_bits", mask_to_bits_py, METH_VARARGS, mask_to_bits_doc},
    {"mask_measure", mask_measure_py, METH_O, mask_measure_doc},
    {"rle_measure", rle_measure_py, METH_VARARGS, rle_measure_doc},
    {"rle_intersect", rle_intersect_py, METH_VARARGS, rle_intersect_doc},
    {"decode_outputs", decode_outputs_py, METH_VARARGS, decode_outputs_doc},
    {"box_iou", box_iou_py, METH_VARARGS, box_iou_doc},
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
