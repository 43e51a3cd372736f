"""Declarations of gemm_tiles.h."""

from minidl._ext._real cimport real
from minidl._ext._window cimport copy_run

cdef enum:
    # While weights are packed across their channels, the next panel finds its neighbour's lines in the L1 cache.
    CHANNELS_AT_ONCE = 16


cdef extern from "gemm_tiles.h" nogil:
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
    void tile "gemm_tile" (
        const real* a, const real* b, Py_ssize_t count, Py_ssize_t lanes, const real* bias, bint add, real* c,
        Py_ssize_t c_row)
    void tile_of_rows "gemm_tile_of_rows" (
        const real* a, Py_ssize_t a_row, const real* b, Py_ssize_t count, Py_ssize_t lanes, bint add, real* c,
        Py_ssize_t c_row)
    void gather "gemm_gather" (
        const real* x, const View* view, Py_ssize_t k_start, Py_ssize_t k_stop, const Run* runs, int found, real* to,
        Py_ssize_t to_panel, Py_ssize_t to_row)
    void turn "gemm_turn" (
        const real* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, real* to, Py_ssize_t wide)


cdef inline Py_ssize_t lanes_of() noexcept nogil:
    """The width of a panel."""
    return VECTORS * (VECTOR_BYTES // <Py_ssize_t>sizeof(real))


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
