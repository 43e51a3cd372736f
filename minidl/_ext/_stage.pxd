"""One stage of `stack.pyx` on one block of 16 samples: convolution, bias, ReLU and max pooling, and its gradients.

Loop order within a stage: a group of filters, a row of pooled outputs, the rows of the convolution under it, tiles. By
Winograd's method (`_row_winograd.pxd`) the sums of all filters are made for such rows first.
"""

from minidl._ext._direct cimport (
    LANES, MOST_TAPS, Plane, filters_from, forward_rows, input_gradient, plane_of, weight_gradient,
)
from minidl._ext._real cimport real
from minidl._ext._row_winograd cimport (
    FEW_POINTS, FILTERS_SUMMED, POINTS, few_tiles_of, gradient_points, input_points, output_points, output_row,
    pixel_points, rows_transformed, tiles_of, weight_points,
)
from minidl._ext._window cimport Window, zero_run


cdef extern from "direct_tiles.h" nogil:
    void direct_pool(
        const real* y, Py_ssize_t y_row, int rows, int columns, int relu, Py_ssize_t count, real* out,
        real* place)
    void direct_spread(
        const real* grad, const real* place, int row, int columns, Py_ssize_t count, real* dy)
    real direct_total(const real* grad, const real* place, Py_ssize_t count)


cdef struct Layout:
    Py_ssize_t C, F, relu
    # The pooling window, which is also its stride.
    Py_ssize_t PH, PW
    # The start of its part: in the weights and biases of all stages, in a block's images, in a block's indices.
    Py_ssize_t weight, bias, x, index
    # And in the packed weights of all stages, forward and for the inputs' gradients.
    Py_ssize_t packed, packed_by_channel
    # The directions that go by Winograd's method (_row_winograd.pxd), and the rows of the input's gradient together.
    Py_ssize_t by_points, weight_by_points, input_by_points


cdef struct Stage:
    Window window
    Plane plane
    # The size of what comes out, and what its `Layout` says.
    Py_ssize_t QH, QW, C, F, PH, PW, weight, bias, x, index, packed, packed_by_channel, input_by_points
    int relu
    bint by_points, weight_by_points


cdef inline Stage stage_of(const Window* window, const Layout* layout) noexcept nogil:
    cdef Stage stage
    stage.window, stage.plane = window[0], plane_of(window)
    stage.QH, stage.QW = window.OH // layout.PH, window.OW // layout.PW
    stage.C, stage.F, stage.PH, stage.PW = layout.C, layout.F, layout.PH, layout.PW
    stage.weight, stage.bias, stage.x, stage.index = layout.weight, layout.bias, layout.x, layout.index
    stage.packed, stage.packed_by_channel = layout.packed, layout.packed_by_channel
    stage.input_by_points, stage.relu = layout.input_by_points, layout.relu != 0
    stage.by_points, stage.weight_by_points = layout.by_points != 0, layout.weight_by_points != 0
    return stage


cdef inline void pool_row(
    const real* y, const Stage* stage, Py_ssize_t columns, real* out, real* place,
) noexcept nogil:
    """A row of pooled outputs from the rows of a filter's that lie under it."""
    direct_pool(y, stage.window.OW * LANES, <int>stage.PH, <int>stage.PW, stage.relu, columns, out, place)


cdef inline void forward_directly(
    const real* x, const Stage* stage, const real* weights, const real* bias, real* y, Py_ssize_t rows,
    Py_ssize_t columns, real* to, Py_ssize_t to_filter, Py_ssize_t to_row, real* places,
) noexcept nogil:
    """y is scratch for up to 6 filters' rows under a pooled one."""
    cdef Py_ssize_t f = 0, q, i, size, y_filter = stage.PH * stage.window.OW * LANES
    while f < stage.F:
        size = filters_from(f, stage.F, False)
        for q in range(rows):
            forward_rows(x, weights + f * stage.C * stage.window.KH * stage.window.KW, bias + f, y, q * stage.PH,
                         (q + 1) * stage.PH, stage.C, size, y_filter, &stage.window, &stage.plane)
            for i in range(size):
                pool_row(y + i * y_filter, stage, columns, to + (f + i) * to_filter + q * to_row,
                         places + ((f + i) * stage.QH + q) * stage.QW * LANES)
        f += size


cdef inline void forward_by_points(
    const real* x, const Stage* stage, const real* weights, const real* bias, real* scratch, Py_ssize_t rows,
    Py_ssize_t columns, real* to, Py_ssize_t to_filter, Py_ssize_t to_row, real* places,
) noexcept nogil:
    cdef Py_ssize_t tiles = tiles_of(&stage.window), f, q, r, row = stage.window.OW * LANES
    cdef Py_ssize_t of_filter = stage.PH * tiles * LANES
    cdef real* m = scratch + POINTS * stage.C * stage.plane.rows * tiles * LANES
    cdef real* y = m + POINTS * stage.F * of_filter
    pixel_points(x, scratch, stage.C, tiles, &stage.plane)
    for q in range(rows):
        output_points(scratch, weights, m, q * stage.PH, stage.PH, stage.C, stage.F, tiles, &stage.window,
                      &stage.plane)
        for f in range(stage.F):
            for r in range(stage.PH):
                output_row(m + f * of_filter + r * tiles * LANES, stage.F * of_filter, bias[f], stage.window.OW,
                           y + r * row)
            pool_row(y, stage, columns, to + f * to_filter + q * to_row,
                     places + (f * stage.QH + q) * stage.QW * LANES)


