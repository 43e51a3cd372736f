"""Optimiser steps: one call updates all parameters of a group.

An optimiser is here a struct of options, a `_run` that updates a run of elements of one parameter, and a `def` that
hands both to `update`. The arrays come as Python lists, one list a kind (gradients, parameters, and what is remembered
of them); their addresses are collected under the GIL, then all elements are updated in one loop over parameters.
Elements are independent, so threads take runs of each.

A `_run` gets what `gradient` needs, the addresses of its arrays, kind by kind (NULL where there is no list), and the
numbers that differ from parameter to parameter.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, strcmp

from minidl._ext._real cimport real, square_root
from minidl._ext._subnormal cimport flush_subnormals, restore_subnormals
from minidl._ext._threads cimport slot_start

# Whether weight decay is part of the gradient. A run is compiled for either: 0 times an infinite parameter would be
# NaN, and with one more branch in the loop not all of them are vectorised. The tag's value means nothing.
ctypedef signed char plain
ctypedef short decayed
ctypedef fused decay_tag:
    plain
    decayed

ctypedef void (*PlainRun)(
    plain tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* options,
) noexcept nogil
ctypedef void (*DecayedRun)(
    decayed tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* options,
) noexcept nogil

cdef struct Runs:
    PlainRun plain_run
    DecayedRun decayed_run

cdef enum:
    # With more, GCC finds too many pairs of arrays that could overlap, and does not vectorise.
    MOST_KINDS = 5


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
        self, double sign, double decay, const Runs* runs, const void* options, Py_ssize_t slot,
        Py_ssize_t slots,
    ) noexcept nogil:
        cdef Py_ssize_t i, kind, itemsize, start, count
        cdef void* arrays[MOST_KINDS]
        cdef const double* each
        cdef unsigned before = flush_subnormals()
        for i in range(self.parameters):
            itemsize = self.views[i].itemsize
            start = slot_start(self.views[i].len // itemsize, slot, slots)
            count = slot_start(self.views[i].len // itemsize, slot + 1, slots) - start
            for kind in range(self.kinds):
                arrays[kind] = self.addresses[i * self.kinds + kind]
                if arrays[kind] != NULL:
                    arrays[kind] = <char*>arrays[kind] + start * itemsize
            each = &self.numbers[i * self.per_parameter]
            if decay == 0:
                runs.plain_run(0, <real>sign, 0, arrays, count, each, options)
            else:
                runs.decayed_run(0, <real>sign, <real>decay, arrays, count, each, options)
        restore_subnormals(before)


cdef int update(
    list lists, list each, bint maximize, double decay, Runs runs, const void* options, int threads,
) except -1:
    """Update all parameters of lists = [gradients, parameters, ...]; None stands for a list that is not needed."""
    cdef Buffers buffers = Buffers(lists, each)
    cdef double sign = -1 if maximize else 1
    cdef Py_ssize_t slot
    if not buffers.are_real():
        raise TypeError("arrays of several dtypes, or of another than this kernel is compiled for")
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        buffers.slot(sign, decay, &runs, options, slot, threads)
    return 0


cdef inline real gradient(decay_tag tag, real sign, real grad, real decay, real parameter) noexcept nogil:
    if decay_tag is decayed:
        return sign * grad + decay * parameter
    else:
        return sign * grad


cdef inline real towards(real old, real new, real part) noexcept nogil:
    """old + part (new - old), exactly new where part is 1: the difference may have lost all of a small new."""
    return old + part * (new - old) if part < <real>0.5 else new - (1 - part) * (new - old)


cdef struct SGDOptions:
    double lr
    double momentum
    double dampening
    bint nesterov


cdef void sgd_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const SGDOptions* options = <const SGDOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* velocity = <real*>arrays[2]
    cdef real lr = <real>options.lr, momentum = <real>options.momentum, keep = <real>(1 - options.dampening)
    cdef bint first = each[0] != 0, nesterov = options.nesterov
    cdef real g
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        if velocity != NULL:
            velocity[i] = g if first else momentum * velocity[i] + keep * g
            g = g + momentum * velocity[i] if nesterov else velocity[i]
        parameter[i] -= lr * g


def sgd(
    list grads, list parameters, list velocities, first, double lr, double momentum, double dampening,
    double weight_decay, bint nesterov, bint maximize, int threads,
):
    """velocity = momentum velocity + (1 - dampening) g, g itself the first time; parameter -= lr velocity.

    g = grad + weight_decay parameter. Nesterov steps along g + momentum velocity instead.
    """
    cdef SGDOptions options = SGDOptions(lr, momentum, dampening, nesterov)
    cdef Runs runs = Runs(sgd_run[plain], sgd_run[decayed])
    update([grads, parameters, velocities], [first], maximize, weight_decay, runs, &options, threads)


cdef struct AdamOptions:
    double lr
    double beta1
    double beta2
    double eps
    double shrink


cdef void adam_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const AdamOptions* options = <const AdamOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* mean = <real*>arrays[2]
    cdef real* square = <real*>arrays[3]
    cdef real* highest = <real*>arrays[4]
    cdef real beta2 = <real>options.beta2, eps = <real>options.eps, shrink = <real>options.shrink
    cdef real rest1 = <real>(1 - options.beta1), rest2 = <real>(1 - options.beta2)
    cdef real step_size = <real>(options.lr / each[0]), root = <real>(1 / each[1])
    cdef real g, second
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        mean[i] = towards(mean[i], g, rest1)
        square[i] = beta2 * square[i] + rest2 * g * g
        second = square[i]
        if highest != NULL:
            highest[i] = second if not (second <= highest[i]) else highest[i]
            second = highest[i]
        parameter[i] = shrink * parameter[i] - step_size * (mean[i] / (square_root(second) * root + eps))


def adam(
    list grads, list parameters, list means, list squares, list highest, corrections1, corrections2, double lr,
    double beta1, double beta2, double eps, double weight_decay, bint decoupled, bint maximize, int threads,
):
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay decoupled (Loshchilov and Hutter 2019) or not.

    corrections1 = 1 - beta1^step and corrections2 = sqrt(1 - beta2^step), an entry a parameter. With `highest`, steps
    are divided by the root of the largest mean square so far (Reddi et al. 2018).
    """
    cdef AdamOptions options = AdamOptions(lr, beta1, beta2, eps, 1 - lr * weight_decay if decoupled else 1)
    cdef Runs runs = Runs(adam_run[plain], adam_run[decayed])
    update([grads, parameters, means, squares, highest], [corrections1, corrections2], maximize,
           0 if decoupled else weight_decay, runs, &options, threads)


