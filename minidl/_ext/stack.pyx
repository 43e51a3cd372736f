"""Convolution, bias, ReLU and max pooling, several times over, on blocks of 16 samples that stay in the cache.

A block goes through all stages before the next one starts: its images and what lies between the stages never leave the
L2 cache, and there is one parallel region for all of it, forward or backward. What backward needs of a stage is its
input and where the maxima were; the outputs of the convolutions are never kept.

A few samples, of which nothing is kept, go one by one: 16 filters are then the lanes (`sample_tiles.h`).
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport LANES, MOST_COLUMNS, Plane, load_images, pack, plane_of
from minidl._ext._lists cimport address
from minidl._ext._row_winograd cimport pack_points
from minidl._ext._rows cimport band_columns, band_rows, load_band
from minidl._ext._stage cimport (
    Stage, forward_stage, read, spread_double, spread_float, stage_input_gradient, stage_weight_gradient,
    total_double, total_float,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._types cimport real
from minidl._ext._window cimport Window, unpack


cdef extern from "sample.h" nogil:
    ctypedef struct Taps "minidl_sample":
        Py_ssize_t channels, rows, columns
        Py_ssize_t x_channel, x_row
        const Py_ssize_t* x_columns

    void sample_row_float "minidl_sample_row_float" (
        const float* x, const float* w, const float* bias, float* y, Py_ssize_t count, Py_ssize_t filters,
        const Taps* taps)
    void sample_row_double "minidl_sample_row_double" (
        const double* x, const double* w, const double* bias, double* y, Py_ssize_t count, Py_ssize_t filters,
        const Taps* taps)
    void sample_pool_float "minidl_sample_pool_float" (
        const float* y, Py_ssize_t y_row, int rows, int columns, int relu, Py_ssize_t count, Py_ssize_t filters,
        float* out)
    void sample_pool_double "minidl_sample_pool_double" (
        const double* y, Py_ssize_t y_row, int rows, int columns, int relu, Py_ssize_t count, Py_ssize_t filters,
        double* out)


cdef enum:
    MOST_STAGES = 16


def sizes(const Py_ssize_t[::1] packed):
    """(rows, columns) of a window's padded image in a block, and (margin, columns) of its output's gradient."""
    cdef Window window = unpack(packed)
    cdef Plane plane = plane_of(&window)
    return plane.rows, plane.columns, plane.margin, plane.grad_columns


def pack_weight(const real[:, :, ::1] weight_fct, real[::1] packed, bint by_channel, bint by_points):
    """Weights as the tiles read them: groups of filters side by side, or of channels for the input gradient."""
    cdef Py_ssize_t F = weight_fct.shape[0], C = weight_fct.shape[1], T = weight_fct.shape[2]
    if by_points and by_channel:
        pack_points(&weight_fct[0, 0, 0], &packed[0], C, F, T // 5, T, C * T, True)
    elif by_points:
        pack_points(&weight_fct[0, 0, 0], &packed[0], F, C, T // 5, C * T, T, False)
    elif by_channel:
        pack(&weight_fct[0, 0, 0], &packed[0], C, F, T, T, C * T, False)
    else:
        pack(&weight_fct[0, 0, 0], &packed[0], F, C, T, C * T, T, False)


cdef void forward_block(
    const real[:, :, :, ::1] image_nchw, const Py_ssize_t[:, ::1] stages, const real[::1] weights,
    const real[::1] biases, real[:, ::1] images, real[:, ::1] index, real[:, ::1] scratch, Py_ssize_t work_at,
    real[:, ::1] output_ni, bint keep, Py_ssize_t block, Py_ssize_t slot,
) noexcept nogil:
    cdef Py_ssize_t n = block * LANES, s, i, rows, columns, kept = block if keep else slot
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, image_nchw.shape[0] - n)
    cdef Py_ssize_t last = stages.shape[0] - 1
    cdef Stage stage = read(stages, 0), following
    cdef real* x = &images[kept, 0]
    cdef real* target
    cdef Py_ssize_t target_row, target_filter
    load_images(&image_nchw[n, 0, 0, 0], stage.C * stage.window.H * stage.window.W, stage.window.H * stage.window.W,
                count, stage.C, &stage.window, &stage.plane, x)
    for s in range(last + 1):
        stage = read(stages, s)
        # Where nothing is kept, samples that go alone have the same bits.
        stage.by_points = stage.by_points and keep
        x = &images[kept, stage.x]
        # What the next stage sees lies inside its padding; the last stage's in the front of the scratch.
        if s < last:
            following = read(stages, s + 1)
            target = &images[kept, following.x]
            for i in range(stage.F * following.plane.rows * following.plane.columns * LANES):
                target[i] = 0
            target_row = following.plane.columns * LANES
            target_filter = following.plane.rows * target_row
            target += following.window.top * target_row + following.window.left * LANES
            rows = min(stage.QH, following.plane.rows - following.window.top)
            columns = min(stage.QW, following.plane.columns - following.window.left)
        else:
            target = &scratch[slot, 0]
            target_row = stage.QW * LANES
            target_filter = stage.QH * target_row
            rows, columns = stage.QH, stage.QW
        forward_stage(x, &stage, &weights[stage.packed], &biases[stage.bias], &scratch[slot, work_at], rows, columns,
                      target, target_filter, target_row, &index[kept, stage.index])
    to_rows(target, count, output_ni.shape[1], &output_ni[n, 0], output_ni.shape[1])


def forward(
    const real[:, :, :, ::1] image_nchw, const Py_ssize_t[:, ::1] stages, const real[::1] weights,
    const real[::1] biases, real[:, ::1] images, real[:, ::1] index, real[:, ::1] scratch, Py_ssize_t work_at,
    real[:, ::1] output_ni, bint keep, int threads,
):
    """output = the stages one after the other; images and index hold a row for each block, or (not keep) each slot.

    A slot's scratch has room for a block's outputs, and from work_at on for what a stage needs.
    """
    cdef Py_ssize_t blocks = (image_nchw.shape[0] + LANES - 1) // LANES, slot, block
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for block in range(slot_start(blocks, slot, threads), slot_start(blocks, slot + 1, threads)):
            forward_block(image_nchw, stages, weights, biases, images, index, scratch, work_at, output_ni, keep,
                          block, slot)


def sample_size(const Py_ssize_t[::1] packed):
    """Elements a channel of one sample's input with its padding."""
    cdef Window window = unpack(packed)
    return band_rows(window.OH, &window) * window.SW * band_columns(&window)


