"""Winograd's convolution of 3x3 and 5x5 kernels: forward (with other weights, the input gradient), weight gradient.

Everything is [position][channels / 16][tile][16], a position being one of the (m + r - 1)^2 points at which a tile is
evaluated; see winograd_tiles.h. Between positions lies one cache line more than they need, since steps by powers of two
would put all of them into the same few sets of the cache.

Letters: N samples, C channels, F output channels, K = r x r taps, m x m outputs a tile, T tiles, G groups of 16
channels.
"""

from cython.parallel cimport parallel, prange

from minidl._ext._phases cimport Phases, phases_of, taps_of_phase, taps_to_phase
from minidl._ext._threads cimport slot_start, team_barrier
from minidl._ext._types cimport real
from minidl._ext._winograd cimport (
    LANES, ROWS, Cut, Image, Product, collect, image_of, multiply, output_tile, spread, spread_tile, taps, weight_tile,
)

cdef enum:
    # Channels, in sixteens, or tiles that are gone through before the next row of a product: what they multiply stays
    # in the L1 cache.
    GROUPS_AT_ONCE = 4
    TILES_AT_ONCE = 64
    # How many of them are summed up in registers; see Product.
    GROUPS_TOGETHER = 2
    TILES_TOGETHER = 32
    FEWER_TOGETHER = 16
    # Where sums go by levels, how many of TILES_AT_ONCE are added up before they join the sum of all.
    SUMS_TOGETHER = 8
    # Of a kernel, or of a phase of one.
    MOST_TAPS = 25


cdef inline Py_ssize_t sixteens(Py_ssize_t channels) noexcept nogil:
    return (channels + LANES - 1) // LANES


def position_step(Py_ssize_t groups, Py_ssize_t tiles):
    """Numbers between positions."""
    return step(groups, tiles)


cdef inline Py_ssize_t step(Py_ssize_t groups, Py_ssize_t tiles) noexcept nogil:
    return groups * tiles * LANES + LANES


cdef void transform_weights(
    const real[:, :, ::1] weight_fck, const Phases* phases, bint transposed, int m, int r, Py_ssize_t item,
    real* transformed,
) noexcept nogil:
    """transformed[position][output group][input channel][16]; an item is 16 input channels of an output group.

    The channels are those of the phases, if there are any.
    """
    cdef Py_ssize_t filters = weight_fck.shape[0], channels = weight_fck.shape[1], K = weight_fck.shape[2]
    if phases != NULL:
        channels *= phases.SH * phases.SW
    cdef Py_ssize_t F = channels if transposed else filters, C = filters if transposed else channels
    cdef Py_ssize_t blocks = sixteens(C), positions_apart = step(sixteens(F), C), lane
    cdef Py_ssize_t f = item // blocks * LANES, c, first = item % blocks * LANES
    cdef int lanes = <int>min(<Py_ssize_t>LANES, F - f)
    cdef real of_phase[LANES * MOST_TAPS]
    for c in range(first, min(first + LANES, C)):
        if phases != NULL:
            for lane in range(lanes):
                if transposed:
                    taps_of_phase(&weight_fck[c, 0, 0], phases, f + lane, r, of_phase + lane * r * r)
                else:
                    taps_of_phase(&weight_fck[f + lane, 0, 0], phases, c, r, of_phase + lane * r * r)
            weight_tile(m, r, of_phase, r * r, lanes, transposed, transformed + (f * C + c * LANES), positions_apart)
        elif transposed:
            weight_tile(m, r, &weight_fck[c, f, 0], K, lanes, 1, transformed + (f * C + c * LANES), positions_apart)
        else:
            weight_tile(m, r, &weight_fck[f, c, 0], channels * K, lanes, 0, transformed + (f * C + c * LANES),
                        positions_apart)


