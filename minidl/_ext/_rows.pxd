"""Convolution with 16 neighbouring columns of one image in a vector; what direct.pyx uses for wide images.

Images are cut into bands of output rows. A band's input is copied with its padding written out, a row of it split by
the columns' phase in the stride: [C, rows, SW, columns], so that neighbouring outputs read neighbouring numbers. The
tiles are those of `_direct.pxd`: there a pixel is 16 samples, here 16 columns of outputs.
"""

from minidl._ext._direct cimport (
    LANES, MOST_COLUMNS, MOST_TAPS, MOST_TERMS, Run, Sum, direct_sum, divisor, filters_from, first_tap, flatten, fold,
    run,
)
from minidl._ext._real cimport real
from minidl._ext._window cimport Window, copy_every, copy_run, merge_runs, zero_run


cdef inline Py_ssize_t whole(Py_ssize_t columns) noexcept nogil:
    """So many columns fill whole vectors."""
    return (columns + LANES - 1) // LANES * LANES


cdef inline bint is_narrow(Py_ssize_t wide, Py_ssize_t filters) noexcept nogil:
    """Whether a tile takes its vectors from several rows, because one row has too few for so many filters."""
    return wide == LANES or (wide <= 3 * LANES and filters <= 2)


cdef inline Py_ssize_t band_columns(const Window* window) noexcept nogil:
    """Columns of one phase of an image's row."""
    return whole(window.OW) + (window.KW - 1) * window.DW // window.SW


cdef inline Py_ssize_t band_rows(Py_ssize_t count, const Window* window) noexcept nogil:
    """Rows of the image that so many rows of outputs see."""
    return (count - 1) * window.SH + (window.KH - 1) * window.DH + 1


cdef inline void look_at(Py_ssize_t* columns, Py_ssize_t length, const Window* window) noexcept nogil:
    """Offsets of the kernel's columns in a row of `length` columns a phase."""
    cdef Py_ssize_t kw
    for kw in range(window.KW):
        columns[kw] = kw * window.DW % window.SW * length + kw * window.DW // window.SW


