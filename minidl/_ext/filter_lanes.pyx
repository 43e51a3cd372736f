"""implicit_gemm's other cut: filters in the lanes, pixels read where they lie (filter_tiles.h).

It packs the weights, or turns the gradients of the outputs, in place of the columns that all taps see, which are far
more where kernels are large and channels few. Images with padding are copied by bands of rows with zeros around; others
are not copied at all. The caller (`minidl.kernels.filter_lanes`) has checked every shape; nothing is empty.

Letters: N samples, C channels, F filters, K = C*KH*KW, P positions of an image; a panel is up to four vectors of
filters.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._filter cimport (
    MOST_VECTORS, fetch_rows, from_lanes, gradients_of_taps, outputs_of_row, tile_rows, tile_taps,
)
from minidl._ext._gemm cimport VECTOR_BYTES, turn
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._types cimport real
from minidl._ext._window cimport copy_run, zero_run


cdef struct Cut:
    Py_ssize_t N, C, F, H, W, OH, OW, SH, SW, top, left
    # Rows of outputs in a band, bands of an image; rows and columns of a copied band, 0 rows if images are not copied.
    Py_ssize_t band, bands, rows, columns
    # Rows of outputs that are turned together: short ones, to have whole vectors.
    Py_ssize_t together
    Py_ssize_t K, width, vectors, panels


cdef Cut cut_of(const Py_ssize_t[::1] numbers, Py_ssize_t K, Py_ssize_t itemsize) noexcept nogil:
    cdef Cut cut
    cut.N, cut.C, cut.F, cut.H, cut.W = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    cut.OH, cut.OW, cut.SH, cut.SW = numbers[5], numbers[6], numbers[7], numbers[8]
    cut.top, cut.left, cut.band = numbers[9], numbers[10], numbers[11]
    cut.rows, cut.columns = numbers[12], numbers[13]
    cut.bands = (cut.OH + cut.band - 1) // cut.band
    cut.together = numbers[14]
    cut.K, cut.width = K, VECTOR_BYTES // itemsize
    cut.vectors = (cut.F + cut.width - 1) // cut.width
    cut.panels = (cut.vectors + MOST_VECTORS - 1) // MOST_VECTORS
    return cut


def tile_sizes(Py_ssize_t itemsize):
    """Lanes of a vector, the most vectors of a panel, and by their number the positions and the taps of a tile."""
    cdef int i
    return (VECTOR_BYTES // itemsize, MOST_VECTORS, [tile_rows[i] for i in range(1, MOST_VECTORS + 1)],
            [tile_taps[i] for i in range(1, MOST_VECTORS + 1)])


cdef const real* seen_by(
    const real* image, const Cut* cut, Py_ssize_t row, Py_ssize_t rows, real* copied,
) noexcept nogil:
    """Where the first tap of the first position of output row `row` reads, for so many output rows."""
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


def forward(
    const real[::1] x, const real[::1] weight, const real[::1] bias, const Py_ssize_t[::1] numbers,
    const Py_ssize_t[::1] offset, real[::1] output, real[::1] packed, real[:, ::1] workspace, int threads,
):
    """output[n, f, p] = bias[f] + the sum over k of weight[f, k] x[n, offset[k] from p].

    `numbers` are those of a `Cut`. `packed` has K rows of whole vectors of filters and one more, for the bias; a slot
    of `workspace` the results of a band and its copy.
    """
    cdef Cut cut = cut_of(numbers, offset.shape[0], sizeof(real))
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


cdef void weight_gradient_band(
    const real* x, const real* grad, const Cut* cut, const Py_ssize_t* offset, real* sums, Py_ssize_t n,
    Py_ssize_t row, real* turned, real* copied,
) noexcept nogil:
    """Add what one band makes of the gradient to `sums`: panels of [taps, filled up to whole tiles][lanes]."""
    cdef Py_ssize_t rows = min(cut.band, cut.OH - row), panel, first, vectors, lanes, taps
    cdef Py_ssize_t row_step = cut.SH * (cut.columns if cut.rows else cut.W)
    cdef const real* seen = seen_by(x + n * cut.C * cut.H * cut.W, cut, row, rows, copied)
    for panel in range(cut.panels):
        first = slot_start(cut.vectors, panel, cut.panels)
        vectors = slot_start(cut.vectors, panel + 1, cut.panels) - first
        first, lanes, taps = first * cut.width, vectors * cut.width, tile_taps[vectors]
        turn(grad + ((n * cut.F + first) * cut.OH + row) * cut.OW, cut.OH * cut.OW, min(lanes, cut.F - first),
             rows * cut.OW, turned, lanes)
        # What is turned next: of the next filters, or the next rows of the first ones.
        if panel + 1 < cut.panels:
            fetch_rows(grad + ((n * cut.F + first + lanes) * cut.OH + row) * cut.OW, cut.OH * cut.OW,
                       min(MOST_VECTORS * cut.width, cut.F - first - lanes), rows * cut.OW, False)
        elif row + rows < cut.OH:
            fetch_rows(grad + (n * cut.F * cut.OH + row + rows) * cut.OW, cut.OH * cut.OW,
                       min(MOST_VECTORS * cut.width, cut.F), min(rows, cut.OH - row - rows) * cut.OW, False)
        gradients_of_taps(seen, offset, cut.K, row_step, cut.SW, rows, cut.OW, turned, <int>vectors, sums)
        sums += (cut.K + taps - 1) // taps * taps * lanes


cdef void write_taps(
    const real* sums, const Cut* cut, Py_ssize_t start, Py_ssize_t stop, real* grad_weight,
) noexcept nogil:
    """grad_weight[f, start to stop] from the sums of all panels."""
    cdef Py_ssize_t panel, first, vectors, lanes, taps
    if start == stop:
        return
    for panel in range(cut.panels):
        first = slot_start(cut.vectors, panel, cut.panels)
        vectors = slot_start(cut.vectors, panel + 1, cut.panels) - first
        first, lanes, taps = first * cut.width, vectors * cut.width, tile_taps[vectors]
        from_lanes(sums + start * lanes, lanes, min(lanes, cut.F - first), stop - start,
                   grad_weight + first * cut.K + start, cut.K)
        sums += (cut.K + taps - 1) // taps * taps * lanes


cdef Py_ssize_t sums_in(const Cut* cut) noexcept nogil:
    """How many numbers the sums of a weight gradient are."""
    cdef Py_ssize_t panel, vectors, taps, count = 0
    for panel in range(cut.panels):
        vectors = slot_start(cut.vectors, panel + 1, cut.panels) - slot_start(cut.vectors, panel, cut.panels)
        taps = tile_taps[vectors]
        count += (cut.K + taps - 1) // taps * taps * vectors * cut.width
    return count


def sums_of(const Py_ssize_t[::1] numbers, Py_ssize_t K, Py_ssize_t itemsize):
    """The same for the numbers of a `Cut`."""
    cdef Cut cut = cut_of(numbers, K, itemsize)
    return sums_in(&cut)


def weight_gradient(
    const real[::1] x, const real[::1] grad, const Py_ssize_t[::1] numbers, const Py_ssize_t[::1] offset,
    real[:, ::1] sums, real[::1] grad_weight, real[:, ::1] workspace, int threads,
):
    """grad_weight[f, k] = the sum over n and p of grad[n, f, p] x[n, offset[k] from p].

    Bands are shared out to the rows of `sums` (the first `sums_of` numbers), which are added in order. A slot of
    `workspace` has the turned gradients of a panel's band and its copy.
    """
    cdef Cut cut = cut_of(numbers, offset.shape[0], sizeof(real))
    cdef Py_ssize_t chunks = sums.shape[0], items = cut.N * cut.bands, count = sums_in(&cut)
    cdef Py_ssize_t slot, item, chunk, i
    cdef Py_ssize_t turned = cut.band * cut.OW * MOST_VECTORS * cut.width
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for chunk in range(slot_start(chunks, slot, threads), slot_start(chunks, slot + 1, threads)):
                for i in range(count):
                    sums[chunk, i] = 0
                for item in range(slot_start(items, chunk, chunks), slot_start(items, chunk + 1, chunks)):
                    weight_gradient_band(&x[0], &grad[0], &cut, &offset[0], &sums[chunk, 0], item // cut.bands,
                                         item % cut.bands * cut.band, &workspace[slot, 0], &workspace[slot, turned])
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for chunk in range(1, chunks):
                for i in range(slot_start(count, slot, threads), slot_start(count, slot + 1, threads)):
                    sums[0, i] += sums[chunk, i]
        team_barrier()
        for slot in prange(threads, schedule="static"):
            write_taps(&sums[0, 0], &cut, slot_start(cut.K, slot, threads), slot_start(cut.K, slot + 1, threads),
                       &grad_weight[0])
