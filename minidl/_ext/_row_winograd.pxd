"""Winograd's convolution along the rows of blocks of 16 samples; what direct.pyx and stack.pyx share.

For kernels of 5 columns and any number of rows, with stride 1 and dilation 1. row_winograd_tiles.h has the method and
the transforms: F(4, 5) for outputs and the weight's gradient, F(2, 5), of fewer points, for the input's.
"""

from minidl._ext._direct cimport (
    LANES, MOST_TAPS, MOST_TERMS, Plane, Run, Sum, direct_sum, filters_from, flatten, fold, run,
)
from minidl._ext._real cimport real
from minidl._ext._window cimport Window

cdef enum:
    POINTS = 8
    FEW_POINTS = 6
    # Filters whose products with all points are summed at once for the weight's gradient.
    FILTERS_SUMMED = 4
    # Tiles after which a sum for the weight's gradient starts anew: shorter sums round less.
    TILES_SUMMED = 32


cdef extern from "row_winograd_tiles.h" nogil:
    void row_pixels(
        const real* x, Py_ssize_t columns, Py_ssize_t tiles, real* v, Py_ssize_t point)
    # A row of a filter's outputs from the sums at its first tile.
    void output_row "row_outputs" (const real* m, Py_ssize_t point, real bias, Py_ssize_t columns, real* y)
    void row_gradients(
        const real* dy, Py_ssize_t columns, real* d, Py_ssize_t point)
    void row_few_gradients(
        const real* dy, Py_ssize_t columns, real* d, Py_ssize_t point)
    void row_weights(const real* w, real* u)
    void row_few_weights(const real* w, real* u)
    void row_weight_sums(const real* s, Py_ssize_t point, real* dw)
    void row_pixel_gradients(
        const real* m, const real* rest, Py_ssize_t point, Py_ssize_t tiles, Py_ssize_t first, Py_ssize_t columns,
        real* dx)


cdef inline Py_ssize_t tiles_of(const Window* window) noexcept nogil:
    """Tiles of 4 outputs in a row."""
    return (window.OW + 3) // 4


cdef inline Py_ssize_t few_tiles_of(const Window* window) noexcept nogil:
    """Tiles of 2 outputs in a row: those of the input's gradient."""
    return (window.OW + 1) // 2


cdef inline void pack_points(
    const real* weight, real* packed, Py_ssize_t filters, Py_ssize_t channels, Py_ssize_t rows, Py_ssize_t filter_step,
    Py_ssize_t channel_step, bint few,
) noexcept nogil:
    """Transformed weights, a group's side by side: packed[group][point][channel][row][filter in group].

    For the input's gradient (`few`) its filters are what sums are made for: the convolution's channels.
    """
    cdef Py_ssize_t start = 0, size, c, r, f, p, points = FEW_POINTS if few else POINTS
    cdef real u[POINTS]
    cdef real* to = packed
    while start < filters:
        size = filters_from(start, filters, False)
        for c in range(channels):
            for r in range(rows):
                for f in range(size):
                    if few:
                        row_few_weights(weight + (start + f) * filter_step + c * channel_step + r * 5, u)
                    else:
                        row_weights(weight + (start + f) * filter_step + c * channel_step + r * 5, u)
                    for p in range(points):
                        to[((p * channels + c) * rows + r) * size + f] = u[p]
        to += points * channels * rows * size
        start += size


cdef inline void pixel_points(
    const real* x, real* v, Py_ssize_t channels, Py_ssize_t tiles, const Plane* plane,
) noexcept nogil:
    """v[point][channel][row][tile] of a block of padded images."""
    cdef Py_ssize_t row
    for row in range(channels * plane.rows):
        row_pixels(x + row * plane.columns * LANES, plane.columns, tiles, v + row * tiles * LANES,
                   channels * plane.rows * tiles * LANES)


cdef inline void gradient_points(
    const real* dy, Py_ssize_t columns, real* d, Py_ssize_t point, bint few,
) noexcept nogil:
    """d[point][tile] of a row of outputs' gradients."""
    if few:
        row_few_gradients(dy, columns, d, point)
    else:
        row_gradients(dy, columns, d, point)


cdef inline void output_points(
    const real* v, const real* packed, real* m, Py_ssize_t first, Py_ssize_t count, Py_ssize_t channels,
    Py_ssize_t filters, Py_ssize_t tiles, const Window* window, const Plane* plane,
) noexcept nogil:
    """m[point][filter][row - first][tile]: the sums for `count` rows of outputs."""
    cdef Run steps
    cdef Py_ssize_t f, p, size, taps = channels * window.KH
    cdef Py_ssize_t column = 0
    cdef Py_ssize_t terms[MOST_TERMS]
    steps.channels, steps.rows, steps.columns, steps.x_columns = channels, window.KH, 1, &column
    steps.x_channel, steps.x_row, steps.x_pixel = plane.rows * tiles * LANES, tiles * LANES, LANES
    steps.y_filter, steps.y_pixel = count * tiles * LANES, LANES
    flatten(&steps, terms)
    for p in range(POINTS):
        f = 0
        while f < filters:
            size = filters_from(f, filters, False)
            steps.w_channel, steps.w_row, steps.w_column = window.KH * size, size, size
            run(v + (p * channels * plane.rows + first) * tiles * LANES, packed + (f * POINTS + p * size) * taps, NULL,
                m + (p * filters + f) * count * tiles * LANES, count * tiles, <int>size, &steps)
            f += size


cdef inline Py_ssize_t rows_summed(Py_ssize_t tiles, const Window* window) noexcept nogil:
    """Rows of outputs after which a sum for the weight's gradient starts anew."""
    cdef Py_ssize_t parts = (window.OH * tiles + TILES_SUMMED - 1) // TILES_SUMMED
    return (window.OH + parts - 1) // parts