cdef void radam_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const AdamOptions* options = <const AdamOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* mean = <real*>arrays[2]
    cdef real* square = <real*>arrays[3]
    cdef real beta2 = <real>options.beta2, eps = <real>options.eps, shrink = <real>options.shrink
    cdef real rest1 = <real>(1 - options.beta1), rest2 = <real>(1 - options.beta2)
    cdef real step_size = <real>(options.lr / each[0]), rectified = <real>each[1]
    cdef bint is_adaptive = rectified > 0
    cdef real g, scale
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        mean[i] = towards(mean[i], g, rest1)
        square[i] = beta2 * square[i] + rest2 * g * g
        scale = rectified / (square_root(square[i]) + eps) if is_adaptive else 1
        parameter[i] = shrink * parameter[i] - step_size * mean[i] * scale


def radam(
    list grads, list parameters, list means, list squares, corrections1, rectified, double lr, double beta1,
    double beta2, double eps, double weight_decay, bint decoupled, bint maximize, int threads,
):
    """RAdam (Liu et al. 2020, algorithm 2): parameter -= lr mean / corrections1 * rectified / (sqrt(square) + eps).

    corrections1 = 1 - beta1^step. rectified = sqrt(1 - beta2^step) times the rectification, or 0 while the variance is
    not tractable, and the step is then along the mean alone.
    """
    cdef AdamOptions options = AdamOptions(lr, beta1, beta2, eps, 1 - lr * weight_decay if decoupled else 1)
    cdef Runs runs = Runs(radam_run[plain], radam_run[decayed])
    update([grads, parameters, means, squares], [corrections1, rectified], maximize,
           0 if decoupled else weight_decay, runs, &options, threads)


