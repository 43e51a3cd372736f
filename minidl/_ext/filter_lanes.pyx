"""implicit_gemm's other cut: filters in the lanes, pixels read where they lie (filter_tiles.h).

It packs the weights, or turns the gradients of the outputs, in place of the columns that all taps see, which are far
more where kernels are large and channels few. Images with padding are copied by bands of rows with zeros around; others
are not copied at all. The caller (`minidl.kernels.conv.filter_lanes`) has checked every shape; nothing is empty.

Letters: N samples, C channels, F filters, K = C*KH*KW, P positions of an image; a panel is up to four vectors of
filters.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._filter cimport (
    MOST_VECTORS, fetch_rows, from_lanes, gradients_of_taps, outputs_of_row, tile_rows, tile_taps,
)
from minidl._ext._gemm cimport VECTOR_BYTES, turn
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._window cimport copy_run, zero_run


cdef struct Cut:
    Py_ssize_t N, C, F, H, W, OH, OW, SH, SW, top, left
    # Rows of outputs in a band, bands of an image; rows and columns of a copied band, 0 rows if images are not copied.
    Py_ssize_t band, bands, rows, columns
    # Rows of outputs that are turned together: short ones, to have whole vectors.
    Py_ssize_t together
    Py_ssize_t K, width, vectors, panels


def tile_sizes():
    """Lanes of a vector, the most vectors of a panel, and by their number the positions and the taps of a tile."""
    cdef int i
    return (VECTOR_BYTES // <Py_ssize_t>sizeof(real), MOST_VECTORS,
            [tile_rows[i] for i in range(1, MOST_VECTORS + 1)], [tile_taps[i] for i in range(1, MOST_VECTORS + 1)])


cdef const real* seen_by(
    const real* image, const Cut* cut, Py_ssize_t row, Py_ssize_t rows, real* copied,
) noexcept nogil:
    """The place that the first tap of the first position of output row `row` reads, for so many output rows."""
    cdef Py_ssize_t first = row * cut.SH - cut.top, c, i, count
    cdef Py_ssize_t before = min(cut.left, cut.columns), inside = min(cut.W, cut.columns - before)
    cdef Py_ssize_t needed = cut.rows - (cut.band - rows) * cut.SH
    cdef real* to
    if cut.rows == 0:
        return image + first * cut.W
    for c in range(cut.C):
        for i in range(needed):
            to = copied + (c * cut.rows + i) * cut.columns
            if first + i < 0 or first + i >= cut.H:
                zero_run(to, <size_t>cut.columns * sizeof(real))
                continue
            zero_run(to, <size_t>before * sizeof(real))
            copy_run(to + before, image + (c * cut.H + first + i) * cut.W, <size_t>inside * sizeof(real))
            count = cut.columns - before - inside
            zero_run(to + before + inside, <size_t>count * sizeof(real))
    return copied


cdef void forward_band(
    const real* x, const Cut* cut, const Py_ssize_t* offset, const real* packed, const real* bias, real* output,
    Py_ssize_t n, Py_ssize_t row, real* results, real* copied,
) noexcept nogil:
    """The output rows of one band, panel by panel."""
    cdef Py_ssize_t rows = min(cut.band, cut.OH - row), panel, first, vectors, lanes, filters, start, stop, i
    cdef real* to
    cdef Py_ssize_t row_step = cut.SH * (cut.columns if cut.rows else cut.W)
    cdef const real* seen = seen_by(x + n * cut.C * cut.H * cut.W, cut, row, rows, copied)
    for panel in range(cut.panels):
        first = slot_start(cut.vectors, panel, cut.panels)
        vectors = slot_start(cut.vectors, panel + 1, cut.panels) - first
        first, lanes = first * cut.width, vectors * cut.width
        filters = min(lanes, cut.F - first)
        start = 0
        while start < rows:
            stop = min(start + cut.together, rows)
            to = output + ((n * cut.F + first) * cut.OH + row + start) * cut.OW
            fetch_rows(to, cut.OH * cut.OW, filters, (stop - start) * cut.OW, True)
            for i in range(start, stop):
                outputs_of_row(seen + i * row_step, cut.SW, cut.OW, offset, cut.K, packed + first * cut.K,
                               <int>vectors, bias + first, results + (i - start) * cut.OW * lanes)
            from_lanes(results, lanes, filters, (stop - start) * cut.OW, to, cut.OH * cut.OW)
            start = stop


cdef struct Part:
    # A panel's first filter, its filters, lanes and vectors, its tiles of so many taps each.
    Py_ssize_t first, filters, lanes, tiles, taps
    int vectors
    # The taps in question, and where their sums are among the panel's.
    Py_ssize_t start, stop, sums


cdef Part part_of(const Cut* cut, Py_ssize_t panel, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The part of a panel that tiles `start` to `stop`, counted from its first, have: none if they are others'."""
    cdef Part part
    cdef Py_ssize_t first = slot_start(cut.vectors, panel, cut.panels)
    part.vectors = <int>(slot_start(cut.vectors, panel + 1, cut.panels) - first)
    part.first, part.lanes = first * cut.width, part.vectors * cut.width
    part.filters = min(part.lanes, cut.F - part.first)
    part.taps = tile_taps[part.vectors]
    part.tiles = (cut.K + part.taps - 1) // part.taps
    part.start = max(start, 0) * part.taps
    part.stop = min(min(stop, part.tiles) * part.taps, cut.K)
    part.sums = part.start * part.lanes
    return part