cdef inline Py_ssize_t rows_transformed(Py_ssize_t channels, Py_ssize_t tiles, const Window* window) noexcept nogil:
    """Rows of the outputs' gradient that `weight_points` takes at a time.

    All where channels or taps have to take turns, else so few that they are still in the L1 cache.
    """
    return rows_summed(tiles, window) if channels == 1 and window.KH <= MOST_TAPS else window.OH


cdef inline void weight_points(
    const real* v, const real* d, real* sums, real* dw, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t channels,
    Py_ssize_t filters, Py_ssize_t tiles, const Window* window, const Plane* plane,
) noexcept nogil:
    """dw (filters, C, KH, 5) of one block and up to 4 filters, from v and from d[point][filter][row][tile].

    Sums in registers over some rows, those added up, transformed back, then summed over the lanes. d has so many rows
    of the outputs, as `rows_transformed` says; with the last ones dw is complete. Until then `sums`, numbers for all
    points, filters and 7 taps, has what there is.
    """
    cdef Sum steps
    cdef Py_ssize_t x_taps[MOST_TAPS]
    cdef real lanes[5 * LANES]
    cdef Py_ssize_t c, kh, p, i, j, k, taps, point, together = rows_summed(tiles, window), row
    for i in range(MOST_TAPS):
        x_taps[i] = i * tiles * LANES
    steps.rows, steps.x_row, steps.x_pixel = 1, 0, LANES
    steps.x_taps, steps.tail = x_taps, 0
    steps.dy_filter, steps.dy_row, steps.dy_pixel = rows * tiles * LANES, 0, LANES
    for c in range(channels):
        kh = 0
        while kh < window.KH:
            taps = min(<Py_ssize_t>MOST_TAPS, window.KH - kh)
            steps.dw_filter, steps.dw_tap, point = taps * LANES, LANES, filters * taps * LANES
            for p in range(POINTS):
                row = 0
                while row < rows:
                    steps.columns, steps.adds = min(together, rows - row) * tiles, first + row > 0
                    direct_sum(v + ((p * channels + c) * plane.rows + kh + first + row) * tiles * LANES,
                               d + (p * filters * rows + row) * tiles * LANES, sums + p * point, <int>filters,
                               <int>taps, &steps)
                    row += together
            if first + rows == window.OH:
                for i in range(filters):
                    for j in range(taps):
                        row_weight_sums(sums + (i * taps + j) * LANES, point, lanes)
                        for k in range(5):
                            dw[((i * channels + c) * window.KH + kh + j) * 5 + k] = fold(lanes + k * LANES)
            kh += taps


cdef inline void pixel_row(
    const real* m, const real* rest, Py_ssize_t point, Py_ssize_t tiles, const Window* window, real* dx,
) noexcept nogil:
    """A row of a channel's pixels' gradients from the sums at its first tile, which two halves may have."""
    row_pixel_gradients(m, rest, point, tiles, window.left, window.W, dx)


cdef inline void input_points(
    const real* d, const real* packed, real* m, real* dx, Py_ssize_t together, Py_ssize_t channels,
    Py_ssize_t filters, Py_ssize_t tiles, const Window* window,
) noexcept nogil:
    """dx (C, H, W, 16) of one block, from d[point][filter][row][tile]; m has room for up to 6 channels' sums of
    `together` rows, twice: the filters' two halves are summed apart, which rounds less.
    """
    cdef Run steps
    cdef Py_ssize_t c = 0, h, p, i, r, size, part, count, first, taps, half, point, other, at
    cdef Py_ssize_t column = 0, row = tiles * LANES, halves = 2 if filters > 1 else 1
    cdef Py_ssize_t terms[MOST_TERMS]
    cdef real* to
    steps.x_channel = window.OH * row
    steps.x_row, steps.x_pixel, steps.y_pixel = -row, LANES, LANES
    while c < channels:
        size = filters_from(c, channels, False)
        steps.w_channel, steps.w_row, steps.w_column = window.KH * size, size, size
        h = 0
        while h < window.H:
            # The taps that see this row, and the rows below that are seen by all of them.
            first = max(h + window.top - window.OH + 1, 0)
            taps = max(min(window.KH - 1, h + window.top) - first + 1, 0)
            count = 1
            if taps == window.KH:
                count = max(min(together, min(window.OH - window.top, window.H) - h), 1)
            steps.y_filter = count * row
            point, other = size * count * row, FEW_POINTS * size * count * row
            # Fewer channels, if there is little else to do at once, keep more tiles in registers.
            part = size if count * tiles > 6 or size < 4 else (size + 1) // 2
            for half in range(halves):
                steps.channels = filters // halves if half == 0 else filters - filters // halves
                steps.rows, steps.columns, steps.x_columns = taps, 1, &column
                if taps == window.KH:
                    flatten(&steps, terms)
                for p in range(FEW_POINTS):
                    i = 0
                    while i < size:
                        run(d + ((p * filters + half * (filters // 2)) * window.OH
                                 + (h + window.top - first if taps else 0)) * row,
                            packed + ((p * filters + half * (filters // 2)) * window.KH + (first if taps else 0)) * size
                            + i, NULL,
                            m + half * other + p * point + i * count * row, count * tiles,
                            <int>min(part, size - i), &steps)
                        i += part
            for i in range(size):
                for r in range(count):
                    at = (i * count + r) * row
                    to = dx + ((c + i) * window.H + h + r) * window.W * LANES
                    pixel_row(m + at, m + other + at if halves == 2 else NULL, point, tiles, window, to)
            h += count
        packed += FEW_POINTS * filters * window.KH * size
        c += size
