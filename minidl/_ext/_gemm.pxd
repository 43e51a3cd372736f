"""What gemm.h offers, for both number types under one name."""

from minidl._ext._types cimport real
from minidl._ext._window cimport copy_run

cdef enum:
    # While weights are packed across their channels, the next panel finds its neighbour's lines in the L1 cache.
    CHANNELS_AT_ONCE = 16


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
    void tile_of_rows_float "minidl_gemm_tile_of_rows_float" (
        const float* a, Py_ssize_t a_row, const float* b, Py_ssize_t count, Py_ssize_t lanes, int add, float* c,
        Py_ssize_t c_row)
    void tile_of_rows_double "minidl_gemm_tile_of_rows_double" (
        const double* a, Py_ssize_t a_row, const double* b, Py_ssize_t count, Py_ssize_t lanes, int add, double* c,
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


cdef inline void tile_of_rows(
    const real* a, Py_ssize_t a_row, const real* b, Py_ssize_t count, Py_ssize_t lanes, bint add, real* c,
    Py_ssize_t c_row,
) noexcept nogil:
    if real is float:
        tile_of_rows_float(a, a_row, b, count, lanes, add, c, c_row)
    else:
        tile_of_rows_double(a, a_row, b, count, lanes, add, c, c_row)


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


cdef inline void pack_rows(
    const real* weight, Py_ssize_t F, Py_ssize_t C, Py_ssize_t row_step, Py_ssize_t channel_step,
    const Py_ssize_t* weight_tap, Py_ssize_t T, Py_ssize_t panel_start, Py_ssize_t panel_stop, real* packed,
) noexcept nogil:
    """packed[panel][k][ROWS] of F rows, each of C channels with taps at T places; zeros in rows beyond the last."""
    cdef Py_ssize_t channel = 0, panel, first, rows, c, t, i
    cdef const real* source
    cdef real* to
    if channel_step == T:
        # All taps of a channel, and the next channel after them.
        for panel in range(panel_start, panel_stop):
            first = panel * ROWS
            turn(weight + first * row_step, row_step, min(<Py_ssize_t>ROWS, F - first), C * T,
                 packed + panel * C * T * ROWS, ROWS)
        return
    while channel < C:
        for panel in range(panel_start, panel_stop):
            first = panel * ROWS
            rows = min(<Py_ssize_t>ROWS, F - first)
            to = packed + (panel * C + channel) * T * ROWS
            for c in range(channel, min(channel + CHANNELS_AT_ONCE, C)):
                for t in range(T):
                    source = weight + first * row_step + c * channel_step + weight_tap[t]
                    if row_step == 1:
                        copy_run(to, source, <size_t>rows * sizeof(real))
                    else:
                        for i in range(rows):
                            to[i] = source[i * row_step]
                    for i in range(rows, ROWS):
                        to[i] = 0
                    to += ROWS
        channel += CHANNELS_AT_ONCE