cdef void pack_filters(const real* weight, const real* bias, real* packed, const Stage* stage) noexcept nogil:
    """Groups of 16 filters, each its biases and then its weights: [bias, (channel, tap)][16]."""
    cdef Py_ssize_t size = stage.C * stage.window.KH * stage.window.KW, f = 0, i, count
    while f < stage.F:
        count = min(<Py_ssize_t>LANES, stage.F - f)
        for i in range(LANES):
            packed[i] = bias[f + i] if bias != NULL and i < count else 0
        to_lanes(weight + f * size, size, count, size, packed + LANES)
        packed += (size + 1) * LANES
        f += LANES


cdef void forward_sample(
    const real* x, const Stage* stage, const real* packed, real* padded, real* y, real* pooled, real* out,
) noexcept nogil:
    """out (F, QH, QW) = one stage of one sample (C, H, W)."""
    cdef Taps taps
    cdef Py_ssize_t columns[MOST_COLUMNS]
    cdef Py_ssize_t size = stage.C * stage.window.KH * stage.window.KW, f = 0, q, r, kw, count, step
    cdef Window window = stage.window
    taps.channels, taps.rows, taps.columns, taps.x_columns = stage.C, window.KH, window.KW, columns
    if is_inside(&window):
        taps.x_channel, taps.x_row, step = window.H * window.W, window.DH * window.W, window.SH * window.W
        for kw in range(window.KW):
            columns[kw] = kw * window.DW
    else:
        load_band(x, stage.C, 0, window.OH, &window, padded)
        x = padded
        step = window.SH * window.SW * band_columns(&window)
        taps.x_channel = band_rows(window.OH, &window) * window.SW * band_columns(&window)
        taps.x_row = window.DH * window.SW * band_columns(&window)
        for kw in range(window.KW):
            columns[kw] = kw * window.DW % window.SW * band_columns(&window) + kw * window.DW // window.SW
    while f < stage.F:
        count = min(<Py_ssize_t>LANES, stage.F - f)
        for q in range(stage.QH):
            for r in range(stage.PH):
                if real is float:
                    sample_row_float(x + (q * stage.PH + r) * step, packed + LANES, packed, y + r * window.OW * LANES,
                                     stage.QW * stage.PW, count, &taps)
                else:
                    sample_row_double(x + (q * stage.PH + r) * step, packed + LANES, packed, y + r * window.OW * LANES,
                                      stage.QW * stage.PW, count, &taps)
            if real is float:
                sample_pool_float(y, window.OW * LANES, <int>stage.PH, <int>stage.PW, stage.relu, stage.QW, count,
                                  pooled + q * stage.QW * LANES)
            else:
                sample_pool_double(y, window.OW * LANES, <int>stage.PH, <int>stage.PW, stage.relu, stage.QW, count,
                                   pooled + q * stage.QW * LANES)
        to_rows(pooled, count, stage.QH * stage.QW, out + f * stage.QH * stage.QW, stage.QH * stage.QW)
        packed += (size + 1) * LANES
        f += LANES


