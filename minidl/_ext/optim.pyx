"""Optimiser steps: one call updates all parameters of a group, by a row of optim_table.h.

The arrays come as Python lists, one list a kind (gradients, parameters, and what is remembered of them); their
addresses are collected under the GIL, then all elements are updated in one loop over parameters. Elements are
independent, so threads take runs of each.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, strcmp

from minidl._ext._real cimport real
from minidl._ext._subnormal cimport flush_subnormals, restore_subnormals
from minidl._ext._threads cimport slot_start

cdef extern from "optim_rows.h" nogil:
    ctypedef struct Row "minidl_optim_row":
        const char* name
        const char* states
        const char* numbers
        const char* options
        void (*step)(
            real sign, real decay, void** arrays, Py_ssize_t count, const double* numbers, const double* options,
        ) noexcept nogil
    const Row[] table "minidl_optim_rows"
    const int num_rows "minidl_optim_count"

cdef enum:
    MOST_KINDS = 8
    MOST_OPTIONS = 6
    BLOCK = 64


def rows():
    """The table: each optimiser's name, and the names of what it remembers, of numbers of a parameter, of options."""
    return [
        (table[i].name.decode(), *((<bytes>names).decode().split(", ") if names else [] for names in
         (table[i].states, table[i].numbers, table[i].options)))
        for i in range(num_rows)
    ]


cdef bint is_plain(const Py_buffer* view) noexcept:
    return PyBuffer_IsContiguous(view, c"C") and <size_t>view.buf % <size_t>view.itemsize == 0


def fit(list grads, list parameters):
    """Whether a step takes all of these as they are: each two of one shape and dtype, C-contiguous and aligned, and
    the parameters writable.
    """
    cdef Py_buffer grad, parameter
    cdef Py_ssize_t i
    cdef bint fits = len(grads) == len(parameters)
    for i in range(len(grads)):
        if not fits:
            break
        PyObject_GetBuffer(grads[i], &grad, PyBUF_STRIDES | PyBUF_FORMAT)
        try:
            PyObject_GetBuffer(parameters[i], &parameter, PyBUF_STRIDES | PyBUF_FORMAT)
            fits = (
                grad.ndim == parameter.ndim
                and (grad.ndim == 0 or memcmp(grad.shape, parameter.shape, grad.ndim * sizeof(Py_ssize_t)) == 0)
                and strcmp(grad.format, parameter.format) == 0
                and is_plain(&grad) and is_plain(&parameter) and not parameter.readonly
            )
            PyBuffer_Release(&parameter)
        finally:
            PyBuffer_Release(&grad)
    return fits


cdef class Buffers:
    """The memory of several lists of arrays, and numbers of each parameter; released when this goes."""

    cdef Py_buffer* views
    cdef void** addresses
    cdef double* numbers
    cdef Py_ssize_t parameters
    cdef Py_ssize_t kinds
    cdef Py_ssize_t per_parameter
    cdef Py_ssize_t held

    def __cinit__(self, list lists, list each):
        cdef Py_ssize_t kind, i
        cdef Py_buffer* view
        self.parameters, self.kinds, self.per_parameter = len(lists[0]), len(lists), len(each)
        if self.kinds > MOST_KINDS:
            raise ValueError("too many lists")
        self.views = <Py_buffer*>calloc(max(self.kinds * self.parameters, 1), sizeof(Py_buffer))
        self.addresses = <void**>calloc(max(self.kinds * self.parameters, 1), sizeof(void*))
        self.numbers = <double*>calloc(max(self.per_parameter * self.parameters, 1), sizeof(double))
        if self.views == NULL or self.addresses == NULL or self.numbers == NULL:
            raise MemoryError
        for kind in range(self.kinds):
            if lists[kind] is None:
                continue
            if len(lists[kind]) != self.parameters:
                raise ValueError("lists of different lengths")
            for i in range(self.parameters):
                view = &self.views[self.held]
                # Only the first list, the gradients, is read-only.
                PyObject_GetBuffer(lists[kind][i], view,
                                   PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if kind else 0))
                self.held += 1
                self.addresses[i * self.kinds + kind] = view.buf
                # The first list's views are the first ones.
                if view.len != self.views[i].len or view.format[0] != self.views[i].format[0]:
                    raise ValueError("arrays of different sizes or dtypes")
        for kind in range(self.per_parameter):
            if len(each[kind]) != self.parameters:
                raise ValueError("lists of different lengths")
            for i in range(self.parameters):
                self.numbers[i * self.per_parameter + kind] = each[kind][i]

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])
        free(self.views)
        free(self.addresses)
        free(self.numbers)

    cdef bint are_real(self):
        cdef char code = c"f" if sizeof(real) == sizeof(float) else c"d"
        cdef Py_ssize_t i
        for i in range(self.parameters):
            if self.views[i].format[0] != code:
                return False
        return True

    cdef void slot(
        self, int row, double sign, double decay, const double* options, Py_ssize_t slot, Py_ssize_t slots,
    ) noexcept nogil:
        cdef Py_ssize_t i, kind, itemsize, size, blocks, start, count
        cdef void* arrays[MOST_KINDS]
        cdef unsigned before = flush_subnormals()
        for i in range(self.parameters):
            itemsize = self.views[i].itemsize
            # Slots begin with a block, so that the numbers that fill no vector are the same for any number of threads:
            # a compiler may round them otherwise.
            size = self.views[i].len // itemsize
            blocks = (size + BLOCK - 1) // BLOCK
            start = min(slot_start(blocks, slot, slots) * BLOCK, size)
            count = min(slot_start(blocks, slot + 1, slots) * BLOCK, size) - start
            for kind in range(self.kinds):
                arrays[kind] = self.addresses[i * self.kinds + kind]
                if arrays[kind] != NULL:
                    arrays[kind] = <char*>arrays[kind] + start * itemsize
            table[row].step(<real>sign, <real>decay, arrays, count, &self.numbers[i * self.per_parameter], options)
        restore_subnormals(before)


def update(int row, list lists, list each, list options, double decay, bint maximize, int threads):
    """Update all parameters of lists = [gradients, parameters, ...]; None stands for a list that is not needed.

    `each` has a list of numbers of the parameters, and `options` the numbers, that the row names; `decay` is weight
    decay that is part of the gradient.
    """
    cdef Buffers buffers = Buffers(lists, each)
    cdef double sign = -1 if maximize else 1
    cdef double given[MOST_OPTIONS]
    cdef Py_ssize_t slot, i
    if not buffers.are_real():
        raise TypeError("arrays of several dtypes, or of another than this kernel is compiled for")
    if len(options) > MOST_OPTIONS:
        raise ValueError("too many options")
    for i in range(len(options)):
        given[i] = options[i]
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        buffers.slot(row, sign, decay, given, slot, threads)
