"""implicit_gemm's cut for 1 x 1 kernels with stride 1: columns are pieces of the images, gathered a panel at a time.

A panel of columns, [k][lanes] for a block of the inner dimension, stays in the L1 cache while all rows of the product
go by (pointwise_tiles.h); with few channels some panels, so that rows are written in longer pieces. The caller
(`minidl.kernels.conv.pointwise`) has checked every shape; nothing is empty, and an image has at least as many positions
as a vector has lanes.

Letters: N images, K channels in and F out, P positions of an image, Q = N*P positions of the batch.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._gemm cimport ROWS, VECTOR_BYTES, lanes_of, pack_rows
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier

cdef enum:
    # Panels of columns whose results stay in the L2 cache while the blocks of the inner dimension go by.
    PANELS_AT_ONCE = 12
    # The time to gather a panel of columns, in panels of rows that it is multiplied by.
    GATHERING = 2

cdef extern from "pointwise_tiles.h" nogil:
    ctypedef struct Place "minidl_pointwise_place":
        pass

    void pointwise_gather(
        const real* x, Py_ssize_t P, Py_ssize_t channels, Py_ssize_t first, Py_ssize_t count, Py_ssize_t k_start,
        Py_ssize_t k_stop, real* to)
    int pointwise_place(
        Py_ssize_t P, Py_ssize_t rows_of_image, Py_ssize_t first, Py_ssize_t count, Place* place)
    void pointwise_tile(
        const real* a, const real* b, Py_ssize_t count, const real* bias, int add, int rows, real* c,
        Py_ssize_t c_row, int vectors, const Place* place)


cdef struct Product:
    Py_ssize_t N, K, F, P, Q, panels
    # The weight's steps from row to row and from k to k; one of them is 1.
    Py_ssize_t row_step, k_step
    # A block of the inner dimension, and panels of columns (at most 12) for which that is gathered together.
    Py_ssize_t k_block, together


cdef void correlate_part(
    const real* x, const real* packed, const real[::1] bias, const Product* product, Py_ssize_t panel_start,
    Py_ssize_t panel_stop, Py_ssize_t q_start, Py_ssize_t q_stop, real* columns, real* output,
) noexcept nogil:
    """Some rows of the product at the positions from q_start to q_stop."""
    cdef Py_ssize_t lanes = lanes_of(), panels = (q_stop - q_start + lanes - 1) // lanes
    cdef Py_ssize_t groups = (panels + PANELS_AT_ONCE - 1) // PANELS_AT_ONCE, group, first, last, k_start, k_stop
    for group in range(groups):
        k_start = 0
        while k_start < product.K:
            k_stop = min(k_start + product.k_block, product.K)
            first = slot_start(panels, group, groups)
            while first < slot_start(panels, group + 1, groups):
                last = min(first + product.together, slot_start(panels, group + 1, groups))
                multiply(x, packed, bias, product, q_start + first * lanes, min(q_start + last * lanes, q_stop),
                         panel_start, panel_stop, k_start, k_stop, columns, output)
                first = last
            k_start = k_stop


cdef void multiply(
    const real* x, const real* packed, const real[::1] bias, const Product* product, Py_ssize_t q_start,
    Py_ssize_t q_stop, Py_ssize_t panel_start, Py_ssize_t panel_stop, Py_ssize_t k_start, Py_ssize_t k_stop,
    real* columns, real* output,
) noexcept nogil:
    """Add a block of the inner dimension at the positions that are gathered together, to some rows."""
    cdef Py_ssize_t lanes = lanes_of(), steps = k_stop - k_start, panel, count, i, found = 0, q = q_start
    cdef Place place[PANELS_AT_ONCE]
    cdef int vectors[PANELS_AT_ONCE]
    cdef real start[ROWS]
    cdef const real* a
    cdef real* to
    cdef int rows
    while q < q_stop:
        count = min(lanes, q_stop - q)
        pointwise_gather(x, product.P, product.K, q, count, k_start, k_stop, columns + found * steps * lanes)
        vectors[found] = pointwise_place(product.P, product.F, q, count, place + found)
        found += 1
        q += count
    for i in range(ROWS):
        start[i] = 0
    for panel in range(panel_start, panel_stop):
        rows = <int>min(<Py_ssize_t>ROWS, product.F - panel * ROWS)
        if k_start == 0 and bias.shape[0] > 0:
            for i in range(rows):
                start[i] = bias[panel * ROWS + i]
        a, to = packed + (panel * product.K + k_start) * ROWS, output + panel * ROWS * product.P
        for i in range(found):
            pointwise_tile(a, columns + i * steps * lanes, steps, start, k_start > 0, rows, to, product.P, vectors[i],
                           place + i)


cdef Py_ssize_t parts_of_rows(Py_ssize_t panels, Py_ssize_t vectors, Py_ssize_t threads) noexcept nogil:
    """Count the parts that the rows are cut into, of as many of rows and positions together as there are threads.

    Who computes a number makes no difference to its bits, so threads may share this as it takes least time.
    """
    cdef Py_ssize_t parts, others, cost, least = 0, best = 1
    for parts in range(1, threads + 1):
        if threads % parts == 0:
            others = threads // parts
            cost = ((panels + parts - 1) // parts + GATHERING) * ((vectors + others - 1) // others)
            if parts == 1 or cost < least:
                least, best = cost, parts
    return best


cdef class Plan:
    """The product of one 1 x 1 convolution, forward or of the outputs' gradients."""

    cdef Product product

    def __init__(self, dict product):
        self.product = product

    def correlate(
        self, const real[::1] image, const real[::1] weight, const real[::1] bias, real[::1] output, real[::1] packed,
        real[:, ::1] columns, int threads,
    ):
        """output[n, f, p] = bias[f] + the sum over k of weight[f, k] image[n, k, p].

        `columns` has room for the panels that are gathered together, for each thread.
        """
        cdef Product product = self.product
        cdef Py_ssize_t width = VECTOR_BYTES // <Py_ssize_t>sizeof(real)
        cdef Py_ssize_t vectors = (product.Q + width - 1) // width, slot, only_tap = 0
        cdef Py_ssize_t row_parts = parts_of_rows(product.panels, vectors, threads), parts = threads // row_parts
        with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
            for slot in prange(threads, schedule="static"):
                pack_rows(&weight[0], product.F, product.K, product.row_step, product.k_step, &only_tap, 1,
                          slot_start(product.panels, slot, threads), slot_start(product.panels, slot + 1, threads),
                          &packed[0])
            team_barrier()
            for slot in prange(threads, schedule="static"):
                correlate_part(&image[0], &packed[0], bias, &product,
                               slot_start(product.panels, slot // parts, row_parts),
                               slot_start(product.panels, slot // parts + 1, row_parts),
                               slot_start(vectors, slot % parts, parts) * width,
                               min(slot_start(vectors, slot % parts + 1, parts) * width, product.Q),
                               &columns[slot, 0], &output[0])
