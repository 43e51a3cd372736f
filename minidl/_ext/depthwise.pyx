"""Depthwise convolution: every channel has filters of its own, so there is nothing to multiply but planes by numbers.

A band of a plane's rows is copied to the workspace, with its padding, and computed from there (depthwise_lanes.h); it
stays in the L1 cache. The input gradient is the same sum with the kernel turned around, over the output's gradient with
zeros between its rows and columns where the window strides; for 3 x 3 and 5 x 5 with stride 2 it leaves the zeros out.

Loop order: a few source planes, a band of rows, the filters that read them. The weight gradient: a chunk of the batch
and a block of channels, its samples, bands, planes, filters. Several small planes are copied before the first of them
is computed: vectors that were just written in pieces can only be loaded once these have reached the cache.

Letters: q counts planes, p the numbers of one, f filters, t taps.
"""

from cython.parallel cimport prange
from libc.string cimport memset

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start
from minidl._ext._window cimport copy_run


cdef extern from "depthwise.h" nogil:
    const Py_ssize_t WIDE_BYTES "MINIDL_WIDE_BYTES"
    const Py_ssize_t NARROW_BYTES "MINIDL_NARROW_BYTES"

    # The geometry without its pointer, so that it can be made from a dict.
    ctypedef struct Layout "minidl_depthwise":
        Py_ssize_t height, width, top, left, gap_height, gap_width
        Py_ssize_t columns, split, part, pitch, plane_step, planes
        Py_ssize_t kernel_height, kernel_width, stride, dilation, square
        Py_ssize_t out_height, out_width, bands, narrow, ahead, begin

    ctypedef struct Geometry "minidl_depthwise":
        Py_ssize_t height, width, top, left, gap_height, gap_width
        Py_ssize_t columns, split, part, pitch, plane_step, planes
        Py_ssize_t kernel_height, kernel_width, stride, dilation, square
        Py_ssize_t out_height, out_width, bands, narrow, ahead, begin
        const Py_ssize_t* column

    void pack "depthwise_pack" (const real* plane, Py_ssize_t first, Py_ssize_t rows, real* to, const Geometry* g)
    void depthwise_correlate(
        const real* x, const real* w, real bias, real* y, Py_ssize_t rows, const Geometry* g)
    void depthwise_spread(
        const real* grad, const real* w, real* dx, Py_ssize_t rows, Py_ssize_t height, Py_ssize_t width, int odd,
        const Geometry* g)
    void depthwise_collect(
        const real* x, const real* grad, Py_ssize_t grad_pitch, real* sums, Py_ssize_t rows, const Geometry* g)
    real depthwise_fold(real* sums, Py_ssize_t lanes)


def vector_bytes():
    """The bytes of a vector, and of the half as wide one for narrow images."""
    return WIDE_BYTES, NARROW_BYTES


cdef inline Py_ssize_t rows_seen(Py_ssize_t rows, const Geometry* g) noexcept nogil:
    """Count the padded rows that are under that many rows of outputs."""
    return (rows - 1) * g.stride + (g.kernel_height - 1) * g.dilation + 1


cdef struct Place:
    # A band of rows of the results of a group of source planes.
    Py_ssize_t group, first, rows


cdef inline Place place_of(Py_ssize_t item, const Geometry* g) noexcept nogil:
    cdef Place place
    if g.bands == 1:
        # Most planes are small, and divisions would cost more than they do.
        place.group, place.first, place.rows = item, 0, g.out_height
        return place
    cdef Py_ssize_t band = item % g.bands
    place.group = item // g.bands
    place.first = slot_start(g.out_height, band, g.bands)
    place.rows = slot_start(g.out_height, band + 1, g.bands) - place.first
    return place


cdef inline void pack_item(
    const real[:, ::1] source_qp, real* x, Py_ssize_t item, const Geometry* g,
) noexcept nogil:
    cdef Place place = place_of(item, g)
    cdef Py_ssize_t p
    for p in range(g.planes):
        pack(&source_qp[place.group * g.planes + p, 0], place.first * g.stride, rows_seen(place.rows, g),
             x + p * g.plane_step, g)


