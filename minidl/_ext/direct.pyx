"""Convolution for few channels, without im2col: forward, and the gradients of the input and of the weight.

Vectors hold 16 samples (blocks, `_direct.pxd`) or 16 columns of one image (bands of rows, `_rows.pxd`). Either way a
tile of filters times neighbouring outputs stays in registers while all channels and taps go by, and the weight's
gradient while all positions go by. Blocks go by Winograd's method along their rows as well (`_row_winograd.pxd`).

Loop order: blocks or bands are the items that threads share; inside, groups of filters, rows of outputs, tiles. The
weight's gradient is summed over chunks of items, and these in order. Where there are few blocks each is cut into parts,
some rows of its outputs (for the input's gradient, of its pixels): a part is a convolution with a window of its own.
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport (
    LANES, MOST_TAPS, Part, filters_from, forward_rows, input_gradient, inputs_part, load_images,
    outputs_part, pack, weight_gradient,
)
from minidl._ext._lists cimport address
from minidl._ext._memory cimport Block, rows_of
from minidl._ext._real cimport real
from minidl._ext._row_winograd cimport (
    FEW_POINTS, FILTERS_SUMMED, POINTS, few_tiles_of, gradient_points, input_points, output_points, output_row,
    pack_points, pixel_points, tiles_of, weight_points,
)
from minidl._ext._rows cimport (
    GradBand, band_columns, band_forward, band_input_gradient, band_rows, band_weight_gradient, grad_band, is_narrow,
    load_band, load_grad, whole,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._window cimport Window, unpack, zero_run


def band_sizes(const Py_ssize_t[::1] packed, Py_ssize_t count):
    """Elements a channel of a band's input, a filter of its gradient (for the input's), and a filter's scratch rows."""
    cdef Window window = unpack(packed)
    cdef GradBand band
    cdef Py_ssize_t most = 0, first
    for first in range(0, window.H, count):
        band = grad_band(first, min(count, window.H - first), &window)
        most = max(most, band.rows)
    band = grad_band(0, 1, &window)
    return (
        band_rows(count, &window) * window.SW * band_columns(&window), most * band.length,
        whole(window.OW) * (count if is_narrow(whole(window.OW), 1) else 1),
        window.SW * band.wide * (count if is_narrow(band.wide, 1) else 1), whole(window.OW),
    )


cdef class Plan:
    """One direction of a convolution of given shapes, and how it is cut: all that calls of it have in common.

    By bands of `band` rows; or by `parts` of blocks, directly or (`together`) by Winograd's method for so many rows of
    outputs at a time. A slot has `scratch` numbers, and the first one room for `packed` weights behind them. The weight
    gradient's sum of one part begins at `sum_at`, and items are added up in so many `chunks`. Arrays are C-contiguous.
    """

    cdef Window window
    cdef Py_ssize_t N, C, F, taps, items, bands, band, parts, together, packed, scratch, sum_at, chunks

    def __cinit__(
        self, const Py_ssize_t[::1] packed_window, Py_ssize_t N, Py_ssize_t C, Py_ssize_t F, *, Py_ssize_t scratch,
        Py_ssize_t sum_at, Py_ssize_t chunks, Py_ssize_t packed, Py_ssize_t band=0, Py_ssize_t parts=1,
        Py_ssize_t together=0, bint of_inputs=False,
    ):
        self.window = unpack(packed_window)
        self.N, self.C, self.F = N, C, F
        self.taps = self.window.KH * self.window.KW
        self.band, self.parts, self.together, self.packed = band, parts, together, packed
        self.scratch, self.sum_at, self.chunks = scratch, sum_at, chunks
        self.bands = ((self.window.H if of_inputs else self.window.OH) + band - 1) // band if band else 1
        self.items = N * self.bands if band else (N + LANES - 1) // LANES * parts

    def forward(self, object x, object weight, object bias, object y, int threads):
        """y = x convolved with the weight, plus the bias (or None)."""
        forward(self, x, weight, bias, y, threads)

    def gradient_of_input(self, object grad, object weight, object dx, int threads):
        """dx."""
        gradient_of_input(self, grad, weight, dx, threads)

    def gradient_of_weight(self, object x, object grad, object dw, int threads):
        """dw, summed over chunks of items."""
        gradient_of_weight(self, x, grad, dw, threads)


