"""Between rows of samples and blocks of 16 samples side by side."""

from minidl._ext._real cimport real

cdef extern from "core/transpose.h" nogil:
    # Up to 16 rows, `row` apart, to [column][16], with zeros for the lanes without a sample.
    void to_lanes(const real* rows, Py_ssize_t row, Py_ssize_t count, Py_ssize_t columns, real* lanes)
    # The other way round, for `count` of the lanes.
    void to_rows(const real* lanes, Py_ssize_t count, Py_ssize_t columns, real* rows, Py_ssize_t row)
