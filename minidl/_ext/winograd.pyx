"""Winograd's convolution of 3x3 and 5x5 kernels: forward (with other weights, the input gradient), weight gradient.

Everything is [position][channels / 16][tile][16], a position being one of the (m + r - 1)^2 points at which a tile is
evaluated; see winograd_tiles.h. Between positions lies one cache line more than they need, since steps by powers of two
would put all of them into the same few sets of the cache.

Letters: N samples, C channels, F output channels, K = r x r taps, m x m outputs a tile, T tiles, G groups of 16
channels.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._lists cimport address
from minidl._ext._memory cimport Block, rows_of
from minidl._ext._phases cimport Phases, taps_of_phases
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._winograd cimport (
    LANES, Cut, Image, collect, image_of, output_tile, spread, spread_tile, taps, weight_tile,
)
from minidl._ext._winograd_products cimport (
    FEWER_TOGETHER, GROUPS_AT_ONCE, TILES_TOGETHER, products, sixteens, sum_item,
)

cdef enum:
    # Transformed weights that a core's cache keeps are not fetched ahead.
    KEPT_BYTES = 524288
    # Taps of a kernel, or of a phase of one.
    MOST_TAPS = 25


def position_step(Py_ssize_t groups, Py_ssize_t tiles):
    """Numbers between positions."""
    return step(groups, tiles)


cdef inline Py_ssize_t step(Py_ssize_t groups, Py_ssize_t tiles) noexcept nogil:
    return groups * tiles * LANES + LANES


cdef class Plan:
    """One direction of a convolution of given shapes, and how it is cut: what all calls of it have in common.

    `image` has the channels, rows and columns of what is seen, `result` of what is made from it or, for the weight
    gradient, of the outputs' gradient; `weight` has filters, channels and taps. `padding` is above and to the left and
    may be negative. `phases` has the fields of `Phases`, of the image or, if `transposed`, of the result; it is None
    with stride 1. `tiles` has the rows of tiles, the strips side by side, their tiles, and the items.

    Forward passes make `block` groups of output channels at a time; `transposed`: the weights' channels change places
    and their taps are turned round, as the input gradient has them. For the others see the two weight gradients.
    `transformed` (weights), `sums`, `held` and `scratch` are numbers of memory.
    """

    cdef Cut cut, halves
    cdef Phases split
    cdef Phases* phases
    cdef Image image, result
    cdef bint transposed, in_steps, halved
    cdef Py_ssize_t image_numbers, result_numbers, filters, channels, taps, strips, items, most
    cdef Py_ssize_t block, transformed, parts, chunks, sums, held, scratch

    def __cinit__(
        self, Py_ssize_t N, tuple image, tuple result, tuple weight, tuple padding, dict phases,
        int m, int r, tuple tiles, Py_ssize_t scratch, *, bint transposed=False, Py_ssize_t block=0,
        Py_ssize_t transformed=0, Py_ssize_t parts=0, Py_ssize_t chunks=0, bint in_steps=False, Py_ssize_t sums=0,
        Py_ssize_t held=0,
    ):
        self.phases = NULL
        if phases is not None:
            self.split, self.phases = phases, &self.split
        self.image = image_of(image[0], image[1], image[2], padding[0], padding[1],
                              NULL if transposed else self.phases)
        self.result = image_of(result[0], result[1], result[2], 0, 0, self.phases if transposed else NULL)
        self.image_numbers = N * image[0] * image[1] * image[2]
        self.result_numbers = N * result[0] * result[1] * result[2]
        self.filters, self.channels, self.taps = weight
        self.cut.m, self.cut.r = m, r
        self.cut.rows, self.cut.across, self.cut.width, self.items = tiles
        self.strips = N * self.cut.rows * self.cut.across
        # An odd one of few strips is shared by two items, so that two threads have as much to do.
        self.halves = self.cut
        self.halves.across, self.halves.width = 2, (self.cut.width + 1) // 2
        self.halved = self.cut.across == 1 and self.cut.width > 1 and self.items % 2 == 0 and self.strips % 2 > 0
        # The tiles of an item, at most.
        self.most = (self.strips + self.items - 1) // self.items * self.cut.width
        self.transposed, self.block, self.transformed = transposed, block, transformed
        self.parts, self.chunks, self.in_steps, self.sums, self.held = parts, chunks, in_steps, sums, held
        self.scratch = scratch


cdef void transform_weights(const real* weight_fck, Plan plan, Py_ssize_t item, real* transformed) noexcept nogil:
    """transformed[position][output group][input channel][16]; an item is 16 input channels of an output group.

    The channels are those of the phases, if there are any.
    """
    cdef Py_ssize_t C = plan.image.C, F = plan.result.C, K = plan.taps, filter_step = plan.channels * K
    cdef Py_ssize_t blocks = sixteens(C), positions_apart = step(sixteens(F), C), lane, tap
    cdef Py_ssize_t f = item // blocks * LANES, c, first = item % blocks * LANES
    cdef int lanes = <int>min(<Py_ssize_t>LANES, F - f), count = <int>min(<Py_ssize_t>LANES, C - first)
    cdef int m = plan.cut.m, r = plan.cut.r, r2 = r * r
    cdef Py_ssize_t places[LANES * MOST_TAPS]
    cdef real of_phases[LANES * MOST_TAPS]
    cdef const Py_ssize_t* place
    cdef const real* kernels
    if plan.phases != NULL:
        taps_of_phases(plan.phases, f if plan.transposed else first, lanes if plan.transposed else count, r, places)
    for c in range(first, first + count):
        if plan.phases != NULL:
            for lane in range(lanes):
                kernels = weight_fck + (c if plan.transposed else f + lane) * filter_step
                place = places + (lane if plan.transposed else c - first) * r2
                for tap in range(r2):
                    of_phases[lane * r2 + tap] = kernels[place[tap]] if place[tap] >= 0 else 0
            weight_tile(m, r, of_phases, r2, lanes, plan.transposed, transformed + (f * C + c * LANES), positions_apart)
        elif plan.transposed:
            weight_tile(m, r, weight_fck + c * filter_step + f * K, K, lanes, 1, transformed + (f * C + c * LANES),
                        positions_apart)
        else:
            weight_tile(m, r, weight_fck + f * filter_step + c * K, filter_step, lanes, 0,
                        transformed + (f * C + c * LANES), positions_apart)


cdef void write_taps(
    const real* sums, Plan plan, Py_ssize_t first, Py_ssize_t stop, real* grad_weight_fck,
) noexcept nogil:
    """The gradients of the filters from `first` to `stop`, from the sums of all positions."""
    cdef Py_ssize_t C = plan.image.C, F = plan.filters, groups = sixteens(C), s_step = step(groups, F)
    cdef Py_ssize_t filter_step = plan.channels * plan.taps, group, f, lanes, i
    cdef int m = plan.cut.m, r = plan.cut.r
    cdef Py_ssize_t places[LANES * MOST_TAPS]
    cdef real of_phases[LANES * MOST_TAPS]
    cdef real* kernels
    for group in range(groups):
        lanes = min(<Py_ssize_t>LANES, C - group * LANES)
        if plan.phases != NULL:
            taps_of_phases(plan.phases, group * LANES, lanes, r, places)
        for f in range(first, stop):
            kernels = grad_weight_fck + f * filter_step
            if plan.phases == NULL:
                taps(m, r, sums + (group * F + f) * LANES, s_step, kernels + group * LANES * plan.taps, <int>lanes)
                continue
            taps(m, r, sums + (group * F + f) * LANES, s_step, of_phases, <int>lanes)
            for i in range(lanes * r * r):
                if places[i] >= 0:
                    kernels[places[i]] = of_phases[i]


cdef inline const Cut* strips_of(Plan plan, Py_ssize_t item, Py_ssize_t* first, Py_ssize_t* stop) noexcept nogil:
    """The strips that an item of a forward pass is made of, and how they are cut."""
    cdef Py_ssize_t half = plan.items // 2, middle = plan.strips // 2, start = 0
    if not plan.halved:
        first[0], stop[0] = slot_start(plan.strips, item, plan.items), slot_start(plan.strips, item + 1, plan.items)
        return &plan.cut
    if item == half or item == half + 1:
        first[0] = (middle // plan.cut.rows * 2 + item - half) * plan.cut.rows + middle % plan.cut.rows
        stop[0] = first[0] + 1
        return &plan.halves
    if item > half:
        item, start = item - half - 2, middle + 1
    first[0], stop[0] = start + slot_start(middle, item, half), start + slot_start(middle, item + 1, half)
    return &plan.cut


cdef void forward_item(
    const real* x, const real* transformed, const real* bias, Plan plan, real* y, real* workspace, Py_ssize_t item,
) noexcept nogil:
    """The strips of an item, `block` groups of output channels at a time."""
    cdef Py_ssize_t C = plan.image.C, groups = sixteens(C), output_groups = sixteens(plan.result.C), block = plan.block
    cdef Py_ssize_t v_step = step(groups, plan.most), u_step = step(output_groups, C), m_step = step(block, plan.most)
    cdef Py_ssize_t positions = (plan.cut.m + plan.cut.r - 1) * (plan.cut.m + plan.cut.r - 1)
    cdef Py_ssize_t first = 0, stop = 0, g, f, now, position
    cdef const Cut* cut = strips_of(plan, item, &first, &stop)
    cdef Py_ssize_t fetched = min(<Py_ssize_t>(GROUPS_AT_ONCE * LANES), C) * LANES
    cdef const real* u
    cdef const real* following_u
    cdef real* v = workspace
    cdef real* product = v + positions * v_step
    cdef real* pixels = product + positions * m_step
    if plan.transformed * <Py_ssize_t>sizeof(real) <= KEPT_BYTES:
        fetched = 0
    for g in range(groups):
        spread(x, &plan.image, cut, False, g * LANES, first, stop, pixels, v + g * plan.most * LANES, v_step)
    f = 0
    while f < output_groups:
        now = min(block, output_groups - f)
        following_u = transformed + f * C * LANES
        for position in range(positions):
            u = following_u
            following_u = u + u_step if position + 1 < positions else transformed + (f + now) * C * LANES
            products(v + position * v_step, u, following_u, fetched, product + position * m_step, C, now,
                     (stop - first) * cut.width, plan.most)
        for g in range(now):
            collect(product + g * plan.most * LANES, m_step, bias + (f + g) * LANES, &plan.result, cut,
                    (f + g) * LANES, first, stop, pixels, y)
        f += now


def forward(Plan plan, object x, object weight, object bias, real[:, :, :, ::1] output_nfhw, int threads):
    """output = the convolution of x plus the bias (or None). Nothing is empty."""
    cdef const real* seen = address(x, plan.image_numbers)
    cdef const real* weights = address(weight, plan.filters * plan.channels * plan.taps)
    cdef const real* biases = NULL
    cdef Py_ssize_t filled = sixteens(plan.result.C) * LANES, row = 0, slot, item, f
    cdef Py_ssize_t weight_items = sixteens(plan.result.C) * sixteens(plan.image.C)
    cdef Py_ssize_t items = plan.items + 2 if plan.halved else plan.items
    # The biases, filled up with zeros, lie behind the transformed weights.
    cdef Block shared = rows_of(1, plan.transformed + filled, sizeof(real), &row)
    cdef Block block = rows_of(threads, plan.scratch, sizeof(real), &row)
    cdef real* transformed = <real*>shared.memory
    cdef real* padded_bias = transformed + plan.transformed
    cdef real* workspace = <real*>block.memory
    cdef real* made = &output_nfhw[0, 0, 0, 0]
    if bias is not None:
        biases = address(bias, plan.result.C)
    for f in range(filled):
        padded_bias[f] = biases[f] if biases != NULL and f < plan.result.C else 0
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for item in range(slot_start(weight_items, slot, threads), slot_start(weight_items, slot + 1, threads)):
                transform_weights(weights, plan, item, transformed)
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
                forward_item(seen, transformed, padded_bias, plan, made, workspace + slot * row, item)


cdef inline Py_ssize_t chunk_start(Plan plan, Py_ssize_t chunk) noexcept nogil:
    """The first item of a chunk: all have an even number, which two threads share out evenly, but an odd last one."""
    return min(2 * slot_start((plan.items + 1) // 2, chunk, plan.chunks), plan.items)


cdef void spread_groups(
    const real* source, const Image* image, Plan plan, bint gradient, Py_ssize_t chunk, Py_ssize_t slot,
    Py_ssize_t slots, Py_ssize_t most, real* pixels, real* to,
) noexcept nogil:
    """A slot's share of a chunk's tiles, group by group, which reads one piece of memory after another."""
    cdef Py_ssize_t groups = sixteens(image.C), first = chunk_start(plan, chunk)
    cdef Py_ssize_t count = chunk_start(plan, chunk + 1) - first, index, item, strip, at
    for index in range(slot_start(count * groups, slot, slots), slot_start(count * groups, slot + 1, slots)):
        item = first + index % count
        strip = slot_start(plan.strips, item, plan.items)
        at = index // count * most + (strip - slot_start(plan.strips, first, plan.items)) * plan.cut.width
        spread(source, image, &plan.cut, gradient, index // count * LANES, strip,
               slot_start(plan.strips, item + 1, plan.items), pixels, to + at * LANES, step(groups, most))


def weight_gradient(Plan plan, object x, object grad, real[:, :, :, ::1] grad_weight_fckl, int threads):
    """grad_weight = the sum over samples and positions of grad times what the window sees.

    The tiles of one of the `chunks` of the items (strips together) exist at once; chunks are added up in their order,
    `in_steps` as `sum_item` says. Threads have as much to do of both images, since to spread takes longer for one.
    """
    cdef const real* seen = address(x, plan.image_numbers)
    cdef const real* grads = address(grad, plan.result_numbers)
    cdef Py_ssize_t C = plan.image.C, F = plan.filters, groups = sixteens(C), filter_groups = sixteens(F)
    cdef Py_ssize_t positions = (plan.cut.m + plan.cut.r - 1) * (plan.cut.m + plan.cut.r - 1)
    cdef Py_ssize_t most = ((plan.items + 1) // 2 + plan.chunks - 1) // plan.chunks * 2 * plan.most
    cdef Py_ssize_t v_step = step(groups, most), e_step = step(filter_groups, most), s_step = step(groups, F)
    cdef Py_ssize_t row = 0, slot, item, position, chunk = 0, tiles = 0
    cdef Py_ssize_t together = FEWER_TOGETHER if plan.cut.r == 5 else TILES_TOGETHER
    cdef Block shared_tiles = rows_of(1, plan.held, sizeof(real), &row)
    cdef Block shared_sums = rows_of(1, plan.sums, sizeof(real), &row)
    cdef Block block = rows_of(threads, plan.scratch, sizeof(real), &row)
    cdef real* v = <real*>shared_tiles.memory
    cdef real* e = v + positions * v_step
    cdef real* sums = <real*>shared_sums.memory
    cdef real* workspace = <real*>block.memory
    cdef real* made = &grad_weight_fckl[0, 0, 0, 0]
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for chunk in range(plan.chunks):
            for slot in prange(threads, schedule="static"):
                spread_groups(seen, &plan.image, plan, False, chunk, slot, threads, most, workspace + slot * row, v)
                spread_groups(grads, &plan.result, plan, True, chunk, slot, threads, most, workspace + slot * row, e)
            team_barrier()
            tiles = (slot_start(plan.strips, chunk_start(plan, chunk + 1), plan.items)
                     - slot_start(plan.strips, chunk_start(plan, chunk), plan.items)) * plan.cut.width
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(positions * filter_groups, slot, threads),
                                  slot_start(positions * filter_groups, slot + 1, threads)):
                    position = item // filter_groups
                    sum_item(v + position * v_step, e + position * e_step, sums + position * s_step,
                             workspace + slot * row, C, F, item % filter_groups, tiles, most, together, plan.in_steps,
                             chunk > 0)
            team_barrier()
        for slot in prange(threads, schedule="static"):
            write_taps(sums, plan, slot_start(F, slot, threads), slot_start(F, slot + 1, threads), made)


cdef void sum_part(
    const real* x, const real* grad, Plan plan, Py_ssize_t part, real* sums, real* workspace,
) noexcept nogil:
    """The sums over the tiles of a part's items, which are transformed and summed one item after another."""
    cdef Py_ssize_t C = plan.image.C, F = plan.filters, groups = sixteens(C), filter_groups = sixteens(F)
    cdef Py_ssize_t most = plan.most, strip, after, item, group, position
    cdef Py_ssize_t start = slot_start(plan.items, part, plan.parts)
    cdef Py_ssize_t v_step = step(groups, most), e_step = step(filter_groups, most), s_step = step(groups, F)
    cdef Py_ssize_t positions = (plan.cut.m + plan.cut.r - 1) * (plan.cut.m + plan.cut.r - 1)
    cdef real* v = workspace
    cdef real* e = v + positions * v_step
    cdef real* pixels = e + positions * e_step
    for item in range(start, slot_start(plan.items, part + 1, plan.parts)):
        strip, after = slot_start(plan.strips, item, plan.items), slot_start(plan.strips, item + 1, plan.items)
        for group in range(groups):
            spread(x, &plan.image, &plan.cut, False, group * LANES, strip, after, pixels, v + group * most * LANES,
                   v_step)
        for group in range(filter_groups):
            spread(grad, &plan.result, &plan.cut, True, group * LANES, strip, after, pixels, e + group * most * LANES,
                   e_step)
        for position in range(positions):
            for group in range(filter_groups):
                sum_item(v + position * v_step, e + position * e_step, sums + position * s_step, pixels, C, F, group,
                         (after - strip) * plan.cut.width, most, TILES_TOGETHER, False, item > start)


