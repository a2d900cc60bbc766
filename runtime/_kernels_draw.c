/* Python's door to kernels_draw.c. */
#include "_kernels.h"

#include "kernels_draw.h"

PyDoc_STRVAR(paint_masks_doc,
             "paint_masks(planes, format, height, width, masks, strength, thickness,\n"
             "            scalar=False, /) -> None\n"
             "\n"
             "Paints masks and their outlines into a frame of BGR, RGB, BGRx, RGBA or NV12, the\n"
             "first one first. planes: a tuple of writable (rows, bytes) buffers of uint8, their\n"
             "rows any distance apart. masks: a tuple of (bits, x, y, (blue, green, red)), bits a\n"
             "buffer of bool or uint8: a window at (x, y), outside which nothing is set.\n"
             "strength: 0 to 1, of the tint. thickness: of outlines, 0 to 16 pixels. scalar:\n"
             "without vector instructions, to the same bits.");

/* The views that are open, and the masks that lie in them. */
typedef struct {
    Py_buffer planes[2];
    size_t num_planes;
    Py_buffer *views; /* (number of masks,) */
    painted_mask *masks;
    size_t num_masks;
} open_buffers;

static void close_buffers(open_buffers *open)
{
    for (size_t k = 0; k < open->num_planes; k++)
        PyBuffer_Release(&open->planes[k]);
    for (size_t k = 0; k < open->num_masks; k++)
        PyBuffer_Release(&open->views[k]);
    PyMem_Free(open->views);
    PyMem_Free(open->masks);
}

/* ------------------------------ the frame ------------------------------ */

static int read_canvas(canvas *frame, const char *format, Py_ssize_t height, Py_ssize_t width)
{
    if (read_format(&frame->format, format) < 0)
        return -1;
    if (!is_drawable(frame->format)) {
        PyErr_Format(PyExc_ValueError, "format: expected BGR, RGB, BGRx, RGBA or NV12, got '%s'",
                     format);
        return -1;
    }
    if (height < 1 || height > PICTURE_MAX_SIDE || width < 1 || width > PICTURE_MAX_SIDE) {
        PyErr_Format(PyExc_ValueError, "picture: expected sides of 1 to %d pixels, got %zd x %zd",
                     PICTURE_MAX_SIDE, width, height);
        return -1;
    }
    frame->height = (size_t)height;
    frame->width = (size_t)width;
    return 0;
}

static int check_plane(const Py_buffer *view, plane_size size)
{
    if (view->shape[0] != (Py_ssize_t)size.height || view->shape[1] != (Py_ssize_t)size.bytes)
        PyErr_Format(PyExc_ValueError, "plane: expected %zu rows of %zu bytes, got %zd of %zd",
                     size.height, size.bytes, view->shape[0], view->shape[1]);
    else if (view->strides[1] != 1 && size.bytes > 1)
        PyErr_Format(PyExc_ValueError,
                     "plane: expected the bytes of a row side by side, got one every %zd",
                     view->strides[1]);
    else if (view->readonly)
        PyErr_SetString(PyExc_ValueError,
                        "plane: expected an array to write, got a read-only one");
    else
        return 0;
    return -1;
}