cdef bint is_inside(const Window* window) noexcept nogil:
    """Whether no window reaches into the padding, and neighbouring outputs see neighbouring numbers."""
    return (
        window.top == 0 and window.left == 0 and window.SW == 1 and band_rows(window.OH, window) <= window.H
        and window.OW + (window.KW - 1) * window.DW <= window.W
    )


def forward_samples(
    const real[:, :, :, ::1] image_nchw, const Py_ssize_t[:, ::1] stages, list weights, list biases,
    real[:, ::1] scratch, Py_ssize_t y_at, Py_ssize_t pooled_at, Py_ssize_t image_at, Py_ssize_t packed_from,
    real[:, :, :, ::1] output_nfij, int threads,
):
    """output = the stages one after the other, a sample an item. A slot's scratch has room for a padded input, from
    y_at on for rows of a convolution's output, from pooled_at on for 16 filters' pooled one, from image_at on for what
    the next stage sees; the first slot's, from packed_from on, for all weights and biases in another order."""
    cdef Py_ssize_t N = image_nchw.shape[0], depth = stages.shape[0], s, slot, n, size, at = 0
    cdef Stage stage[MOST_STAGES]
    cdef Py_ssize_t packed_at[MOST_STAGES]
    cdef const real* bias
    cdef const real* x = NULL
    cdef real* to
    if depth > MOST_STAGES:
        raise ValueError(f"at most {MOST_STAGES} stages")
    for s in range(depth):
        stage[s] = read(stages, s)
        packed_at[s] = at
        size = stage[s].C * stage[s].window.KH * stage[s].window.KW
        bias = NULL
        if biases[s] is not None:
            bias = address(biases[s], stage[s].F, x)
        pack_filters(address(weights[s], stage[s].F * size, x), bias, &scratch[0, packed_from + at], &stage[s])
        at += (stage[s].F + LANES - 1) // LANES * LANES * (size + 1)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for n in range(slot_start(N, slot, threads), slot_start(N, slot + 1, threads)):
            x = &image_nchw[n, 0, 0, 0]
            for s in range(depth):
                to = &output_nfij[n, 0, 0, 0] if s == depth - 1 else &scratch[slot, image_at]
                forward_sample(x, &stage[s], &scratch[0, packed_from + packed_at[s]], &scratch[slot, 0],
                               &scratch[slot, y_at], &scratch[slot, pooled_at], to)
                x = to