cdef void write_taps(
    const real* sums, Py_ssize_t s_step, const Phases* phases, int m, int r, Py_ssize_t channels, Py_ssize_t filters,
    Py_ssize_t f, real[:, :, ::1] grad_weight_fck,
) noexcept nogil:
    """One filter's gradients, from the sums of all positions."""
    cdef Py_ssize_t group, lane, lanes
    cdef real of_phase[LANES * MOST_TAPS]
    for group in range(sixteens(channels)):
        lanes = min(<Py_ssize_t>LANES, channels - group * LANES)
        if phases == NULL:
            taps(m, r, sums + (group * filters + f) * LANES, s_step, &grad_weight_fck[f, group * LANES, 0], <int>lanes)
        else:
            taps(m, r, sums + (group * filters + f) * LANES, s_step, of_phase, <int>lanes)
            for lane in range(lanes):
                taps_to_phase(of_phase + lane * r * r, phases, group * LANES + lane, r, &grad_weight_fck[f, 0, 0])


cdef void products(
    const real* v, const real* u, real* product, Py_ssize_t C, Py_ssize_t groups, Py_ssize_t tiles,
    Py_ssize_t tiles_apart,
) noexcept nogil:
    """product[output group][tile][16] = the sum over channels of v[channel group][tile] times u[output group]."""
    cdef Product steps
    cdef Py_ssize_t c = 0, now, part, first, parts = (tiles + ROWS - 1) // ROWS
    steps.a_outer, steps.a_row, steps.a_k = tiles_apart * LANES, LANES, 1
    steps.b_outer, steps.b_group, steps.together = LANES * LANES, C * LANES, GROUPS_TOGETHER
    steps.c_row, steps.c_group = LANES, tiles_apart * LANES
    while c < C:
        now = min(<Py_ssize_t>GROUPS_AT_ONCE, (C - c) // LANES)
        steps.outer, steps.count = max(now, 1), LANES if now > 0 else C - c
        for part in range(parts):
            first = slot_start(tiles, part, parts)
            multiply(v + c * tiles_apart + first * LANES, u + c * LANES, product + first * LANES,
                     <int>(slot_start(tiles, part + 1, parts) - first), groups, c > 0, &steps)
        c += steps.outer * steps.count


cdef void forward_item(
    const real[:, :, :, ::1] input_nchw, const real* transformed, const real[::1] bias_f, const Image* image,
    const Image* result, const Cut* cut, real[:, :, :, ::1] output_nfhw, real* workspace, Py_ssize_t first,
    Py_ssize_t stop, Py_ssize_t most_tiles, Py_ssize_t block,
) noexcept nogil:
    """The strips from `first` to `stop`, `block` groups of output channels at a time."""
    cdef Py_ssize_t C = image.C, groups = sixteens(C), output_groups = sixteens(result.C)
    cdef Py_ssize_t v_step = step(groups, most_tiles), u_step = step(output_groups, C)
    cdef Py_ssize_t m_step = step(block, most_tiles), positions = (cut.m + cut.r - 1) * (cut.m + cut.r - 1)
    cdef Py_ssize_t g, f, now, position
    cdef real* v = workspace
    cdef real* product = v + positions * v_step
    cdef real* pixels = product + positions * m_step
    for g in range(groups):
        spread(&input_nchw[0, 0, 0, 0], image, cut, False, g * LANES, first, stop, pixels, v + g * most_tiles * LANES,
               v_step)
    f = 0
    while f < output_groups:
        now = min(block, output_groups - f)
        for position in range(positions):
            products(v + position * v_step, transformed + position * u_step + f * C * LANES,
                     product + position * m_step, C, now, (stop - first) * cut.width, most_tiles)
        for g in range(now):
            collect(product + g * most_tiles * LANES, m_step, &bias_f[(f + g) * LANES], result, cut, (f + g) * LANES,
                    first, stop, pixels, &output_nfhw[0, 0, 0, 0])
        f += now


def forward(
    const real[:, :, :, ::1] input_nchw, const real[:, :, ::1] weight_fck, bint transposed, const real[::1] bias_f,
    Py_ssize_t top, Py_ssize_t left, const Py_ssize_t[::1] strided, real[:, :, :, ::1] output_nfhw, int m, int r,
    Py_ssize_t rows, Py_ssize_t across, Py_ssize_t width, Py_ssize_t items, Py_ssize_t block,
    real[:, ::1] transformed, real[:, ::1] workspace, int threads,
):
    """output = the convolution of the input, padded by top and left (which may be negative), plus bias.

    `transposed`: the weights' channels change places and their taps are turned round, as the input gradient has them.
    bias_f is filled up to a multiple of 16. Nothing is empty. `strided`: the numbers of `Phases`, of the input or, if
    transposed, the output; none with stride 1.
    """
    cdef Cut cut
    cdef Image image, result
    cdef Phases split
    cdef Phases* phases = &split if phases_of(strided, &split) else NULL
    cdef Py_ssize_t strips = input_nchw.shape[0] * rows * across, most = (strips + items - 1) // items * width
    cdef Py_ssize_t slot, item, weight_items
    cut.m, cut.r, cut.rows, cut.across, cut.width = m, r, rows, across, width
    image = image_of(input_nchw.shape[1], input_nchw.shape[2], input_nchw.shape[3], top, left,
                     NULL if transposed else phases)
    result = image_of(output_nfhw.shape[1], output_nfhw.shape[2], output_nfhw.shape[3], 0, 0,
                      phases if transposed else NULL)
    weight_items = sixteens(result.C) * sixteens(image.C)
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for item in range(slot_start(weight_items, slot, threads), slot_start(weight_items, slot + 1, threads)):
                transform_weights(weight_fck, phases, transposed, m, r, item, &transformed[0, 0])
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
                forward_item(input_nchw, &transformed[0, 0], bias_f, &image, &result, &cut, output_nfhw,
                             &workspace[slot, 0], slot_start(strips, item, items), slot_start(strips, item + 1, items),
                             most, block)


cdef inline void join(
    const real* block, Py_ssize_t groups, Py_ssize_t count, real* to, Py_ssize_t to_group, bint add,
) noexcept nogil:
    """to[group][count] (+)= block[group][count] of blocks of 16 times 16."""
    cdef Py_ssize_t _group, i
    for _group in range(groups):
        if add:
            for i in range(count):
                to[i] += block[i]
        else:
            for i in range(count):
                to[i] = block[i]
        to += to_group
        block += LANES * LANES


cdef void sum_item(
    const real* v, const real* e, real* sums, real* workspace, Py_ssize_t C, Py_ssize_t F, Py_ssize_t group,
    Py_ssize_t tiles, Py_ssize_t tiles_apart, Py_ssize_t together, bint in_steps, bint add,
) noexcept nogil:
    """sums[channel group][filter][16] (+)= the sum over tiles of e[filter group][tile] v[channel group][tile].

    Registers sum up `together` tiles. `in_steps`: these sums are added to sums of TILES_AT_ONCE tiles, these to sums of
    SUMS_TOGETHER times as many, and only these to the sum of all. That costs a few per cent, and is for where fourth
    powers of the points enlarge the rounding of a sum, or thousands of tiles.
    """
    cdef Product steps
    cdef Py_ssize_t c, f, t = 0, part, groups = sixteens(C), filters = min(<Py_ssize_t>LANES, F - group * LANES)
    cdef Py_ssize_t parts = (filters + ROWS - 1) // ROWS, done = 0
    cdef real* once = workspace
    cdef real* several = workspace + groups * LANES * LANES
    sums += group * LANES * LANES
    steps.a_outer, steps.b_outer, steps.together = together * LANES, together * LANES, 1
    steps.a_row, steps.a_k, steps.b_group = 1, LANES, tiles_apart * LANES
    steps.c_row, steps.c_group = LANES, LANES * LANES if in_steps else F * LANES
    while t < tiles:
        steps.outer = min(<Py_ssize_t>TILES_AT_ONCE, tiles - t) // together
        steps.count = together
        if steps.outer == 0:
            steps.outer, steps.count = 1, tiles - t
        c = 0
        while c < groups:
            for part in range(parts):
                f = slot_start(filters, part, parts)
                multiply(e + (group * tiles_apart + t) * LANES + f, v + (c * tiles_apart + t) * LANES,
                         (once if in_steps else sums) + c * steps.c_group + f * LANES,
                         <int>(slot_start(filters, part + 1, parts) - f),
                         min(<Py_ssize_t>GROUPS_AT_ONCE, groups - c), not in_steps and (add or t > 0), &steps)
            c += GROUPS_AT_ONCE
        t += steps.outer * steps.count
        if not in_steps:
            continue
        join(once, groups, filters * LANES, several, LANES * LANES, done % SUMS_TOGETHER > 0)
        done += 1
        if done % SUMS_TOGETHER == 0 or t == tiles:
            join(several, groups, filters * LANES, sums, F * LANES, add or done > SUMS_TOGETHER)


def weight_gradient(
    const real[:, :, :, ::1] input_nchw, const real[:, :, :, ::1] grad_nfhw, Py_ssize_t top, Py_ssize_t left,
    const Py_ssize_t[::1] strided, real[:, :, ::1] grad_weight_fck, int m, int r, Py_ssize_t rows, Py_ssize_t across,
    Py_ssize_t width, Py_ssize_t items, Py_ssize_t chunks, bint in_steps, real[:, ::1] tiles, real[:, ::1] sums,
    real[:, ::1] workspace, int threads,
):
    """grad_weight = the sum over samples and positions of grad times what the window sees.

    The tiles of one chunk of the items (strips together) exist at once; chunks are added up in their order, `in_steps`
    as `sum_item` says.
    """
    cdef Cut cut
    cdef Phases split
    cdef Phases* phases = &split if phases_of(strided, &split) else NULL
    cdef Image image = image_of(input_nchw.shape[1], input_nchw.shape[2], input_nchw.shape[3], top, left, phases)
    cdef Image grad = image_of(grad_nfhw.shape[1], grad_nfhw.shape[2], grad_nfhw.shape[3], 0, 0, NULL)
    cdef Py_ssize_t C = image.C, F = grad.C, groups = sixteens(C), filter_groups = sixteens(F)
    cdef Py_ssize_t strips = input_nchw.shape[0] * rows * across, positions = (m + r - 1) * (m + r - 1)
    cdef Py_ssize_t most_items = (items + chunks - 1) // chunks
    cdef Py_ssize_t most = most_items * ((strips + items - 1) // items) * width
    cdef Py_ssize_t v_step = step(groups, most), e_step = step(filter_groups, most), s_step = step(groups, F)
    cdef Py_ssize_t slot, item, index, chunk = 0, first = 0, count = 0, strip, at, group, position, f
    cdef Py_ssize_t all_groups = groups + filter_groups
    cdef real* v = &tiles[0, 0]
    cdef real* e = v + positions * v_step
    cut.m, cut.r, cut.rows, cut.across, cut.width = m, r, rows, across, width
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for chunk in range(chunks):
            first = slot_start(items, chunk, chunks)
            count = slot_start(items, chunk + 1, chunks) - first
            for slot in prange(threads, schedule="static"):
                # To gather phases takes longer than gradients: item by item threads have as much of both. Otherwise
                # group by group, which reads one piece of memory after another.
                for index in range(slot_start(count * all_groups, slot, threads),
                                   slot_start(count * all_groups, slot + 1, threads)):
                    if phases != NULL:
                        item, group = first + index // all_groups, index % all_groups
                    else:
                        item, group = first + index % count, index // count
                    strip = slot_start(strips, item, items)
                    at = (strip - slot_start(strips, first, items)) * width
                    if group < groups:
                        spread(&input_nchw[0, 0, 0, 0], &image, &cut, False, group * LANES, strip,
                               slot_start(strips, item + 1, items), &workspace[slot, 0],
                               v + (group * most + at) * LANES, v_step)
                    else:
                        group = group - groups
                        spread(&grad_nfhw[0, 0, 0, 0], &grad, &cut, True, group * LANES, strip,
                               slot_start(strips, item + 1, items), &workspace[slot, 0],
                               e + (group * most + at) * LANES, e_step)
            team_barrier()
            for slot in prange(threads, schedule="static"):
                for item in range(slot_start(positions * filter_groups, slot, threads),
                                  slot_start(positions * filter_groups, slot + 1, threads)):
                    position = item // filter_groups
                    sum_item(v + position * v_step, e + position * e_step, &sums[0, 0] + position * s_step,
                             &workspace[slot, 0], C, F, item % filter_groups,
                             (slot_start(strips, slot_start(items, chunk + 1, chunks), items)
                              - slot_start(strips, first, items)) * width, most,
                             FEWER_TOGETHER if r == 5 else TILES_TOGETHER,
                             in_steps, chunk > 0)
            team_barrier()
        for slot in prange(threads, schedule="static"):
            for f in range(slot_start(F, slot, threads), slot_start(F, slot + 1, threads)):
                write_taps(&sums[0, 0], s_step, phases, m, r, C, F, f, grad_weight_fck)


cdef void sum_part(
    const real[:, :, :, ::1] input_nchw, const real[:, :, :, ::1] grad_nfhw, const Image* image, const Image* grad,
    const Cut* cut, Py_ssize_t items, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t most, real* sums, real* workspace,
) noexcept nogil:
    """The sums over the tiles of items `start` to `stop`, which are transformed and summed one item after another."""
    cdef Py_ssize_t groups = sixteens(image.C), filter_groups = sixteens(grad.C), strip, after, item, group, position
    cdef Py_ssize_t strips = input_nchw.shape[0] * cut.rows * cut.across
    cdef Py_ssize_t v_step = step(groups, most), e_step = step(filter_groups, most), s_step = step(groups, grad.C)
    cdef Py_ssize_t positions = (cut.m + cut.r - 1) * (cut.m + cut.r - 1)
    cdef real* v = workspace
    cdef real* e = v + positions * v_step
    cdef real* pixels = e + positions * e_step
    for item in range(start, stop):
        strip, after = slot_start(strips, item, items), slot_start(strips, item + 1, items)
        for group in range(groups):
            spread(&input_nchw[0, 0, 0, 0], image, cut, False, group * LANES, strip, after, pixels,
                   v + group * most * LANES, v_step)
        for group in range(filter_groups):
            spread(&grad_nfhw[0, 0, 0, 0], grad, cut, True, group * LANES, strip, after, pixels,
                   e + group * most * LANES, e_step)
        for position in range(positions):
            for group in range(filter_groups):
                sum_item(v + position * v_step, e + position * e_step, sums + position * s_step, pixels, image.C,
                         grad.C, group, (after - strip) * cut.width, most, TILES_TOGETHER, False, item > start)


def weight_gradient_by_parts(
    const real[:, :, :, ::1] input_nchw, const real[:, :, :, ::1] grad_nfhw, Py_ssize_t top, Py_ssize_t left,
    const Py_ssize_t[::1] strided, real[:, :, ::1] grad_weight_fck, int m, int r, Py_ssize_t rows, Py_ssize_t across,
    Py_ssize_t width, Py_ssize_t items, real[:, ::1] sums, real[:, ::1] workspace, int threads,
):
    """The same where sums are few enough to stay in a core's cache beside an item's tiles.

    Each row of `sums` is that of a part of the items; they are added in order. Tiles never leave their thread. Not for
    5 taps, whose sums go by levels.
    """
    cdef Cut cut
    cdef Phases split
    cdef Phases* phases = &split if phases_of(strided, &split) else NULL
    cdef Image image = image_of(input_nchw.shape[1], input_nchw.shape[2], input_nchw.shape[3], top, left, phases)
    cdef Image grad = image_of(grad_nfhw.shape[1], grad_nfhw.shape[2], grad_nfhw.shape[3], 0, 0, NULL)
    cdef Py_ssize_t C = image.C, F = grad.C, groups = sixteens(C), parts = sums.shape[0]
    cdef Py_ssize_t strips = input_nchw.shape[0] * rows * across, positions = (m + r - 1) * (m + r - 1)
    cdef Py_ssize_t most = (strips + items - 1) // items * width, s_step = step(groups, F)
    cdef Py_ssize_t slot, part, f, i
    cut.m, cut.r, cut.rows, cut.across, cut.width = m, r, rows, across, width
    with nogil, parallel(num_threads=threads, use_threads_if=threads > 1):
        for slot in prange(threads, schedule="static"):
            for part in range(slot_start(parts, slot, threads), slot_start(parts, slot + 1, threads)):
                sum_part(input_nchw, grad_nfhw, &image, &grad, &cut, items, slot_start(items, part, parts),
                         slot_start(items, part + 1, parts), most, &sums[part, 0], &workspace[slot, 0])
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for part in range(1, parts):
                for i in range(slot_start(positions * s_step, slot, threads),
                               slot_start(positions * s_step, slot + 1, threads)):
                    sums[0, i] += sums[part, i]
        team_barrier()
        for slot in prange(threads, schedule="static"):
            for f in range(slot_start(F, slot, threads), slot_start(F, slot + 1, threads)):
                write_taps(&sums[0, 0], s_step, phases, m, r, C, F, f, grad_weight_fck)


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
