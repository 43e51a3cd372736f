"""Normalising rows by their mean and variance, and its gradient: what batch, layer, group and instance norm share.

x is (a, b, p): each b has a mean and a variance over all of its a and p. Weight and bias are (g, k): row b has those
of g = b mod G, and its P positions are K runs, run k with weight[g, k]. Without them G is 0.

A mean is a sum in double precision, and the variance a second pass around it, so that what is small beside the mean
is not lost. Elsewhere x - mean is taken in two steps, by the mean rounded to `real` and by what that left out, which
for float32 is as accurate as double precision and fills twice as many vector lanes.

Sums are 16 running sums, always in the same order. Each function has one such array: with two, GCC 12 gives up on
vectors. Where P is 1, a vector lane is a column instead, and 64 columns are an item of work.
"""

from cython.parallel cimport prange
from libc.math cimport INFINITY, sqrt

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start


cdef extern from "norm_sums.h" nogil:
    # lanes[16] += x - mean, its square, factor (x - mean), and weight factor (x - mean), over a run of numbers.
    void add_run "norm_add" (const real* x, Py_ssize_t count, double mean, double* lanes)
    void add_squares "norm_add_squares" (const real* x, Py_ssize_t count, double mean, double* lanes)
    void add_products "norm_add_products" (
        const real* factor, const real* x, Py_ssize_t count, double mean, double* lanes)
    void add_weighted "norm_add_weighted" (
        const real* weight, const real* factor, const real* x, Py_ssize_t count, double mean, double* lanes)


cdef inline double folded(const double* lanes) noexcept nogil:
    cdef double total = 0
    cdef int i
    for i in range(16):
        total += lanes[i]
    return total


cdef inline void correct(double* mean, double* variance, double rest) noexcept nogil:
    """Add to a mean what rounding left out of it, the mean of all x - mean; nothing if it is infinite."""
    if rest == rest:
        mean[0] += rest
        if variance[0] < INFINITY:
            variance[0] = max(variance[0] - rest * rest, 0)


cdef void moments(const real[:, :, ::1] x_abp, Py_ssize_t b, double* mean, double* variance) noexcept nogil:
    """The mean and the variance of x[:, b]."""
    cdef double lanes[16]
    cdef double squares[16]
    cdef Py_ssize_t A = x_abp.shape[0], P = x_abp.shape[2], a
    cdef double count = <double>A * <double>P
    cdef int i
    for i in range(16):
        lanes[i] = squares[i] = 0
    for a in range(A):
        add_run(&x_abp[a, b, 0], P, 0, lanes)
    mean[0] = folded(lanes) / count
    for i in range(16):
        lanes[i] = 0
    for a in range(A):
        add_squares(&x_abp[a, b, 0], P, mean[0], squares)
        # A sum of float32 in double precision leaves nothing out that matters.
        if sizeof(real) == sizeof(double):
            add_run(&x_abp[a, b, 0], P, mean[0], lanes)
    variance[0] = folded(squares) / count
    correct(mean, variance, folded(lanes) / count)


cdef inline double remainder(double mean, double rounded) noexcept nogil:
    """The part of a mean that rounding left out; nothing if it is infinite."""
    cdef double rest = mean - rounded
    return rest if rest == rest else 0


cdef void apply_run(
    const real* x, Py_ssize_t count, real centre, real rest, real scale, real shift, real* y,
) noexcept nogil:
    cdef Py_ssize_t p
    for p in range(count):
        y[p] = ((x[p] - centre) - rest) * scale + shift


cdef void apply_positions(
    const real* x, Py_ssize_t count, real centre, real rest, real scale, const real* weight, const real* bias, real* y,
) noexcept nogil:
    cdef Py_ssize_t p
    for p in range(count):
        y[p] = ((x[p] - centre) - rest) * scale * weight[p] + bias[p]


