"""Max and mean pooling and their gradients, over planes (sample times channel) of an image.

Loop order of mean pooling: a row of the output at a time, the taps of the window outside, the row's positions inside,
so the inner loop adds two rows, and positions in the padding are never visited. Max pooling keeps the best values of
neighbouring windows in registers while the taps go by (max_pool.h). Adaptive pooling's windows are bins, rows and
columns from a start up to a stop; they may be as large as the image, so it is their own positions that fill vector
lanes. Mean pooling's backward pass and max pooling's scatter write to their own plane only, so planes are what is
shared among threads.
"""

from cython.parallel cimport prange
from libc.math cimport INFINITY

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start
from minidl._ext._window cimport Window, end_inside, first_inside, unpack


cdef extern from "max_pool.h" nogil:
    ctypedef struct Taps "minidl_taps":
        Py_ssize_t kernel_height
        Py_ssize_t kernel_width
        Py_ssize_t row_step
        Py_ssize_t column_step
        Py_ssize_t stride

    void max_run(
        const real* first, int position, const Taps* taps, Py_ssize_t count, real* output, int* argmax)
    void max_span(
        const real* first, int position, Py_ssize_t rows, Py_ssize_t row_step, Py_ssize_t count, real* output,
        int* argmax)


cdef struct Span:
    # The range that a window sees along one axis of the image: from start up to stop, in steps.
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t step


cdef inline Span inside(Py_ssize_t start, Py_ssize_t taps, Py_ssize_t step, Py_ssize_t size) noexcept nogil:
    """The taps along an axis that lie inside the image."""
    cdef Span span
    span.stop = min(start + (taps - 1) * step + 1, size)
    span.start = start + first_inside(start, step) * step
    span.step = step
    return span


cdef void max_window(
    const real[:, :, ::1] image_qhw, real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, Py_ssize_t q,
    Py_ssize_t oh, Py_ssize_t ow, Span rows, Span columns,
) noexcept nogil:
    """The maximum of one window: the first of equal ones, NaN over everything."""
    cdef Py_ssize_t W = image_qhw.shape[2], h, w
    cdef real value, best = -INFINITY
    cdef int index = <int>(rows.start * W + columns.start)
    if rows.step == columns.step == 1 and columns.stop - columns.start >= 8:
        max_span(&image_qhw[q, rows.start, columns.start], index, rows.stop - rows.start, W,
                 columns.stop - columns.start, &output_qhw[q, oh, ow], &argmax_qhw[q, oh, ow])
        return
    h = rows.start
    while h < rows.stop:
        w = columns.start
        while w < columns.stop:
            value = image_qhw[q, h, w]
            if value > best or value != value:
                best = value
                index = <int>(h * W + w)
            w += columns.step
        h += rows.step
    output_qhw[q, oh, ow] = best
    argmax_qhw[q, oh, ow] = index


cdef void max_edges(
    const real[:, :, ::1] image_qhw, real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, Py_ssize_t q,
    Py_ssize_t oh, Py_ssize_t start, Py_ssize_t stop, const Window* window,
) noexcept nogil:
    """Windows of one row of the output, one by one, whatever of them lies outside."""
    cdef Span rows = inside(oh * window.SH - window.top, window.KH, window.DH, window.H)
    cdef Py_ssize_t ow
    for ow in range(start, stop):
        max_window(image_qhw, output_qhw, argmax_qhw, q, oh, ow, rows,
                   inside(ow * window.SW - window.left, window.KW, window.DW, window.W))


cdef void max_plane(
    const real[:, :, ::1] image_qhw, real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, Py_ssize_t q,
    const Window* window,
) noexcept nogil:
    """Runs of windows inside the image in vector lanes, the others one by one."""
    cdef Py_ssize_t SW = window.SW, oh, h, w
    cdef Py_ssize_t start = first_inside(-window.left, SW)
    cdef Py_ssize_t stop = max(end_inside((window.KW - 1) * window.DW - window.left, SW, window.W, window.OW), start)
    cdef Taps taps = Taps(window.KH, window.KW, window.DH * window.W, window.DW, SW)
    if SW > 2 or stop - start < 4:
        start = stop = 0
    for oh in range(window.OH):
        h = oh * window.SH - window.top
        if start == stop or h < 0 or h + (window.KH - 1) * window.DH >= window.H:
            max_edges(image_qhw, output_qhw, argmax_qhw, q, oh, 0, window.OW, window)
            continue
        if start > 0:
            max_edges(image_qhw, output_qhw, argmax_qhw, q, oh, 0, start, window)
        w = start * SW - window.left
        max_run(&image_qhw[q, h, w], <int>(h * window.W + w), &taps, stop - start, &output_qhw[q, oh, start],
                &argmax_qhw[q, oh, start])
        if stop < window.OW:
            max_edges(image_qhw, output_qhw, argmax_qhw, q, oh, stop, window.OW, window)


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