cdef struct RMSpropOptions:
    double lr
    double alpha
    double eps
    double momentum


cdef void rmsprop_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const RMSpropOptions* options = <const RMSpropOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* square = <real*>arrays[2]
    cdef real* mean = <real*>arrays[3]
    cdef real* velocity = <real*>arrays[4]
    cdef real lr = <real>options.lr, alpha = <real>options.alpha, rest = <real>(1 - options.alpha)
    cdef real eps = <real>options.eps, momentum = <real>options.momentum
    cdef real g, second
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        square[i] = alpha * square[i] + rest * g * g
        second = square[i]
        if mean != NULL:
            mean[i] = towards(mean[i], g, rest)
            second -= mean[i] * mean[i]
        g = g / (square_root(second) + eps)
        if velocity != NULL:
            velocity[i] = momentum * velocity[i] + g
            g = velocity[i]
        parameter[i] -= lr * g


def rmsprop(
    list grads, list parameters, list squares, list means, list velocities, double lr, double alpha, double eps,
    double weight_decay, double momentum, bint maximize, int threads,
):
    """step = g / (sqrt(square) + eps) (Tieleman and Hinton 2012); parameter -= lr step.

    With `means`, the root is of square - mean^2 (Graves 2013); with `velocities`, steps are along
    velocity = momentum velocity + step.
    """
    cdef RMSpropOptions options = RMSpropOptions(lr, alpha, eps, momentum)
    cdef Runs runs = Runs(rmsprop_run[plain], rmsprop_run[decayed])
    update([grads, parameters, squares, means, velocities], [], maximize, weight_decay, runs, &options, threads)


cdef struct AdagradOptions:
    double eps


cdef void adagrad_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const AdagradOptions* options = <const AdagradOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* total = <real*>arrays[2]
    cdef real rate = <real>each[0], eps = <real>options.eps
    cdef real g
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        total[i] += g * g
        parameter[i] -= rate * (g / (square_root(total[i]) + eps))


def adagrad(
    list grads, list parameters, list totals, rates, double weight_decay, double eps, bint maximize, int threads,
):
    """total += g^2; parameter -= rate g / (sqrt(total) + eps) (Duchi et al. 2011); rates has an entry a parameter."""
    cdef AdagradOptions options = AdagradOptions(eps)
    cdef Runs runs = Runs(adagrad_run[plain], adagrad_run[decayed])
    update([grads, parameters, totals], [rates], maximize, weight_decay, runs, &options, threads)


cdef struct LionOptions:
    double lr
    double beta1
    double beta2
    double shrink


cdef void lion_run(
    decay_tag tag, real sign, real decay, void** arrays, Py_ssize_t count, const double* each, const void* given,
) noexcept nogil:
    cdef const LionOptions* options = <const LionOptions*>given
    cdef const real* grad = <const real*>arrays[0]
    cdef real* parameter = <real*>arrays[1]
    cdef real* mean = <real*>arrays[2]
    cdef real lr = <real>options.lr, shrink = <real>options.shrink
    cdef real beta1 = <real>options.beta1, rest1 = <real>(1 - options.beta1)
    cdef real beta2 = <real>options.beta2, rest2 = <real>(1 - options.beta2)
    cdef real g, along
    cdef Py_ssize_t i
    for i in range(count):
        g = gradient(tag, sign, grad[i], decay, parameter[i])
        along = beta1 * mean[i] + rest1 * g
        # The sign; 0 and NaN stay what they are.
        along = 1 if along > 0 else (-1 if along < 0 else along)
        parameter[i] = shrink * parameter[i] - lr * along
        mean[i] = beta2 * mean[i] + rest2 * g


def lion(
    list grads, list parameters, list means, double lr, double beta1, double beta2, double weight_decay,
    bint maximize, int threads,
):
    """Lion (Chen et al. 2023, algorithm 2): steps of lr, by the sign of beta1 mean + (1 - beta1) grad."""
    cdef LionOptions options = LionOptions(lr, beta1, beta2, 1 - lr * weight_decay)
    cdef Runs runs = Runs(lion_run[plain], lion_run[decayed])
    update([grads, parameters, means], [], maximize, 0, runs, &options, threads)