cdef void apply_row(
    const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, const real[:, ::1] bias_gk, Py_ssize_t b, double mean,
    double scale, real[:, :, ::1] y_abp,
) noexcept nogil:
    """y[:, b] = (x[:, b] - mean) scale weight + bias."""
    cdef Py_ssize_t P = x_abp.shape[2], G = weight_gk.shape[0], K = weight_gk.shape[1] if G > 0 else 1, S = P // K
    cdef Py_ssize_t a, k, g = b % G if G > 0 else 0
    cdef real centre = <real>mean, rest = <real>remainder(mean, <real>mean)
    for a in range(x_abp.shape[0]):
        if G > 0 and S == 1:
            apply_positions(&x_abp[a, b, 0], P, centre, rest, <real>scale, &weight_gk[g, 0], &bias_gk[g, 0],
                            &y_abp[a, b, 0])
            continue
        for k in range(K):
            apply_run(&x_abp[a, b, k * S], S, centre, rest, <real>(scale * weight_gk[g, k] if G > 0 else scale),
                      bias_gk[g, k] if G > 0 else 0, &y_abp[a, b, k * S])


cdef void normalise_columns(
    const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, const real[:, ::1] bias_gk, double eps, bint is_given,
    double[::1] mean_b, double[::1] variance_b, real[:, :, ::1] y_abp, Py_ssize_t start, Py_ssize_t width,
) noexcept nogil:
    """`normalise` for the columns from start, at most 64, of rows of one number."""
    cdef double scale[64]
    cdef double shift[64]
    cdef double* mean = &mean_b[start]
    cdef double* variance = &variance_b[start]
    cdef Py_ssize_t A = x_abp.shape[0], a, i
    cdef double d
    cdef const real* x
    cdef real* y
    if not is_given:
        for i in range(width):
            mean[i] = variance[i] = 0
        for a in range(A):
            x = &x_abp[a, start, 0]
            for i in range(width):
                mean[i] += x[i]
        for i in range(width):
            mean[i] /= A
            shift[i] = 0
        for a in range(A):
            x = &x_abp[a, start, 0]
            for i in range(width):
                d = x[i] - mean[i]
                shift[i] += d
                variance[i] += d * d
        for i in range(width):
            variance[i] /= A
            correct(&mean[i], &variance[i], shift[i] / A)
    for i in range(width):
        scale[i], shift[i] = 1 / sqrt(variance[i] + eps), 0
        if weight_gk.shape[0] > 0:
            scale[i] *= weight_gk[start + i, 0]
            shift[i] = bias_gk[start + i, 0]
    for a in range(A):
        x, y = &x_abp[a, start, 0], &y_abp[a, start, 0]
        for i in range(width):
            y[i] = <real>((x[i] - mean[i]) * scale[i] + shift[i])