def max_of_bins(
    const real[:, :, ::1] image_qhw, const Py_ssize_t[:, ::1] rows_bo, const Py_ssize_t[:, ::1] columns_bo,
    real[:, :, ::1] output_qhw, int[:, :, ::1] argmax_qhw, int threads,
):
    """As max_forward, for windows from rows[0] up to rows[1] and columns[0] up to columns[1]."""
    cdef Py_ssize_t Q = image_qhw.shape[0], slot, q, oh, ow
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            for oh in range(output_qhw.shape[1]):
                for ow in range(output_qhw.shape[2]):
                    max_window(image_qhw, output_qhw, argmax_qhw, q, oh, ow,
                               Span(rows_bo[0, oh], rows_bo[1, oh], 1), Span(columns_bo[0, ow], columns_bo[1, ow], 1))


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


cdef double window_sum(const real* first, Py_ssize_t rows, Py_ssize_t row_step, Py_ssize_t columns) noexcept nogil:
    """The sum of a window: 512 numbers at a time in 16 running sums that fill the vector lanes, the rest in double."""
    cdef real lanes[16]
    cdef double total = 0
    cdef Py_ssize_t rows_at_a_time = max(512 // columns, 1) if rows > 1 else 1, top = 0, row, start, p, i
    cdef const real* run
    for row in range(rows):
        run = first + row * row_step
        for p in range(columns - columns % 16, columns):
            total += run[p]
    while columns >= 16 and top < rows:
        for start in range(0, columns - 15, 512):
            for i in range(16):
                lanes[i] = 0
            for row in range(top, min(top + rows_at_a_time, rows)):
                run = first + row * row_step
                for p in range(start, min(start + 512, columns - 15), 16):
                    for i in range(16):
                        lanes[i] += run[p + i]
            for i in range(8):
                lanes[i] += lanes[8 + i]
            for i in range(4):
                lanes[i] += lanes[4 + i]
            total += (<double>lanes[0] + lanes[1]) + (<double>lanes[2] + lanes[3])
        top += rows_at_a_time
    return total


def mean_of_bins(
    const real[:, :, ::1] image_qhw, const Py_ssize_t[:, ::1] rows_bo, const Py_ssize_t[:, ::1] columns_bo,
    real[:, :, ::1] output_qhw, int threads,
):
    """output = the mean over each window from rows[0] up to rows[1] and columns[0] up to columns[1]."""
    cdef Py_ssize_t Q = image_qhw.shape[0], W = image_qhw.shape[2], slot, q, oh, ow, height, width
    cdef double total
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            for oh in range(output_qhw.shape[1]):
                height = rows_bo[1, oh] - rows_bo[0, oh]
                for ow in range(output_qhw.shape[2]):
                    width = columns_bo[1, ow] - columns_bo[0, ow]
                    total = window_sum(&image_qhw[q, rows_bo[0, oh], columns_bo[0, ow]], height, W, width)
                    output_qhw[q, oh, ow] = <real>(total / (height * width))


def mean_of_bins_gradient(
    const real[:, :, ::1] grad_qhw, const Py_ssize_t[:, ::1] rows_bo, const Py_ssize_t[:, ::1] columns_bo,
    real[:, :, ::1] grad_image_qhw, int threads,
):
    """The transpose of mean_of_bins."""
    cdef Py_ssize_t Q = grad_qhw.shape[0], slot, q, oh, ow, h, w
    cdef real share
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for q in range(slot_start(Q, slot, threads), slot_start(Q, slot + 1, threads)):
            for h in range(grad_image_qhw.shape[1]):
                for w in range(grad_image_qhw.shape[2]):
                    grad_image_qhw[q, h, w] = 0
            for oh in range(grad_qhw.shape[1]):
                for ow in range(grad_qhw.shape[2]):
                    share = grad_qhw[q, oh, ow] / (
                        (rows_bo[1, oh] - rows_bo[0, oh]) * (columns_bo[1, ow] - columns_bo[0, ow]))
                    for h in range(rows_bo[0, oh], rows_bo[1, oh]):
                        for w in range(columns_bo[0, ow], columns_bo[1, ow]):
                            grad_image_qhw[q, h, w] += share
