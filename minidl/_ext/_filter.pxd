"""Declarations of filter_tiles.h."""

from minidl._ext._real cimport real


cdef extern from "filter_tiles.h" nogil:
    enum:
        MOST_VECTORS "MINIDL_FILTER_VECTORS"

    const int tile_rows "minidl_filter_rows" []
    const int tile_taps "minidl_filter_taps" []

    void outputs_of_row "filter_row" (
        const real* x, Py_ssize_t stride, Py_ssize_t columns, const Py_ssize_t* offset, Py_ssize_t count,
        const real* weight, int vectors, const real* bias, real* to)
    void gradients_of_taps "filter_gradient" (
        const real* x, const Py_ssize_t* offset, Py_ssize_t count, Py_ssize_t row_step, Py_ssize_t stride,
        Py_ssize_t rows, Py_ssize_t columns, const real* gradient, int vectors, real* to)
    # Have runs of `rows` rows in the caches soon.
    void fetch_rows "filter_fetch" (const real* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, bint written)
    # to[lane][i] = source[i][lane] for `lanes` of `wide`.
    void from_lanes "filter_turn" (
        const real* source, Py_ssize_t wide, Py_ssize_t lanes, Py_ssize_t count, real* to, Py_ssize_t to_row)
