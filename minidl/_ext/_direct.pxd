"""Convolution of blocks of 16 samples that lie side by side, one a vector lane; what direct.pyx and stack.pyx share.

A block of images is [C, rows, columns, 16], with its padding written out (`Plane` has the sizes); a block of outputs is
[F, OH, OW, 16], and the gradient of one has margins of zeros left and right, so that the gather of the input gradient
never looks beside it. Lanes beyond the batch hold zeros.
"""

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes
from minidl._ext._window cimport Window

cdef enum:
    LANES = 16
    # Filters that a tile keeps at once; packed weights have so many side by side.
    MOST_FILTERS = 6
    # Columns that a kernel may have; taps that go together in the weight gradient.
    MOST_COLUMNS = 64
    # Terms of a sum that are looked up in one table.
    MOST_TERMS = 256
    MOST_TAPS = 7


cdef extern from "direct_tiles.h" nogil:
    ctypedef struct Run "minidl_direct":
        Py_ssize_t channels, rows, columns
        Py_ssize_t x_channel, x_row, x_pixel
        const Py_ssize_t* x_columns
        Py_ssize_t w_channel, w_row, w_column
        Py_ssize_t y_filter, y_pixel

    ctypedef struct Sum "minidl_direct_sum":
        Py_ssize_t rows, columns
        Py_ssize_t x_row, x_pixel, tail
        const Py_ssize_t* x_taps
        Py_ssize_t dy_filter, dy_row, dy_pixel
        Py_ssize_t dw_filter, dw_tap
        int adds

    void run "direct_run" (
        const real* x, const real* w, const real* bias, real* y, Py_ssize_t count, int filters, const Run* steps)
    void direct_sum(const real* x, const real* dy, real* dw, int filters, int taps, const Sum* sums)
    # The sum of 16 lanes.
    real fold "direct_fold" (const real* lanes)


cdef struct Plane:
    # Rows and columns of a padded image in a block, and the columns of the output's gradient with its margins.
    Py_ssize_t rows, columns
    Py_ssize_t margin, grad_columns


