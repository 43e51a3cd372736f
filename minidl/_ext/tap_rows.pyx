"""implicit_gemm's cut for the input's gradient of images with few channels: the product that col2im adds up.

Its rows are channels and taps, its columns positions. A tile's numbers are added at once to the pixels that the taps
saw, in a band that stays in the L2 cache (tap_rows_tiles.h). There the pixels of each remainder in the strides lie in a
plane of their own, and the positions' rows are as far apart as the planes', with gradients of 0 between: so what a tap
saw from neighbouring positions is in one piece, whatever the stride. At the end, bands are added where they overlap,
and remainders merged to rows of pixels.

The caller (`minidl.kernels.conv.tap_rows`) has checked every shape; nothing is empty. Letters: N samples, C channels, F
filters, R rows of the product.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._gemm cimport ROWS, lanes_of
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._window cimport add_run, copy_run, merge_runs, zero_run

cdef enum:
    # While weights are packed: so many of their rows stay in the cache until all columns have been taken from them.
    FILTERS_AT_ONCE = 8

cdef extern from "tap_rows_tiles.h" nogil:
    void tap_rows_tile(
        const real* a, const real* b, Py_ssize_t count, Py_ssize_t lanes, const Py_ssize_t* offset, int rows,
        real* to)
    void tap_rows_gather(
        const real* grad, Py_ssize_t step, Py_ssize_t wide, Py_ssize_t pitch, Py_ssize_t first, Py_ssize_t lanes,
        Py_ssize_t count, real* to)


cdef struct Cut:
    Py_ssize_t N, C, F, R, OH, OW, H, W, SH, SW, top, left
    # Bands of an image's positions; rows that a band's planes have more than it has positions; a row's length there, a
    # plane's, all planes'; the block of the inner dimension.
    Py_ssize_t bands, more, pitch, plane, size, k_block


cdef void pack(
    const real* weight, const Cut* cut, const Py_ssize_t[::1] column, Py_ssize_t panel_start, Py_ssize_t panel_stop,
    real* packed,
) noexcept nogil:
    """packed[panel][f][ROWS]; the product's rows are columns of the weight in an order of their own."""
    cdef Py_ssize_t first = 0, panel, f, i, rows
    cdef const Py_ssize_t* seen
    cdef real* to
    while first < cut.F:
        for panel in range(panel_start, panel_stop):
            rows = min(<Py_ssize_t>ROWS, cut.R - panel * ROWS)
            seen = &column[panel * ROWS]
            for f in range(first, min(first + FILTERS_AT_ONCE, cut.F)):
                to = packed + (panel * cut.F + f) * ROWS
                for i in range(rows):
                    to[i] = weight[f * cut.R + seen[i]]
                for i in range(rows, ROWS):
                    to[i] = 0
        first += FILTERS_AT_ONCE


cdef void add_band(
    const real* grad, const real* packed, const Cut* cut, const Py_ssize_t* offset, Py_ssize_t row, Py_ssize_t rows,
    real* columns, real* band,
) noexcept nogil:
    """All that the positions of some rows of one sample add to the pixels."""
    cdef Py_ssize_t lanes = lanes_of(), P = cut.OH * cut.OW, count = rows * cut.pitch
    cdef Py_ssize_t panels = (cut.R + ROWS - 1) // ROWS, panel, q = 0, wide, k, steps
    cdef const real* a
    zero_run(band, <size_t>cut.size * sizeof(real))
    while q < count:
        wide = min(lanes, count - q)
        k = 0
        while k < cut.F:
            steps = min(cut.k_block, cut.F - k)
            tap_rows_gather(grad + k * P + row * cut.OW, P, cut.OW, cut.pitch, q, wide, steps, columns)
            for panel in range(panels):
                a = packed + (panel * cut.F + k) * ROWS
                tap_rows_tile(a, columns, steps, wide, offset + panel * ROWS,
                              <int>min(<Py_ssize_t>ROWS, cut.R - panel * ROWS), band + q)
            k += steps
        q += lanes