def normalise(
    const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, const real[:, ::1] bias_gk, double eps, bint is_given,
    double[::1] mean_b, double[::1] variance_b, real[:, :, ::1] y_abp, int threads,
):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, with the mean and variance of x unless they are given."""
    cdef Py_ssize_t B = x_abp.shape[1], slot, item
    cdef Py_ssize_t width = 64 if x_abp.shape[2] == 1 and x_abp.shape[0] > 1 else 1
    cdef Py_ssize_t items = (B + width - 1) // width
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            if width > 1:
                normalise_columns(x_abp, weight_gk, bias_gk, eps, is_given, mean_b, variance_b, y_abp, item * width,
                                  min(width, B - item * width))
                continue
            if not is_given:
                moments(x_abp, item, &mean_b[item], &variance_b[item])
            apply_row(x_abp, weight_gk, bias_gk, item, mean_b[item], 1 / sqrt(variance_b[item] + eps), y_abp)


cdef void add_positions(
    const real* grad, const real* x, Py_ssize_t count, double mean, double scale, double* sums, double* products,
) noexcept nogil:
    """sums += grad and products += grad (x - mean) scale, position by position."""
    cdef Py_ssize_t p
    for p in range(count):
        sums[p] += grad[p]
        products[p] += grad[p] * ((x[p] - mean) * scale)


cdef void row_sums(
    const real[:, :, ::1] grad_abp, const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, Py_ssize_t b,
    double mean, double scale, double[:, :, ::1] sum_cgk, double[:, :, ::1] product_cgk, Py_ssize_t c,
    double* total, double* product,
) noexcept nogil:
    """Add row b to the sums of grad and of grad x' of its g and chunk; and the row's own sums of both, times weight.

    x' is the normalised x, (x - mean) scale.
    """
    cdef Py_ssize_t A = x_abp.shape[0], P = x_abp.shape[2], G = sum_cgk.shape[1], K = sum_cgk.shape[2], S = P // K
    cdef Py_ssize_t g = b % G, a, k
    cdef bint has_weight = weight_gk.shape[0] > 0, has_positions = has_weight and S == 1
    cdef double lanes[16]
    cdef double product_lanes[16]
    cdef double run, run_product, weight = 1
    cdef int i
    total[0] = product[0] = 0
    for k in range(1 if has_positions else K):
        for i in range(16):
            lanes[i] = product_lanes[i] = 0
        for a in range(A):
            if has_positions:
                add_positions(&grad_abp[a, b, 0], &x_abp[a, b, 0], P, mean, scale, &sum_cgk[c, g, 0],
                              &product_cgk[c, g, 0])
                add_products(&grad_abp[a, b, 0], &weight_gk[g, 0], P, 0, lanes)
                add_weighted(&weight_gk[g, 0], &grad_abp[a, b, 0], &x_abp[a, b, 0], P, mean, product_lanes)
            else:
                add_run(&grad_abp[a, b, k * S], S, 0, lanes)
                add_products(&grad_abp[a, b, k * S], &x_abp[a, b, k * S], S, mean, product_lanes)
        run, run_product = folded(lanes), folded(product_lanes) * scale
        if not has_positions:
            sum_cgk[c, g, k] += run
            product_cgk[c, g, k] += run_product
            weight = weight_gk[g, k] if has_weight else 1
        total[0] += weight * run
        product[0] += weight * run_product


cdef void gradient_run(
    const real* grad, const real* x, Py_ssize_t count, real centre, real rest, real scale, real slope, real shift,
    real* grad_x,
) noexcept nogil:
    """Without x, grad times scale alone: 0 times an infinite x would be NaN."""
    cdef Py_ssize_t p
    if x == NULL:
        for p in range(count):
            grad_x[p] = grad[p] * scale
        return
    for p in range(count):
        grad_x[p] = (grad[p] * scale - ((x[p] - centre) - rest) * slope) - shift


cdef void gradient_positions(
    const real* grad, const real* x, const real* weight, Py_ssize_t count, real centre, real rest, real scale,
    real slope, real shift, real* grad_x,
) noexcept nogil:
    cdef Py_ssize_t p
    if x == NULL:
        for p in range(count):
            grad_x[p] = grad[p] * weight[p] * scale
        return
    for p in range(count):
        grad_x[p] = (grad[p] * weight[p] * scale - ((x[p] - centre) - rest) * slope) - shift


cdef void gradient_row(
    const real[:, :, ::1] grad_abp, const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, Py_ssize_t b,
    double mean, double scale, bint is_given, double total, double product, real[:, :, ::1] grad_x_abp,
) noexcept nogil:
    """grad_x = (grad weight - total - x' product) scale, total and product being means over the row.

    They are left out where mean and variance are given.
    """
    cdef Py_ssize_t P = x_abp.shape[2], G = weight_gk.shape[0], K = weight_gk.shape[1] if G > 0 else 1, S = P // K
    cdef Py_ssize_t a, k, g = b % G if G > 0 else 0
    cdef real centre = <real>mean, rest = <real>remainder(mean, <real>mean)
    cdef real slope = <real>(product * scale * scale), shift = <real>(total * scale)
    cdef const real* x = NULL
    for a in range(x_abp.shape[0]):
        if G > 0 and S == 1:
            if not is_given:
                x = &x_abp[a, b, 0]
            gradient_positions(&grad_abp[a, b, 0], x, &weight_gk[g, 0], P, centre, rest, <real>scale, slope, shift,
                               &grad_x_abp[a, b, 0])
            continue
        for k in range(K):
            if not is_given:
                x = &x_abp[a, b, k * S]
            gradient_run(&grad_abp[a, b, k * S], x, S, centre, rest,
                         <real>(scale * weight_gk[g, k] if G > 0 else scale), slope, shift, &grad_x_abp[a, b, k * S])


cdef void gradient_columns(
    const real[:, :, ::1] grad_abp, const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, double eps,
    bint is_given, const double[::1] mean_b, const double[::1] variance_b, real[:, :, ::1] grad_x_abp,
    double[:, :, ::1] sum_cgk, double[:, :, ::1] product_cgk, Py_ssize_t start, Py_ssize_t width,
) noexcept nogil:
    """`normalise_gradient` for the columns from start, at most 64, of rows of one number."""
    cdef double scale[64]
    cdef double slope[64]
    cdef double shift[64]
    cdef const double* mean = &mean_b[start]
    cdef double* sums = &sum_cgk[0, start, 0]
    cdef double* products = &product_cgk[0, start, 0]
    cdef Py_ssize_t A = x_abp.shape[0], a, i
    cdef const real* grad
    cdef const real* x
    cdef real* grad_x
    for i in range(width):
        scale[i] = 1 / sqrt(variance_b[start + i] + eps)
    for a in range(A):
        grad, x = &grad_abp[a, start, 0], &x_abp[a, start, 0]
        for i in range(width):
            sums[i] += grad[i]
            products[i] += grad[i] * ((x[i] - mean[i]) * scale[i])
    if grad_x_abp.shape[0] == 0:
        return
    for i in range(width):
        shift[i], slope[i] = sums[i] / A, products[i] / A * scale[i]
        if weight_gk.shape[0] > 0:
            scale[i] *= weight_gk[start + i, 0]
    for a in range(A):
        grad, x, grad_x = &grad_abp[a, start, 0], &x_abp[a, start, 0], &grad_x_abp[a, start, 0]
        for i in range(width):
            if is_given:
                grad_x[i] = <real>(grad[i] * scale[i])
            else:
                grad_x[i] = <real>(((grad[i] - shift[i]) - (x[i] - mean[i]) * slope[i]) * scale[i])


def normalise_gradient(
    const real[:, :, ::1] grad_abp, const real[:, :, ::1] x_abp, const real[:, ::1] weight_gk, double eps,
    bint is_given, const double[::1] mean_b, const double[::1] variance_b, real[:, :, ::1] grad_x_abp,
    double[:, :, ::1] sum_cgk, double[:, :, ::1] product_cgk, int threads,
):
    """The gradient of x; and the sums of grad and of grad times the normalised x, in C chunks of the rows.

    Where mean and variance were given, they do not depend on x. The gradient of x is left out if it has no size.
    """
    cdef Py_ssize_t C = sum_cgk.shape[0], G = sum_cgk.shape[1], B = x_abp.shape[1], R = B // G, slot, item, r, b
    cdef Py_ssize_t width = 64 if x_abp.shape[2] == 1 and x_abp.shape[0] > 1 else 1
    cdef Py_ssize_t items = (C * G + width - 1) // width
    cdef double count = <double>x_abp.shape[0] * <double>x_abp.shape[2], scale, total, product
    cdef bint needs_x = grad_x_abp.shape[0] > 0
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        total = product = 0
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            if width > 1:
                gradient_columns(grad_abp, x_abp, weight_gk, eps, is_given, mean_b, variance_b, grad_x_abp, sum_cgk,
                                 product_cgk, item * width, min(width, B - item * width))
                continue
            for r in range(slot_start(R, item // G, C), slot_start(R, item // G + 1, C)):
                b = r * G + item % G
                scale = 1 / sqrt(variance_b[b] + eps)
                row_sums(grad_abp, x_abp, weight_gk, b, mean_b[b], scale, sum_cgk, product_cgk, item // G, &total,
                         &product)
                if needs_x:
                    gradient_row(grad_abp, x_abp, weight_gk, b, mean_b[b], scale, is_given, total / count,
                                 product / count, grad_x_abp)