cdef inline void forward_stage(
    const real* x, const Stage* stage, const real* weights, const real* bias, real* scratch, Py_ssize_t rows,
    Py_ssize_t columns, real* to, Py_ssize_t to_filter, Py_ssize_t to_row, real* places,
) noexcept nogil:
    """The first rows and columns of what a stage gives, and where its maxima stood."""
    if stage.by_points:
        forward_by_points(x, stage, weights, bias, scratch, rows, columns, to, to_filter, to_row, places)
    else:
        forward_directly(x, stage, weights, bias, scratch, rows, columns, to, to_filter, to_row, places)


cdef inline void spread_row(
    const real* grad, const real* places, const Stage* stage, Py_ssize_t f, Py_ssize_t r, real* to,
) noexcept nogil:
    """A row of the gradient of a filter's outputs from that of what was pooled from them."""
    cdef Py_ssize_t q = r // stage.PH, covered = stage.QW * stage.PW, at = (f * stage.QH + q) * stage.QW * LANES
    if q >= stage.QH:
        zero_run(to, stage.window.OW * LANES * sizeof(real))
        return
    direct_spread(grad + at, places + at, <int>(r - q * stage.PH), <int>stage.PW, stage.QW, to)
    zero_run(to + covered * LANES, (stage.window.OW - covered) * LANES * sizeof(real))


cdef inline void stage_gradient_points(
    const real* dy, const Stage* stage, Py_ssize_t first, Py_ssize_t filters, Py_ssize_t tiles, bint few, real* d,
) noexcept nogil:
    """d[point][filter][row][tile] of some filters."""
    cdef Py_ssize_t f, r, OH = stage.window.OH
    for f in range(filters):
        for r in range(OH):
            gradient_points(dy + (((first + f) * OH + r) * stage.plane.grad_columns + stage.plane.margin) * LANES,
                            stage.window.OW, d + (f * OH + r) * tiles * LANES, filters * OH * tiles * LANES, few)


cdef inline void weight_by_points(
    const real* x, const real* dy, const real* places, real* line, real* dw, const Stage* stage, real* scratch,
) noexcept nogil:
    """dw from the gradient of the outputs, or, with places, from that of what was pooled from them.

    A `line` then holds one row of the former at a time.
    """
    cdef Py_ssize_t tiles = tiles_of(&stage.window), f = 0, size, row, rows, i, r, OH = stage.window.OH
    cdef Py_ssize_t together = rows_transformed(stage.C, tiles, &stage.window)
    cdef real sums[POINTS * FILTERS_SUMMED * MOST_TAPS * LANES]
    cdef const real* here
    cdef real* d = scratch + POINTS * stage.C * stage.plane.rows * tiles * LANES
    pixel_points(x, scratch, stage.C, tiles, &stage.plane)
    while f < stage.F:
        size = min(<Py_ssize_t>FILTERS_SUMMED, stage.F - f)
        row = 0
        while row < OH:
            rows = min(together, OH - row)
            for i in range(size):
                for r in range(rows):
                    here = line
                    if places != NULL:
                        spread_row(dy, places, stage, f + i, row + r, line)
                    else:
                        here = dy + (((f + i) * OH + row + r) * stage.plane.grad_columns + stage.plane.margin) * LANES
                    gradient_points(here, stage.window.OW, d + (i * rows + r) * tiles * LANES,
                                    size * rows * tiles * LANES, False)
            weight_points(scratch, d, sums, dw + f * stage.C * stage.window.KH * stage.window.KW, row, rows, stage.C,
                          size, tiles, &stage.window, &stage.plane)
            row += rows
        f += size


cdef inline void input_by_points(
    const real* dy, const real* packed, real* dx, const Stage* stage, real* scratch,
) noexcept nogil:
    cdef Py_ssize_t tiles = few_tiles_of(&stage.window)
    stage_gradient_points(dy, stage, 0, stage.F, tiles, True, scratch)
    input_points(scratch, packed, scratch + FEW_POINTS * stage.F * stage.window.OH * tiles * LANES, dx,
                 stage.input_by_points, stage.C, stage.F, tiles, &stage.window)


cdef inline void stage_weight_gradient(
    const real* x, const real* dy, real* dw, const Stage* stage, real* scratch,
) noexcept nogil:
    """dw (F, C, KH, KW) of one block."""
    if stage.weight_by_points:
        weight_by_points(x, dy, <const real*>NULL, <real*>NULL, dw, stage, scratch)
    else:
        weight_gradient(x, dy, dw, stage.C, stage.F, &stage.window, &stage.plane)


cdef inline void stage_input_gradient(
    const real* dy, const real* packed, real* dx, const Stage* stage, real* scratch,
) noexcept nogil:
    """dx (C, H, W, 16) of one block."""
    if stage.input_by_points:
        input_by_points(dy, packed, dx, stage, scratch)
    else:
        input_gradient(dy, packed, dx, stage.C, stage.F, &stage.window, &stage.plane)
