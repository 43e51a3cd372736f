"""Convolution for few channels by Winograd's method along the rows of blocks of 16 samples (`_row_winograd.pxd`).

Loop order: blocks, or parts of them (`_direct.pxd`), are the items that threads share; inside, some rows of outputs at
a time, points, groups of filters, tiles. The weight's gradient is summed over chunks of items, and these in order.
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport LANES, Part, inputs_part, load_images, outputs_part
from minidl._ext._row_winograd cimport (
    FEW_POINTS, FILTERS_SUMMED, POINTS, few_tiles_of, gradient_points, input_points, output_points, output_row,
    pack_points, pixel_points, tiles_of, weight_points,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._types cimport real
from minidl._ext._window cimport Window, unpack


cdef void load_gradients(
    const real[:, :, :, ::1] dy_nfij, const Part* cut, Py_ssize_t n, Py_ssize_t count, Py_ssize_t first,
    Py_ssize_t filters, Py_ssize_t tiles, bint few, real* row, real* d,
) noexcept nogil:
    """d[point][filter][row][tile] of some filters of a block's part; row has room for a row of outputs."""
    cdef Py_ssize_t f, r, OH = cut.window.OH, OW = cut.window.OW
    cdef Py_ssize_t step = dy_nfij.shape[1] * dy_nfij.shape[2] * OW
    for f in range(filters):
        for r in range(OH):
            to_lanes(&dy_nfij[n, first + f, cut.output + r, 0], step, count, OW, row)
            gradient_points(row, OW, d + (f * OH + r) * tiles * LANES, filters * OH * tiles * LANES, few)


cdef void forward_part(
    const real[:, :, :, ::1] x_nchw, const real* packed, const real* bias, const Window* window,
    real[:, :, :, ::1] y_nfij, real* scratch, Py_ssize_t together, Py_ssize_t block, Py_ssize_t part, Py_ssize_t parts,
) noexcept nogil:
    cdef Part cut = outputs_part(window, part, parts)
    cdef Py_ssize_t n = block * LANES, C = x_nchw.shape[1], F = y_nfij.shape[1], OW = window.OW
    cdef Py_ssize_t pixels = window.H * window.W, tiles = tiles_of(window), first = 0, now, f, r
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, x_nchw.shape[0] - n)
    cdef real* v = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    cdef real* m = v + POINTS * C * cut.plane.rows * tiles * LANES
    cdef real* y = m + POINTS * F * together * tiles * LANES
    load_images(&x_nchw[n, 0, 0, 0] + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    pixel_points(scratch, v, C, tiles, &cut.plane)
    while first < cut.window.OH:
        now = min(together, cut.window.OH - first)
        output_points(v, packed, m, first, now, C, F, tiles, &cut.window, &cut.plane)
        for f in range(F):
            for r in range(now):
                output_row(m + (f * now + r) * tiles * LANES, F * now * tiles * LANES,
                           bias[f] if bias != NULL else 0, OW, y + r * OW * LANES)
            to_rows(y, count, now * OW, &y_nfij[n, f, cut.output + first, 0], F * window.OH * OW)
        first += now


def forward(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] weight_fckl, const real[::1] bias_f,
    const Py_ssize_t[::1] packed_window, real[:, :, :, ::1] y_nfij, real[:, ::1] scratch, Py_ssize_t packed_at,
    Py_ssize_t together, Py_ssize_t parts, int threads,
):
    """y = x convolved with the weight, plus the bias; `together` rows of outputs at a time.

    From packed_at on, the first slot's scratch has room for the transformed weights.
    """
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t C = x_nchw.shape[1], F = y_nfij.shape[1], taps = window.KH * window.KW, slot, item
    cdef Py_ssize_t items = (x_nchw.shape[0] + LANES - 1) // LANES * parts
    cdef const real* bias = &bias_f[0] if bias_f.shape[0] else NULL
    cdef real* packed = &scratch[0, packed_at]
    with nogil:
        pack_points(&weight_fckl[0, 0, 0, 0], packed, F, C, window.KH, C * taps, taps, False)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            forward_part(x_nchw, packed, bias, &window, y_nfij, &scratch[slot, 0], together, item // parts,
                         item % parts, parts)


