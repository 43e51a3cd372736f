"""Convolution, bias, ReLU and max pooling, several times over, on blocks of 16 samples that stay in the cache.

A block goes through all stages before the next one starts: its images and what lies between the stages never leave the
L2 cache, and there is one parallel region for all of it, forward or backward. What backward needs of a stage is its
input and where the maxima were; the outputs of the convolutions are never kept.

A few samples, of which nothing is kept, go one by one: 16 filters are then the lanes (`sample_tiles.h`).
"""

from cython.parallel cimport prange

from minidl._ext._direct cimport LANES, MOST_COLUMNS, Plane, load_images, pack, plane_of
from minidl._ext._lists cimport address
from minidl._ext._memory cimport Block, row_step, rows_of
from minidl._ext._real cimport real
from minidl._ext._row_winograd cimport pack_points
from minidl._ext._rows cimport band_columns, band_rows, load_band
from minidl._ext._stage cimport (
    Layout, Stage, direct_total, forward_stage, spread_row, stage_of, stage_input_gradient, stage_weight_gradient,
    weight_by_points,
)
from minidl._ext._threads cimport slot_start
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._window cimport Window, unpack, zero_run


cdef extern from "sample_tiles.h" nogil:
    ctypedef struct Taps "minidl_sample":
        Py_ssize_t channels, rows, columns
        Py_ssize_t x_channel, x_row
        const Py_ssize_t* x_columns

    void sample_row(
        const real* x, const real* w, const real* bias, real* y, Py_ssize_t count, Py_ssize_t filters,
        const Taps* taps)
    void sample_pool(
        const real* y, Py_ssize_t y_row, int rows, int columns, int relu, Py_ssize_t count, Py_ssize_t filters,
        real* out)


cdef enum:
    MOST_STAGES = 16


def sizes(const Py_ssize_t[::1] packed):
    """(rows, columns) of a window's padded image in a block, and (margin, columns) of its output's gradient."""
    cdef Window window = unpack(packed)
    cdef Plane plane = plane_of(&window)
    return plane.rows, plane.columns, plane.margin, plane.grad_columns


cdef struct Memory:
    # Numbers: all weights and biases; the weights as the kernels read them, forward and for the inputs' gradients; what
    # a block keeps, images and then places; scratch, forward and backward, and where in it the stages' own begins.
    Py_ssize_t weights, biases, packed, packed_by_channel, images, places, scratch, work_at
    Py_ssize_t gradient_scratch, dy_at, gradient_work_at
    # Scratch for a sample that goes alone, and where its parts begin.
    Py_ssize_t y_at, pooled_at, even_image_at, odd_image_at, by_filters_at, sample_scratch


cdef class Plan:
    """Stages one behind the other, and where everything of theirs lies."""

    cdef Stage stages[MOST_STAGES]
    cdef Py_ssize_t depth
    cdef Memory memory

    def __cinit__(self, list stages, dict memory):
        """A stage is its window's numbers and its `Layout`."""
        cdef Py_ssize_t s
        cdef Window window
        cdef Layout layout
        if len(stages) > MOST_STAGES:
            raise ValueError(f"at most {MOST_STAGES} stages")
        self.depth, self.memory = len(stages), memory
        for s in range(self.depth):
            window, layout = unpack(stages[s][0]), stages[s][1]
            self.stages[s] = stage_of(&window, &layout)

    def winograd_rows(self):
        """For each stage, which directions go by Winograd's method: forward, input, weight."""
        return [
            (bool(self.stages[s].by_points), self.stages[s].input_by_points > 0, bool(self.stages[s].weight_by_points))
            for s in range(self.depth)
        ]


