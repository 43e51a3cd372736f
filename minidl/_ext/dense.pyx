"""Dense layers and their activations, several one behind the other, on blocks of 16 samples that stay in the cache.

Forward, a block goes through all layers before the next one starts; or two together, for which a weight is loaded
once. Backward, blocks first carry the gradient down through the layers; then the gradients of the weights are computed,
a few rows at a time, each over the whole batch, so that no sum is split. Both are one parallel region. Fewer than 8
samples go one by one, with vectors along the rows of the weights.

What backward needs of a layer is its value, twice: as [feature][16] for the activation's slope, as rows for the next
layer's weight gradient.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._lists cimport address
from minidl._ext._memory cimport Block, row_step, rows_of
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._transpose cimport to_lanes, to_rows

cdef extern from "dense_tiles.h" nogil:
    void product "dense_product" (
        const real* x, const real* w, const real* bias, real* y, Py_ssize_t outputs, Py_ssize_t inputs,
        Py_ssize_t w_output, Py_ssize_t w_input, int blocks, Py_ssize_t x_block, Py_ssize_t y_block)
    void dense_row(
        const real* x, const real* w, const real* bias, real* y, Py_ssize_t outputs, Py_ssize_t inputs)
    void dense_update(
        const real* x, const real* grad, real* dw, real* db, int outputs, Py_ssize_t samples, Py_ssize_t inputs,
        Py_ssize_t grad_block)
    void activate "dense_activate" (real* y, Py_ssize_t count, int activation)
    void dense_slope(const real* y, real* grad, Py_ssize_t count, int activation)

cdef enum:
    LANES = 16
    MOST_LAYERS = 16
    # Below so many samples a vector of lanes would be mostly empty.
    FEW = 8
    OUTPUTS_AT_ONCE = 6


cdef struct Layer:
    const void* weight
    # Null if there is none.
    const void* bias
    Py_ssize_t inputs, outputs
    int activation
    # The start of its value in a block's lanes and (times the number of samples) in the rows; its first weight, its
    # first bias and its first group of outputs among all layers'.
    Py_ssize_t lanes, rows, weights, biases, group


cdef class Plan:
    """Layers of some sizes one behind the other: all that calls have in common.

    Made from the inputs, outputs and activation of each. `outputs` and `rows` count a sample's features in all layers,
    and in all but the last.
    """

    cdef Layer layers[MOST_LAYERS]
    cdef Py_ssize_t depth, outputs, rows, weights, groups

    def __cinit__(self, list layers):
        cdef Py_ssize_t i
        cdef Layer* layer = NULL
        if not 0 < len(layers) <= MOST_LAYERS:
            raise ValueError(f"1 to {MOST_LAYERS} layers, not {len(layers)}")
        self.depth = len(layers)
        for i in range(self.depth):
            layer = &self.layers[i]
            layer.inputs, layer.outputs, layer.activation = layers[i]
            layer.lanes, layer.rows, layer.biases = self.outputs * LANES, self.outputs, self.outputs
            layer.weights, layer.group = self.weights, self.groups
            self.outputs += layer.outputs
            self.weights += layer.outputs * layer.inputs
            self.groups += (layer.outputs + OUTPUTS_AT_ONCE - 1) // OUTPUTS_AT_ONCE
        self.rows = self.outputs - layer.outputs


cdef int read(Plan plan, list weights, list biases, Layer* layers) except -1:
    """Copy the plan's layers and find their arrays: calls at the same time have arrays of their own."""
    cdef Py_ssize_t i
    for i in range(plan.depth):
        layers[i] = plan.layers[i]
        layers[i].weight = address(weights[i], layers[i].outputs * layers[i].inputs)
        layers[i].bias = NULL
        if biases[i] is not None:
            layers[i].bias = address(biases[i], layers[i].outputs)
    return 0


