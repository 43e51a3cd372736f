"""What winograd.h offers, for both number types under one name, and how the work is cut into strips of tiles."""

from minidl._ext._phases cimport Phases, gather_phases, scatter_phases
from minidl._ext._types cimport real

cdef enum:
    LANES = 16
    # Rows of a product that are computed at once.
    ROWS = 6


cdef extern from "winograd.h" nogil:
    ctypedef struct Product "minidl_winograd_product":
        Py_ssize_t outer, count, together
        Py_ssize_t a_outer, a_row, a_k
        Py_ssize_t b_outer, b_group
        Py_ssize_t c_row, c_group

    void fetch_bytes "minidl_winograd_fetch" (
        const void* source, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t start, Py_ssize_t stop)
    void gather_float "minidl_winograd_gather_float" (
        const float* source, Py_ssize_t channel_step, int channels, Py_ssize_t pixels, float* to)
    void gather_double "minidl_winograd_gather_double" (
        const double* source, Py_ssize_t channel_step, int channels, Py_ssize_t pixels, double* to)
    void scatter_float "minidl_winograd_scatter_float" (
        const float* source, Py_ssize_t pixels, float* to, Py_ssize_t channel_step, int channels)
    void scatter_double "minidl_winograd_scatter_double" (
        const double* source, Py_ssize_t pixels, double* to, Py_ssize_t channel_step, int channels)
    void input_2_float "minidl_winograd_input_2_tile_float" (
        const float* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, float* to, Py_ssize_t position_step)
    void input_2_double "minidl_winograd_input_2_tile_double" (
        const double* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, double* to, Py_ssize_t position_step)
    void input_4_float "minidl_winograd_input_4_tile_float" (
        const float* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, float* to, Py_ssize_t position_step)
    void input_4_double "minidl_winograd_input_4_tile_double" (
        const double* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, double* to, Py_ssize_t position_step)
    void gradient_2_float "minidl_winograd_gradient_2_tile_float" (
        const float* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, float* to, Py_ssize_t position_step)
    void gradient_2_double "minidl_winograd_gradient_2_tile_double" (
        const double* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, double* to, Py_ssize_t position_step)
    void gradient_4_float "minidl_winograd_gradient_4_tile_float" (
        const float* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, float* to, Py_ssize_t position_step)
    void gradient_4_double "minidl_winograd_gradient_4_tile_double" (
        const double* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, double* to, Py_ssize_t position_step)
    void gradient_2_5_float "minidl_winograd_gradient_2_5_tile_float" (
        const float* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, float* to, Py_ssize_t position_step)
    void gradient_2_5_double "minidl_winograd_gradient_2_5_tile_double" (
        const double* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to, Py_ssize_t column_from,
        Py_ssize_t column_to, double* to, Py_ssize_t position_step)
    void output_2_float "minidl_winograd_output_2_tile_float" (
        const float* source, Py_ssize_t position_step, const float* bias, float* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void output_2_double "minidl_winograd_output_2_tile_double" (
        const double* source, Py_ssize_t position_step, const double* bias, double* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void output_4_float "minidl_winograd_output_4_tile_float" (
        const float* source, Py_ssize_t position_step, const float* bias, float* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void output_4_double "minidl_winograd_output_4_tile_double" (
        const double* source, Py_ssize_t position_step, const double* bias, double* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void output_2_5_float "minidl_winograd_output_2_5_tile_float" (
        const float* source, Py_ssize_t position_step, const float* bias, float* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void output_2_5_double "minidl_winograd_output_2_5_tile_double" (
        const double* source, Py_ssize_t position_step, const double* bias, double* to, Py_ssize_t row_step,
        Py_ssize_t rows, Py_ssize_t columns)
    void weight_float "minidl_winograd_weight_float" (
        int m, int r, const float* w, Py_ssize_t lane_step, int lanes, int turned, float* to,
        Py_ssize_t position_step)
    void weight_double "minidl_winograd_weight_double" (
        int m, int r, const double* w, Py_ssize_t lane_step, int lanes, int turned, double* to,
        Py_ssize_t position_step)
    void taps_float "minidl_winograd_taps_float" (
        int m, int r, const float* s, Py_ssize_t position_step, float* dw, int lanes)
    void taps_double "minidl_winograd_taps_double" (
        int m, int r, const double* s, Py_ssize_t position_step, double* dw, int lanes)
    void multiply_float "minidl_winograd_multiply_float" (
        const float* a, const float* b, float* c, int rows, Py_ssize_t groups, int add, const Product* steps)
    void multiply_double "minidl_winograd_multiply_double" (
        const double* a, const double* b, double* c, int rows, Py_ssize_t groups, int add, const Product* steps)


# Tiles are counted in strips: neighbours in one row of tiles, at most `width` of them. Strips are counted down the
# image first, so that what follows one another shares pixels.
cdef struct Cut:
    # Outputs and taps along an axis.
    int m, r
    # Rows of tiles in an image, strips side by side, tiles in each.
    Py_ssize_t rows, across, width


cdef struct Image:
    # Of the whole array, and where the first tile's first pixel lies above and left of the image.
    Py_ssize_t C, H, W, top, left
    # Where all that is of phases: how they lie. Otherwise NULL.
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


cdef inline void gather(
    const real* source, Py_ssize_t channel_step, int channels, Py_ssize_t pixels, real* to,
) noexcept nogil:
    if real is float:
        gather_float(source, channel_step, channels, pixels, to)
    else:
        gather_double(source, channel_step, channels, pixels, to)


cdef inline void scatter(
    const real* source, Py_ssize_t pixels, real* to, Py_ssize_t channel_step, int channels,
) noexcept nogil:
    if real is float:
        scatter_float(source, pixels, to, channel_step, channels)
    else:
        scatter_double(source, pixels, to, channel_step, channels)


cdef inline void spread_tile(
    int m, int r, bint gradient, const real* source, Py_ssize_t row_step, Py_ssize_t row_from, Py_ssize_t row_to,
    Py_ssize_t column_from, Py_ssize_t column_to, real* to, Py_ssize_t position_step,
) noexcept nogil:
    if real is float:
        if gradient:
            if r == 5:
                gradient_2_5_float(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
            elif m == 2:
                gradient_2_float(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
            else:
                gradient_4_float(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        elif m + r - 1 == 4:
            input_2_float(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        else:
            input_4_float(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
    else:
        if gradient:
            if r == 5:
                gradient_2_5_double(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
            elif m == 2:
                gradient_2_double(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
            else:
                gradient_4_double(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        elif m + r - 1 == 4:
            input_2_double(source, row_step, row_from, row_to, column_from, column_to, to, position_step)
        else:
            input_4_double(source, row_step, row_from, row_to, column_from, column_to, to, position_step)


cdef inline void output_tile(
    int m, int r, const real* source, Py_ssize_t position_step, const real* bias, real* to, Py_ssize_t row_step,
    Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    if real is float:
        if r == 5:
            output_2_5_float(source, position_step, bias, to, row_step, rows, columns)
        elif m == 2:
            output_2_float(source, position_step, bias, to, row_step, rows, columns)
        else:
            output_4_float(source, position_step, bias, to, row_step, rows, columns)
    else:
        if r == 5:
            output_2_5_double(source, position_step, bias, to, row_step, rows, columns)
        elif m == 2:
            output_2_double(source, position_step, bias, to, row_step, rows, columns)
        else:
            output_4_double(source, position_step, bias, to, row_step, rows, columns)


cdef inline void weight_tile(
    int m, int r, const real* w, Py_ssize_t lane_step, int lanes, int turned, real* to, Py_ssize_t position_step,
) noexcept nogil:
    if real is float:
        weight_float(m, r, w, lane_step, lanes, turned, to, position_step)
    else:
        weight_double(m, r, w, lane_step, lanes, turned, to, position_step)


cdef inline void taps(int m, int r, const real* s, Py_ssize_t position_step, real* dw, int lanes) noexcept nogil:
    if real is float:
        taps_float(m, r, s, position_step, dw, lanes)
    else:
        taps_double(m, r, s, position_step, dw, lanes)


cdef inline void multiply(
    const real* a, const real* b, real* c, int rows, Py_ssize_t groups, int add, const Product* steps,
) noexcept nogil:
    if real is float:
        multiply_float(a, b, c, rows, groups, add, steps)
    else:
        multiply_double(a, b, c, rows, groups, add, steps)


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
