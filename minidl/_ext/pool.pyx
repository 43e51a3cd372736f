"""Max and mean pooling and their gradients, over planes (sample times channel) of an image.

Loop order of mean pooling: a row of the output at a time, the taps of the window outside, the row's positions inside,
so the inner loop adds two rows, and positions in the padding are never visited. Max pooling keeps the best values of
neighbouring windows in registers while the taps go by (max_pool.h). Mean pooling's backward pass
and max pooling's scatter write to their own plane only, so planes are what is shared among threads.
"""

from cython.parallel cimport prange
from libc.math cimport INFINITY

from minidl._ext._threads cimport slot_start
from minidl._ext._types cimport real
from minidl._ext._window cimport Window, end_inside, first_inside, unpack


cdef extern from "max_pool.h" nogil:
    ctypedef struct Taps "minidl_taps":
        Py_ssize_t kernel_height
        Py_ssize_t kernel_width
        Py_ssize_t row_step
        Py_ssize_t column_step
        Py_ssize_t stride

    void max_run_float "minidl_max_run_float" (
        const float* first, int position, const Taps* taps, Py_ssize_t count, float* output, int* argmax)
    void max_run_double "minidl_max_run_double" (
        const double* first, int position, const Taps* taps, Py_ssize_t count, double* output, int* argmax)


cdef void max_window(
    const real[:, :, ::1] image_qhw, real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, Py_ssize_t q,
    Py_ssize_t oh, Py_ssize_t ow, const Window* window,
) noexcept nogil:
    """The maximum of one window, whatever lies outside: the first of equal ones, NaN over everything."""
    cdef Py_ssize_t kh, kw, h, w
    cdef real value, best = -INFINITY
    cdef int index = -1
    for kh in range(window.KH):
        h = oh * window.SH + kh * window.DH - window.top
        if h < 0 or h >= window.H:
            continue
        for kw in range(window.KW):
            w = ow * window.SW + kw * window.DW - window.left
            if w < 0 or w >= window.W:
                continue
            value = image_qhw[q, h, w]
            if value > best or value != value or index < 0:
                best = value
                index = <int>(h * window.W + w)
    output_qhw[q, oh, ow] = best
    argmax_qhw[q, oh, ow] = index


cdef void max_plane(
    const real[:, :, ::1] image_qhw, real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, Py_ssize_t q,
    const Window* window,
) noexcept nogil:
    """Runs of windows inside the image in vector lanes, the others one by one."""
    cdef Py_ssize_t SW = window.SW, oh, ow, h, w
    cdef Py_ssize_t start = first_inside(-window.left, SW)
    cdef Py_ssize_t stop = max(end_inside((window.KW - 1) * window.DW - window.left, SW, window.W, window.OW), start)
    cdef Taps taps = Taps(window.KH, window.KW, window.DH * window.W, window.DW, SW)
    if SW > 2 or stop - start < 4:
        start = stop = 0
    for oh in range(window.OH):
        h = oh * window.SH - window.top
        if start == stop or h < 0 or h + (window.KH - 1) * window.DH >= window.H:
            for ow in range(window.OW):
                max_window(image_qhw, output_qhw, argmax_qhw, q, oh, ow, window)
            continue
        for ow in range(start):
            max_window(image_qhw, output_qhw, argmax_qhw, q, oh, ow, window)
        w = start * SW - window.left
        if real is float:
            max_run_float(&image_qhw[q, h, w], <int>(h * window.W + w), &taps, stop - start,
                          &output_qhw[q, oh, start], &argmax_qhw[q, oh, start])
        else:
            max_run_double(&image_qhw[q, h, w], <int>(h * window.W + w), &taps, stop - start,
                           &output_qhw[q, oh, start], &argmax_qhw[q, oh, start])
        for ow in range(stop, window.OW):
            max_window(image_qhw, output_qhw, argmax_qhw, q, oh, ow, window)


