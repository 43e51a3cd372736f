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
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._transpose cimport to_lanes, to_rows
from minidl._ext._types cimport real

cdef extern from "dense.h" nogil:
    void product_float "minidl_dense_product_float" (
        const float* x, const float* w, const float* bias, float* y, Py_ssize_t outputs, Py_ssize_t inputs,
        Py_ssize_t w_output, Py_ssize_t w_input, int blocks, Py_ssize_t x_block, Py_ssize_t y_block)
    void product_double "minidl_dense_product_double" (
        const double* x, const double* w, const double* bias, double* y, Py_ssize_t outputs, Py_ssize_t inputs,
        Py_ssize_t w_output, Py_ssize_t w_input, int blocks, Py_ssize_t x_block, Py_ssize_t y_block)
    void row_float "minidl_dense_row_float" (
        const float* x, const float* w, const float* bias, float* y, Py_ssize_t outputs, Py_ssize_t inputs)
    void row_double "minidl_dense_row_double" (
        const double* x, const double* w, const double* bias, double* y, Py_ssize_t outputs, Py_ssize_t inputs)
    void update_float "minidl_dense_update_float" (
        const float* x, const float* grad, float* dw, float* db, int outputs, Py_ssize_t samples, Py_ssize_t inputs,
        Py_ssize_t grad_block)
    void update_double "minidl_dense_update_double" (
        const double* x, const double* grad, double* dw, double* db, int outputs, Py_ssize_t samples,
        Py_ssize_t inputs, Py_ssize_t grad_block)
    void activate_float "minidl_dense_activate_float" (float* y, Py_ssize_t count, int activation)
    void activate_double "minidl_dense_activate_double" (double* y, Py_ssize_t count, int activation)
    void slope_float "minidl_dense_slope_float" (const float* y, float* grad, Py_ssize_t count, int activation)
    void slope_double "minidl_dense_slope_double" (const double* y, double* grad, Py_ssize_t count, int activation)

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
    # Where its value begins in a block's lanes and (times the number of samples) in the rows; its first weight, its
    # first bias and its first group of outputs among all layers'.
    Py_ssize_t lanes, rows, weights, biases, group


cdef Py_ssize_t read(
    list weights, list biases, const Py_ssize_t[:, ::1] packed, Layer* layers, const real* of_type,
) except -1:
    """Fill `layers` from `packed` (inputs, outputs, activation of each) and the arrays; returns how many groups of
    outputs there are."""
    cdef Py_ssize_t i, outputs = 0, count = 0, group = 0
    cdef Layer* layer
    if len(weights) > MOST_LAYERS:
        raise ValueError(f"at most {MOST_LAYERS} layers")
    for i in range(len(weights)):
        layer = &layers[i]
        layer.inputs, layer.outputs, layer.activation = packed[i, 0], packed[i, 1], <int>packed[i, 2]
        layer.weight = address(weights[i], layer.outputs * layer.inputs, of_type)
        layer.bias = NULL
        if biases[i] is not None:
            layer.bias = address(biases[i], layer.outputs, of_type)
        layer.lanes, layer.rows, layer.biases = outputs * LANES, outputs, outputs
        layer.weights, layer.group = count, group
        outputs += layer.outputs
        count += layer.outputs * layer.inputs
        group += (layer.outputs + OUTPUTS_AT_ONCE - 1) // OUTPUTS_AT_ONCE
    return group


cdef inline void product(
    const real* x, const real* w, const real* bias, real* y, Py_ssize_t outputs, Py_ssize_t inputs,
    Py_ssize_t w_output, Py_ssize_t w_input, int blocks, Py_ssize_t x_block, Py_ssize_t y_block,
) noexcept nogil:
    if real is float:
        product_float(x, w, bias, y, outputs, inputs, w_output, w_input, blocks, x_block, y_block)
    else:
        product_double(x, w, bias, y, outputs, inputs, w_output, w_input, blocks, x_block, y_block)


cdef inline void activate(real* y, Py_ssize_t count, int activation) noexcept nogil:
    if real is float:
        activate_float(y, count, activation)
    else:
        activate_double(y, count, activation)


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
        if real is float:
            row_float(seen, <const float*>layer.weight, <const float*>layer.bias, to, layer.outputs, layer.inputs)
        else:
            row_double(seen, <const double*>layer.weight, <const double*>layer.bias, to, layer.outputs, layer.inputs)
        activate(to, layer.outputs, layer.activation)
        seen = to


