"""Between rows of samples and blocks of 16 samples side by side."""

from minidl._ext._types cimport real

cdef extern from "transpose.h" nogil:
    void to_lanes_float "minidl_to_lanes_float" (
        const float* rows, Py_ssize_t row, Py_ssize_t count, Py_ssize_t columns, float* lanes)
    void to_lanes_double "minidl_to_lanes_double" (
        const double* rows, Py_ssize_t row, Py_ssize_t count, Py_ssize_t columns, double* lanes)
    void to_rows_float "minidl_to_rows_float" (
        const float* lanes, Py_ssize_t count, Py_ssize_t columns, float* rows, Py_ssize_t row)
    void to_rows_double "minidl_to_rows_double" (
        const double* lanes, Py_ssize_t count, Py_ssize_t columns, double* rows, Py_ssize_t row)


cdef inline void to_lanes(
    const real* rows, Py_ssize_t row, Py_ssize_t count, Py_ssize_t columns, real* lanes,
) noexcept nogil:
    """Up to 16 rows, `row` apart, to [column][16], with zeros for the lanes without a sample."""
    if real is float:
        to_lanes_float(rows, row, count, columns, lanes)
    else:
        to_lanes_double(rows, row, count, columns, lanes)


cdef inline void to_rows(
    const real* lanes, Py_ssize_t count, Py_ssize_t columns, real* rows, Py_ssize_t row,
) noexcept nogil:
    """The other way round, for `count` of the lanes."""
    if real is float:
        to_rows_float(lanes, count, columns, rows, row)
    else:
        to_rows_double(lanes, count, columns, rows, row)
