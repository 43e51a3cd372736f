"""Images that are seen with a stride, as more channels that are seen with none.

Phase (i, j) of channel c, which is channel (c SH + i) SW + j, has for its pixel (y, x) the padded image's pixel
(y SH + i, x SW + j). A kernel's taps fall into phases alike, so that each has a kernel of ceil(KH / SH) x ceil(KW / SW)
taps; those beyond the kernel are zero. No image is copied as a whole, but a few rows of 16 phases at a time.
"""

from libc.string cimport memcpy

from minidl._ext._real cimport real

cdef enum:
    # Channels that lie side by side.
    SIDE_BY_SIDE = 16


cdef struct Phases:
    # The image and the kernel as they lie, the padding above and to the left of the image, the strides.
    Py_ssize_t C, H, W, KH, KW, top, left, SH, SW
    # Rows and columns of a phase, and those of the image that windows see.
    Py_ssize_t high, wide, seen_rows, seen_columns


# Numbers of one row of the image that are neighbours among the phases, too.
cdef struct Neighbours:
    # Their count, where the row starts, where in it the first column's first number is, and how many numbers are seen.
    Py_ssize_t count, row, first, width
    # The columns that have all of them inside.
    Py_ssize_t start, stop


cdef inline Neighbours neighbours(
    const Phases* phases, Py_ssize_t phase, Py_ssize_t most, Py_ssize_t row, Py_ssize_t column, Py_ssize_t columns,
) noexcept nogil:
    """The neighbours in a row of phases from `phase` on, for so many columns from `column` on."""
    cdef Neighbours near
    cdef Py_ssize_t j = phase % phases.SW, above = phase // phases.SW
    cdef Py_ssize_t y = row * phases.SH + above % phases.SH - phases.top
    near.count = min(phases.SW - j, most)
    near.row = (above // phases.SH * phases.H + y) * phases.W
    near.first = column * phases.SW + j - phases.left
    near.width = phases.seen_columns if 0 <= y < phases.seen_rows else 0
    near.start = min((max(-near.first, 0) + phases.SW - 1) // phases.SW, columns)
    near.stop = near.width - near.count - near.first
    near.stop = max(min(near.stop // phases.SW + 1, columns), near.start) if near.stop >= 0 else near.start
    return near


cdef inline void copy_apart(
    real* to, Py_ssize_t to_step, const real* source, Py_ssize_t step, Py_ssize_t count, Py_ssize_t times,
) noexcept nogil:
    """Runs of `count` numbers, each `step` after the last, to runs that are `to_step` apart."""
    cdef Py_ssize_t _time, i
    if count == 4:
        for _time in range(times):
            memcpy(to, source, 4 * sizeof(real))
            to += to_step
            source += step
    elif count == 2:
        for _time in range(times):
            memcpy(to, source, 2 * sizeof(real))
            to += to_step
            source += step
    else:
        for _time in range(times):
            for i in range(count):
                to[i] = source[i]
            to += to_step
            source += step


cdef inline void gather_phases(
    const real* image, const Phases* phases, Py_ssize_t phase, Py_ssize_t channels, Py_ssize_t row, Py_ssize_t column,
    Py_ssize_t columns, real* to,
) noexcept nogil:
    """to[pixel][16] = so many columns of a row of phases, zeros where none is seen and in lanes beyond `channels`."""
    cdef Py_ssize_t lane = 0, x, i, at
    cdef Neighbours near
    while lane < channels:
        near = neighbours(phases, phase + lane, channels - lane, row, column, columns)
        x = 0
        while x < columns:
            at = near.first + x * phases.SW
            if x == near.start and x < near.stop:
                copy_apart(to + x * SIDE_BY_SIDE + lane, SIDE_BY_SIDE, image + near.row + at, phases.SW, near.count,
                           near.stop - x)
                x = near.stop
                continue
            for i in range(near.count):
                to[x * SIDE_BY_SIDE + lane + i] = image[near.row + at + i] if 0 <= at + i < near.width else 0
            x += 1
        lane += near.count
    if channels < SIDE_BY_SIDE:
        for x in range(columns):
            for i in range(channels, SIDE_BY_SIDE):
                to[x * SIDE_BY_SIDE + i] = 0


cdef inline void scatter_phases(
    const real* pixels, const Phases* phases, Py_ssize_t phase, Py_ssize_t channels, Py_ssize_t row,
    Py_ssize_t column, Py_ssize_t columns, real* image,
) noexcept nogil:
    """The way back; what is not seen is dropped."""
    cdef Py_ssize_t lane = 0, x, i, at
    cdef Neighbours near
    while lane < channels:
        near = neighbours(phases, phase + lane, channels - lane, row, column, columns)
        x = 0
        while x < columns:
            at = near.first + x * phases.SW
            if x == near.start and x < near.stop:
                copy_apart(image + near.row + at, phases.SW, pixels + x * SIDE_BY_SIDE + lane, SIDE_BY_SIDE,
                           near.count, near.stop - x)
                x = near.stop
                continue
            for i in range(near.count):
                if 0 <= at + i < near.width:
                    image[near.row + at + i] = pixels[x * SIDE_BY_SIDE + lane + i]
            x += 1
        lane += near.count


cdef inline void taps_of_phases(
    const Phases* phases, Py_ssize_t first, Py_ssize_t count, int r, Py_ssize_t* places,
) noexcept nogil:
    """places[phase][r][r] = where in a filter's kernels the taps of so many phases are; -1 beyond the kernel."""
    cdef Py_ssize_t phase, i, j, a, b, y, x
    for phase in range(first, first + count):
        j, i = phase % phases.SW, phase // phases.SW % phases.SH
        for a in range(r):
            for b in range(r):
                y, x = a * phases.SH + i, b * phases.SW + j
                places[a * r + b] = (phase // (phases.SH * phases.SW) * phases.KH + y) * phases.KW + x
                if y >= phases.KH or x >= phases.KW:
                    places[a * r + b] = -1
        places += r * r
