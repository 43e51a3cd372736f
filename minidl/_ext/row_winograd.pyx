"""Convolution for few channels by Winograd's method along the rows of blocks of 16 samples (`_row_winograd.pxd`).

Loop order: blocks, or parts of them (`_direct.pxd`), are the items that threads share; inside, some rows of outputs at
a time, points, groups of filters, tiles. The weight's gradient is summed over chunks of items, and these in order.
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport LANES, MOST_TAPS, Part, inputs_part, load_images, outputs_part
from minidl._ext._lists cimport address
from minidl._ext._memory cimport Block, rows_of
from minidl._ext._real cimport real
from minidl._ext._row_winograd cimport (
    FEW_POINTS, FILTERS_SUMMED, POINTS, few_tiles_of, gradient_points, input_points, output_points, output_row,
    pack_points, pixel_points, tiles_of, weight_points,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._window cimport Window, unpack


cdef class Plan:
    """One direction of a convolution of given shapes, and how it is cut: all that calls of it have in common.

    `together` rows of outputs at a time, blocks in `parts`; for each slot `scratch` numbers, and the first one has room
    for `transformed` weights behind them. The weight gradient's sum of one part begins at `sum_at`, and items are added
    up in so many `chunks`.
    """

    cdef Window window
    cdef Py_ssize_t N, C, F, taps, items, together, parts, scratch, transformed, sum_at, chunks

    def __cinit__(
        self, const Py_ssize_t[::1] packed_window, Py_ssize_t N, Py_ssize_t C, Py_ssize_t F, *, Py_ssize_t together,
        Py_ssize_t parts, Py_ssize_t scratch, Py_ssize_t transformed, Py_ssize_t sum_at, Py_ssize_t chunks,
    ):
        self.window = unpack(packed_window)
        self.N, self.C, self.F, self.taps = N, C, F, self.window.KH * self.window.KW
        self.together, self.parts, self.scratch, self.transformed = together, parts, scratch, transformed
        self.sum_at, self.chunks, self.items = sum_at, chunks, (N + LANES - 1) // LANES * parts


cdef void load_gradients(
    const real* dy_nfij, Plan plan, const Part* cut, Py_ssize_t n, Py_ssize_t count, Py_ssize_t first,
    Py_ssize_t filters, Py_ssize_t tiles, bint few, real* row, real* d,
) noexcept nogil:
    """d[point][filter][row][tile] of some filters of a block's part; row has room for a row of outputs."""
    cdef Py_ssize_t f, r, OH = cut.window.OH, OW = cut.window.OW, outputs = plan.window.OH * OW
    for f in range(filters):
        for r in range(OH):
            to_lanes(dy_nfij + (n * plan.F + first + f) * outputs + (cut.output + r) * OW, plan.F * outputs, count, OW,
                     row)
            gradient_points(row, OW, d + (f * OH + r) * tiles * LANES, filters * OH * tiles * LANES, few)


