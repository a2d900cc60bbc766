/* What the files that know Python (_kernels*.c) share. Each only checks buffers, releases the GIL
 * and calls kernels*.c, which know no Python. A function that refuses has set an exception. */
#ifndef SAM3_EDGE_PYTHON_KERNELS_H
#define SAM3_EDGE_PYTHON_KERNELS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels_rle.h"
#include "kernels_preprocess.h"

/* ------------------------------ buffers ------------------------------ */

/* Each fills `view`, to be released after 0; -1 with an exception and nothing to release. */

/* 2-D, of single bytes (bool or uint8). flags: PyBUF_STRIDED_RO, or what else is asked for. */
int byte_mask(PyObject *object, Py_buffer *view, int flags);

/* byte_mask of a C-contiguous array. */
int whole_mask(PyObject *object, Py_buffer *view, int writable);

/* uint8 of `ndim` dimensions, any strides. name: what messages call it. */
int byte_buffer(PyObject *object, Py_buffer *view, int ndim, const char *name);

/* C-contiguous and aligned, of num_dimensions of struct's type `format`, which messages call
 * `type`. */
int whole_array(PyObject *object, Py_buffer *view, const char *name, int num_dimensions,
                const char *format, const char *type, int writable);

/* One of several arrays of a call that whole_array opens. */
typedef struct {
    const char *name;
    int num_dimensions;
    char format; /* 'f': float32, 'q': int64 */
    int writable;
} array_kind;

/* 1, or 0 with an exception where `written` lies in memory of `other`. */
int own_memory(const char *name, const Py_buffer *written, const char *other_name,
               const Py_buffer *other);

/* Opens all of them, and refuses memory of one that is written in another. Returns how many views
 * there are to close; an exception is set unless all are good. */
int open_arrays(Py_buffer *views, PyObject *const *objects, const array_kind *kinds, int num);

void close_arrays(Py_buffer *views, int num);

/* 1, or 0 with an exception unless `view` has the shape (first, second, third), as far as it has
 * dimensions. */
int expect_shape(const char *name, const Py_buffer *view, Py_ssize_t first, Py_ssize_t second,
                 Py_ssize_t third);

/* ------------------------------ frames and windows ------------------------------ */

/* 1, or 0 with an exception: does RLE count the pixels of such a frame? Sides of 0 or more. */
int frame_fits(Py_ssize_t height, Py_ssize_t width);

/* The window of `bits` at (x, y) of a frame. 0, or -1 with an exception where it leaves it. */
int read_window(rle_window *window, const Py_buffer *bits, Py_ssize_t height, Py_ssize_t width,
                Py_ssize_t x, Py_ssize_t y);

/* 1, or 0 with an exception: sides of 0 or more, and frame_fits. */
int rle_frame(Py_ssize_t height, Py_ssize_t width);

/* The characters of a str, as long as that lives. */
typedef struct {
    const char *characters;
    size_t length;
} rle_text;

/* 0, or -1 with an exception for what is no str of ASCII. name: what messages call it. */
int read_rle(PyObject *object, const char *name, rle_text *text);

/* Sets the exception of a text that a kernel refused. */
void refuse_rle(rle_status status, size_t where, const char *name, const rle_text *text,
                Py_ssize_t height, Py_ssize_t width);

/* (area, x1, y1, x2, y2) */
PyObject *extent_tuple(const mask_extent *extent);

extern const char *const format_names[NUM_FORMATS];

/* 0, or -1 with an exception where there is no format of that name. */
int read_format(pixel_format *format, const char *name);

/* ------------------------------ methods ------------------------------ */

/* Each ends with zeros. */
extern PyMethodDef rle_methods[], preprocess_methods[], mask_methods[], decode_methods[],
    association_methods[], draw_methods[];

#endif