cdef inline Plane plane_of(const Window* window) noexcept nogil:
    cdef Plane plane
    plane.rows = (window.OH - 1) * window.SH + (window.KH - 1) * window.DH + 1
    plane.columns = (window.OW - 1) * window.SW + (window.KW - 1) * window.DW + 1
    plane.margin = max((window.KW - 1) * window.DW - window.left + window.SW - 1, 0) // window.SW
    plane.grad_columns = plane.margin + max((window.W - 1 + window.left) // window.SW + 1, window.OW)
    return plane


cdef struct Part:
    # The rows of the image and of the outputs that it begins at, and the window over those that it has.
    Py_ssize_t input, output
    Window window
    Plane plane


cdef inline Part outputs_part(const Window* window, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """Some rows of the outputs, and the rows of the image that these see."""
    cdef Part cut
    cdef Py_ssize_t seen
    cut.window = window[0]
    cut.output = slot_start(window.OH, part, parts)
    seen = cut.output * window.SH - window.top
    cut.input = min(max(seen, 0), window.H)
    cut.window.top = max(-seen, 0)
    cut.window.H = window.H - cut.input
    cut.window.OH = slot_start(window.OH, part + 1, parts) - cut.output
    cut.plane = plane_of(&cut.window)
    return cut


cdef inline Part inputs_part(const Window* window, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """Some rows of the image, and the rows of the outputs that see these."""
    cdef Part cut
    cdef Py_ssize_t stop = slot_start(window.H, part + 1, parts), end
    cut.window = window[0]
    cut.input = slot_start(window.H, part, parts)
    cut.output = min(max(cut.input + window.top - (window.KH - 1) * window.DH, 0) // window.SH, window.OH)
    end = min((stop - 1 + window.top) // window.SH + 1, window.OH)
    cut.window.H = stop - cut.input
    cut.window.top = window.top + cut.input - cut.output * window.SH
    cut.window.OH = max(end - cut.output, 0)
    cut.plane = plane_of(&cut.window)
    return cut


cdef inline void flatten(Run* steps, Py_ssize_t* terms) noexcept nogil:
    """Let one table, in `terms`, say where all terms look, or those of a channel if there are many.

    Loops of five steps around loops of one cost a tile up to a third of its time. Weights must lie in the terms' order.
    """
    cdef Py_ssize_t c, r, k, channels = steps.channels, at = 0
    if channels * steps.rows * steps.columns > MOST_TERMS:
        channels = 1
    if steps.rows * steps.columns > MOST_TERMS:
        return
    for c in range(channels):
        for r in range(steps.rows):
            for k in range(steps.columns):
                terms[at] = c * steps.x_channel + r * steps.x_row + steps.x_columns[k]
                at += 1
    if channels == steps.channels:
        steps.channels = 1
    steps.rows, steps.columns, steps.x_columns = 1, at, terms


cdef inline Py_ssize_t filters_at_once(Py_ssize_t filters, bint by_bands) noexcept nogil:
    """Count the filters that go together: all up to 6, else 4; in bands, whose rows are short, 6 if none are left."""
    if filters <= MOST_FILTERS or (by_bands and filters % MOST_FILTERS == 0):
        return min(filters, <Py_ssize_t>MOST_FILTERS)
    return 4


cdef inline Py_ssize_t filters_from(Py_ssize_t start, Py_ssize_t filters, bint by_bands) noexcept nogil:
    """Count the filters of the group that starts at `start`; the last one may be smaller."""
    return min(filters_at_once(filters, by_bands), filters - start)


cdef inline void pack(
    const real* weight, real* packed, Py_ssize_t filters, Py_ssize_t channels, Py_ssize_t taps,
    Py_ssize_t filter_step, Py_ssize_t channel_step, bint by_bands,
) noexcept nogil:
    """Weights of a group side by side: packed[group][channel][tap][filter in group]."""
    cdef Py_ssize_t start = 0, size, c, t, f, at = 0
    while start < filters:
        size = filters_from(start, filters, by_bands)
        for c in range(channels):
            for t in range(taps):
                for f in range(size):
                    packed[at] = weight[(start + f) * filter_step + c * channel_step + t]
                    at += 1
        start += size


cdef inline void load_images(
    const real* image, Py_ssize_t sample_step, Py_ssize_t channel_step, Py_ssize_t count, Py_ssize_t channels,
    const Window* window, const Plane* plane, real* x,
) noexcept nogil:
    """Up to 16 samples (C, H, W) into a block, with zeros for the padding and the lanes without a sample."""
    cdef Py_ssize_t c, h, rows, columns
    rows = min(window.H, plane.rows - window.top)
    columns = min(window.W, plane.columns - window.left)
    for c in range(channels * plane.rows * plane.columns * LANES):
        x[c] = 0
    for c in range(channels):
        for h in range(rows):
            to_lanes(image + c * channel_step + h * window.W, sample_step, count, columns,
                     x + ((c * plane.rows + h + window.top) * plane.columns + window.left) * LANES)


cdef inline void forward_rows(
    const real* x, const real* packed, const real* bias, real* y, Py_ssize_t first, Py_ssize_t stop,
    Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t y_filter, const Window* window, const Plane* plane,
) noexcept nogil:
    """Rows first to stop of some filters' outputs (at most 6), to y[f, row - first, OW, 16]."""
    cdef Run steps
    cdef Py_ssize_t oh
    cdef Py_ssize_t columns[MOST_COLUMNS]
    cdef Py_ssize_t terms[MOST_TERMS]
    for oh in range(window.KW):
        columns[oh] = oh * window.DW * LANES
    steps.channels, steps.rows, steps.columns, steps.x_columns = channels, window.KH, window.KW, columns
    steps.x_channel = plane.rows * plane.columns * LANES
    steps.x_row = window.DH * plane.columns * LANES
    steps.x_pixel = window.SW * LANES
    steps.w_channel, steps.w_row, steps.w_column = window.KH * window.KW * filters, window.KW * filters, filters
    steps.y_filter, steps.y_pixel = y_filter, LANES
    flatten(&steps, terms)
    for oh in range(first, stop):
        run(x + oh * window.SH * plane.columns * LANES, packed, bias, y + (oh - first) * window.OW * LANES,
            window.OW, <int>filters, &steps)


cdef inline void weight_gradient(
    const real* x, const real* dy, real* dw, Py_ssize_t channels, Py_ssize_t filters, const Window* window,
    const Plane* plane,
) noexcept nogil:
    """dw (F, C, KH, KW) of one block: sums in registers over all positions, then over the lanes."""
    cdef Sum steps
    cdef Py_ssize_t f, c, kh, kw, i, j, taps, size
    cdef Py_ssize_t x_taps[MOST_TAPS]
    cdef Py_ssize_t most_taps = window.KW if window.KW <= 7 else 5
    cdef Py_ssize_t most_filters
    cdef real lanes[4 * 7 * 16]
    steps.rows, steps.columns = window.OH, window.OW
    steps.x_row, steps.x_pixel = window.SH * plane.columns * LANES, window.SW * LANES
    for i in range(MOST_TAPS):
        x_taps[i] = i * window.DW * LANES
    steps.x_taps, steps.tail, steps.adds = x_taps, 0, False
    steps.dy_filter, steps.dy_row = window.OH * plane.grad_columns * LANES, plane.grad_columns * LANES
    steps.dy_pixel = LANES
    f = 0
    while f < filters:
        most_filters = 4 if filters % 4 == 0 or filters - f > 6 else 3
        size = min(most_filters, filters - f)
        for c in range(channels):
            for kh in range(window.KH):
                kw = 0
                while kw < window.KW:
                    taps = min(most_taps, window.KW - kw)
                    steps.dw_filter, steps.dw_tap = taps * LANES, LANES
                    direct_sum(x + ((c * plane.rows + kh * window.DH) * plane.columns + kw * window.DW) * LANES,
                               dy + (f * window.OH * plane.grad_columns + plane.margin) * LANES, lanes,
                               <int>size, <int>taps, &steps)
                    for i in range(size):
                        for j in range(taps):
                            dw[((f + i) * channels + c) * window.KH * window.KW + kh * window.KW + kw + j] = fold(
                                &lanes[(i * taps + j) * LANES])
                    kw += taps
        f += size


cdef inline Py_ssize_t divisor(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """The greatest common divisor."""
    while b:
        a, b = b, a % b
    return a


cdef inline Py_ssize_t first_tap(
    Py_ssize_t position, Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t taps,
) noexcept nogil:
    """The first tap k with (position - k dilation) a multiple of the stride, or `taps` if there is none."""
    cdef Py_ssize_t k = 0
    while k < taps and k < stride and (position - k * dilation) % stride != 0:
        k += 1
    return k if k < min(taps, stride) else taps


cdef inline void input_gradient(
    const real* dy, const real* packed, real* dx, Py_ssize_t channels, Py_ssize_t filters, const Window* window,
    const Plane* plane,
) noexcept nogil:
    """dx (C, H, W, 16) of one block, each pixel gathered from the outputs that saw it; weights packed by channel."""
    cdef Run steps
    cdef Py_ssize_t step_h = window.SH // divisor(window.SH, window.DH), rise = window.DH * step_h // window.SH
    cdef Py_ssize_t step_w = window.SW // divisor(window.SW, window.DW), run_on = window.DW * step_w // window.SW
    cdef Py_ssize_t group, c, h, w, phase, kh, kw, kw_first, oh, ow, count, now, size, k_taps, lowest, skip
    cdef Py_ssize_t columns[MOST_COLUMNS]
    steps.channels = filters
    steps.x_channel = window.OH * plane.grad_columns * LANES
    steps.x_row, steps.x_columns = -rise * plane.grad_columns * LANES, columns
    for c in range(window.KW):
        columns[c] = -c * run_on * LANES
    steps.x_pixel = LANES
    steps.y_filter, steps.y_pixel = window.H * window.W * LANES, window.SW * LANES
    c = 0
    group = 0
    while c < channels:
        size = filters_from(c, channels, False)
        steps.w_channel = window.KH * window.KW * size
        steps.w_row, steps.w_column = step_h * window.KW * size, step_w * size
        for h in range(window.H):
            kh = first_tap(h + window.top, window.SH, window.DH, window.KH)
            oh = (h + window.top - kh * window.DH) // window.SH if kh < window.KH else 0
            # Taps before the first that sees a row of the output, then those that do.
            if kh < window.KH and oh >= window.OH:
                skip = (oh - window.OH + rise) // rise
                kh += skip * step_h
                oh -= skip * rise
            k_taps = 0
            if kh < window.KH and oh >= 0:
                k_taps = min((window.KH - 1 - kh) // step_h + 1, oh // rise + 1)
            steps.rows = k_taps
            for phase in range(window.SW):
                # The first column of this phase, and its taps.
                w = ((phase - window.left) % window.SW + window.SW) % window.SW
                kw_first = first_tap(phase, window.SW, window.DW, window.KW)
                while w < window.W:
                    count = (window.W - 1 - w) // window.SW + 1
                    now = min(count, 4)
                    kw = kw_first
                    steps.columns = 0
                    ow = 0
                    if kw < window.KW:
                        ow = (w + window.left - kw * window.DW) // window.SW
                        # Taps for which even the leftmost of these pixels looks beyond the last output.
                        if ow >= window.OW:
                            skip = (ow - window.OW + run_on) // run_on
                            kw += skip * step_w
                            ow -= skip * run_on
                        if kw < window.KW:
                            # And those for which even the rightmost looks before the first.
                            lowest = ow + now - 1
                            if lowest >= 0:
                                steps.columns = min((window.KW - 1 - kw) // step_w + 1, lowest // run_on + 1)
                    run(dy + (oh * plane.grad_columns + ow + plane.margin) * LANES if steps.columns and k_taps else dy,
                        packed + group + (kh * window.KW + kw) * size if steps.columns and k_taps else packed, NULL,
                        dx + ((c * window.H + h) * window.W + w) * LANES, now, <int>size, &steps)
                    w += now * window.SW
        group += size * filters * window.KH * window.KW
        c += size