static int read_planes(canvas *frame, open_buffers *open, PyObject *planes)
{
    plane_size sizes[3];
    const size_t num = plane_sizes(sizes, frame->format, frame->height, frame->width);

    if (!PyTuple_Check(planes)) {
        PyErr_Format(PyExc_TypeError, "planes: expected a tuple, got %s", Py_TYPE(planes)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(planes) != (Py_ssize_t)num) {
        PyErr_Format(PyExc_ValueError, "planes: expected %zu of %s, got %zd", num,
                     format_names[frame->format], PyTuple_GET_SIZE(planes));
        return -1;
    }
    for (size_t k = 0; k < num; k++) {
        Py_buffer *view = &open->planes[k];
        if (byte_buffer(PyTuple_GET_ITEM(planes, (Py_ssize_t)k), view, 2, "plane") < 0)
            return -1;
        open->num_planes = k + 1;
        if (check_plane(view, sizes[k]) < 0)
            return -1;
        frame->planes[k].pixels = view->buf;
        frame->planes[k].stride = view->strides[0];
    }
    return 0;
}

/* ------------------------------ masks ------------------------------ */

static int read_colour(painted_mask *mask, const int bgr[3])
{
    for (int k = 0; k < 3; k++) {
        if (bgr[k] < 0 || bgr[k] > 255) {
            PyErr_Format(PyExc_ValueError,
                         "mask: expected a colour of bytes, 0 to 255, got (%d, %d, %d)", bgr[0],
                         bgr[1], bgr[2]);
            return -1;
        }
        mask->bgr[k] = (uint8_t)bgr[k];
    }
    return 0;
}

static int check_bits(const open_buffers *open, const Py_buffer *bits)
{
    if (bits->strides[1] != 1 && bits->shape[1] > 1) {
        PyErr_Format(PyExc_ValueError,
                     "mask: expected the bits of a row side by side, got one every %zd bytes",
                     bits->strides[1]);
        return -1;
    }
    for (size_t k = 0; k < open->num_planes; k++)
        if (!own_memory("mask", &open->planes[k], "a plane", bits))
            return -1;
    return 0;
}

static int read_mask(painted_mask *mask, const canvas *frame, open_buffers *open, PyObject *entry)
{
    Py_buffer *bits = &open->views[open->num_masks];
    PyObject *object;
    Py_ssize_t x, y;
    rle_window window;
    int bgr[3];

    if (!PyTuple_Check(entry)) {
        PyErr_Format(PyExc_TypeError, "mask: expected (bits, x, y, (blue, green, red)), got %s",
                     Py_TYPE(entry)->tp_name);
        return -1;
    }
    if (!PyArg_ParseTuple(entry, "Onn(iii):mask", &object, &x, &y, &bgr[0], &bgr[1], &bgr[2]) ||
        read_colour(mask, bgr) < 0 || byte_mask(object, bits, PyBUF_STRIDED_RO) < 0)
        return -1;
    open->num_masks++;
    if (check_bits(open, bits) < 0 ||
        read_window(&window, bits, (Py_ssize_t)frame->height, (Py_ssize_t)frame->width, x, y) < 0)
        return -1;
    mask->bits = bits->buf;
    mask->stride = bits->strides[0];
    mask->x = window.x;
    mask->y = window.y;
    mask->height = window.height;
    mask->width = window.width;
    return 0;
}

static int read_masks(const canvas *frame, open_buffers *open, PyObject *masks)
{
    if (!PyTuple_Check(masks)) {
        PyErr_Format(PyExc_TypeError, "masks: expected a tuple, got %s", Py_TYPE(masks)->tp_name);
        return -1;
    }
    const Py_ssize_t num = PyTuple_GET_SIZE(masks);
    open->views = PyMem_Calloc((size_t)num, sizeof *open->views);
    open->masks = PyMem_Calloc((size_t)num, sizeof *open->masks);
    if (open->views == NULL || open->masks == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t k = 0; k < num; k++)
        if (read_mask(&open->masks[k], frame, open, PyTuple_GET_ITEM(masks, k)) < 0)
            return -1;
    return 0;
}

/* ------------------------------ paint_masks ------------------------------ */

static int read_style(paint_style *style, double strength, double thickness)
{
    char text[32];
    const int is_strength = strength >= 0 && strength <= 1;
    if (is_strength && thickness >= 0 && thickness <= DRAW_MAX_THICKNESS) {
        style->strength = (unsigned)(strength * DRAW_OPAQUE + 0.5);
        style->thickness = thickness;
        return 0;
    }
    PyOS_snprintf(text, sizeof text, "%g", is_strength ? thickness : strength);
    PyErr_Format(PyExc_ValueError, "%s: expected 0 to %d, got %s",
                 is_strength ? "thickness" : "strength", is_strength ? DRAW_MAX_THICKNESS : 1,
                 text);
    return -1;
}

static PyObject *paint_masks_py(PyObject *module, PyObject *args)
{
    PyObject *planes, *masks, *result = NULL;
    const char *format;
    Py_ssize_t height, width;
    double strength, thickness;
    int scalar = 0;
    canvas frame = {0};
    paint_style style;
    open_buffers open = {0};

    (void)module;
    if (!PyArg_ParseTuple(args, "OsnnOdd|p:paint_masks", &planes, &format, &height, &width, &masks,
                          &strength, &thickness, &scalar))
        return NULL;
    if (read_canvas(&frame, format, height, width) < 0 ||
        read_style(&style, strength, thickness) < 0)
        return NULL;
    if (read_planes(&frame, &open, planes) == 0 && read_masks(&frame, &open, masks) == 0) {
        Py_BEGIN_ALLOW_THREADS
        paint_masks(&frame, open.masks, open.num_masks, &style,
                    scalar ? DRAW_SCALAR : DRAW_FASTEST);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    }
    close_buffers(&open);
    return result;
}

PyMethodDef draw_methods[] = {
    {"paint_masks", paint_masks_py, METH_VARARGS, paint_masks_doc},
    {NULL, NULL, 0, NULL},
};
