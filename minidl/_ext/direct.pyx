"""Convolution for few channels, without im2col: forward, and the gradients of the input and of the weight.

Vectors hold 16 samples (blocks, `_direct.pxd`) or 16 columns of one image (bands of rows, `_rows.pxd`). Either way a
tile of filters times neighbouring outputs stays in registers while all channels and taps go by, and the weight's
gradient while all positions go by.

Loop order: blocks or bands are the items that threads share; inside, groups of filters, rows of outputs, tiles. The
weight's gradient is summed over chunks of items, and these in order. Where there are few blocks each is cut into parts,
some rows of its outputs (for the input's gradient, of its pixels): a part is a convolution with a window of its own.
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport (
    LANES, Part, filters_from, forward_rows, input_gradient, inputs_part, load_images, outputs_part, pack,
    weight_gradient,
)
from minidl._ext._rows cimport (
    GradBand, band_columns, band_forward, band_input_gradient, band_rows, band_weight_gradient, grad_band, is_narrow,
    load_band, load_grad, whole,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._types cimport real
from minidl._ext._window cimport Window, unpack


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


cdef void forward_block(
    const real[:, :, :, ::1] x_nchw, const real* packed, const real* bias, const Window* window,
    real[:, :, :, ::1] y_nfij, real* scratch, Py_ssize_t block, Py_ssize_t part, Py_ssize_t parts,
) noexcept nogil:
    cdef Part cut = outputs_part(window, part, parts)
    cdef Py_ssize_t n = block * LANES, C = x_nchw.shape[1], F = y_nfij.shape[1], f = 0
    cdef Py_ssize_t pixels = window.H * window.W, P = cut.window.OH * window.OW, size, i
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, x_nchw.shape[0] - n)
    cdef real* y = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    load_images(&x_nchw[n, 0, 0, 0] + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    while f < F:
        size = filters_from(f, F, False)
        forward_rows(scratch, packed + f * C * window.KH * window.KW, bias + f if bias != NULL else NULL, y, 0,
                     cut.window.OH, C, size, P * LANES, &cut.window, &cut.plane)
        for i in range(size):
            to_rows(y + i * P * LANES, count, P, &y_nfij[n, f + i, cut.output, 0], F * window.OH * window.OW)
        f += size


def forward(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] weight_fckl, const real[::1] bias_f,
    const Py_ssize_t[::1] packed_window, real[:, :, :, ::1] y_nfij, real[:, ::1] scratch, Py_ssize_t packed_at,
    Py_ssize_t band, Py_ssize_t parts, int threads,
):
    """y = x convolved with the weight, plus the bias; by bands of so many rows, or (band 0) `parts` of blocks.

    From packed_at on, the first slot's scratch has room for the weights in another order.
    """
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t N = x_nchw.shape[0], C = x_nchw.shape[1], F = y_nfij.shape[1], T = window.KH * window.KW
    cdef Py_ssize_t bands = (window.OH + band - 1) // band if band else 1
    cdef Py_ssize_t items = N * bands if band else (N + LANES - 1) // LANES * parts
    cdef Py_ssize_t slot, item, first, count
    cdef const real* bias = &bias_f[0] if bias_f.shape[0] else NULL
    cdef Py_ssize_t in_band = C * band_rows(band, &window) * window.SW * band_columns(&window)
    cdef real* packed = &scratch[0, packed_at]
    with nogil:
        pack(&weight_fckl[0, 0, 0, 0], packed, F, C, T, C * T, T, band > 0)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            if band == 0:
                forward_block(x_nchw, packed, bias, &window, y_nfij, &scratch[slot, 0], item // parts, item % parts,
                              parts)
            else:
                first = item % bands * band
                count = min(band, window.OH - first)
                load_band(&x_nchw[item // bands, 0, 0, 0], C, first, count, &window, &scratch[slot, 0])
                band_forward(&scratch[slot, 0], packed, bias, &y_nfij[item // bands, 0, 0, 0], C, F, first, count,
                             &window, &scratch[slot, in_band])


cdef void load_grad_block(
    const real[:, :, :, ::1] dy_nfij, Py_ssize_t n, Py_ssize_t count, const Part* cut, real* dy,
) noexcept nogil:
    """A part of a block of the output's gradient with its margins of zeros."""
    cdef Py_ssize_t f, r, i, row = cut.plane.grad_columns * LANES, margin = cut.plane.margin * LANES
    cdef Py_ssize_t OH = cut.window.OH, OW = cut.window.OW
    cdef real* to
    for f in range(dy_nfij.shape[1]):
        for r in range(OH):
            to = dy + (f * OH + r) * row
            for i in range(margin):
                to[i] = 0
            to_lanes(&dy_nfij[n, f, cut.output + r, 0], dy_nfij.shape[1] * dy_nfij.shape[2] * OW, count, OW,
                     to + margin)
            for i in range(margin + OW * LANES, row):
                to[i] = 0


cdef void input_block(
    const real[:, :, :, ::1] dy_nfij, const real* packed, const Window* window, real[:, :, :, ::1] dx_nchw,
    real* scratch, Py_ssize_t block, Py_ssize_t part, Py_ssize_t parts,
) noexcept nogil:
    cdef Part cut = inputs_part(window, part, parts)
    cdef Py_ssize_t n = block * LANES, C = dx_nchw.shape[1], F = dy_nfij.shape[1], c
    cdef Py_ssize_t pixels = cut.window.H * window.W, count = min(<Py_ssize_t>LANES, dy_nfij.shape[0] - n)
    cdef real* dx = scratch + F * cut.window.OH * cut.plane.grad_columns * LANES
    load_grad_block(dy_nfij, n, count, &cut, scratch)
    input_gradient(scratch, packed, dx, C, F, &cut.window, &cut.plane)
    for c in range(C):
        to_rows(dx + c * pixels * LANES, count, pixels, &dx_nchw[n, c, cut.input, 0], C * window.H * window.W)