cdef void forward_blocks(
    const real* x, const Layer* layers, Py_ssize_t depth, Py_ssize_t N, Py_ssize_t n, int blocks, real* lanes,
    Py_ssize_t step, real* rows, real* scratch, real* output, bint keep,
) noexcept nogil:
    """16 samples from n on, or 32; lanes is the first block's part, or (not keep) the slot's, the other's a step on."""
    cdef Py_ssize_t i, b, count, first, seen_step = layers[0].inputs * LANES
    cdef const Layer* layer
    cdef const real* seen = scratch
    for b in range(blocks):
        first = n + b * LANES
        to_lanes(x + first * layers[0].inputs, layers[0].inputs, min(<Py_ssize_t>LANES, N - first), layers[0].inputs,
                 scratch + b * seen_step)
    for i in range(depth):
        layer = &layers[i]
        product(seen, <const real*>layer.weight, <const real*>layer.bias, lanes + layer.lanes, layer.outputs,
                layer.inputs, layer.inputs, 1, blocks, seen_step, step)
        seen, seen_step = lanes + layer.lanes, step
        for b in range(blocks):
            first = n + b * LANES
            count = min(<Py_ssize_t>LANES, N - first)
            activate(lanes + layer.lanes + b * step, layer.outputs * LANES, layer.activation)
            if i == depth - 1:
                to_rows(seen + b * step, count, layer.outputs, output + first * layer.outputs, layer.outputs)
            elif keep:
                to_rows(seen + b * step, count, layer.outputs, rows + N * layer.rows + first * layer.outputs,
                        layer.outputs)


