"""What gemm.h offers, for both number types under one name."""

from minidl._ext._types cimport real


cdef extern from "gemm.h" nogil:
    enum:
        ROWS "MINIDL_GEMM_ROWS"
        VECTORS "MINIDL_GEMM_VECTORS"
        VECTOR_BYTES "MINIDL_VECTOR_BYTES"

    ctypedef struct View "minidl_gemm_view":
        Py_ssize_t H, W, image_step, channel_step
        Py_ssize_t rows, columns, row_stride, column_stride
        Py_ssize_t taps
        const Py_ssize_t* tap

    ctypedef struct Run "minidl_gemm_run":
        Py_ssize_t image, row, column, count, panel, lane

    int find_runs "minidl_gemm_runs" (
        const View* view, Py_ssize_t first, Py_ssize_t count, Py_ssize_t lanes, Run* runs)
    void tile_float "minidl_gemm_tile_float" (
        const float* a, const float* b, Py_ssize_t count, Py_ssize_t lanes, const float* bias, int add, float* c,
        Py_ssize_t c_row)
    void tile_double "minidl_gemm_tile_double" (
        const double* a, const double* b, Py_ssize_t count, Py_ssize_t lanes, const double* bias, int add, double* c,
        Py_ssize_t c_row)
    void gather_float "minidl_gemm_gather_float" (
        const float* x, const View* view, Py_ssize_t k_start, Py_ssize_t k_stop, const Run* runs, int found, float* to,
        Py_ssize_t to_panel, Py_ssize_t to_row)
    void gather_double "minidl_gemm_gather_double" (
        const double* x, const View* view, Py_ssize_t k_start, Py_ssize_t k_stop, const Run* runs, int found,
        double* to, Py_ssize_t to_panel, Py_ssize_t to_row)
    void turn_float "minidl_gemm_turn_float" (
        const float* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, float* to, Py_ssize_t wide)
    void turn_double "minidl_gemm_turn_double" (
        const double* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, double* to, Py_ssize_t wide)


cdef inline Py_ssize_t lanes_of(real* unused) noexcept nogil:
    """The width of a panel."""
    return VECTORS * (VECTOR_BYTES // <Py_ssize_t>sizeof(real))


cdef inline void tile(
    const real* a, const real* b, Py_ssize_t count, Py_ssize_t lanes, const real* bias, bint add, real* c,
    Py_ssize_t c_row,
) noexcept nogil:
    if real is float:
        tile_float(a, b, count, lanes, bias, add, c, c_row)
    else:
        tile_double(a, b, count, lanes, bias, add, c, c_row)


cdef inline void gather(
    const real* x, const View* view, Py_ssize_t k_start, Py_ssize_t k_stop, const Run* runs, int found, real* to,
    Py_ssize_t to_panel, Py_ssize_t to_row,
) noexcept nogil:
    if real is float:
        gather_float(x, view, k_start, k_stop, runs, found, to, to_panel, to_row)
    else:
        gather_double(x, view, k_start, k_stop, runs, found, to, to_panel, to_row)


cdef inline void turn(
    const real* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, real* to, Py_ssize_t wide,
) noexcept nogil:
    if real is float:
        turn_float(source, row, rows, count, to, wide)
    else:
        turn_double(source, row, rows, count, to, wide)