def gradient_of_input(
    const real[:, :, :, ::1] dy_nfij, const real[:, :, :, ::1] weight_fckl, const Py_ssize_t[::1] packed_window,
    real[:, :, :, ::1] dx_nchw, real[:, ::1] scratch, Py_ssize_t packed_at, Py_ssize_t band, Py_ssize_t parts,
    int threads,
):
    """dx, by bands of so many of its rows, or (band 0) `parts` of blocks of samples."""
    cdef Window window = unpack(packed_window)
    cdef GradBand around
    cdef Py_ssize_t N = dx_nchw.shape[0], C = dx_nchw.shape[1], F = dy_nfij.shape[1], T = window.KH * window.KW
    cdef Py_ssize_t bands = (window.H + band - 1) // band if band else 1
    cdef Py_ssize_t items = N * bands if band else (N + LANES - 1) // LANES * parts
    cdef Py_ssize_t slot, item, first, count
    cdef real* packed = &scratch[0, packed_at]
    with nogil:
        pack(&weight_fckl[0, 0, 0, 0], packed, C, F, T, T, C * T, band > 0)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            if band == 0:
                input_block(dy_nfij, packed, &window, dx_nchw, &scratch[slot, 0], item // parts, item % parts, parts)
            else:
                first = item % bands * band
                count = min(band, window.H - first)
                around = grad_band(first, count, &window)
                load_grad(&dy_nfij[item // bands, 0, 0, 0], F, around.first, around.rows, around.margin, around.length,
                          &window, &scratch[slot, 0])
                band_input_gradient(&scratch[slot, 0], packed, &dx_nchw[item // bands, 0, 0, 0], C, F, first,
                                    count, &window, &scratch[slot, F * around.rows * around.length])


cdef void weight_item(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] dy_nfij, const Window* window, real* scratch,
    real* block_sum, real* dw, Py_ssize_t band, Py_ssize_t bands, Py_ssize_t parts, Py_ssize_t item,
) noexcept nogil:
    """Add to dw what a band gives, or a part of a block."""
    cdef Py_ssize_t C = x_nchw.shape[1], F = dy_nfij.shape[1], pixels = window.H * window.W, n, count, first, i
    cdef Part cut
    cdef real* dy
    if band:
        n, first = item // bands, item % bands * band
        count = min(band, window.OH - first)
        dy = scratch + C * band_rows(band, window) * window.SW * band_columns(window)
        load_band(&x_nchw[n, 0, 0, 0], C, first, count, window, scratch)
        load_grad(&dy_nfij[n, 0, 0, 0], F, first, count, 0, whole(window.OW), window, dy)
        band_weight_gradient(scratch, dy, dw, C, F, count, window)
        return
    cut = outputs_part(window, item % parts, parts)
    n = item // parts * LANES
    count = min(<Py_ssize_t>LANES, x_nchw.shape[0] - n)
    dy = scratch + C * cut.plane.rows * cut.plane.columns * LANES
    load_images(&x_nchw[n, 0, 0, 0] + cut.input * window.W, C * pixels, pixels, count, C, &cut.window, &cut.plane,
                scratch)
    load_grad_block(dy_nfij, n, count, &cut, dy)
    weight_gradient(scratch, dy, block_sum, C, F, &cut.window, &cut.plane)
    for i in range(F * C * window.KH * window.KW):
        dw[i] += block_sum[i]


def gradient_of_weight(
    const real[:, :, :, ::1] x_nchw, const real[:, :, :, ::1] dy_nfij, const Py_ssize_t[::1] packed_window,
    real[:, :, :, ::1] dw_fckl, real[::1] partial, real[:, ::1] scratch, Py_ssize_t chunks, Py_ssize_t sum_at,
    Py_ssize_t band, Py_ssize_t parts, int threads,
):
    """dw, summed over chunks of items; partial has room for the sums of all but the first, scratch (from sum_at on)
    for a block's."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t N = x_nchw.shape[0], size = dw_fckl.shape[0] * dw_fckl.shape[1] * window.KH * window.KW
    cdef Py_ssize_t bands = (window.OH + band - 1) // band if band else 1
    cdef Py_ssize_t items = N * bands if band else (N + LANES - 1) // LANES * parts
    cdef Py_ssize_t slot, chunk, item, i
    cdef real* dw = &dw_fckl[0, 0, 0, 0]
    cdef real* others = &partial[0] if chunks > 1 else NULL
    cdef real* sums
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for chunk in range(slot_start(chunks, slot, threads), slot_start(chunks, slot + 1, threads)):
            sums = dw if chunk == 0 else others + (chunk - 1) * size
            for i in range(size):
                sums[i] = 0
            for item in range(slot_start(items, chunk, chunks), slot_start(items, chunk + 1, chunks)):
                weight_item(x_nchw, dy_nfij, &window, &scratch[slot, 0], &scratch[slot, sum_at], sums, band, bands,
                            parts, item)
    with nogil:
        for chunk in range(chunks - 1):
            for i in range(size):
                dw[i] += others[chunk * size + i]
