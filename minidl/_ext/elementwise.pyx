"""Element-wise work that NumPy would do in several passes, and sums over all axes but the channels'."""

from cython.parallel cimport prange

from minidl._ext._threads cimport slot_start
from minidl._ext._types cimport real


def relu(const real[::1] x, real[::1] y, int threads):
    """y = max(x, 0), NaN for NaN."""
    cdef Py_ssize_t slot, i
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for i in range(slot_start(x.shape[0], slot, threads), slot_start(x.shape[0], slot + 1, threads)):
            y[i] = 0 if x[i] <= 0 else x[i]


def relu_gradient(const real[::1] grad, const real[::1] y, real[::1] grad_x, int threads):
    """grad_x = grad where relu's result y is not 0."""
    cdef Py_ssize_t slot, i
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for i in range(slot_start(y.shape[0], slot, threads), slot_start(y.shape[0], slot + 1, threads)):
            grad_x[i] = 0 if y[i] <= 0 else grad[i]


cdef inline double row_sum(const real[:, :, ::1] x_ncp, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    """The sum of a row: 512 numbers at a time in 16 running sums that fill the vector lanes, the rest in double."""
    cdef real lanes[16]
    cdef double total = 0
    cdef Py_ssize_t P = x_ncp.shape[2], start, p, i
    cdef const real* row
    if P == 0:
        return 0
    row = &x_ncp[n, c, 0]
    for start in range(0, P - 15, 512):
        for i in range(16):
            lanes[i] = 0
        for p in range(start, min(start + 512, P - 15), 16):
            for i in range(16):
                lanes[i] += row[p + i]
        for i in range(16):
            total += lanes[i]
    for p in range(P - P % 16, P):
        total += row[p]
    return total


def channel_sum(const real[:, :, ::1] x_ncp, real[::1] total_c, int threads):
    """total[c] = the sum of x over n and p; rows are added in double precision."""
    cdef Py_ssize_t C = x_ncp.shape[1], slot, n, c
    cdef double total
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for c in range(slot_start(C, slot, threads), slot_start(C, slot + 1, threads)):
            total = 0
            for n in range(x_ncp.shape[0]):
                total = total + row_sum(x_ncp, n, c)
            total_c[c] = <real>total