cdef void forward_sample(
    const real* x, const Layer* layers, Py_ssize_t depth, Py_ssize_t N, Py_ssize_t n, real* rows, real* output,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef const Layer* layer
    cdef const real* seen = x + n * layers[0].inputs
    cdef real* to
    for i in range(depth):
        layer = &layers[i]
        to = (output if i == depth - 1 else rows + N * layer.rows) + n * layer.outputs
        dense_row(seen, <const real*>layer.weight, <const real*>layer.bias, to, layer.outputs, layer.inputs)
        activate(to, layer.outputs, layer.activation)
        seen = to


def forward(Plan plan, object x, list weights, list biases, real[:, ::1] y_nj, bint keep, int threads):
    """y = the layers one after the other. Returns what `backward` needs, if it is to be kept: all values, as lanes and
    as rows."""
    cdef Layer layers[MOST_LAYERS]
    cdef Py_ssize_t N = y_nj.shape[0], depth = plan.depth, blocks = (N + LANES - 1) // LANES, slot, block, i, n
    cdef Py_ssize_t step = row_step(plan.outputs * LANES, sizeof(real)), row = 0
    cdef real* y = &y_nj[0, 0]
    cdef const real* seen = address(x, N * plan.layers[0].inputs)
    cdef Block rows_block = Block(N * plan.rows * sizeof(real))
    cdef Block lanes_block = None
    cdef Block scratch_block = None
    cdef real* rows = <real*>rows_block.memory
    cdef real* lanes = NULL
    cdef real* scratch = NULL
    cdef int slots = min(threads, <int>blocks)
    read(plan, weights, biases, layers)
    if keep or N >= FEW:
        # For a slot two blocks, if none is kept.
        lanes_block = rows_of(blocks if keep else 2 * slots, plan.outputs * LANES, sizeof(real), &step)
        lanes = <real*>lanes_block.memory
    if N < FEW:
        with nogil:
            for n in range(N):
                forward_sample(seen, layers, depth, N, n, rows, y)
            if keep:
                for i in range(depth):
                    to_lanes(y if i == depth - 1 else rows + N * layers[i].rows, layers[i].outputs, N,
                             layers[i].outputs, lanes + layers[i].lanes)
        return (lanes_block, rows_block) if keep else None
    scratch_block = rows_of(slots, 2 * layers[0].inputs * LANES, sizeof(real), &row)
    scratch = <real*>scratch_block.memory
    for slot in prange(slots, nogil=True, num_threads=slots, schedule="static", use_threads_if=slots > 1):
        for block in range(slot_start(blocks, slot, slots), slot_start(blocks, slot + 1, slots), 2):
            forward_blocks(seen, layers, depth, N, block * LANES,
                           <int>min(slot_start(blocks, slot + 1, slots) - block, 2),
                           lanes + (block if keep else 2 * slot) * step, step, rows, scratch + slot * row, y, keep)
    return (lanes_block, rows_block) if keep else None


cdef void backward_blocks(
    const real* grad, const Layer* layers, Py_ssize_t depth, Py_ssize_t N, Py_ssize_t n, int blocks,
    const real* lanes, real* grads, Py_ssize_t step, real* scratch, real* grad_input,
) noexcept nogil:
    """16 samples from n on, or 32, whose second block lies a step further; no input's gradient if it is NULL."""
    cdef Py_ssize_t i, b, first
    cdef const Layer* layer = &layers[depth - 1]
    cdef real* here
    for b in range(blocks):
        first = n + b * LANES
        to_lanes(grad + first * layer.outputs, layer.outputs, min(<Py_ssize_t>LANES, N - first), layer.outputs,
                 grads + layer.lanes + b * step)
    for i in range(depth - 1, -1, -1):
        layer = &layers[i]
        here = grads + layer.lanes
        for b in range(blocks):
            dense_slope(lanes + layer.lanes + b * step, here + b * step, layer.outputs * LANES, layer.activation)
        if i > 0:
            product(here, <const real*>layer.weight, <const real*>NULL, grads + layers[i - 1].lanes, layer.inputs,
                    layer.outputs, 1, layer.inputs, blocks, step, step)
        elif grad_input != NULL:
            product(here, <const real*>layer.weight, <const real*>NULL, scratch, layer.inputs, layer.outputs, 1,
                    layer.inputs, blocks, step, layer.inputs * LANES)
            for b in range(blocks):
                first = n + b * LANES
                to_rows(scratch + b * layer.inputs * LANES, min(<Py_ssize_t>LANES, N - first), layer.inputs,
                        grad_input + first * layer.inputs, layer.inputs)


cdef void update_group(
    const real* x, const Layer* layers, Py_ssize_t depth, Py_ssize_t N, const real* rows, const real* grads,
    Py_ssize_t grad_block, real* total, Py_ssize_t biases_at, Py_ssize_t group,
) noexcept nogil:
    """The gradients of a few rows of a weight, and of their biases."""
    cdef Py_ssize_t i = depth - 1, j
    cdef const real* seen
    while layers[i].group > group:
        i -= 1
    j = (group - layers[i].group) * OUTPUTS_AT_ONCE
    seen = x if i == 0 else rows + N * layers[i - 1].rows
    dense_update(seen, grads + layers[i].lanes + j * LANES, total + layers[i].weights + j * layers[i].inputs,
                 total + biases_at + layers[i].biases + j, <int>min(layers[i].outputs - j, OUTPUTS_AT_ONCE), N,
                 layers[i].inputs, grad_block)


def backward(
    Plan plan, object grad, object x, list weights, list biases, tuple kept, real[:, ::1] grad_x_ni, real[::1] total,
    int threads,
):
    """total = the gradients of all weights, then those of all biases. The input's is left out if there is no room for
    it."""
    cdef Layer layers[MOST_LAYERS]
    cdef Block lanes_block = kept[0]
    cdef Block rows_block = kept[1]
    cdef Py_ssize_t N = x.shape[0], depth = plan.depth, blocks = (N + LANES - 1) // LANES, slot, block, group
    cdef Py_ssize_t step = row_step(plan.outputs * LANES, sizeof(real)), row = 0
    cdef const real* rows = <const real*>rows_block.memory
    cdef const real* lanes = <const real*>lanes_block.memory
    cdef const real* grads = address(grad, N * plan.layers[depth - 1].outputs)
    cdef const real* seen = address(x, N * plan.layers[0].inputs)
    cdef int slots = min(threads, <int>blocks)
    if lanes_block.size != blocks * step * <Py_ssize_t>sizeof(real):
        raise ValueError(f"{lanes_block.size} bytes were kept, not of {N} samples")
    if total.shape[0] != plan.weights + plan.outputs:
        raise ValueError(f"{total.shape[0]} numbers instead of {plan.weights + plan.outputs}")
    cdef Block back_block = rows_of(blocks, plan.outputs * LANES, sizeof(real), &step)
    cdef Block scratch_block = rows_of(slots, 2 * plan.layers[0].inputs * LANES, sizeof(real), &row)
    cdef real* back = <real*>back_block.memory
    cdef real* scratch = <real*>scratch_block.memory
    cdef real* of_x = &grad_x_ni[0, 0] if grad_x_ni.shape[0] else NULL
    cdef real* sums = &total[0]
    read(plan, weights, biases, layers)
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(slots, schedule="static"):
            for block in range(slot_start(blocks, slot, slots), slot_start(blocks, slot + 1, slots), 2):
                backward_blocks(grads, layers, depth, N, block * LANES,
                                <int>min(slot_start(blocks, slot + 1, slots) - block, 2), lanes + block * step,
                                back + block * step, step, scratch + slot * row, of_x)
        team_barrier()
        # Layers differ in size: in turn, so that each thread gets some of every layer.
        for group in prange(plan.groups, schedule="static", chunksize=1):
            update_group(seen, layers, depth, N, rows, back, step, sums, plan.weights, group)