cdef void forward_part(
    const real* x, const real* packed, const real* bias, Plan plan, real* y_nfij, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Part cut = outputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, F = plan.F, OW = window.OW, outputs = window.OH * OW
    cdef Py_ssize_t pixels = window.H * window.W, tiles = tiles_of(window), first = 0, now, f, r
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef real* v = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    cdef real* m = v + POINTS * C * cut.plane.rows * tiles * LANES
    cdef real* y = m + POINTS * F * plan.together * tiles * LANES
    load_images(x + n * C * pixels + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    pixel_points(scratch, v, C, tiles, &cut.plane)
    while first < cut.window.OH:
        now = min(plan.together, cut.window.OH - first)
        output_points(v, packed, m, first, now, C, F, tiles, &cut.window, &cut.plane)
        for f in range(F):
            for r in range(now):
                output_row(m + (f * now + r) * tiles * LANES, F * now * tiles * LANES,
                           bias[f] if bias != NULL else 0, OW, y + r * OW * LANES)
            to_rows(y, count, now * OW, y_nfij + (n * F + f) * outputs + (cut.output + first) * OW, F * outputs)
        first += now


def forward(Plan plan, object x, object weight, object bias, real[:, :, :, ::1] y_nfij, int threads):
    """y = x convolved with the weight, plus the bias (or None)."""
    cdef const real* images = address(x, plan.N * plan.C * plan.window.H * plan.window.W)
    cdef const real* weights = address(weight, plan.F * plan.C * plan.taps)
    cdef const real* biases = NULL
    cdef Py_ssize_t row = 0, slot, item
    cdef Block block = rows_of(threads, plan.scratch + plan.transformed, sizeof(real), &row)
    cdef real* scratch = <real*>block.memory
    cdef real* packed = scratch + plan.scratch
    cdef real* y = &y_nfij[0, 0, 0, 0]
    if bias is not None:
        biases = address(bias, plan.F)
    with nogil:
        pack_points(weights, packed, plan.F, plan.C, plan.window.KH, plan.C * plan.taps, plan.taps, False)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(plan.items, slot, threads), slot_start(plan.items, slot + 1, threads)):
            forward_part(images, packed, biases, plan, y, scratch + slot * row, item)


cdef void input_part(
    const real* dy_nfij, const real* packed, Plan plan, real* dx_nchw, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Part cut = inputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, F = plan.F, c, tiles = few_tiles_of(window)
    cdef Py_ssize_t pixels = cut.window.H * window.W, count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef Py_ssize_t inputs = window.H * window.W
    cdef real* d = scratch + window.OW * LANES
    cdef real* m = d + FEW_POINTS * F * cut.window.OH * tiles * LANES
    cdef real* dx = m + 2 * FEW_POINTS * 6 * plan.together * tiles * LANES
    load_gradients(dy_nfij, plan, &cut, n, count, 0, F, tiles, True, scratch, d)
    input_points(d, packed, m, dx, plan.together, C, F, tiles, &cut.window)
    for c in range(C):
        to_rows(dx + c * pixels * LANES, count, pixels, dx_nchw + (n * C + c) * inputs + cut.input * window.W,
                C * inputs)


def gradient_of_input(Plan plan, object grad, object weight, real[:, :, :, ::1] dx_nchw, int threads):
    """dx, some of its rows at a time."""
    cdef const real* grads = address(grad, plan.N * plan.F * plan.window.OH * plan.window.OW)
    cdef const real* weights = address(weight, plan.F * plan.C * plan.taps)
    cdef Py_ssize_t row = 0, slot, item
    cdef Block block = rows_of(threads, plan.scratch + plan.transformed, sizeof(real), &row)
    cdef real* scratch = <real*>block.memory
    cdef real* packed = scratch + plan.scratch
    cdef real* dx = &dx_nchw[0, 0, 0, 0]
    with nogil:
        pack_points(weights, packed, plan.C, plan.F, plan.window.KH, plan.taps, plan.C * plan.taps, True)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(plan.items, slot, threads), slot_start(plan.items, slot + 1, threads)):
            input_part(grads, packed, plan, dx, scratch + slot * row, item)


cdef void weight_part(
    const real* x, const real* dy_nfij, Plan plan, real* scratch, real* dw, Py_ssize_t item,
) noexcept nogil:
    """Add to dw what a part of a block gives."""
    cdef const Window* window = &plan.window
    cdef Part cut = outputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, F = plan.F, f = 0, i, size
    cdef Py_ssize_t pixels = window.H * window.W, tiles = tiles_of(window), of_filter = C * plan.taps
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef real* v = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    cdef real* d = v + POINTS * C * cut.plane.rows * tiles * LANES
    cdef real* part_sum = scratch + plan.sum_at
    cdef real sums[POINTS * FILTERS_SUMMED * MOST_TAPS * LANES]
    load_images(x + n * C * pixels + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    pixel_points(scratch, v, C, tiles, &cut.plane)
    while f < F:
        size = min(<Py_ssize_t>FILTERS_SUMMED, F - f)
        # The images are not needed any more.
        load_gradients(dy_nfij, plan, &cut, n, count, f, size, tiles, False, scratch, d)
        weight_points(v, d, sums, part_sum + f * of_filter, 0, cut.window.OH, C, size, tiles, &cut.window, &cut.plane)
        f += size
    for i in range(F * of_filter):
        dw[i] += part_sum[i]


def gradient_of_weight(Plan plan, object x, object grad, real[:, :, :, ::1] dw_fckl, int threads):
    """dw, summed over chunks of items."""
    cdef const real* images = address(x, plan.N * plan.C * plan.window.H * plan.window.W)
    cdef const real* grads = address(grad, plan.N * plan.F * plan.window.OH * plan.window.OW)
    cdef Py_ssize_t size = plan.F * plan.C * plan.taps, row = 0, unused = 0, slot, chunk, item, i
    cdef Block block = rows_of(threads, plan.scratch, sizeof(real), &row)
    # The sums of all chunks but the first.
    cdef Block partial = rows_of(1, (plan.chunks - 1) * size, sizeof(real), &unused) if plan.chunks > 1 else None
    cdef real* scratch = <real*>block.memory
    cdef real* dw = &dw_fckl[0, 0, 0, 0]
    cdef real* others = <real*>partial.memory if partial is not None else NULL
    cdef real* sums
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for chunk in range(slot_start(plan.chunks, slot, threads), slot_start(plan.chunks, slot + 1, threads)):
            sums = dw if chunk == 0 else others + (chunk - 1) * size
            for i in range(size):
                sums[i] = 0
            for item in range(slot_start(plan.items, chunk, plan.chunks),
                              slot_start(plan.items, chunk + 1, plan.chunks)):
                weight_part(images, grads, plan, scratch + slot * row, sums, item)
    with nogil:
        for chunk in range(plan.chunks - 1):
            for i in range(size):
                dw[i] += others[chunk * size + i]
