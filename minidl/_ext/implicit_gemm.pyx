"""Convolution as a matrix product of our own: correlation (forward, and input gradient by other taps), weight gradient.

The columns of im2col are never a matrix: they are gathered from the images in the order in which a tile of the product
reads them (gemm_tiles.h). Positions are counted over the whole batch, so that small images fill the vectors too; a tile
that does not lie in one piece of the result is computed aside and copied. The caller
(`minidl.kernels.conv.implicit_gemm`) has checked every shape and cut the work by it; nothing is empty.

Letters: N samples, C channels, F output channels, T taps, K = C*T the inner dimension, P positions of an image,
Q = N*P positions of the batch.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._gemm cimport (
    ROWS, VECTOR_BYTES, VECTORS, Run, View, find_runs, gather, lanes_of, pack_rows, tile, tile_of_rows, turn,
)
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._window cimport copy_every, copy_run

cdef enum:
    MOST_PANELS = 8
    # A run for every lane of as many panels, at the widest; the weight gradient has at most as many positions at once.
    MOST_RUNS = MOST_PANELS * 48


cdef struct Geometry:
    # Images and what is made of them: samples, channels, rows of the product; rows and columns of an image, of
    # positions there, and how far apart these are.
    Py_ssize_t N, C, F, H, W, rows, columns, row_stride, column_stride
    # A row that is split by the remainder of its columns in the stride: its columns before (W are those after), and the
    # parts; 1 if it is not. Strides and taps are then those of what is split.
    Py_ssize_t split_columns, phases


cdef struct Target:
    # The place that a position's result goes to: its steps in an image of `high` x `wide`.
    Py_ssize_t high, wide, row_start, row_step, column_start, column_step


cdef struct CorrelationCut:
    # The weight's steps from row to row and channel to channel; a block of the inner dimension; parts of the product.
    Py_ssize_t row_step, channel_step, k_block, row_blocks, column_blocks


cdef struct GradientCut:
    # Blocks of positions (no fewer than the chunks), the most positions of one, parts of the sums, and whether each
    # block is in one image.
    Py_ssize_t blocks, most, row_blocks, column_blocks, by_images


cdef struct Product:
    Py_ssize_t N, C, F, K, panels
    View view
    Py_ssize_t columns, phases


def tile_sizes():
    """Rows and lanes of a tile, and how many of these panels of lanes a block of columns may have."""
    return ROWS, lanes_of(), MOST_PANELS


cdef Product product_of(const Geometry* g, const Py_ssize_t[:, ::1] tap) noexcept nogil:
    cdef Product product
    product.N, product.C, product.F = g.N, g.C, g.F
    product.view.H, product.view.W = g.H, g.W
    product.view.rows, product.view.columns = g.rows, g.columns
    product.view.row_stride, product.view.column_stride = g.row_stride, g.column_stride
    product.columns, product.phases = g.split_columns, g.phases
    product.view.channel_step = g.H * g.W
    product.view.image_step = g.C * product.view.channel_step
    product.view.taps, product.view.tap = tap.shape[0], &tap[0, 0]
    product.K, product.panels = g.C * product.view.taps, (g.F + ROWS - 1) // ROWS
    return product


cdef void split_rows(
    const real* image, const Product* product, Py_ssize_t first, Py_ssize_t last, real* split,
) noexcept nogil:
    """Rows of images with every `phases`-th column side by side: what one tap sees is then in one piece."""
    cdef Py_ssize_t row, phase, columns = product.columns, phases = product.phases, wide = product.view.W // phases
    for row in range(first, last):
        for phase in range(min(phases, columns)):
            copy_every(split + row * product.view.W + phase * wide, image + row * columns + phase, phases,
                       (columns - phase + phases - 1) // phases)


cdef void put(
    const real* results, Py_ssize_t lanes, const Run* runs, int found, Py_ssize_t rows, bint add, real* output,
    const Target* target, Py_ssize_t image_step, Py_ssize_t row,
) noexcept nogil:
    """Add or copy a tile that was computed aside, results[i][lane], to `rows` channels from `row` on."""
    cdef Py_ssize_t i, r, j
    cdef const real* source
    cdef real* to
    for i in range(rows):
        for r in range(found):
            source = results + i * lanes + runs[r].lane
            to = (output + runs[r].image * image_step + (row + i) * target.high * target.wide
                  + (runs[r].row * target.row_step + target.row_start) * target.wide
                  + runs[r].column * target.column_step + target.column_start)
            if add:
                for j in range(runs[r].count):
                    to[j * target.column_step] += source[j]
            elif target.column_step == 1:
                copy_run(to, source, <size_t>runs[r].count * sizeof(real))
            else:
                for j in range(runs[r].count):
                    to[j * target.column_step] = source[j]


cdef void correlate_item(
    const real* image, const real* packed, const real[::1] bias, const Product* product, const Target* target,
    real* output, real* workspace, Py_ssize_t panel_start, Py_ssize_t panel_stop, Py_ssize_t q_start,
    Py_ssize_t q_stop, Py_ssize_t k_block,
) noexcept nogil:
    """Some rows of the product at the positions from q_start to q_stop."""
    cdef Run runs[MOST_RUNS]
    cdef Py_ssize_t lanes = lanes_of(), K = product.K, F = product.F, count = q_stop - q_start
    cdef Py_ssize_t P = product.view.rows * product.view.columns, image_step = F * target.high * target.wide
    cdef Py_ssize_t column_panels = (count + lanes - 1) // lanes, last = count - (column_panels - 1) * lanes
    cdef Py_ssize_t k_start = 0, k_stop, step, panel, column_panel, k, lane, q, wide, rows
    cdef int found = find_runs(&product.view, q_start, count, lanes, runs), r_start, r_stop
    # Positions follow one another in the result as they do in the images.
    cdef bint straight = (target.column_step == 1 and target.row_step == 1
                          and target.wide == product.view.columns and target.high == product.view.rows)
    cdef real* aside = workspace
    cdef real* columns = workspace + ROWS * lanes
    cdef real start[ROWS]
    while k_start < K:
        k_stop = min(k_start + k_block, K)
        step = (k_stop - k_start) * lanes
        gather(image, &product.view, k_start, k_stop, runs, found, columns, step, lanes)
        for k in range(k_stop - k_start):
            for lane in range(last, lanes):
                columns[(column_panels - 1) * step + k * lanes + lane] = 0
        for panel in range(panel_start, panel_stop):
            rows = min(<Py_ssize_t>ROWS, F - panel * ROWS)
            for k in range(ROWS):
                start[k] = bias[panel * ROWS + k] if k_start == 0 and k < rows and bias.shape[0] > 0 else 0
            r_start = 0
            for column_panel in range(column_panels):
                q = q_start + column_panel * lanes
                wide = min(lanes, q_stop - q)
                r_stop = r_start
                while r_stop < found and runs[r_stop].panel == column_panel:
                    r_stop += 1
                if (straight and rows == ROWS and wide * <Py_ssize_t>sizeof(real) % VECTOR_BYTES == 0
                        and q // P == (q + wide - 1) // P):
                    tile(packed + (panel * K + k_start) * ROWS, columns + column_panel * step, k_stop - k_start, wide,
                         start, k_start > 0, output + q // P * image_step + panel * ROWS * P + q % P, P)
                else:
                    tile(packed + (panel * K + k_start) * ROWS, columns + column_panel * step, k_stop - k_start, wide,
                         start, False, aside, lanes)
                    put(aside, lanes, runs + r_start, r_stop - r_start, rows, k_start > 0, output, target,
                        image_step, panel * ROWS)
                r_start = r_stop
        k_start = k_stop


cdef void turned_block(
    const real* image, const View* view, bint plain, Py_ssize_t k_start, Py_ssize_t k_stop, Py_ssize_t q_start,
    Py_ssize_t q_stop, real* block, real* to, Py_ssize_t wide,
) noexcept nogil:
    """to[q][wide] = rows k_start to k_stop of the columns, turned.

    `plain`: one tap and stride 1, so that the columns of one image are rows of the image itself.
    """
    cdef Run runs[MOST_RUNS]
    cdef Py_ssize_t count = q_stop - q_start
    cdef int found = find_runs(view, q_start, count, count, runs), r
    if plain:
        for r in range(found):
            turn(image + runs[r].image * view.image_step + k_start * view.channel_step + runs[r].column,
                 view.channel_step, k_stop - k_start, runs[r].count, to + runs[r].lane * wide, wide)
    else:
        gather(image, view, k_start, k_stop, runs, found, block, 0, count)
        turn(block, count, k_stop - k_start, count, to, wide)


cdef void weight_gradient_item(
    const real* image, const real* grad, const Product* product, const View* outputs, real* sums, real* workspace,
    Py_ssize_t panel_start, Py_ssize_t panel_stop, Py_ssize_t vector_start, Py_ssize_t vector_stop,
    Py_ssize_t block_start, Py_ssize_t block_stop, Py_ssize_t blocks, Py_ssize_t most, bint by_images,
) noexcept nogil:
    """A part of the weight's rows and columns, summed over some blocks of the positions in their order.

    `by_images`: a block is in one image, so that the outputs' gradients are read where they lie.
    """
    cdef Py_ssize_t lanes = lanes_of(), width = VECTOR_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t Q = product.N * product.view.rows * product.view.columns, K = product.K
    cdef Py_ssize_t row = (K + width - 1) // width * width
    cdef Py_ssize_t vectors = vector_stop - vector_start, column_panels = (vectors + VECTORS - 1) // VECTORS
    cdef Py_ssize_t block, q, q_stop, panel, column_panel, k, k_stop
    cdef Py_ssize_t P = product.view.rows * product.view.columns, in_image
    cdef const real* rows_of_block = NULL
    cdef bint plain = (product.phases == 1 and product.view.taps == 1 and product.view.H == 1 and product.view.rows == 1
                       and product.view.W == product.view.columns and product.view.column_stride == 1
                       and product.view.tap[0] == 0 and product.view.tap[1] == 0)
    cdef real* aside = workspace
    cdef real* columns = aside + most * lanes
    cdef real* gradients = columns + most * lanes
    cdef real zero[ROWS]
    # A last panel of fewer rows than a tile's cannot be read in place.
    cdef Py_ssize_t turned = min(max(product.F // ROWS, panel_start), panel_stop) if by_images else panel_start
    for panel in range(ROWS):
        zero[panel] = 0
    for block in range(block_start, block_stop):
        if by_images:
            in_image = blocks // product.N
            q = block // in_image * P + slot_start(P, block % in_image, in_image)
            q_stop = block // in_image * P + slot_start(P, block % in_image + 1, in_image)
            rows_of_block = grad + block // in_image * outputs.image_step + q - block // in_image * P
        else:
            q, q_stop = slot_start(Q, block, blocks), slot_start(Q, block + 1, blocks)
        for panel in range(turned, panel_stop):
            turned_block(grad, outputs, True, panel * ROWS, min((panel + 1) * ROWS, product.F), q, q_stop, aside,
                         gradients + (panel - panel_start) * most * ROWS, ROWS)
        for column_panel in range(column_panels):
            k = (vector_start + slot_start(vectors, column_panel, column_panels)) * width
            k_stop = (vector_start + slot_start(vectors, column_panel + 1, column_panels)) * width
            turned_block(image, &product.view, plain, k, min(k_stop, K), q, q_stop, aside, columns, lanes)
            for panel in range(panel_start, turned):
                tile_of_rows(rows_of_block + panel * ROWS * P, P, columns, q_stop - q, k_stop - k, block > block_start,
                             sums + panel * ROWS * row + k, row)
            for panel in range(turned, panel_stop):
                tile(gradients + (panel - panel_start) * most * ROWS, columns, q_stop - q, k_stop - k, zero,
                     block > block_start, sums + panel * ROWS * row + k, row)


cdef class Correlation:
    """One correlation: what each tap sees of the images, its place in the weight, and where results go."""

    cdef Geometry geometry
    cdef Target target
    cdef readonly CorrelationCut cut
    cdef const Py_ssize_t[:, ::1] tap
    cdef const Py_ssize_t[::1] weight_tap

    def __init__(
        self, dict geometry, dict target, dict cut, const Py_ssize_t[:, ::1] tap, const Py_ssize_t[::1] weight_tap,
    ):
        self.geometry, self.target, self.cut, self.tap, self.weight_tap = geometry, target, cut, tap, weight_tap

    def run(
        self, const real[::1] image, const real[::1] weight, const real[::1] bias, real[::1] output,
        real[::1] packed, real[::1] split, real[:, ::1] workspace, int threads,
    ):
        """output[n, f, p] = bias[f] + the sum over channels c and taps t of weight[f, c, t] times what t sees at p.

        Images whose rows are split lie in `split`.
        """
        cdef Product product = product_of(&self.geometry, self.tap)
        cdef Target target = self.target
        cdef CorrelationCut cut = self.cut
        cdef const Py_ssize_t* weight_tap = &self.weight_tap[0]
        cdef Py_ssize_t width = VECTOR_BYTES // <Py_ssize_t>sizeof(real)
        cdef Py_ssize_t Q = product.N * product.view.rows * product.view.columns, vectors = (Q + width - 1) // width
        cdef Py_ssize_t slot, item, image_rows = product.N * product.C * product.view.H
        cdef const real* seen = &image[0]
        if product.phases > 1:
            seen = &split[0]
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            for slot in prange(threads, schedule="static"):
                pack_rows(&weight[0], product.F, product.C, cut.row_step, cut.channel_step, weight_tap,
                          product.view.taps, slot_start(product.panels, slot, threads),
                          slot_start(product.panels, slot + 1, threads), &packed[0])
                if product.phases > 1:
                    split_rows(&image[0], &product, slot_start(image_rows, slot, threads),
                               slot_start(image_rows, slot + 1, threads), &split[0])
            team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(cut.row_blocks * cut.column_blocks, slot, threads),
                                  slot_start(cut.row_blocks * cut.column_blocks, slot + 1, threads)):
                    correlate_item(seen, &packed[0], bias, &product, &target, &output[0], &workspace[slot, 0],
                                   slot_start(product.panels, item // cut.column_blocks, cut.row_blocks),
                                   slot_start(product.panels, item // cut.column_blocks + 1, cut.row_blocks),
                                   slot_start(vectors, item % cut.column_blocks, cut.column_blocks) * width,
                                   min(slot_start(vectors, item % cut.column_blocks + 1, cut.column_blocks) * width, Q),
                                   cut.k_block)


cdef class WeightGradient:
    """One weight gradient: what each tap sees of the images."""

    cdef Geometry geometry
    cdef readonly GradientCut cut
    cdef const Py_ssize_t[:, ::1] tap

    def __init__(self, dict geometry, dict cut, const Py_ssize_t[:, ::1] tap):
        self.geometry, self.cut, self.tap = geometry, cut, tap

    def run(
        self, const real[::1] image, const real[::1] grad, real[:, :, ::1] sums, real[:, ::1] grad_weight,
        real[::1] split, real[:, ::1] workspace, int threads,
    ):
        """grad_weight[f, k] = the sum over positions q of grad[f, q] columns[k, q].

        `sums` has one matrix for each chunk of the blocks, filled up to whole tiles; they are added in order, and where
        there is one that fits it may be the result itself.
        """
        cdef Product product = product_of(&self.geometry, self.tap)
        cdef GradientCut cut = self.cut
        cdef View outputs
        cdef Py_ssize_t one_tap[4]
        cdef Py_ssize_t chunks = sums.shape[0]
        cdef Py_ssize_t vectors = sums.shape[2] * <Py_ssize_t>sizeof(real) // VECTOR_BYTES
        cdef Py_ssize_t P = product.view.rows * product.view.columns, slot, item, f, k, chunk
        cdef Py_ssize_t image_rows = product.N * product.C * product.view.H
        cdef bint in_place = &sums[0, 0, 0] == &grad_weight[0, 0]
        cdef const real* seen = &image[0]
        if product.phases > 1:
            seen = &split[0]
        one_tap[0], one_tap[1], one_tap[2], one_tap[3] = 0, 0, 0, P
        outputs.H, outputs.W, outputs.image_step, outputs.channel_step = 1, P, product.F * P, P
        outputs.rows, outputs.columns, outputs.row_stride, outputs.column_stride = 1, P, 1, 1
        outputs.taps, outputs.tap = 1, one_tap
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            if product.phases > 1:
                for slot in prange(threads, schedule="static"):
                    split_rows(&image[0], &product, slot_start(image_rows, slot, threads),
                               slot_start(image_rows, slot + 1, threads), &split[0])
                team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(chunks * cut.row_blocks * cut.column_blocks, slot, threads),
                                  slot_start(chunks * cut.row_blocks * cut.column_blocks, slot + 1, threads)):
                    chunk = item // (cut.row_blocks * cut.column_blocks)
                    weight_gradient_item(
                        seen, &grad[0], &product, &outputs, &sums[chunk, 0, 0], &workspace[slot, 0],
                        slot_start(product.panels, item // cut.column_blocks % cut.row_blocks, cut.row_blocks),
                        slot_start(product.panels, item // cut.column_blocks % cut.row_blocks + 1, cut.row_blocks),
                        slot_start(vectors, item % cut.column_blocks, cut.column_blocks),
                        slot_start(vectors, item % cut.column_blocks + 1, cut.column_blocks),
                        slot_start(cut.blocks, chunk, chunks), slot_start(cut.blocks, chunk + 1, chunks), cut.blocks,
                        cut.most, cut.by_images)
            if not in_place:
                team_barrier()
                for slot in prange(threads, schedule="static"):
                    for f in range(slot_start(product.F, slot, threads), slot_start(product.F, slot + 1, threads)):
                        for k in range(product.K):
                            grad_weight[f, k] = sums[0, f, k]
                        for chunk in range(1, chunks):
                            for k in range(product.K):
                                grad_weight[f, k] += sums[chunk, f, k]