def max_forward(
    const real[:, :, ::1] image_qhw, const Py_ssize_t[::1] packed_window, real[:, :, ::1] output_qhw,
    int[:, :, ::1] argmax_qhw, int threads,
):
    """output = the maximum over each window; argmax = its flat position in the plane."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t Q = image_qhw.shape[0], slot, q
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            max_plane(image_qhw, output_qhw, argmax_qhw, q, &window)


def scatter(const real[:, ::1] grad_qp, const int[:, ::1] index_qp, real[:, ::1] output_qi, int threads):
    """output[q, index[q, p]] += grad[q, p] over zeros: max pooling's gradient."""
    cdef Py_ssize_t Q = grad_qp.shape[0], slot, q, p, i
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            for i in range(output_qi.shape[1]):
                output_qi[q, i] = 0
            for p in range(grad_qp.shape[1]):
                output_qi[q, index_qp[q, p]] += grad_qp[q, p]


def gather(const real[:, ::1] input_qi, const int[:, ::1] index_qp, real[:, ::1] output_qp, int threads):
    """output[q, p] = input[q, index[q, p]]: the transpose of scatter."""
    cdef Py_ssize_t Q = input_qi.shape[0], slot, q, p
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            for p in range(index_qp.shape[1]):
                output_qp[q, p] = input_qi[q, index_qp[q, p]]


cdef void mean_plane(
    const real[:, :, ::1] image_qhw, const real[:, ::1] scale_hw, real[:, :, ::1] output_qhw, Py_ssize_t q,
    const Window* window,
) noexcept nogil:
    cdef Py_ssize_t oh, ow, kh, kw, h, offset, SW = window.SW
    cdef const real* row
    cdef real* total
    for oh in range(window.OH):
        total = &output_qhw[q, oh, 0]
        for ow in range(window.OW):
            total[ow] = 0
        for kh in range(window.KH):
            h = oh * window.SH + kh * window.DH - window.top
            if h < 0 or h >= window.H:
                continue
            row = &image_qhw[q, h, 0]
            for kw in range(window.KW):
                offset = kw * window.DW - window.left
                for ow in range(first_inside(offset, SW), end_inside(offset, SW, window.W, window.OW)):
                    total[ow] += row[ow * SW + offset]
        for ow in range(window.OW):
            total[ow] *= scale_hw[oh, ow]


def mean_forward(
    const real[:, :, ::1] image_qhw, const Py_ssize_t[::1] packed_window, const real[:, ::1] scale_hw,
    real[:, :, ::1] output_qhw, int threads,
):
    """output = the sum over each window times scale, one over the number of terms that count."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t Q = image_qhw.shape[0], slot, q
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            mean_plane(image_qhw, scale_hw, output_qhw, q, &window)


cdef void mean_gradient_plane(
    const real[:, :, ::1] grad_qhw, const real[:, ::1] scale_hw, real[:, :, ::1] grad_image_qhw, Py_ssize_t q,
    const Window* window,
) noexcept nogil:
    cdef Py_ssize_t oh, ow, kh, kw, h, w, offset, SW = window.SW
    cdef real* row
    for h in range(window.H):
        for w in range(window.W):
            grad_image_qhw[q, h, w] = 0
    for oh in range(window.OH):
        for kh in range(window.KH):
            h = oh * window.SH + kh * window.DH - window.top
            if h < 0 or h >= window.H:
                continue
            row = &grad_image_qhw[q, h, 0]
            for kw in range(window.KW):
                offset = kw * window.DW - window.left
                for ow in range(first_inside(offset, SW), end_inside(offset, SW, window.W, window.OW)):
                    row[ow * SW + offset] += grad_qhw[q, oh, ow] * scale_hw[oh, ow]


def mean_gradient(
    const real[:, :, ::1] grad_qhw, const Py_ssize_t[::1] packed_window, const real[:, ::1] scale_hw,
    real[:, :, ::1] grad_image_qhw, int threads,
):
    """The transpose of mean_forward."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t Q = grad_qhw.shape[0], slot, q
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            mean_gradient_plane(grad_qhw, scale_hw, grad_image_qhw, q, &window)
