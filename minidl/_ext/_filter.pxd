"""What filter_lanes.h offers, for both number types under one name."""

from minidl._ext._types cimport real


cdef extern from "filter_lanes.h" nogil:
    enum:
        MOST_VECTORS "MINIDL_FILTER_VECTORS"

    const int tile_rows "minidl_filter_rows" []
    const int tile_taps "minidl_filter_taps" []

    void row_float "minidl_filter_row_float" (
        const float* x, Py_ssize_t stride, Py_ssize_t columns, const Py_ssize_t* offset, Py_ssize_t count,
        const float* weight, int vectors, const float* bias, float* to)
    void row_double "minidl_filter_row_double" (
        const double* x, Py_ssize_t stride, Py_ssize_t columns, const Py_ssize_t* offset, Py_ssize_t count,
        const double* weight, int vectors, const double* bias, double* to)
    void taps_float "minidl_filter_gradient_float" (
        const float* x, const Py_ssize_t* offset, Py_ssize_t count, Py_ssize_t row_step, Py_ssize_t stride,
        Py_ssize_t rows, Py_ssize_t columns, const float* gradient, int vectors, float* to)
    void taps_double "minidl_filter_gradient_double" (
        const double* x, const Py_ssize_t* offset, Py_ssize_t count, Py_ssize_t row_step, Py_ssize_t stride,
        Py_ssize_t rows, Py_ssize_t columns, const double* gradient, int vectors, double* to)
    void fetch_float "minidl_filter_fetch_float" (
        const float* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, int written)
    void fetch_double "minidl_filter_fetch_double" (
        const double* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, int written)
    void turn_float "minidl_filter_turn_float" (
        const float* source, Py_ssize_t wide, Py_ssize_t lanes, Py_ssize_t count, float* to, Py_ssize_t to_row)
    void turn_double "minidl_filter_turn_double" (
        const double* source, Py_ssize_t wide, Py_ssize_t lanes, Py_ssize_t count, double* to, Py_ssize_t to_row)


cdef inline void outputs_of_row(
    const real* x, Py_ssize_t stride, Py_ssize_t columns, const Py_ssize_t* offset, Py_ssize_t count,
    const real* weight, int vectors, const real* bias, real* to,
) noexcept nogil:
    if real is float:
        row_float(x, stride, columns, offset, count, weight, vectors, bias, to)
    else:
        row_double(x, stride, columns, offset, count, weight, vectors, bias, to)


cdef inline void gradients_of_taps(
    const real* x, const Py_ssize_t* offset, Py_ssize_t count, Py_ssize_t row_step, Py_ssize_t stride,
    Py_ssize_t rows, Py_ssize_t columns, const real* gradient, int vectors, real* to,
) noexcept nogil:
    if real is float:
        taps_float(x, offset, count, row_step, stride, rows, columns, gradient, vectors, to)
    else:
        taps_double(x, offset, count, row_step, stride, rows, columns, gradient, vectors, to)


cdef inline void from_lanes(
    const real* source, Py_ssize_t wide, Py_ssize_t lanes, Py_ssize_t count, real* to, Py_ssize_t to_row,
) noexcept nogil:
    """to[lane][i] = source[i][lane] for `lanes` of `wide`."""
    if real is float:
        turn_float(source, wide, lanes, count, to, to_row)
    else:
        turn_double(source, wide, lanes, count, to, to_row)


cdef inline void fetch_rows(
    const real* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count, bint written,
) noexcept nogil:
    """Have runs of `rows` rows in the caches soon."""
    if real is float:
        fetch_float(source, row, rows, count, written)
    else:
        fetch_double(source, row, rows, count, written)