def weight_gradient_by_parts(Plan plan, object x, object grad, real[:, :, :, ::1] grad_weight_fckl, int threads):
    """The weight gradient where sums are few enough to stay in a core's cache beside an item's tiles.

    There are sums for each of the `parts` of the items; they are added in order. Tiles never leave their thread. Not
    for 5 taps, whose sums go by levels.
    """
    cdef const real* seen = address(x, plan.image_numbers)
    cdef const real* grads = address(grad, plan.result_numbers)
    cdef Py_ssize_t row = 0, sums_apart = 0, slot, part, i, F = plan.filters
    cdef Block shared = rows_of(plan.parts, plan.sums, sizeof(real), &sums_apart)
    cdef Block block = rows_of(threads, plan.scratch, sizeof(real), &row)
    cdef real* sums = <real*>shared.memory
    cdef real* workspace = <real*>block.memory
    cdef real* made = &grad_weight_fckl[0, 0, 0, 0]
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for part in range(slot_start(plan.parts, slot, threads), slot_start(plan.parts, slot + 1, threads)):
                sum_part(seen, grads, plan, part, sums + part * sums_apart, workspace + slot * row)
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for part in range(1, plan.parts):
                for i in range(slot_start(plan.sums, slot, threads), slot_start(plan.sums, slot + 1, threads)):
                    sums[i] += sums[part * sums_apart + i]
        team_barrier()
        for slot in prange(threads, schedule="static"):
            write_taps(sums, plan, slot_start(F, slot, threads), slot_start(F, slot + 1, threads), made)


def transform(const real[:, :, ::1] tile, int m, int r, str which, real[:, :, ::1] result):
    """result = one of the transforms above of one tile of 16 channels, so that a test sees the matrices.

    Channels are the last axis, but for the taps of kernels the first.
    """
    cdef bint gradient = which == "gradient"
    cdef Py_ssize_t size = m if gradient else m + r - 1
    cdef real bias[LANES]
    cdef int lane
    if which == "weight":
        weight_tile(m, r, &tile[0, 0, 0], r * r, LANES, 0, &result[0, 0, 0], LANES)
    elif which == "taps":
        taps(m, r, &tile[0, 0, 0], LANES, &result[0, 0, 0], LANES)
    elif which == "output":
        for lane in range(LANES):
            bias[lane] = 0
        output_tile(m, r, &tile[0, 0, 0], LANES, bias, &result[0, 0, 0], m * LANES, m, m)
    else:
        spread_tile(m, r, gradient, &tile[0, 0, 0], size * LANES, 0, size, 0, size, &result[0, 0, 0], LANES)