cdef void weight_gradient_band(
    const real* x, const real* grad, const Cut* cut, const Py_ssize_t* offset, real* sums, Py_ssize_t start,
    Py_ssize_t stop, Py_ssize_t n, Py_ssize_t row, real* turned, real* copied,
) noexcept nogil:
    """Add what one band makes of the gradient of tiles `start` to `stop` to `sums`.

    They are panels of [taps, filled up to whole tiles][lanes].
    """
    cdef Py_ssize_t rows = min(cut.band, cut.OH - row), panel, before = 0, first = -1, count
    cdef Py_ssize_t row_step = cut.SH * (cut.columns if cut.rows else cut.W)
    cdef const real* seen = seen_by(x + n * cut.C * cut.H * cut.W, cut, row, rows, copied)
    cdef Part part
    grad += (n * cut.F * cut.OH + row) * cut.OW
    for panel in range(cut.panels):
        part = part_of(cut, panel, start - before, stop - before)
        before += part.tiles
        if part.start < part.stop:
            if first < 0:
                first = part.first
            turn(grad + part.first * cut.OH * cut.OW, cut.OH * cut.OW, part.filters, rows * cut.OW, turned,
                 part.lanes)
            # Fetch what is turned next: of the next filters, or the next rows of the first ones.
            if stop > before:
                count = part.first + part.lanes
                fetch_rows(grad + count * cut.OH * cut.OW, cut.OH * cut.OW,
                           min(MOST_VECTORS * cut.width, cut.F - count), rows * cut.OW, False)
            elif row + rows < cut.OH:
                fetch_rows(grad + (first * cut.OH + rows) * cut.OW, cut.OH * cut.OW,
                           min(MOST_VECTORS * cut.width, cut.F - first), min(rows, cut.OH - row - rows) * cut.OW,
                           False)
            gradients_of_taps(seen, offset + part.start, part.stop - part.start, row_step, cut.SW, rows, cut.OW,
                              turned, part.vectors, sums + part.sums)
        sums += part.tiles * part.taps * part.lanes


