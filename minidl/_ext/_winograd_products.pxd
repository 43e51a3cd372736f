"""Products between Winograd's transformed tiles: over channels, forward, and over tiles, for the weight gradient."""

from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start
from minidl._ext._winograd cimport LANES, ROWS, Product, fetch, multiply

cdef enum:
    # Channels, in sixteens, or tiles that are gone through before the next row of a product: what they multiply stays
    # in the L1 cache.
    GROUPS_AT_ONCE = 4
    TILES_AT_ONCE = 64
    # Those that are summed up in registers; see Product.
    GROUPS_TOGETHER = 2
    TILES_TOGETHER = 32
    FEWER_TOGETHER = 16
    # Sums by levels: so many of TILES_AT_ONCE are added up before they join the sum of all.
    SUMS_TOGETHER = 8


cdef inline Py_ssize_t sixteens(Py_ssize_t channels) noexcept nogil:
    return (channels + LANES - 1) // LANES


cdef inline void products(
    const real* v, const real* u, const real* following_u, Py_ssize_t fetched, real* product, Py_ssize_t C,
    Py_ssize_t groups, Py_ssize_t tiles, Py_ssize_t tiles_apart,
) noexcept nogil:
    """product[output group][tile][16] = the sum over channels of v[channel group][tile] times u[output group].

    The weights of the next channels, in the end `following_u`, are fetched meanwhile: so many of each group.
    """
    cdef Product steps
    cdef Py_ssize_t c = 0, now, part, first, parts = (tiles + ROWS - 1) // ROWS
    cdef const real* coming
    steps.a_outer, steps.a_row, steps.a_k = tiles_apart * LANES, LANES, 1
    steps.b_outer, steps.b_group, steps.together = LANES * LANES, C * LANES, GROUPS_TOGETHER
    steps.c_row, steps.c_group = LANES, tiles_apart * LANES
    while c < C:
        now = min(<Py_ssize_t>GROUPS_AT_ONCE, (C - c) // LANES)
        steps.outer, steps.count = max(now, 1), LANES if now > 0 else C - c
        coming = u + (c + steps.outer * steps.count) * LANES
        if c + steps.outer * steps.count >= C:
            coming = following_u
        for part in range(parts):
            first = slot_start(tiles, part, parts)
            if fetched:
                fetch(coming, C * LANES, groups, slot_start(fetched, part, parts), slot_start(fetched, part + 1, parts))
            multiply(v + c * tiles_apart + first * LANES, u + c * LANES, product + first * LANES,
                     <int>(slot_start(tiles, part + 1, parts) - first), groups, c > 0, &steps)
        c += steps.outer * steps.count


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


cdef inline void sum_item(
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