def forward(
    const real[:, ::1] x_ni, list weights, list biases, const Py_ssize_t[:, ::1] packed, real[:, ::1] lanes,
    real[::1] rows, real[:, ::1] scratch, real[:, ::1] output_nj, bint keep, int threads,
):
    """output = the layers one after the other; lanes has a row for each block, or (not keep) two for each slot."""
    cdef Layer layers[MOST_LAYERS]
    cdef Py_ssize_t N = x_ni.shape[0], depth = len(weights), blocks = (N + LANES - 1) // LANES, slot, block, i, n
    cdef Py_ssize_t step
    read(weights, biases, packed, layers, &rows[0])
    if N < FEW:
        with nogil:
            for n in range(N):
                forward_sample(&x_ni[0, 0], layers, depth, N, n, &rows[0], &output_nj[0, 0])
            if keep:
                for i in range(depth):
                    to_lanes(&output_nj[0, 0] if i == depth - 1 else &rows[0] + N * layers[i].rows, layers[i].outputs,
                             N, layers[i].outputs, &lanes[0, layers[i].lanes])
        return
    step = lanes.shape[1]
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for block in range(slot_start(blocks, slot, threads), slot_start(blocks, slot + 1, threads), 2):
            forward_blocks(&x_ni[0, 0], layers, depth, N, block * LANES,
                           <int>min(slot_start(blocks, slot + 1, threads) - block, 2),
                           &lanes[block if keep else 2 * slot, 0], step, &rows[0], &scratch[slot, 0],
                           &output_nj[0, 0], keep)


cdef void backward_blocks(
    const real* grad, const Layer* layers, Py_ssize_t depth, Py_ssize_t N, Py_ssize_t n, int blocks,
    const real* lanes, real* grads, Py_ssize_t lanes_step, Py_ssize_t step, real* scratch, real* grad_input,
    bint wants_input,
) noexcept nogil:
    """16 samples from n on, or 32, whose second block lies a step further."""
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
            if real is float:
                slope_float(lanes + layer.lanes + b * lanes_step, here + b * step, layer.outputs * LANES,
                            layer.activation)
            else:
                slope_double(lanes + layer.lanes + b * lanes_step, here + b * step, layer.outputs * LANES,
                             layer.activation)
        if i > 0:
            product(here, <const real*>layer.weight, <const real*>NULL, grads + layers[i - 1].lanes, layer.inputs,
                    layer.outputs, 1, layer.inputs, blocks, step, step)
        elif wants_input:
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
    if real is float:
        update_float(seen, grads + layers[i].lanes + j * LANES, total + layers[i].weights + j * layers[i].inputs,
                     total + biases_at + layers[i].biases + j, <int>min(layers[i].outputs - j, OUTPUTS_AT_ONCE), N,
                     layers[i].inputs, grad_block)
    else:
        update_double(seen, grads + layers[i].lanes + j * LANES, total + layers[i].weights + j * layers[i].inputs,
                      total + biases_at + layers[i].biases + j, <int>min(layers[i].outputs - j, OUTPUTS_AT_ONCE), N,
                      layers[i].inputs, grad_block)


def backward(
    const real[:, ::1] grad_nj, const real[:, ::1] x_ni, list weights, list biases, const Py_ssize_t[:, ::1] packed,
    const real[:, ::1] lanes, const real[::1] rows, real[:, ::1] grads, real[:, ::1] scratch,
    real[:, ::1] grad_input_ni, bint wants_input, real[::1] total, Py_ssize_t biases_at, int threads,
):
    """total = the gradients of all weights, then (from biases_at on) those of all biases."""
    cdef Layer layers[MOST_LAYERS]
    cdef Py_ssize_t N = x_ni.shape[0], depth = len(weights), blocks = (N + LANES - 1) // LANES, slot, block, group
    cdef Py_ssize_t groups = read(weights, biases, packed, layers, &rows[0]), grad_block = grads.shape[1]
    cdef real* input = &grad_input_ni[0, 0] if wants_input else NULL
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for block in range(slot_start(blocks, slot, threads), slot_start(blocks, slot + 1, threads), 2):
                backward_blocks(&grad_nj[0, 0], layers, depth, N, block * LANES,
                                <int>min(slot_start(blocks, slot + 1, threads) - block, 2), &lanes[block, 0],
                                &grads[block, 0], lanes.shape[1], grads.shape[1], &scratch[slot, 0], input,
                                wants_input)
        team_barrier()
        # Layers differ in size: in turn, so that each thread gets some of every layer.
        for group in prange(groups, schedule="static", chunksize=1):
            update_group(&x_ni[0, 0], layers, depth, N, &rows[0], &grads[0, 0], grad_block, &total[0], biases_at, group)