cdef void clear_taps(real* sums, const Cut* cut, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Zero for the sums of tiles `start` to `stop`."""
    cdef Py_ssize_t panel, before = 0, i
    cdef Part part
    for panel in range(cut.panels):
        part = part_of(cut, panel, start - before, stop - before)
        before += part.tiles
        for i in range(part.sums, part.stop * part.lanes):
            sums[i] = 0
        sums += part.tiles * part.taps * part.lanes


cdef void write_taps(
    real* sums, Py_ssize_t row, Py_ssize_t chunks, const Cut* cut, Py_ssize_t start, Py_ssize_t stop,
    real* grad_weight,
) noexcept nogil:
    """Add up the partial sums, `row` apart, of tiles `start` to `stop`, and write their part of grad_weight."""
    cdef Py_ssize_t panel, before = 0, chunk, i
    cdef Part part
    for panel in range(cut.panels):
        part = part_of(cut, panel, start - before, stop - before)
        before += part.tiles
        if part.start < part.stop:
            for chunk in range(1, chunks):
                for i in range(part.sums, part.stop * part.lanes):
                    sums[i] += sums[chunk * row + i]
            from_lanes(sums + part.sums, part.lanes, part.filters, part.stop - part.start,
                       grad_weight + part.first * cut.K + part.start, cut.K)
        sums += part.tiles * part.taps * part.lanes


cdef Py_ssize_t tiles_in(const Cut* cut) noexcept nogil:
    """Count the tiles of the weight's gradient."""
    cdef Py_ssize_t panel, tiles = 0
    for panel in range(cut.panels):
        tiles += part_of(cut, panel, 0, 0).tiles
    return tiles


cdef class Plan:
    """One direction of a convolution: its cut, and what each row of the weight's columns sees from a position."""

    cdef readonly Cut cut
    cdef const Py_ssize_t[::1] offset

    def __init__(self, dict cut, const Py_ssize_t[::1] offset):
        self.cut, self.offset = cut, offset

    def sums(self):
        """Count the numbers of the sums of a weight gradient."""
        cdef Py_ssize_t panel, count = 0
        cdef Part part
        for panel in range(self.cut.panels):
            part = part_of(&self.cut, panel, 0, 0)
            count += part.tiles * part.taps * part.lanes
        return count

    def forward(
        self, const real[::1] x, const real[::1] weight, const real[::1] bias, real[::1] output, real[::1] packed,
        real[:, ::1] workspace, int threads,
    ):
        """output[n, f, p] = bias[f] + the sum over k of weight[f, k] x[n, offset[k] from p].

        `packed` has K rows of whole vectors of filters and one more, for the bias; a slot
        of `workspace` the results of a band and its copy.
        """
        cdef Cut cut = self.cut
        cdef const Py_ssize_t[::1] offset = self.offset
        cdef Py_ssize_t slot, item, panel, first, lanes, filters, k, all_lanes = cut.vectors * cut.width
        cdef Py_ssize_t k_start, k_stop, results = cut.together * cut.OW * MOST_VECTORS * cut.width
        cdef real* biases = &packed[all_lanes * cut.K]
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            for slot in prange(threads, schedule="static"):
                k_start, k_stop = slot_start(cut.K, slot, threads), slot_start(cut.K, slot + 1, threads)
                for panel in range(cut.panels):
                    first = slot_start(cut.vectors, panel, cut.panels) * cut.width
                    lanes = slot_start(cut.vectors, panel + 1, cut.panels) * cut.width - first
                    filters = min(lanes, cut.F - first)
                    if k_stop > k_start:
                        turn(&weight[first * cut.K + k_start], cut.K, filters, k_stop - k_start,
                             &packed[first * cut.K + k_start * lanes], lanes)
                if slot == 0:
                    for k in range(all_lanes):
                        biases[k] = bias[k] if k < bias.shape[0] else 0
            team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(cut.N * cut.bands, slot, threads),
                                  slot_start(cut.N * cut.bands, slot + 1, threads)):
                    forward_band(&x[0], &cut, &offset[0], &packed[0], biases, &output[0], item // cut.bands,
                                 item % cut.bands * cut.band, &workspace[slot, 0], &workspace[slot, results])

    def weight_gradient(
        self, const real[::1] x, const real[::1] grad, real[:, ::1] sums, real[::1] grad_weight,
        real[:, ::1] workspace, int threads,
    ):
        """grad_weight[f, k] = the sum over n and p of grad[n, f, p] x[n, offset[k] from p].

        Bands are shared out to the rows of `sums` (the first `sums()` numbers), which are added in order; threads share
        the tiles of all rows. A slot of `workspace` has the turned gradients of a panel's band and its copy.
        """
        cdef Cut cut = self.cut
        cdef const Py_ssize_t[::1] offset = self.offset
        cdef Py_ssize_t chunks = sums.shape[0], items = cut.N * cut.bands, tiles = tiles_in(&cut)
        cdef Py_ssize_t slot, item, chunk, start, stop
        cdef Py_ssize_t turned = cut.band * cut.OW * MOST_VECTORS * cut.width
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            for slot in prange(threads, schedule="static"):
                for chunk in range(chunks):
                    start = max(slot_start(chunks * tiles, slot, threads) - chunk * tiles, 0)
                    stop = min(slot_start(chunks * tiles, slot + 1, threads) - chunk * tiles, tiles)
                    if start >= stop:
                        continue
                    clear_taps(&sums[chunk, 0], &cut, start, stop)
                    for item in range(slot_start(items, chunk, chunks), slot_start(items, chunk + 1, chunks)):
                        weight_gradient_band(&x[0], &grad[0], &cut, &offset[0], &sums[chunk, 0], start, stop,
                                             item // cut.bands, item % cut.bands * cut.band, &workspace[slot, 0],
                                             &workspace[slot, turned])
            # A single sum's tiles are written by who added them.
            if chunks > 1:
                team_barrier()
            for slot in prange(threads, schedule="static"):
                write_taps(&sums[0, 0], sums.shape[1], chunks, &cut, slot_start(tiles, slot, threads),
                           slot_start(tiles, slot + 1, threads), &grad_weight[0])