cdef inline void correlate_item(
    const real[:, ::1] weight_ft, const real[::1] bias_f, real[:, ::1] output_qp, Py_ssize_t results, const real* x,
    Py_ssize_t item, const Geometry* g,
) noexcept nogil:
    """One result of g.planes source planes, which is a sum of them all, or several results of a single one."""
    cdef Place place = place_of(item, g)
    cdef Py_ssize_t f = place.group * results * g.planes % weight_ft.shape[0], m
    cdef real bias
    cdef real* y
    for m in range(results):
        bias = bias_f[f + m] if bias_f.shape[0] > 0 else 0
        y = &output_qp[place.group * results + m, place.first * g.out_width]
        depthwise_correlate(x, &weight_ft[f + m, 0], bias, y, place.rows, g)


cdef inline void spread_item(
    const real[:, ::1] weight_ft, real[:, :, ::1] output_qhw, bint odd, const real* x, Py_ssize_t item,
    const Geometry* g,
) noexcept nogil:
    """A band of one plane of the input gradient, in blocks of 2 x 2."""
    cdef Place place = place_of(item, g)
    cdef Py_ssize_t height = output_qhw.shape[1] - 2 * place.first, width = output_qhw.shape[2]
    cdef Py_ssize_t f = place.group % weight_ft.shape[0]
    cdef real* dx = &output_qhw[place.group, 2 * place.first, 0]
    depthwise_spread(x, &weight_ft[f, 0], dx, place.rows, height, width, odd, g)


cdef struct Sums:
    # The cut of the weight gradient, and where its parts of the workspace begin; x comes first.
    Py_ssize_t block, grad_at, sums_at, lanes


cdef inline void pack_gradient(
    const real* grad, Py_ssize_t rows, real* to, const Sums* cut, const Geometry* g,
) noexcept nogil:
    """Rows of less than a vector, each in one of its own."""
    cdef Py_ssize_t r
    for r in range(rows):
        copy_run(to + r * cut.lanes, grad + r * g.out_width, <size_t>g.out_width * sizeof(real))


cdef void weight_gradient_item(
    const real[:, ::1] source_qp, const real[:, ::1] grad_qp, real[:, :, ::1] partial_sft, Py_ssize_t channels,
    real* workspace, Py_ssize_t item, const Sums* cut, const Geometry* g,
) noexcept nogil:
    """One block of channels, summed over one chunk of the batch in its order."""
    cdef Py_ssize_t chunks = partial_sft.shape[0], F = partial_sft.shape[1], T = partial_sft.shape[2]
    cdef Py_ssize_t filters = F // channels, N = source_qp.shape[0] // channels
    cdef Py_ssize_t blocks = (channels + cut.block - 1) // cut.block, chunk = item // blocks
    cdef Py_ssize_t c = item % blocks * cut.block
    cdef Py_ssize_t size = min(cut.block, channels - c), n, band, i, t
    cdef bint copies = g.out_width < cut.lanes
    cdef Py_ssize_t grad_pitch = cut.lanes if copies else g.out_width
    cdef Py_ssize_t grad_step = g.out_height * cut.lanes
    cdef real* x = workspace + g.begin
    cdef real* copied = workspace + cut.grad_at
    cdef real* sums = workspace + cut.sums_at
    cdef const real* grad
    cdef Place place
    memset(sums, 0, <size_t>(size * filters * T * cut.lanes) * sizeof(real))
    for n in range(slot_start(N, chunk, chunks), slot_start(N, chunk + 1, chunks)):
        for band in range(g.bands):
            place = place_of(band, g)
            for i in range(size):
                pack(&source_qp[n * channels + c + i, 0], place.first * g.stride, rows_seen(place.rows, g),
                     x + i * g.plane_step, g)
            if copies:
                for i in range(size * filters):
                    pack_gradient(&grad_qp[n * F + c * filters + i, place.first * g.out_width], place.rows,
                                  copied + i * grad_step, cut, g)
            for i in range(size * filters):
                grad = &grad_qp[n * F + c * filters + i, place.first * g.out_width]
                if copies:
                    grad = copied + i * grad_step
                depthwise_collect(x + i // filters * g.plane_step, grad, grad_pitch, sums + i * T * cut.lanes,
                                  place.rows, g)
    for i in range(size * filters):
        for t in range(T):
            partial_sft[chunk, c * filters + i, t] = depthwise_fold(sums + (i * T + t) * cut.lanes, cut.lanes)