cdef void input_part(
    const real[:, :, :, ::1] dy_nfij, const real* packed, const Window* window, real[:, :, :, ::1] dx_nchw,
    real* scratch, Py_ssize_t together, Py_ssize_t block, Py_ssize_t part, Py_ssize_t parts,
) noexcept nogil:
    cdef Part cut = inputs_part(window, part, parts)
    cdef Py_ssize_t n = block * LANES, C = dx_nchw.shape[1], F = dy_nfij.shape[1], c, tiles = few_tiles_of(window)
    cdef Py_ssize_t pixels = cut.window.H * window.W, count = min(<Py_ssize_t>LANES, dy_nfij.shape[0] - n)
    cdef real* d = scratch + window.OW * LANES
    cdef real* m = d + FEW_POINTS * F * cut.window.OH * tiles * LANES
    cdef real* dx = m + 2 * FEW_POINTS * 6 * together * tiles * LANES
    load_gradients(dy_nfij, &cut, n, count, 0, F, tiles, True, scratch, d)
    input_points(d, packed, m, dx, together, C, F, tiles, &cut.window)
    for c in range(C):
        to_rows(dx + c * pixels * LANES, count, pixels, &dx_nchw[n, c, cut.input, 0], C * window.H * window.W)


def gradient_of_input(
    const real[:, :, :, ::1] dy_nfij, const real[:, :, :, ::1] weight_fckl, const Py_ssize_t[::1] packed_window,
    real[:, :, :, ::1] dx_nchw, real[:, ::1] scratch, Py_ssize_t packed_at, Py_ssize_t together, Py_ssize_t parts,
    int threads,
):
    """dx, `together` of its rows at a time."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t C = dx_nchw.shape[1], F = dy_nfij.shape[1], taps = window.KH * window.KW, slot, item
    cdef Py_ssize_t items = (dx_nchw.shape[0] + LANES - 1) // LANES * parts
    cdef real* packed = &scratch[0, packed_at]
    with nogil:
        pack_points(&weight_fckl[0, 0, 0, 0], packed, C, F, window.KH, taps, C * taps, True)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            input_part(dy_nfij, packed, &window, dx_nchw, &scratch[slot, 0], together, item // parts, item % parts,
                       parts)


cdef void weight_part(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] dy_nfij, const Window* window, real* scratch,
    real* part_sum, real* dw, Py_ssize_t parts, Py_ssize_t item,
) noexcept nogil:
    """Add to dw what a part of a block gives; part_sum has room for so many numbers."""
    cdef Part cut = outputs_part(window, item % parts, parts)
    cdef Py_ssize_t n = item // parts * LANES, C = x_nchw.shape[1], F = dy_nfij.shape[1], f = 0, i, size
    cdef Py_ssize_t pixels = window.H * window.W, tiles = tiles_of(window), of_filter = C * window.KH * window.KW
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, x_nchw.shape[0] - n)
    cdef real* v = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    cdef real* d = v + POINTS * C * cut.plane.rows * tiles * LANES
    load_images(&x_nchw[n, 0, 0, 0] + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    pixel_points(scratch, v, C, tiles, &cut.plane)
    while f < F:
        size = min(<Py_ssize_t>FILTERS_SUMMED, F - f)
        # The images are not needed any more.
        load_gradients(dy_nfij, &cut, n, count, f, size, tiles, False, scratch, d)
        weight_points(v, d, part_sum + f * of_filter, C, size, tiles, &cut.window, &cut.plane)
        f += size
    for i in range(F * of_filter):
        dw[i] += part_sum[i]


def gradient_of_weight(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] dy_nfij, const Py_ssize_t[::1] packed_window,
    real[:, :, :, ::1] dw_fckl, real[::1] partial, real[:, ::1] scratch, Py_ssize_t chunks, Py_ssize_t sum_at,
    Py_ssize_t parts, int threads,
):
    """dw, summed over chunks of items; partial has room for the sums of all but the first, scratch (from sum_at on)
    for a part's."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t size = dw_fckl.shape[0] * dw_fckl.shape[1] * window.KH * window.KW, slot, chunk, item, i
    cdef Py_ssize_t items = (x_nchw.shape[0] + LANES - 1) // LANES * parts
    cdef real* dw = &dw_fckl[0, 0, 0, 0]
    cdef real* others = &partial[0] if chunks > 1 else NULL
    cdef real* sums
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for chunk in range(slot_start(chunks, slot, threads), slot_start(chunks, slot + 1, threads)):
            sums = dw if chunk == 0 else others + (chunk - 1) * size
            for i in range(size):
                sums[i] = 0
            for item in range(slot_start(items, chunk, chunks), slot_start(items, chunk + 1, chunks)):
                weight_part(x_nchw, dy_nfij, &window, &scratch[slot, 0], &scratch[slot, sum_at], sums, parts, item)
    with nogil:
        for chunk in range(chunks - 1):
            for i in range(size):
                dw[i] += others[chunk * size + i]
