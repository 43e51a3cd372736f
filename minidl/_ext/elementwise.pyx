"""Element-wise work that NumPy would do in several passes, sums over all axes but the channels', shifted images."""

from cython.parallel cimport prange
from libc.string cimport memcpy, memset

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start


cdef extern from "elementwise.h" nogil:
    const int BLOCK "ELEMENTWISE_BLOCK"
    const int num_rows "minidl_elementwise_count"

    ctypedef struct Row "minidl_elementwise_row":
        const char* name
        const char* torch
        const char* keeps
        const char* documentation
        double steps
    const Row[] table "minidl_elementwise_rows"

    void value_of "elementwise_value"(int row, const real* x, Py_ssize_t count, real a, real b, real* y)
    void gradient_of "elementwise_gradient"(
        int row, const real* grad, const real* kept, Py_ssize_t count, real a, real b, real* grad_x)


def rows():
    """The table of element-wise ops: each one's name, PyTorch's, what its gradient keeps, steps, documentation."""
    return [
        (table[i].name.decode(), table[i].torch.decode(), table[i].keeps.decode(), table[i].steps,
         table[i].documentation.decode())
        for i in range(num_rows)
    ]


cdef inline Py_ssize_t block_start(Py_ssize_t count, Py_ssize_t slot, Py_ssize_t slots) noexcept nogil:
    """The first number of a slot, which starts with a block."""
    return min(slot_start((count + BLOCK - 1) // BLOCK, slot, slots) * BLOCK, count)


def value(int row, const real[::1] x, double a, double b, real[::1] y, int threads):
    """y = f(x) for the f of a row of the table, with the numbers a and b."""
    cdef Py_ssize_t count = x.shape[0], slot, start, stop
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        start, stop = block_start(count, slot, threads), block_start(count, slot + 1, threads)
        if start < stop:
            value_of(row, &x[start], stop - start, <real>a, <real>b, &y[start])


def gradient(
    int row, const real[::1] grad, const real[::1] kept, double a, double b, real[::1] grad_x, int threads,
):
    """The gradient of x from that of the result, and from what the row keeps: x or the result."""
    cdef Py_ssize_t count = grad.shape[0], slot, start, stop
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        start, stop = block_start(count, slot, threads), block_start(count, slot + 1, threads)
        if start < stop:
            gradient_of(row, &grad[start], &kept[start], stop - start, <real>a, <real>b, &grad_x[start])


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


cdef inline void shift_plane(
    const unsigned char* x, unsigned char* y, Py_ssize_t H, Py_ssize_t row, Py_ssize_t down, Py_ssize_t right,
) noexcept nogil:
    """A plane of H rows of `row` bytes, moved by fewer rows and bytes than it has.

    A shift is one of the whole plane, then zeros over the rows that entered, and over what came from the next row.
    """
    cdef Py_ssize_t distance = down * row + right, h
    memcpy(y + max(distance, 0), x - min(distance, 0), H * row - (distance if distance > 0 else -distance))
    if down > 0:
        memset(y, 0, down * row)
    elif down < 0:
        memset(y + (H + down) * row, 0, -down * row)
    if right > 0:
        for h in range(H):
            memset(y + h * row, 0, right)
    elif right < 0:
        for h in range(H):
            memset(y + (h + 1) * row + right, 0, -right)


def shift(
    const unsigned char[:, :, ::1] x_ncp, const long long[::1] down_n, const long long[::1] right_n, Py_ssize_t width,
    Py_ssize_t itemsize, unsigned char[:, :, ::1] y_ncp, int threads,
):
    """y[n, c, h + down[n], w + right[n]] = x[n, c, h, w], and 0 where nothing came; p counts the bytes of a plane."""
    cdef Py_ssize_t N = x_ncp.shape[0], row = width * itemsize, H = x_ncp.shape[2] // row, slot, n, c
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for n in range(slot_start(N, slot, threads), slot_start(N, slot + 1, threads)):
            for c in range(x_ncp.shape[1]):
                if -H < down_n[n] < H and -width < right_n[n] < width:
                    shift_plane(&x_ncp[n, c, 0], &y_ncp[n, c, 0], H, row, down_n[n], right_n[n] * itemsize)
                else:
                    memset(&y_ncp[n, c, 0], 0, x_ncp.shape[2])
