"""Sums, extrema and softmax, with gradients, along the middle axis of (outer, n, inner): see reduce_loops.h."""

from cython.parallel cimport prange

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start


cdef extern from "reduce.h" nogil:
    const int COLUMNS "REDUCE_COLUMNS"
    const int LANES "REDUCE_LANES"
    const int TERMS "REDUCE_TERMS"
    const int SUM "MINIDL_SUM"
    const int MAX "MINIDL_MAX"

    void normalize_row(int op, const real* x, const real* y, Py_ssize_t n, real* to)
    void normalize_packed(
        int op, const real* x, const real* y, Py_ssize_t n, Py_ssize_t inner, Py_ssize_t first, int width,
        real* scratch, real* to)
    void normalize_columns(
        int op, const real* x, const real* y, Py_ssize_t n, Py_ssize_t inner, int width, real* parts, real* to)
    void reduce_columns(
        int kind, const real* x, const real* y, Py_ssize_t n, Py_ssize_t inner, int width, double* to)


cdef enum:
    # Rows of a partial result, so that one long column is work for several threads.
    ROWS = 2048
    # Numbers of a row that is contiguous.
    NUMBERS = 16384
    # Numbers of a tile that its next pass should find in the second-level cache, and the fewest columns of one: to
    # read less than this from each row is slow.
    TILE_NUMBERS = 32768
    FEWEST_COLUMNS = 256
    # Columns side by side, at most, where they are packed, and how many numbers of each may be in a short row.
    PACKED_COLUMNS = 64
    SHORT_ROW = 32


cdef inline Py_ssize_t tile_columns(Py_ssize_t n, Py_ssize_t inner) noexcept nogil:
    """The columns of a tile of n rows."""
    return min(max(TILE_NUMBERS // max(n, 1) // LANES * LANES, FEWEST_COLUMNS), min(<Py_ssize_t>COLUMNS, inner))


cdef inline Py_ssize_t packed_columns(Py_ssize_t n, Py_ssize_t inner) noexcept nogil:
    """Count the columns that are packed side by side; 0 where they are read as they are."""
    if inner >= LANES or (inner == 1 and n > SHORT_ROW):
        return 0
    return min(max(TILE_NUMBERS // max(n, 1) // LANES * LANES, LANES), PACKED_COLUMNS)


def scratch_numbers(Py_ssize_t n, Py_ssize_t inner):
    """Count the numbers of scratch that `normalize` wants for each thread."""
    cdef Py_ssize_t packed = packed_columns(n, inner), parts = 2 * ((n + TERMS - 1) // TERMS)
    return (3 * n + parts) * packed if packed > 0 else 0 if inner == 1 else parts * tile_columns(n, inner)


cdef inline void normalize_tile(
    int op, const real* x, const real* y, Py_ssize_t n, Py_ssize_t inner, Py_ssize_t width, real* parts,
    real* to,
) noexcept nogil:
    """A row, or a tile of columns."""
    if inner == 1:
        normalize_row(op, x, y, n, to)
    else:
        normalize_columns(op, x, y, n, inner, <int>width, parts, to)


def normalize(
    int op, const real[:, :, ::1] x, const real[:, :, ::1] y, real[:, ::1] scratch, real[:, :, ::1] to, int threads,
):
    """softmax of x (0), its logarithm (1), or their gradients (2, 3) from that of the result, x, and the result, y.

    The axis is the middle one. y is not read by the first two; scratch is (threads, scratch_numbers).
    """
    cdef Py_ssize_t n = to.shape[1], inner = to.shape[2], packed = packed_columns(n, inner), slot, item, o, start
    cdef Py_ssize_t columns = to.shape[0] * inner, width = tile_columns(n, inner), tiles = (inner + width - 1) // width
    cdef Py_ssize_t items = (columns + packed - 1) // packed if packed > 0 else to.shape[0] * tiles, count
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            if packed > 0:
                start = item * packed
                count = min(packed, columns - start)
                normalize_packed(op, &x[0, 0, 0], &y[0, 0, 0] if op >= 2 else NULL, n, inner, start, <int>count,
                                 &scratch[slot, 0], &to[0, 0, 0])
            else:
                o, start = item // tiles, item % tiles * width
                count = min(width, inner - start)
                normalize_tile(op, &x[o, 0, start], &y[o, 0, start] if op >= 2 else NULL, n, inner, count,
                               &scratch[slot, 0] if inner > 1 else NULL, &to[o, 0, start])


def num_parts(Py_ssize_t n, Py_ssize_t inner):
    """Count the partial results that `reduce` wants for each column."""
    cdef Py_ssize_t rows = NUMBERS if inner == 1 else ROWS
    return (n + rows - 1) // rows


cdef inline double joined(int kind, double a, double b) noexcept nogil:
    """The reduction of two partial results."""
    if kind == SUM:
        return a + b
    if a != a or b != b:
        return a + b
    return max(a, b) if kind == MAX else min(a, b)


def reduce(
    int kind, const real[:, :, ::1] x, const real[:, :, ::1] y, double[:, :, ::1] parts, real[:, ::1] to, int threads,
):
    """to[o, i] = the sum (0), largest (1) or smallest (2) of x[o, :, i], NaN if one is; parts are partial results.

    With a y that is not empty it is the sum of the products x y.
    """
    cdef Py_ssize_t n = x.shape[1], inner = x.shape[2], num_parts = parts.shape[1]
    cdef Py_ssize_t rows = NUMBERS if inner == 1 else ROWS, columns = tile_columns(min(n, rows), inner)
    cdef Py_ssize_t tiles = (inner + columns - 1) // columns, items = x.shape[0] * num_parts * tiles
    cdef Py_ssize_t slot, item, o, part, row, start, width, i
    cdef bint has_y = y.shape[0] > 0
    cdef double result
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            o, part, start = item // tiles // num_parts, item // tiles % num_parts, item % tiles * columns
            width, row = min(columns, inner - start), part * rows
            reduce_columns(kind, &x[o, row, start], &y[o, row, start] if has_y else NULL, min(rows, n - row), inner,
                           <int>width, &parts[o, part, start])
    with nogil:
        for o in range(to.shape[0]):
            for i in range(inner):
                result = parts[o, 0, i]
                for part in range(1, num_parts):
                    result = joined(kind, result, parts[o, part, i])
                to[o, i] = <real>result
