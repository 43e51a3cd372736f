"""Optimiser steps: one call updates all parameters of a group.

The arrays come as Python lists; their addresses are collected under the GIL, then all elements are updated in one
loop over arrays. Elements are independent, so threads take runs of each array.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport prange
from libc.math cimport sqrt, sqrtf
from libc.stdlib cimport calloc, free

from minidl._ext._threads cimport slot_start
from minidl._ext._types cimport real


cdef class Buffers:
    """The memory of several lists of arrays, list by list; released when this goes."""

    cdef Py_buffer* views
    cdef Py_ssize_t arrays
    cdef Py_ssize_t held

    def __cinit__(self, lists):
        cdef Py_ssize_t kind, i
        self.arrays = len(lists[0])
        self.views = <Py_buffer*>calloc(max(len(lists) * self.arrays, 1), sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError
        for kind in range(len(lists)):
            if len(lists[kind]) != self.arrays:
                raise ValueError("lists of different lengths")
            for i in range(self.arrays):
                # Only the first list, the gradients, is read-only.
                PyObject_GetBuffer(lists[kind][i], &self.views[self.held],
                                   PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if kind else 0))
                self.held += 1
                if (self.views[self.held - 1].len != self.views[i].len
                        or self.views[self.held - 1].format[0] != self.views[i].format[0]):
                    raise ValueError("arrays of different sizes or dtypes")

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])
        free(self.views)

    cdef bint all_of(self, char code):
        cdef Py_ssize_t i
        for i in range(self.held):
            if self.views[i].format[0] != code:
                return False
        return True


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef struct SGDOptions:
    double lr
    double momentum
    double dampening
    double weight_decay
    bint nesterov
    bint maximize


cdef void sgd_run(
    const real* grad, real* parameter, real* velocity, Py_ssize_t start, Py_ssize_t stop, bint first,
    const SGDOptions* options,
) noexcept nogil:
    cdef real lr = <real>options.lr, momentum = <real>options.momentum, decay = <real>options.weight_decay
    cdef real keep = <real>(1 - options.dampening), sign = -1 if options.maximize else 1
    cdef real g
    cdef Py_ssize_t i
    for i in range(start, stop):
        g = sign * grad[i] + decay * parameter[i]
        if velocity != NULL:
            velocity[i] = g if first else momentum * velocity[i] + keep * g
            g = g + momentum * velocity[i] if options.nesterov else velocity[i]
        parameter[i] -= lr * g


cdef void sgd_slot(
    real tag, Py_buffer* views, Py_ssize_t arrays, const unsigned char* first, const SGDOptions* options,
    Py_ssize_t slot, Py_ssize_t slots,
) noexcept nogil:
    cdef Py_ssize_t i, size
    for i in range(arrays):
        size = views[i].len // <Py_ssize_t>sizeof(real)
        sgd_run(<const real*>views[i].buf, <real*>views[arrays + i].buf,
                <real*>views[2 * arrays + i].buf if options.momentum != 0 else NULL,
                slot_start(size, slot, slots), slot_start(size, slot + 1, slots), first[i], options)


def sgd(
    list grads, list parameters, list velocities, const unsigned char[::1] first, double lr, double momentum,
    double dampening, double weight_decay, bint nesterov, bint maximize, int threads,
):
    """velocity = momentum velocity + (1 - dampening) g, g itself the first time; parameter -= lr velocity.

    g = grad + weight_decay parameter. Nesterov steps along g + momentum velocity instead.
    """
    cdef Buffers buffers = Buffers([grads, parameters, velocities] if momentum != 0 else [grads, parameters])
    cdef SGDOptions options = SGDOptions(lr, momentum, dampening, weight_decay, nesterov, maximize)
    cdef Py_ssize_t slot, arrays = buffers.arrays
    cdef Py_buffer* views = buffers.views
    cdef const unsigned char* first_flags
    if arrays == 0:
        return
    first_flags = &first[0]
    if buffers.all_of(c"f"):
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            sgd_slot(<float>0, views, arrays, first_flags, &options, slot, threads)
    elif buffers.all_of(c"d"):
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            sgd_slot(<double>0, views, arrays, first_flags, &options, slot, threads)
    else:
        raise TypeError("arrays of several dtypes")


cdef struct AdamOptions:
    double lr
    double beta1
    double beta2
    double eps
    double weight_decay
    bint decoupled
    bint amsgrad
    bint maximize


cdef void adam_run(
    const real* grad, real* parameter, real* mean, real* square, real* highest, Py_ssize_t start, Py_ssize_t stop,
    const AdamOptions* options, double correction1, double correction2,
) noexcept nogil:
    cdef real beta2 = <real>options.beta2, eps = <real>options.eps
    cdef real rest1 = <real>(1 - options.beta1), rest2 = <real>(1 - options.beta2)
    cdef real step_size = <real>(options.lr / correction1), root = <real>(1 / correction2)
    cdef real shrink = <real>(1 - options.lr * options.weight_decay) if options.decoupled else 1
    cdef real decay = 0 if options.decoupled else <real>options.weight_decay
    cdef real sign = -1 if options.maximize else 1
    cdef real g, second
    cdef Py_ssize_t i
    for i in range(start, stop):
        g = sign * grad[i] + decay * parameter[i]
        mean[i] += rest1 * (g - mean[i])
        square[i] = beta2 * square[i] + rest2 * g * g
        second = square[i]
        if highest != NULL:
            highest[i] = second if not (second <= highest[i]) else highest[i]
            second = highest[i]
        parameter[i] = shrink * parameter[i] - step_size * (mean[i] / (square_root(second) * root + eps))


cdef void adam_slot(
    real tag, Py_buffer* views, Py_ssize_t arrays, const double* corrections1, const double* corrections2,
    const AdamOptions* options, Py_ssize_t slot, Py_ssize_t slots,
) noexcept nogil:
    cdef Py_ssize_t i, size
    for i in range(arrays):
        size = views[i].len // <Py_ssize_t>sizeof(real)
        adam_run(<const real*>views[i].buf, <real*>views[arrays + i].buf, <real*>views[2 * arrays + i].buf,
                 <real*>views[3 * arrays + i].buf, <real*>views[4 * arrays + i].buf if options.amsgrad else NULL,
                 slot_start(size, slot, slots), slot_start(size, slot + 1, slots), options,
                 corrections1[i], corrections2[i])


def adam(
    list grads, list parameters, list means, list squares, list highest,
    const double[::1] corrections1, const double[::1] corrections2, double lr, double beta1, double beta2, double eps,
    double weight_decay, bint decoupled, bint amsgrad, bint maximize, int threads,
):
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay decoupled (Loshchilov and Hutter 2019) or not.

    corrections1 = 1 - beta1^step and corrections2 = sqrt(1 - beta2^step), an entry a parameter.
    """
    cdef Buffers buffers = Buffers([grads, parameters, means, squares] + ([highest] if amsgrad else []))
    cdef AdamOptions options = AdamOptions(lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize)
    cdef Py_ssize_t slot, arrays = buffers.arrays
    cdef Py_buffer* views = buffers.views
    cdef const double* first
    cdef const double* second
    if arrays == 0:
        return
    first = &corrections1[0]
    second = &corrections2[0]
    if buffers.all_of(c"f"):
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            adam_slot(<float>0, views, arrays, first, second, &options, slot, threads)
    elif buffers.all_of(c"d"):
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            adam_slot(<double>0, views, arrays, first, second, &options, slot, threads)
    else:
        raise TypeError("arrays of several dtypes")
