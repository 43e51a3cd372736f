"""Row-major matrix products over SciPy's BLAS, which is column-major.

A row-major matrix is the transpose of the same memory read column-major, so C = op(A) op(B) in rows is
C^T = op(B)^T op(A)^T in columns: the operands change places and keep their flags. BLAS counts in int, so the caller
keeps each of M, N, K and the row lengths below 2^31 (`kernels.check_blas_sizes`).
"""

from scipy.linalg.cython_blas cimport dgemm, sgemm

from minidl._ext._real cimport real


cdef extern from "sanitize.h" nogil:
    void check_matrix "minidl_check_matrix" (
        const void* start, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t row_length, size_t itemsize)


cdef inline void gemm(
    bint transpose_a, bint transpose_b, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
    const real* a, Py_ssize_t row_length_a, const real* b, Py_ssize_t row_length_b,
    real beta, real* c, Py_ssize_t row_length_c,
) noexcept nogil:
    """c = op(a) op(b) + beta c, with op(a) of shape (M, K), op(b) of (K, N), c of (M, N)."""
    cdef int m = <int>M, n = <int>N, k = <int>K
    cdef int lda = <int>max(row_length_a, 1), ldb = <int>max(row_length_b, 1), ldc = <int>max(row_length_c, 1)
    cdef char flag_a = c"T" if transpose_a else c"N"
    cdef char flag_b = c"T" if transpose_b else c"N"
    cdef real alpha = 1
    if m == 0 or n == 0:
        return
    check_matrix(a, K if transpose_a else M, M if transpose_a else K, row_length_a, sizeof(real))
    check_matrix(b, N if transpose_b else K, K if transpose_b else N, row_length_b, sizeof(real))
    check_matrix(c, M, N, row_length_c, sizeof(real))
    if sizeof(real) == sizeof(float):
        sgemm(&flag_b, &flag_a, &n, &m, &k, <float*>&alpha, <float*>b, &ldb, <float*>a, &lda, <float*>&beta, <float*>c,
              &ldc)
    else:
        dgemm(&flag_b, &flag_a, &n, &m, &k, <double*>&alpha, <double*>b, &ldb, <double*>a, &lda, <double*>&beta,
              <double*>c, &ldc)
