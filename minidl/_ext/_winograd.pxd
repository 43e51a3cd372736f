"""Declarations of winograd_tiles.h, and how the work is cut into strips of tiles."""

from minidl._ext._phases cimport Phases, gather_phases, scatter_phases
from minidl._ext._real cimport real

cdef enum:
    LANES = 16
    # Rows of a product that are computed at once.
    ROWS = 6


cdef extern from "winograd_tiles.h" nogil:
    ctypedef struct Product "minidl_winograd_product":
        Py_ssize_t outer, count, together
        Py_ssize_t a_outer, a_row, a_k
        Py_ssize_t b_outer, b_group
        Py_ssize_t c_row, c_group

    void fetch_bytes "minidl_winograd_fetch" (
        const void* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t start, Py_ssize_t stop)
    void gather "winograd_gather" (
        const real* source, Py_ssize_t channel_step, int channels, Py_ssize_t pixels, real* to)
    void scatter "winograd_scatter" (
        const real* source, Py_ssize_t pixels, real* to, Py_ssize_t channel_step, int channels)
    void winograd_input_2_tile(
        const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, real* to, Py_ssize_t position_step)
    void winograd_input_4_tile(
        const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, real* to, Py_ssize_t position_step)
    void winograd_gradient_2_tile(
        const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, real* to, Py_ssize_t position_step)
    void winograd_gradient_4_tile(
        const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, real* to, Py_ssize_t position_step)
    void winograd_gradient_2_5_tile(
        const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, real* to, Py_ssize_t position_step)
    void winograd_output_2_tile(
        const real* source, Py_ssize_t position_step, const real* bias, real* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void winograd_output_4_tile(
        const real* source, Py_ssize_t position_step, const real* bias, real* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void winograd_output_2_5_tile(
        const real* source, Py_ssize_t position_step, const real* bias, real* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void weight_tile "winograd_weight" (
        int m, int r, const real* w, Py_ssize_t lane_step, int lanes, int turned, real* to, Py_ssize_t position_step)
    void taps "winograd_taps" (int m, int r, const real* s, Py_ssize_t position_step, real* dw, int lanes)
    void multiply "winograd_multiply" (
        const real* a, const real* b, real* c, int rows, Py_ssize_t groups, int add, const Product* steps)


# Tiles are counted in strips: neighbours in one row of tiles, at most `width` of them. Strips are counted down the
# image first, so that what follows one another shares pixels.
cdef struct Cut:
    # Outputs and taps along an axis.
    int m, r
    # Rows of tiles in an image, strips side by side, tiles in each.
    Py_ssize_t rows, across, width


cdef struct Image:
    # Sizes of the whole array, and where the first tile's first pixel lies above and left of the image.
    Py_ssize_t C, H, W, top, left
    # The layout of phases, if the array consists of them; otherwise NULL.
    const Phases* phases


cdef inline Image image_of(
    Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t top, Py_ssize_t left, const Phases* phases,
) noexcept nogil:
    """An array of such sizes, or its phases."""
    cdef Image image
    image.C, image.H, image.W, image.top, image.left, image.phases = C, H, W, top, left, phases
    if phases != NULL:
        image.C, image.H, image.W, image.top, image.left = C * phases.SH * phases.SW, phases.high, phases.wide, 0, 0
    return image


cdef inline void spread_tile(
    int m, int r, bint gradient, const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to,
    Py_ssize_t column_from, Py_ssize_t column_to, real* to, Py_ssize_t position_step,
) noexcept nogil:
    if gradient:
        if r == 5:
            winograd_gradient_2_5_tile(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        elif m == 2:
            winograd_gradient_2_tile(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        else:
            winograd_gradient_4_tile(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
    elif m + r - 1 == 4:
        winograd_input_2_tile(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
    else:
        winograd_input_4_tile(source, row_step, row_from, row_to, column_from, column_to, to, position_step)


cdef inline void output_tile(
    int m, int r, const real* source, Py_ssize_t position_step, const real* bias, real* to, Py_ssize_t row_step,
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    if r == 5:
        winograd_output_2_5_tile(source, position_step, bias, to, row_step, rows, columns)
    elif m == 2:
        winograd_output_2_tile(source, position_step, bias, to, row_step, rows, columns)
    else:
        winograd_output_4_tile(source, position_step, bias, to, row_step, rows, columns)


cdef inline void fetch(
    const real* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    """Have some numbers of each row in the L1 cache soon."""
    fetch_bytes(source, row * sizeof(real), rows, start * sizeof(real), stop * sizeof(real))


cdef inline void spread(
    const real* x, const Image* image, const Cut* cut, bint gradient, Py_ssize_t channel, Py_ssize_t first,
    Py_ssize_t stop, real* pixels, real* to, Py_ssize_t position_step,
) noexcept nogil:
    """to[position][tile][16] = the transforms of 16 channels' tiles, from strip `first` to `stop`.

    `pixels` is where the pixels that a run of strips sees are laid side by side first.
    """
    cdef Py_ssize_t size = cut.m if gradient else cut.m + cut.r - 1, plane = image.H * image.W
    cdef int channels = <int>min(<Py_ssize_t>LANES, image.C - channel)
    cdef Py_ssize_t strip = first, last, n, h, _tile, r, c, top, bottom, left, right, columns, across
    cdef const real* source
    while strip < stop:
        n, across, h = strip // (cut.rows * cut.across), strip // cut.rows % cut.across, strip % cut.rows
        last = min(stop, strip - h + cut.rows)
        top, bottom = max(h * cut.m - image.top, 0), min((h + last - strip - 1) * cut.m - image.top + size, image.H)
        c = across * cut.width * cut.m - image.left
        left, right = max(c, 0), min(c + (cut.width - 1) * cut.m + size, image.W)
        columns = max(right - left, 0)
        if image.phases != NULL:
            source = x + n * image.phases.C * image.phases.H * image.phases.W
            for r in range(bottom - top):
                gather_phases(source, image.phases, channel, channels, top + r, left, columns,
                              pixels + r * columns * LANES)
        elif columns > 0 and bottom > top:
            source = x + (n * image.C + channel) * plane + top * image.W + left
            if columns == image.W:
                gather(source, plane, channels, (bottom - top) * columns, pixels)
            else:
                for r in range(bottom - top):
                    gather(source + r * image.W, plane, channels, columns, pixels + r * columns * LANES)
        while strip < last:
            r = strip % cut.rows * cut.m - image.top
            c = across * cut.width * cut.m - image.left
            for _tile in range(cut.width):
                spread_tile(cut.m, cut.r, gradient, pixels + ((r - top) * columns + c - left) * LANES, columns * LANES,
                            max(-r, 0), min(image.H - r, size), max(-c, 0), min(image.W - c, size), to, position_step)
                to += LANES
                c += cut.m
            strip += 1


cdef inline void collect(
    const real* source, Py_ssize_t position_step, const real* bias, const Image* image, const Cut* cut,
    Py_ssize_t channel, Py_ssize_t first, Py_ssize_t stop, real* pixels, real* y,
) noexcept nogil:
    """The outputs of 16 channels' tiles, from strip `first` to `stop`, by way of `pixels`."""
    cdef Py_ssize_t plane = image.H * image.W, strip = first, last, n, h, tile, r, c, top, bottom, left, columns, across
    cdef int channels = <int>min(<Py_ssize_t>LANES, image.C - channel)
    cdef real* to
    while strip < stop:
        n, across, h = strip // (cut.rows * cut.across), strip // cut.rows % cut.across, strip % cut.rows
        last = min(stop, strip - h + cut.rows)
        top, bottom = h * cut.m, min((h + last - strip) * cut.m, image.H)
        left = across * cut.width * cut.m
        columns = min(cut.width * cut.m, image.W - left)
        while strip < last:
            r = strip % cut.rows * cut.m
            for tile in range(cut.width):
                c = tile * cut.m
                if c < columns:
                    output_tile(cut.m, cut.r, source, position_step, bias, pixels + ((r - top) * columns + c) * LANES,
                                columns * LANES, min(<Py_ssize_t>cut.m, image.H - r),
                                min(<Py_ssize_t>cut.m, columns - c))
                source += LANES
            strip += 1
        if image.phases != NULL:
            to = y + n * image.phases.C * image.phases.H * image.phases.W
            for r in range(bottom - top):
                scatter_phases(pixels + r * columns * LANES, image.phases, channel, channels, top + r, left, columns,
                               to)
        elif columns > 0:
            to = y + (n * image.C + channel) * plane + top * image.W + left
            if columns == image.W:
                scatter(pixels, (bottom - top) * columns, to, plane, channels)
            else:
                for r in range(bottom - top):
                    scatter(pixels + r * columns * LANES, columns, to + r * image.W, plane, channels)
