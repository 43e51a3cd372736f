"""Batches of matrix products, cut into blocks of the result.

Each block is one single-threaded BLAS call over the whole inner dimension, so its bits depend on the block alone,
and blocks are cut by shape.
"""

from cython.parallel cimport prange

from minidl._ext._blas cimport gemm
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start


cdef void matmul_item(
    const real[:, :, ::1] a, bint transpose_a, const real[:, :, ::1] b, bint transpose_b, const real[::1] bias_n,
    real[:, :, ::1] c_bmn, Py_ssize_t item, Py_ssize_t block_m, Py_ssize_t block_n,
) noexcept nogil:
    cdef Py_ssize_t M = c_bmn.shape[1], N = c_bmn.shape[2], K = a.shape[1] if transpose_a else a.shape[2]
    cdef Py_ssize_t rows = (M + block_m - 1) // block_m, columns = (N + block_n - 1) // block_n
    cdef Py_ssize_t batch = item // (rows * columns)
    cdef Py_ssize_t m_start = item // columns % rows * block_m, n_start = item % columns * block_n
    cdef Py_ssize_t m_stop = min(m_start + block_m, M), n_stop = min(n_start + block_n, N)
    cdef Py_ssize_t m, n
    cdef bint has_bias = bias_n.shape[0] > 0
    if has_bias or K == 0:
        for m in range(m_start, m_stop):
            for n in range(n_start, n_stop):
                c_bmn[batch, m, n] = bias_n[n] if has_bias else 0
    if K == 0:
        return
    gemm(transpose_a, transpose_b, m_stop - m_start, n_stop - n_start, K,
         &a[batch, 0, m_start] if transpose_a else &a[batch, m_start, 0], a.shape[2],
         &b[batch, n_start, 0] if transpose_b else &b[batch, 0, n_start], b.shape[2],
         <real>(1 if has_bias else 0), &c_bmn[batch, m_start, n_start], N)


def matmul(
    const real[:, :, ::1] a, bint transpose_a, const real[:, :, ::1] b, bint transpose_b, const real[::1] bias_n,
    real[:, :, ::1] c_bmn, Py_ssize_t block_m, Py_ssize_t block_n, int threads,
):
    """c[i] = op(a[i]) op(b[i]) + bias, the bias added to every row."""
    cdef Py_ssize_t rows = (c_bmn.shape[1] + block_m - 1) // block_m
    cdef Py_ssize_t columns = (c_bmn.shape[2] + block_n - 1) // block_n
    cdef Py_ssize_t items = c_bmn.shape[0] * rows * columns
    cdef Py_ssize_t slot, item
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            matmul_item(a, transpose_a, b, transpose_b, bias_n, c_bmn, item, block_m, block_n)