cdef void forward_block(
    const real* x, const real* packed, const real* bias, Plan plan, real* y_nfij, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Part cut = outputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, F = plan.F, f = 0
    cdef Py_ssize_t pixels = window.H * window.W, P = cut.window.OH * window.OW, size, i
    cdef Py_ssize_t outputs = window.OH * window.OW, count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef real* y = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    load_images(x + n * C * pixels + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    while f < F:
        size = filters_from(f, F, False)
        forward_rows(scratch, packed + f * C * plan.taps, bias + f if bias != NULL else NULL, y, 0, cut.window.OH, C,
                     size, P * LANES, &cut.window, &cut.plane)
        for i in range(size):
            to_rows(y + i * P * LANES, count, P, y_nfij + (n * F + f + i) * outputs + cut.output * window.OW,
                    F * outputs)
        f += size


cdef void forward_band(
    const real* x, const real* packed, const real* bias, Plan plan, real* y_nfij, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Py_ssize_t n = item // plan.bands, first = item % plan.bands * plan.band
    cdef Py_ssize_t count = min(plan.band, window.OH - first)
    load_band(x + n * plan.C * window.H * window.W, plan.C, first, count, window, scratch)
    band_forward(scratch, packed, bias, y_nfij + n * plan.F * window.OH * window.OW, plan.C, plan.F, first, count,
                 window, scratch + plan.C * band_rows(plan.band, window) * window.SW * band_columns(window))


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


cdef int forward(Plan plan, object x, object weight, object bias, object y_nfij, int threads) except -1:
    cdef const real* images = address(x, plan.N * plan.C * plan.window.H * plan.window.W)
    cdef const real* weights = address(weight, plan.F * plan.C * plan.taps)
    cdef const real* biases = NULL
    cdef Py_ssize_t row = 0, slot, item
    cdef Block block = rows_of(threads, plan.scratch + plan.packed, sizeof(real), &row)
    cdef real* scratch = <real*>block.memory
    # The first slot's scratch has room for the weights in another order.
    cdef real* packed = scratch + plan.scratch
    cdef real* y = <real*>address(y_nfij, plan.N * plan.F * plan.window.OH * plan.window.OW)
    if bias is not None:
        biases = address(bias, plan.F)
    with nogil:
        if plan.together:
            pack_points(weights, packed, plan.F, plan.C, plan.window.KH, plan.C * plan.taps, plan.taps, False)
        else:
            pack(weights, packed, plan.F, plan.C, plan.taps, plan.C * plan.taps, plan.taps, plan.band > 0)
        for slot in prange(threads, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            for item in range(slot_start(plan.items, slot, threads), slot_start(plan.items, slot + 1, threads)):
                if plan.band:
                    forward_band(images, packed, biases, plan, y, scratch + slot * row, item)
                elif plan.together:
                    forward_part(images, packed, biases, plan, y, scratch + slot * row, item)
                else:
                    forward_block(images, packed, biases, plan, y, scratch + slot * row, item)


cdef void load_grad_block(
    const real* dy_nfij, Plan plan, Py_ssize_t n, Py_ssize_t count, const Part* cut, bint has_margins, real* dy,
) noexcept nogil:
    """A part of a block of the output's gradient; its margins are zeros if anybody reads them."""
    cdef Py_ssize_t f, r, row = cut.plane.grad_columns * LANES, margin = cut.plane.margin * LANES
    cdef Py_ssize_t OH = cut.window.OH, OW = cut.window.OW, outputs = plan.window.OH * OW
    cdef real* to
    for f in range(plan.F):
        for r in range(OH):
            to = dy + (f * OH + r) * row
            to_lanes(dy_nfij + (n * plan.F + f) * outputs + (cut.output + r) * OW, plan.F * outputs, count, OW,
                     to + margin)
            if has_margins:
                zero_run(to, margin * sizeof(real))
                zero_run(to + margin + OW * LANES, (row - margin - OW * LANES) * sizeof(real))


cdef void input_block(
    const real* dy_nfij, const real* packed, Plan plan, real* dx_nchw, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Part cut = inputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, c
    cdef Py_ssize_t pixels = cut.window.H * window.W, count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef real* dx = scratch + plan.F * cut.window.OH * cut.plane.grad_columns * LANES
    load_grad_block(dy_nfij, plan, n, count, &cut, True, scratch)
    input_gradient(scratch, packed, dx, C, plan.F, &cut.window, &cut.plane)
    for c in range(C):
        to_rows(dx + c * pixels * LANES, count, pixels,
                dx_nchw + ((n * C + c) * window.H + cut.input) * window.W, C * window.H * window.W)


cdef void input_band(
    const real* dy_nfij, const real* packed, Plan plan, real* dx_nchw, real* scratch, Py_ssize_t item,
) noexcept nogil:
    cdef const Window* window = &plan.window
    cdef Py_ssize_t n = item // plan.bands, first = item % plan.bands * plan.band
    cdef Py_ssize_t count = min(plan.band, window.H - first)
    cdef GradBand around = grad_band(first, count, window)
    load_grad(dy_nfij + n * plan.F * window.OH * window.OW, plan.F, around.first, around.rows, around.margin,
              around.length, window, scratch)
    band_input_gradient(scratch, packed, dx_nchw + n * plan.C * window.H * window.W, plan.C, plan.F, first, count,
                        window, scratch + plan.F * around.rows * around.length)


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


cdef int gradient_of_input(Plan plan, object grad, object weight, object dx_nchw, int threads) except -1:
    cdef const real* grads = address(grad, plan.N * plan.F * plan.window.OH * plan.window.OW)
    cdef const real* weights = address(weight, plan.F * plan.C * plan.taps)
    cdef Py_ssize_t row = 0, slot, item
    cdef Block block = rows_of(threads, plan.scratch + plan.packed, sizeof(real), &row)
    cdef real* scratch = <real*>block.memory
    cdef real* packed = scratch + plan.scratch
    cdef real* dx = <real*>address(dx_nchw, plan.N * plan.C * plan.window.H * plan.window.W)
    with nogil:
        if plan.together:
            pack_points(weights, packed, plan.C, plan.F, plan.window.KH, plan.taps, plan.C * plan.taps, True)
        else:
            pack(weights, packed, plan.C, plan.F, plan.taps, plan.taps, plan.C * plan.taps, plan.band > 0)
        for slot in prange(threads, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            for item in range(slot_start(plan.items, slot, threads), slot_start(plan.items, slot + 1, threads)):
                if plan.band:
                    input_band(grads, packed, plan, dx, scratch + slot * row, item)
                elif plan.together:
                    input_part(grads, packed, plan, dx, scratch + slot * row, item)
                else:
                    input_block(grads, packed, plan, dx, scratch + slot * row, item)


cdef void weight_block(
    const real* x, const real* dy_nfij, Plan plan, real* scratch, real* dw, Py_ssize_t item,
) noexcept nogil:
    """Add to dw what a part of a block gives."""
    cdef const Window* window = &plan.window
    cdef Part cut = outputs_part(window, item % plan.parts, plan.parts)
    cdef Py_ssize_t n = item // plan.parts * LANES, C = plan.C, pixels = window.H * window.W, i
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, plan.N - n)
    cdef real* dy = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    cdef real* part_sum = scratch + plan.sum_at
    load_images(x + n * C * pixels + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    load_grad_block(dy_nfij, plan, n, count, &cut, False, dy)
    weight_gradient(scratch, dy, part_sum, C, plan.F, &cut.window, &cut.plane)
    for i in range(plan.F * C * plan.taps):
        dw[i] += part_sum[i]


cdef void weight_band(
    const real* x, const real* dy_nfij, Plan plan, real* scratch, real* dw, Py_ssize_t item,
) noexcept nogil:
    """Add to dw what a band gives."""
    cdef const Window* window = &plan.window
    cdef Py_ssize_t n = item // plan.bands, first = item % plan.bands * plan.band
    cdef Py_ssize_t count = min(plan.band, window.OH - first)
    cdef real* dy = scratch + plan.C * band_rows(plan.band, window) * window.SW * band_columns(window)
    load_band(x + n * plan.C * window.H * window.W, plan.C, first, count, window, scratch)
    dy_nfij += n * plan.F * window.OH * window.OW
    if window.OW % LANES == 0:
        # The gradient's own rows are whole vectors.
        band_weight_gradient(scratch, dy_nfij + first * window.OW, window.OH * window.OW, dw, plan.C, plan.F, count,
                             window)
        return
    load_grad(dy_nfij, plan.F, first, count, 0, whole(window.OW), window, dy)
    band_weight_gradient(scratch, dy, count * whole(window.OW), dw, plan.C, plan.F, count, window)


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


cdef int gradient_of_weight(Plan plan, object x, object grad, object dw_fckl, int threads) except -1:
    cdef const real* images = address(x, plan.N * plan.C * plan.window.H * plan.window.W)
    cdef const real* grads = address(grad, plan.N * plan.F * plan.window.OH * plan.window.OW)
    cdef Py_ssize_t size = plan.F * plan.C * plan.taps, row = 0, unused = 0, slot, chunk, item, i
    cdef Block block = rows_of(threads, plan.scratch, sizeof(real), &row)
    # The sums of all chunks but the first.
    cdef Block partial = rows_of(1, (plan.chunks - 1) * size, sizeof(real), &unused) if plan.chunks > 1 else None
    cdef real* scratch = <real*>block.memory
    cdef real* dw = <real*>address(dw_fckl, size)
    cdef real* others = <real*>partial.memory if partial is not None else NULL
    cdef real* sums
    with nogil:
        for slot in prange(threads, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            for chunk in range(slot_start(plan.chunks, slot, threads), slot_start(plan.chunks, slot + 1, threads)):
                sums = dw if chunk == 0 else others + (chunk - 1) * size
                for i in range(size):
                    sums[i] = 0
                for item in range(slot_start(plan.items, chunk, plan.chunks),
                                  slot_start(plan.items, chunk + 1, plan.chunks)):
                    if plan.band:
                        weight_band(images, grads, plan, scratch + slot * row, sums, item)
                    elif plan.together:
                        weight_part(images, grads, plan, scratch + slot * row, sums, item)
                    else:
                        weight_block(images, grads, plan, scratch + slot * row, sums, item)
        for chunk in range(plan.chunks - 1):
            for i in range(size):
                dw[i] += others[chunk * size + i]
