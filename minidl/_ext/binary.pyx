"""Element-wise ops of two inputs that broadcast, as strides over (outer, middle, inner); see binary_table.h."""

from cython.parallel cimport prange

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start


cdef extern from "binary.h" nogil:
    const char** binary_names
    const int num_rows "binary_count"

    void binary_run(
        int row, const real* grad, const real* x, int x_moves, const real* y, int y_moves, Py_ssize_t count, real* to)


cdef enum:
    # Numbers of a run, at most, so that one long run is work for several threads.
    RUN = 16384


def names():
    """The rows of the table."""
    return [binary_names[i].decode() for i in range(num_rows)]


def binary(
    int row, const real[:, :, ::1] grad, const real[::1] x, const real[::1] y, (bint, bint, bint) x_moves,
    (bint, bint, bint) y_moves, real[:, :, ::1] to, int threads,
):
    """to = the row's value of x and y, and of grad, an array like `to` (any for rows that don't read it).

    x and y have the axes of `to` along which they move, and repeat along the others.
    """
    cdef Py_ssize_t outer = to.shape[0], middle = to.shape[1], inner = to.shape[2], slot, item, o, m, start
    cdef Py_ssize_t runs = (inner + RUN - 1) // RUN, items = outer * middle * runs
    cdef Py_ssize_t x_middle = (inner if x_moves[2] else 1) if x_moves[1] else 0
    cdef Py_ssize_t y_middle = (inner if y_moves[2] else 1) if y_moves[1] else 0
    cdef Py_ssize_t x_outer = (inner if x_moves[2] else 1) * (middle if x_moves[1] else 1) if x_moves[0] else 0
    cdef Py_ssize_t y_outer = (inner if y_moves[2] else 1) * (middle if y_moves[1] else 1) if y_moves[0] else 0
    cdef int x_inner = x_moves[2], y_inner = y_moves[2]
    cdef const real* x_run
    cdef const real* y_run
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            o, m, start = item // runs // middle, item // runs % middle, item % runs * RUN
            x_run = &x[o * x_outer + m * x_middle + (start if x_inner else 0)]
            y_run = &y[o * y_outer + m * y_middle + (start if y_inner else 0)]
            binary_run(row, &grad[o, m, start], x_run, x_inner, y_run, y_inner, min(<Py_ssize_t>RUN, inner - start),
                       &to[o, m, start])