cdef void backward_block(
    const real[:, ::1] grad_ni, const Py_ssize_t[:, ::1] stages, const real[::1] weights_by_channel,
    const real[:, ::1] images, const real[:, ::1] index, real[:, ::1] scratch, real[:, ::1] partial,
    Py_ssize_t biases_at, real[:, :, :, ::1] grad_image_nchw, bint wants_image, Py_ssize_t block, Py_ssize_t slot,
    Py_ssize_t dy_at, Py_ssize_t work_at,
) noexcept nogil:
    cdef Py_ssize_t n = block * LANES, s, f, q, r, i, row
    cdef Py_ssize_t count = min(<Py_ssize_t>LANES, grad_ni.shape[0] - n)
    cdef Py_ssize_t last = stages.shape[0] - 1, pixels
    cdef Stage stage
    # The gradient of what a stage gives, in the front; that of its convolution's outputs behind it.
    cdef real* grad = &scratch[slot, 0]
    cdef real* dy = &scratch[slot, dy_at]
    cdef real* work = &scratch[slot, work_at]
    cdef real* to
    cdef const real* places
    to_lanes(&grad_ni[n, 0], grad_ni.shape[1], count, grad_ni.shape[1], grad)
    for s in range(last, -1, -1):
        stage = read(stages, s)
        row = stage.plane.grad_columns * LANES
        for f in range(stage.F):
            places = &index[block, stage.index + f * stage.QH * stage.QW * LANES]
            if real is float:
                partial[block, biases_at + stage.bias + f] = total_float(
                    grad + f * stage.QH * stage.QW * LANES, places, stage.QH * stage.QW)
            else:
                partial[block, biases_at + stage.bias + f] = total_double(
                    grad + f * stage.QH * stage.QW * LANES, places, stage.QH * stage.QW)
            for r in range(stage.window.OH):
                to = dy + (f * stage.window.OH + r) * row
                if r >= stage.QH * stage.PH:
                    for i in range(row):
                        to[i] = 0
                    continue
                q = r // stage.PH
                for i in range(stage.plane.margin * LANES):
                    to[i] = 0
                to += stage.plane.margin * LANES
                i = (f * stage.QH + q) * stage.QW * LANES
                if real is float:
                    spread_float(grad + i, &index[block, stage.index + i], <int>(r - q * stage.PH), <int>stage.PW,
                                 stage.QW, to)
                else:
                    spread_double(grad + i, &index[block, stage.index + i], <int>(r - q * stage.PH), <int>stage.PW,
                                  stage.QW, to)
                for i in range(stage.QW * stage.PW * LANES, row - stage.plane.margin * LANES):
                    to[i] = 0
        stage_weight_gradient(&images[block, stage.x], dy, &partial[block, stage.weight], &stage, work)
        if s == 0 and not wants_image:
            return
        stage_input_gradient(dy, &weights_by_channel[stage.packed_by_channel], grad, &stage, work)
    pixels = grad_image_nchw.shape[1] * grad_image_nchw.shape[2] * grad_image_nchw.shape[3]
    to_rows(grad, count, pixels, &grad_image_nchw[n, 0, 0, 0], pixels)


def backward(
    const real[:, ::1] grad_ni, const Py_ssize_t[:, ::1] stages, const real[::1] weights_by_channel,
    const real[:, ::1] images, const real[:, ::1] index, real[:, ::1] scratch, real[:, ::1] partial,
    Py_ssize_t biases_at, Py_ssize_t dy_at, Py_ssize_t work_at, real[:, :, :, ::1] grad_image_nchw,
    bint wants_image, real[::1] total, int threads,
):
    """total = the gradients of all weights, then those of all biases (from biases_at on); sums over blocks in order."""
    cdef Py_ssize_t blocks = (grad_ni.shape[0] + LANES - 1) // LANES, slot, block, i
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for block in range(slot_start(blocks, slot, threads), slot_start(blocks, slot + 1, threads)):
            backward_block(grad_ni, stages, weights_by_channel, images, index, scratch, partial, biases_at,
                           grad_image_nchw, wants_image, block, slot, dy_at, work_at)
    with nogil:
        for i in range(total.shape[0]):
            total[i] = 0
        for block in range(blocks):
            for i in range(total.shape[0]):
                total[i] += partial[block, i]
