/* Python's door to kernels*.c: the module. What it holds is in the other files named _kernels*.c. */
#include "_kernels.h"

static int add_methods(PyObject *module)
{
    PyMethodDef *const tables[] = {
        rle_methods,    preprocess_methods,  mask_methods,
        decode_methods, association_methods, draw_methods,
    };
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++)
        if (PyModule_AddFunctions(module, tables[k]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_methods},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sam3_edge.runtime._kernels",
    .m_doc = "The data path's kernels in C. Use the modules that wrap them, such as rle.py.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&module);
}