cdef void pixels_of_row(
    const real* bands, const Cut* cut, Py_ssize_t band_step, Py_ssize_t c, Py_ssize_t h, real* scratch,
    real* output,
) noexcept nogil:
    """One row of pixels: bands are added in their order, then the columns of each remainder merged."""
    cdef Py_ssize_t row = (h + cut.top) // cut.SH, plane = (c * cut.SH + (h + cut.top) % cut.SH) * cut.SW
    cdef Py_ssize_t pitch = cut.pitch, seen = min(cut.W, max(cut.SW * pitch - cut.left, <Py_ssize_t>0))
    cdef Py_ssize_t band, first, b, i
    cdef real* sums = scratch
    cdef real* merged = scratch + cut.SW * pitch
    cdef const real* source
    zero_run(sums, <size_t>(cut.SW * pitch) * sizeof(real))
    for band in range(cut.bands):
        first = slot_start(cut.OH, band, cut.bands)
        if first > row or row >= slot_start(cut.OH, band + 1, cut.bands) + cut.more:
            continue
        for b in range(cut.SW):
            source = bands + band * band_step + (plane + b) * cut.plane + (row - first) * pitch
            add_run(sums + b * pitch, source, pitch)
    if cut.SW == 2:
        merge_runs(merged, sums, sums + pitch, 2 * pitch)
    elif cut.SW == 4:
        merge_runs(merged, sums, sums + 2 * pitch, 2 * pitch)
        merge_runs(merged + 2 * pitch, sums + pitch, sums + 3 * pitch, 2 * pitch)
        copy_run(sums, merged, <size_t>(4 * pitch) * sizeof(real))
        merge_runs(merged, sums, sums + 2 * pitch, 4 * pitch)
    else:
        for b in range(cut.SW):
            for i in range(pitch):
                merged[i * cut.SW + b] = sums[b * pitch + i]
    copy_run(output, merged + cut.left, <size_t>seen * sizeof(real))
    zero_run(output + seen, <size_t>(cut.W - seen) * sizeof(real))


cdef class Plan:
    """The input's gradient of one convolution.

    `column` and `offset` are for each row of the product the weight's column and what the tap saw in a band from its
    first position.
    """

    cdef readonly Cut cut
    cdef const Py_ssize_t[::1] column, offset

    def __init__(self, dict cut, const Py_ssize_t[::1] column, const Py_ssize_t[::1] offset):
        self.cut, self.column, self.offset = cut, column, offset

    def input_gradient(
        self, const real[::1] grad, const real[::1] weight, real[::1] output, real[::1] packed, real[:, ::1] bands,
        real[:, ::1] workspace, int threads,
    ):
        """output[n, c, h, w] = the sum over filters and taps of weight[f, c, tap] grad[n, f, where it saw that].

        `bands` has one for each sample and band, `workspace` for each thread columns of one block and, as long as that
        if longer, twice a row of pixels.
        """
        cdef Cut cut = self.cut
        cdef const Py_ssize_t[::1] column = self.column, offset = self.offset
        cdef Py_ssize_t slot, item, n, first, last, panels = (cut.R + ROWS - 1) // ROWS
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            for slot in prange(threads, schedule="static"):
                pack(&weight[0], &cut, column, slot_start(panels, slot, threads), slot_start(panels, slot + 1, threads),
                     &packed[0])
            team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(cut.N * cut.bands, slot, threads),
                                  slot_start(cut.N * cut.bands, slot + 1, threads)):
                    n = item // cut.bands
                    first = slot_start(cut.OH, item % cut.bands, cut.bands)
                    last = slot_start(cut.OH, item % cut.bands + 1, cut.bands)
                    add_band(&grad[n * cut.F * cut.OH * cut.OW], &packed[0], &cut, &offset[0], first, last - first,
                             &workspace[slot, 0], &bands[item, 0])
            team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(cut.N * cut.C * cut.H, slot, threads),
                                  slot_start(cut.N * cut.C * cut.H, slot + 1, threads)):
                    n = item // (cut.C * cut.H)
                    pixels_of_row(&bands[n * cut.bands, 0], &cut, bands.shape[1], item // cut.H % cut.C, item % cut.H,
                                  &workspace[slot, 0], &output[item * cut.W])