cdef int pack_weights(Plan plan, list weights, real* packed, bint by_channel, bint transformed) except -1:
    """Weights as the tiles read them: groups of filters side by side, or of channels for the input gradient."""
    cdef Py_ssize_t s, F, C, T
    cdef const real* weight
    cdef const Stage* stage
    for s in range(plan.depth):
        stage = &plan.stages[s]
        F, C, T = stage.F, stage.C, stage.window.KH * stage.window.KW
        weight = address(weights[s], F * C * T)
        if by_channel and stage.input_by_points:
            pack_points(weight, packed + stage.packed_by_channel, C, F, T // 5, T, C * T, True)
        elif by_channel:
            pack(weight, packed + stage.packed_by_channel, C, F, T, T, C * T, False)
        elif stage.by_points and transformed:
            pack_points(weight, packed + stage.packed, F, C, T // 5, C * T, T, False)
        else:
            pack(weight, packed + stage.packed, F, C, T, C * T, T, False)
    return 0


cdef int gather_biases(Plan plan, list biases, real* together) except -1:
    """All biases, 0 where there is none."""
    cdef Py_ssize_t s, f
    cdef const real* bias
    for s in range(plan.depth):
        bias = NULL
        if biases[s] is not None:
            bias = address(biases[s], plan.stages[s].F)
        for f in range(plan.stages[s].F):
            together[plan.stages[s].bias + f] = bias[f] if bias != NULL else 0
    return 0


cdef void forward_block(
    const real* x_nchw, Plan plan, const real* weights, const real* biases, real* images, real* places, real* scratch,
    real* y, Py_ssize_t count, bint keep,
) noexcept nogil:
    """`count` samples, of which x is the first; y is the first one's result."""
    cdef Py_ssize_t s, rows, columns, last = plan.depth - 1, outputs
    cdef Stage stage = plan.stages[0]
    cdef const Stage* following
    cdef real* target
    cdef Py_ssize_t target_row, target_filter
    load_images(x_nchw, stage.C * stage.window.H * stage.window.W, stage.window.H * stage.window.W, count, stage.C,
                &stage.window, &stage.plane, images)
    for s in range(last + 1):
        stage = plan.stages[s]
        # If nothing is kept, samples that go alone have the same bits.
        stage.by_points = stage.by_points and keep
        # The next stage's images lie inside its padding; the last stage's in the front of the scratch.
        if s < last:
            following = &plan.stages[s + 1]
            target = images + following.x
            if (following.window.top or following.window.left or stage.QH < following.plane.rows
                    or stage.QW < following.plane.columns):
                zero_run(target, stage.F * following.plane.rows * following.plane.columns * LANES * sizeof(real))
            target_row = following.plane.columns * LANES
            target_filter = following.plane.rows * target_row
            target += following.window.top * target_row + following.window.left * LANES
            rows = min(stage.QH, following.plane.rows - following.window.top)
            columns = min(stage.QW, following.plane.columns - following.window.left)
        else:
            target = scratch
            target_row = stage.QW * LANES
            target_filter = stage.QH * target_row
            rows, columns = stage.QH, stage.QW
        forward_stage(images + stage.x, &stage, weights + stage.packed, biases + stage.bias,
                      scratch + plan.memory.work_at, rows, columns, target, target_filter, target_row,
                      places + stage.index)
    outputs = stage.F * stage.QH * stage.QW
    to_rows(target, count, outputs, y, outputs)


def forward(Plan plan, object x, list weights, list biases, real[:, :, :, ::1] y_nfij, bint keep, int threads):
    """y = the stages one after the other. Returns what `backward` needs, if it is to be kept: for each block of
    samples its images, and where the maxima stood."""
    cdef Py_ssize_t N = y_nfij.shape[0], blocks = (N + LANES - 1) // LANES, slot, block, n, row = 0, step = 0
    cdef Py_ssize_t size = plan.stages[0].C * plan.stages[0].window.H * plan.stages[0].window.W
    cdef Py_ssize_t outputs = y_nfij.shape[1] * y_nfij.shape[2] * y_nfij.shape[3]
    cdef const real* images = address(x, N * size)
    cdef int slots = min(threads, <int>blocks)
    cdef Block kept = rows_of(blocks if keep else slots, plan.memory.images + plan.memory.places, sizeof(real), &step)
    cdef Block packed = Block((plan.memory.packed + plan.memory.biases) * sizeof(real))
    cdef Block scratch = rows_of(slots, plan.memory.scratch, sizeof(real), &row)
    cdef real* to = <real*>kept.memory
    cdef real* from_weights = <real*>packed.memory
    cdef real* work = <real*>scratch.memory
    cdef real* y = &y_nfij[0, 0, 0, 0]
    pack_weights(plan, weights, from_weights, False, keep)
    gather_biases(plan, biases, from_weights + plan.memory.packed)
    for slot in prange(slots, nogil=True, num_threads=slots, schedule="static", use_threads_if=slots > 1):
        for block in range(slot_start(blocks, slot, slots), slot_start(blocks, slot + 1, slots)):
            n = block * LANES
            forward_block(images + n * size, plan, from_weights, from_weights + plan.memory.packed,
                          to + (block if keep else slot) * step,
                          to + (block if keep else slot) * step + plan.memory.images,
                          work + slot * row, y + n * outputs, min(<Py_ssize_t>LANES, N - n), keep)
    return kept if keep else None


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
                sample_row(x + (q * stage.PH + r) * step, packed + LANES, packed, y + r * window.OW * LANES,
                           stage.QW * stage.PW, count, &taps)
            sample_pool(y, window.OW * LANES, <int>stage.PH, <int>stage.PW, stage.relu, stage.QW, count,
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


def forward_samples(Plan plan, object x, list weights, list biases, real[:, :, :, ::1] y_nfij, int threads):
    """y = the stages one after the other, a sample an item. A slot's scratch has room for a padded input, rows of a
    convolution's output, 16 filters' pooled one, and two images: what a stage reads and what it writes for the next
    one, in turns; the first slot's for all weights and biases in another order too."""
    cdef Py_ssize_t N = y_nfij.shape[0], s, slot, n, size, at = 0, row = 0, depth = plan.depth
    cdef Py_ssize_t outputs = y_nfij.shape[1] * y_nfij.shape[2] * y_nfij.shape[3]
    cdef Py_ssize_t packed_at[MOST_STAGES]
    cdef Block block = rows_of(threads, plan.memory.sample_scratch, sizeof(real), &row)
    cdef real* scratch = <real*>block.memory
    cdef real* packed = scratch + plan.memory.by_filters_at
    cdef real* y = &y_nfij[0, 0, 0, 0]
    cdef const Stage* stage = &plan.stages[0]
    cdef Py_ssize_t pixels = stage.C * stage.window.H * stage.window.W
    cdef const real* images = address(x, N * pixels)
    cdef const real* seen = NULL
    cdef const real* bias
    cdef real* to
    for s in range(depth):
        stage = &plan.stages[s]
        packed_at[s] = at
        size = stage.C * stage.window.KH * stage.window.KW
        bias = NULL
        if biases[s] is not None:
            bias = address(biases[s], stage.F)
        pack_filters(address(weights[s], stage.F * size), bias, packed + at, stage)
        at += (stage.F + LANES - 1) // LANES * LANES * (size + 1)
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for n in range(slot_start(N, slot, threads), slot_start(N, slot + 1, threads)):
            seen = images + n * pixels
            for s in range(depth):
                to = scratch + slot * row + (plan.memory.odd_image_at if s % 2 else plan.memory.even_image_at)
                if s == depth - 1:
                    to = y + n * outputs
                forward_sample(seen, &plan.stages[s], packed + packed_at[s], scratch + slot * row,
                               scratch + slot * row + plan.memory.y_at,
                               scratch + slot * row + plan.memory.pooled_at, to)
                seen = to


cdef void backward_block(
    const real* grad_nfij, Plan plan, const real* weights, const real* images, const real* places, real* scratch,
    real* total, real* grad_image, Py_ssize_t count,
) noexcept nogil:
    """total = the gradients of weights and biases of `count` samples; no image's if grad_image is NULL."""
    cdef Py_ssize_t s, f, r, i, row, margin, end, last = plan.depth - 1, pixels
    cdef bint has_margins, is_last
    cdef const Stage* stage = &plan.stages[last]
    # The gradient of what a stage gives, in the front; that of its convolution's outputs behind it.
    cdef real* grad = scratch
    cdef real* dy = scratch + plan.memory.dy_at
    cdef real* work = scratch + plan.memory.gradient_work_at
    cdef real* to
    cdef const real* where
    pixels = stage.F * stage.QH * stage.QW
    to_lanes(grad_nfij, pixels, count, pixels, grad)
    for s in range(last, -1, -1):
        stage = &plan.stages[s]
        row, margin = stage.plane.grad_columns * LANES, stage.plane.margin * LANES
        # Only the direct input gradient looks beyond a row of outputs.
        has_margins = (s > 0 or grad_image != NULL) and not stage.input_by_points
        is_last = s == 0 and grad_image == NULL
        end = margin + stage.window.OW * LANES
        for f in range(stage.F):
            i = f * stage.QH * stage.QW * LANES
            where = places + stage.index + i
            total[plan.memory.weights + stage.bias + f] = direct_total(grad + i, where, stage.QH * stage.QW)
            if is_last and stage.weight_by_points:
                # Its rows are spread as they are transformed.
                continue
            for r in range(stage.window.OH):
                to = dy + (f * stage.window.OH + r) * row
                if has_margins:
                    zero_run(to, margin * sizeof(real))
                    zero_run(to + end, (row - end) * sizeof(real))
                spread_row(grad, places + stage.index, stage, f, r, to + margin)
        if is_last and stage.weight_by_points:
            weight_by_points(images + stage.x, grad, places + stage.index, dy, total + stage.weight, stage, work)
            return
        stage_weight_gradient(images + stage.x, dy, total + stage.weight, stage, work)
        if is_last:
            return
        stage_input_gradient(dy, weights + stage.packed_by_channel, grad, stage, work)
    pixels = stage.C * stage.window.H * stage.window.W
    to_rows(grad, count, pixels, grad_image, pixels)


def backward(
    Plan plan, object grad, list weights, Block kept, real[:, :, :, ::1] grad_image_nchw, real[::1] total, int threads,
):
    """total = the gradients of all weights, then those of all biases; sums over blocks in order. The images' are left
    out if there is no room for one."""
    cdef const Stage* last = &plan.stages[plan.depth - 1]
    cdef Py_ssize_t outputs = last.F * last.QH * last.QW, size = plan.memory.weights + plan.memory.biases
    cdef Py_ssize_t pixels = grad_image_nchw.shape[1] * grad_image_nchw.shape[2] * grad_image_nchw.shape[3]
    cdef Py_ssize_t step = row_step(plan.memory.images + plan.memory.places, sizeof(real))
    cdef Py_ssize_t slot, block, n, i, row = 0, sums_row = 0
    cdef Py_ssize_t N = grad.shape[0], blocks = (N + LANES - 1) // LANES
    cdef const real* images = <const real*>kept.memory
    cdef const real* grads = address(grad, N * outputs)
    cdef real* grad_images = &grad_image_nchw[0, 0, 0, 0] if grad_image_nchw.shape[0] else NULL
    if kept.size != blocks * step * <Py_ssize_t>sizeof(real):
        raise ValueError(f"{kept.size} bytes were kept, not of {N} samples")
    if total.shape[0] != size:
        raise ValueError(f"{total.shape[0]} numbers instead of {size}")
    cdef int slots = min(threads, <int>blocks)
    cdef Block packed = Block(plan.memory.packed_by_channel * sizeof(real))
    cdef Block scratch = rows_of(slots, plan.memory.gradient_scratch, sizeof(real), &row)
    cdef Block partial = rows_of(blocks, size, sizeof(real), &sums_row)
    cdef real* from_weights = <real*>packed.memory
    cdef real* work = <real*>scratch.memory
    cdef real* sums = <real*>partial.memory
    pack_weights(plan, weights, from_weights, True, True)
    for slot in prange(slots, nogil=True, num_threads=slots, schedule="static", use_threads_if=slots > 1):
        for block in range(slot_start(blocks, slot, slots), slot_start(blocks, slot + 1, slots)):
            n = block * LANES
            backward_block(grads + n * outputs, plan, from_weights, images + block * step,
                           images + block * step + plan.memory.images, work + slot * row, sums + block * sums_row,
                           grad_images + n * pixels if grad_images != NULL else NULL, min(<Py_ssize_t>LANES, N - n))
    with nogil:
        for i in range(size):
            total[i] = 0
        for block in range(blocks):
            for i in range(size):
                total[i] += sums[block * sums_row + i]