cdef inline void load_band(
    const real* image, Py_ssize_t channels, Py_ssize_t first, Py_ssize_t count, const Window* window, real* x,
) noexcept nogil:
    """Load what output rows first to first + count see of an image (C, H, W)."""
    cdef Py_ssize_t length = band_columns(window), rows = band_rows(count, window)
    cdef Py_ssize_t c, r, h, phase, w, i, last
    cdef real* to
    cdef const real* source
    for c in range(channels):
        for r in range(rows):
            h = first * window.SH + r - window.top
            to = x + (c * rows + r) * window.SW * length
            if h < 0 or h >= window.H:
                zero_run(to, window.SW * length * sizeof(real))
                continue
            source = image + (c * window.H + h) * window.W
            for phase in range(window.SW):
                # Columns before the image, inside, and behind it.
                i = min(max((window.left - phase + window.SW - 1) // window.SW, 0), length)
                zero_run(to, i * sizeof(real))
                w = i * window.SW + phase - window.left
                last = min(length, i + max((window.W - w + window.SW - 1) // window.SW, 0))
                if i < last:
                    copy_every(to + i, source + w, window.SW, last - i)
                zero_run(to + last, (length - last) * sizeof(real))
                to += length


cdef inline void band_forward(
    const real* x, const real* packed, const real* bias, real* y, Py_ssize_t channels, Py_ssize_t filters,
    Py_ssize_t first, Py_ssize_t count, const Window* window, real* scratch,
) noexcept nogil:
    """Output rows first to first + count of one sample's y (F, OH, OW); scratch holds 6 rows, or 6 narrow bands.

    A row of whole vectors goes to its place at once where what lies beyond its end is written later anyway.
    """
    cdef Run steps
    cdef Py_ssize_t length = band_columns(window), rows = band_rows(count, window), wide = whole(window.OW)
    cdef Py_ssize_t columns[MOST_COLUMNS]
    cdef Py_ssize_t terms[MOST_TERMS]
    cdef bint narrow = is_narrow(wide, filters)
    cdef Py_ssize_t f = 0, size, o, i, j, at_once = count if narrow else 1, vectors = wide // LANES
    # The first row that reaches beyond the band.
    cdef Py_ssize_t straight = 0 if narrow else count - (wide - 1) // window.OW
    cdef const real* weights = packed
    cdef const real* biases = NULL
    look_at(columns, length, window)
    steps.channels, steps.rows, steps.columns, steps.x_columns = channels, window.KH, window.KW, columns
    steps.x_channel, steps.x_row = rows * window.SW * length, window.DH * window.SW * length
    steps.x_pixel = window.SH * window.SW * length if narrow else LANES
    steps.y_pixel = wide if narrow else LANES
    flatten(&steps, terms)
    while f < filters:
        size = filters_from(f, filters, True)
        steps.w_channel, steps.w_row, steps.w_column = window.KH * window.KW * size, window.KW * size, size
        if bias != NULL:
            biases = bias + f
        steps.y_filter = window.OH * window.OW
        for o in range(straight):
            run(x + o * window.SH * window.SW * length, weights, biases, y + (f * window.OH + first + o) * window.OW,
                vectors, <int>size, &steps)
        steps.y_filter = at_once * wide
        o = max(straight, 0)
        while o < count:
            for j in range(vectors if narrow else 1):
                run(x + o * window.SH * window.SW * length + j * LANES, weights, biases, scratch + j * LANES,
                    at_once if narrow else vectors, <int>size, &steps)
            for i in range(size * at_once):
                copy_run(y + ((f + i // at_once) * window.OH + first + o + i % at_once) * window.OW,
                         scratch + i * wide, window.OW * sizeof(real))
            o += at_once
        weights += size * channels * window.KH * window.KW
        f += size


cdef inline void load_grad(
    const real* dy, Py_ssize_t filters, Py_ssize_t first, Py_ssize_t count, Py_ssize_t margin, Py_ssize_t length,
    const Window* window, real* to,
) noexcept nogil:
    """Rows first to first + count of the output's gradient (F, OH, OW) as [F, count, length], `margin` zeros first.

    What is behind a row and before the next is cleared at once: rows are short, and each run has its cost.
    """
    cdef Py_ssize_t f, r, inside = min(window.OW, length - margin), rows = filters * count
    zero_run(to, margin * sizeof(real))
    to += margin
    for f in range(filters):
        for r in range(first, first + count):
            rows -= 1
            if rows == 0:
                length -= margin
            if r < 0 or r >= window.OH:
                zero_run(to, length * sizeof(real))
            else:
                copy_run(to, dy + (f * window.OH + r) * window.OW, inside * sizeof(real))
                zero_run(to + inside, (length - inside) * sizeof(real))
            to += length


cdef inline void band_weight_gradient(
    const real* x, const real* dy, Py_ssize_t dy_filter, real* dw, Py_ssize_t channels, Py_ssize_t filters,
    Py_ssize_t count, const Window* window,
) noexcept nogil:
    """Add one band's part to dw (F, C, KH, KW); dy is [count, whole(OW)] for each filter, a `dy_filter` apart."""
    cdef Sum steps
    cdef Py_ssize_t length = band_columns(window), rows = band_rows(count, window), wide = whole(window.OW)
    cdef Py_ssize_t x_taps[MOST_TAPS]
    cdef real lanes[4 * 7 * 16]
    cdef Py_ssize_t all_taps = window.KH * window.KW, f = 0, c, t, i, j, taps, size, kh, kw, passes
    cdef Py_ssize_t columns[MOST_COLUMNS]
    cdef const real* here
    look_at(columns, length, window)
    steps.rows, steps.columns, steps.x_taps = count, wide // LANES, x_taps
    steps.x_row, steps.x_pixel = window.SH * window.SW * length, LANES
    steps.tail, steps.adds = window.OW % LANES, False
    steps.dy_filter, steps.dy_row, steps.dy_pixel = dy_filter, wide, LANES
    while f < filters:
        size = min(<Py_ssize_t>(4 if filters % 4 == 0 or filters - f > 6 else 3), filters - f)
        for c in range(channels):
            here = x + c * rows * window.SW * length
            # Up to 7 taps go together, or as many as fill the registers; few alone would mostly load.
            t, kh, kw, passes = 0, 0, 0, 1 if all_taps <= 7 else (all_taps + 5) // 6
            while t < all_taps:
                taps = (all_taps - t + passes - 1) // passes
                passes -= 1
                for i in range(taps):
                    x_taps[i] = kh * window.DH * window.SW * length + columns[kw]
                    kw += 1
                    if kw == window.KW:
                        kh, kw = kh + 1, 0
                steps.dw_filter, steps.dw_tap = taps * LANES, LANES
                direct_sum(here, dy + f * dy_filter, lanes, <int>size, <int>taps, &steps)
                for i in range(size):
                    for j in range(taps):
                        dw[((f + i) * channels + c) * all_taps + t + j] += fold(&lanes[(i * taps + j) * LANES])
                t += taps
        f += size


cdef struct GradBand:
    # The output's gradient: which rows a band of the input's gradient sees, and its margin and columns.
    Py_ssize_t first, rows, margin, length
    # Columns of one phase of the input, in whole vectors.
    Py_ssize_t wide


cdef inline GradBand grad_band(Py_ssize_t first, Py_ssize_t count, const Window* window) noexcept nogil:
    cdef GradBand band
    cdef Py_ssize_t reach = (window.KH - 1) * window.DH // window.SH
    band.first = (first + window.top) // window.SH - reach
    band.rows = (first + count - 1 + window.top) // window.SH - band.first + 1
    band.wide = whole((window.W - 1 + window.left) // window.SW + 1)
    band.margin = (window.KW - 1) * window.DW // window.SW
    band.length = band.margin + band.wide
    return band


cdef inline void band_input_gradient(
    const real* dy, const real* packed, real* dx, Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t first,
    Py_ssize_t count, const Window* window, real* scratch,
) noexcept nogil:
    """Rows first to first + count of one sample's dx (C, H, W), gathered from the outputs that saw them.

    dy is what `load_grad` gives for `grad_band`; weights are packed by channel. Pixels whose rows and columns, with
    the padding before them, leave the same remainders in the stride see the same taps.
    """
    cdef Run steps
    cdef GradBand band = grad_band(first, count, window)
    cdef Py_ssize_t columns[MOST_COLUMNS]
    cdef Py_ssize_t step_h = window.SH // divisor(window.SH, window.DH), rise = window.DH * step_h // window.SH
    cdef Py_ssize_t step_w = window.SW // divisor(window.SW, window.DW), run_on = window.DW * step_w // window.SW
    cdef Py_ssize_t c = 0, size, h, phase, kh, kw, kh_seen, i, j, w, at_once, done, before
    cdef bint together = is_narrow(band.wide, channels) and window.SH == 1
    # All pixels see all taps, in the weights' order.
    cdef bint alike = window.SH == 1 and window.SW == 1
    cdef Py_ssize_t terms[MOST_TERMS]
    cdef const real* weights = packed
    cdef real* to
    cdef const real* source
    at_once = count if together else 1
    steps.channels, steps.x_channel = filters, band.rows * band.length
    steps.x_row, steps.x_columns = -rise * band.length, columns
    steps.x_pixel = band.length if together else LANES
    steps.y_filter, steps.y_pixel = window.SW * at_once * band.wide, band.wide if together else LANES
    for i in range(window.KW):
        columns[i] = -i * run_on
    if alike:
        steps.rows, steps.columns = window.KH, window.KW
        flatten(&steps, terms)
    while c < channels:
        size = filters_from(c, channels, True)
        steps.w_channel = window.KH * window.KW * size
        steps.w_row, steps.w_column = step_h * window.KW * size, step_w * size
        h = first
        while h < first + count:
            kh = first_tap((h + window.top) % window.SH, window.SH, window.DH, window.KH)
            if not alike:
                steps.rows = (window.KH - 1 - kh) // step_h + 1 if kh < window.KH else 0
            for phase in range(window.SW):
                kw = first_tap(phase, window.SW, window.DW, window.KW)
                if not alike:
                    steps.columns = (window.KW - 1 - kw) // step_w + 1 if kw < window.KW else 0
                source = dy
                if steps.columns == 0 or steps.rows == 0:
                    # No tap sees these pixels.
                    steps.columns = 0
                    kh_seen, kw = 0, 0
                else:
                    kh_seen = kh
                    source = dy + band.margin - kw * window.DW // window.SW + (
                        (h + window.top) // window.SH - kh * window.DH // window.SH - band.first) * band.length
                for j in range(band.wide // LANES if together else 1):
                    run(source + j * LANES, weights + (kh_seen * window.KW + kw) * size, <real*>NULL,
                        scratch + phase * at_once * band.wide + j * LANES,
                        at_once if together else band.wide // LANES, <int>size, &steps)
            for i in range(size):
                for j in range(at_once):
                    to = dx + ((c + i) * window.H + h + j) * window.W
                    source = scratch + (i * window.SW * at_once + j) * band.wide
                    if window.SW == 1:
                        copy_run(to, source + window.left, window.W * sizeof(real))
                        continue
                    if window.SW == 2:
                        # The first pixel's phase, and the other one.
                        phase = window.left % 2
                        merge_runs(to, source + phase * at_once * band.wide + window.left // 2,
                                   source + (1 - phase) * at_once * band.wide + (window.left + 1) // 2, window.W)
                        continue
                    for phase in range(window.SW):
                        before = max((window.left - phase + window.SW - 1) // window.SW, 0)
                        w = before * window.SW + phase - window.left
                        done = before
                        while w < window.W:
                            to[w] = source[phase * at_once * band.wide + done]
                            done += 1
                            w += window.SW
            h += at_once
        weights += size * filters * window.KH * window.KW
        c += size