cdef class Plan:
    """The layout of planes, the columns of the taps, and the numbers that a slot works in."""

    cdef Geometry geometry
    cdef const Py_ssize_t[::1] column
    cdef Py_ssize_t elements

    def __init__(self, dict layout, const Py_ssize_t[::1] column, Py_ssize_t elements):
        cdef Layout fields = layout
        self.geometry = (<Geometry*>&fields)[0]
        self.column, self.elements = column, elements
        self.geometry.column = &self.column[0]

    def correlate(
        self, const real[:, ::1] source_qp, const real[:, ::1] weight_ft, const real[::1] bias_f,
        real[:, ::1] output_qp, real[:, ::1] workspace, int threads,
    ):
        """output = bias + the sum over taps of weight times what they see of the source, and over the planes."""
        cdef Geometry g = self.geometry
        cdef Py_ssize_t groups = source_qp.shape[0] // g.planes
        cdef Py_ssize_t items = groups * g.bands, results = output_qp.shape[0] // groups, slot, item, i, stop
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            memset(&workspace[slot, 0], 0, <size_t>self.elements * sizeof(real))
            item = slot_start(items, slot, threads)
            while item < slot_start(items, slot + 1, threads):
                stop = min(item + g.ahead, slot_start(items, slot + 1, threads))
                for i in range(item, stop):
                    pack_item(source_qp, &workspace[slot, g.begin + (i - item) * g.planes * g.plane_step], i, &g)
                for i in range(item, stop):
                    correlate_item(weight_ft, bias_f, output_qp, results,
                                   &workspace[slot, g.begin + (i - item) * g.planes * g.plane_step], i, &g)
                item = stop

    def spread(
        self, const real[:, ::1] grad_qp, const real[:, ::1] weight_ft, real[:, :, ::1] output_qhw, bint odd,
        real[:, ::1] workspace, int threads,
    ):
        """The input gradient for stride 2 and kernels of 3 x 3 or 5 x 5; `odd` is the parity of both paddings."""
        cdef Geometry g = self.geometry
        cdef Py_ssize_t items = output_qhw.shape[0] * g.bands, slot, item, i, stop
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            memset(&workspace[slot, 0], 0, <size_t>self.elements * sizeof(real))
            item = slot_start(items, slot, threads)
            while item < slot_start(items, slot + 1, threads):
                stop = min(item + g.ahead, slot_start(items, slot + 1, threads))
                for i in range(item, stop):
                    pack_item(grad_qp, &workspace[slot, g.begin + (i - item) * g.plane_step], i, &g)
                for i in range(item, stop):
                    spread_item(weight_ft, output_qhw, odd, &workspace[slot, g.begin + (i - item) * g.plane_step], i,
                                &g)
                item = stop


cdef class WeightGradient:
    """The weight gradient of what a plan reads."""

    cdef Plan plan
    cdef readonly Sums cut
    cdef Py_ssize_t elements

    def __init__(self, Plan plan, dict cut, Py_ssize_t elements):
        self.plan, self.cut, self.elements = plan, cut, elements

    def run(
        self, const real[:, ::1] source_qp, const real[:, ::1] grad_qp, Py_ssize_t channels,
        real[:, :, ::1] partial_sft, real[:, ::1] workspace, int threads,
    ):
        """partial[0] = the sum over samples and positions of grad times what the taps see; chunks in their order."""
        cdef Geometry g = self.plan.geometry
        cdef Sums sums = self.cut
        cdef Py_ssize_t chunks = partial_sft.shape[0], slot, item, chunk, f, t
        cdef Py_ssize_t items = chunks * ((channels + sums.block - 1) // sums.block)
        for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
            memset(&workspace[slot, 0], 0, <size_t>self.elements * sizeof(real))
            for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
                weight_gradient_item(source_qp, grad_qp, partial_sft, channels, &workspace[slot, 0], item, &sums, &g)
        with nogil:
            for chunk in range(1, chunks):
                for f in range(partial_sft.shape[1]):
                    for t in range(partial_sft.shape[2]):
                        partial_sft[0, f, t] += partial_sft[chunk, f, t]
