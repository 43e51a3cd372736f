/* Copying and adding the short runs of numbers that im2col and col2im are made of.
 *
 * A row of a small image is 10 to 30 numbers: a call to memcpy, or a vectorised loop with its prologue and epilogue,
 * costs more than the copy. These are inlined and take a few instructions each.
 */
#ifndef MINIDL_RUNS_H
#define MINIDL_RUNS_H

#include <stddef.h>
#include <string.h>

#include "real.h"
#include "vector.h"

/* A block of `size` bytes (a compile-time constant) as one or a few vector moves. */
#define MINIDL_MOVE(size) __builtin_memcpy(to, from, size)

static inline void minidl_copy_run(void *target, const void *source, size_t bytes) {
    char *to = (char *)target;
    const char *from = (const char *)source;
    if (bytes > 512) {
        memcpy(to, from, bytes);
        return;
    }
    /* Whole blocks, then one more that ends where the run ends and overlaps what is copied already. */
    if (bytes >= 64) {
        const char *last = from + bytes - 64;
        char *last_to = to + bytes - 64;
        for (; from < last; from += 64, to += 64) MINIDL_MOVE(64);
        __builtin_memcpy(last_to, last, 64);
    } else if (bytes >= 32) {
        MINIDL_MOVE(32);
        __builtin_memcpy(to + bytes - 32, from + bytes - 32, 32);
    } else if (bytes >= 16) {
        MINIDL_MOVE(16);
        __builtin_memcpy(to + bytes - 16, from + bytes - 16, 16);
    } else if (bytes >= 8) {
        MINIDL_MOVE(8);
        __builtin_memcpy(to + bytes - 8, from + bytes - 8, 8);
    } else if (bytes >= 4) {
        MINIDL_MOVE(4);
    }
}

#undef MINIDL_MOVE

/* A few numbers: a loop of stores is turned into a call. */
static inline void minidl_zero_run(void *target, size_t bytes) {
    char *to = (char *)target;
    if (bytes > 512) {
        memset(to, 0, bytes);
    } else if (bytes >= 64) {
        char *last = to + bytes - 64;
        for (; to < last; to += 64) __builtin_memset(to, 0, 64);
        __builtin_memset(last, 0, 64);
    } else if (bytes >= 32) {
        __builtin_memset(to, 0, 32);
        __builtin_memset(to + bytes - 32, 0, 32);
    } else if (bytes >= 16) {
        __builtin_memset(to, 0, 16);
        __builtin_memset(to + bytes - 16, 0, 16);
    } else if (bytes >= 8) {
        __builtin_memset(to, 0, 8);
        __builtin_memset(to + bytes - 8, 0, 8);
    } else if (bytes >= 4) {
        __builtin_memset(to, 0, 4);
    }
}

static inline void add_run(real *restrict to, const real *restrict from, ptrdiff_t count) {
    typedef real block __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));
    const ptrdiff_t lanes = (ptrdiff_t)(32 / sizeof(real));
    ptrdiff_t i = 0;
    for (; i + lanes <= count; i += lanes) *(block *)(to + i) += *(const block *)(from + i);
    for (; i < count; i++) to[i] += from[i];
}

typedef real run_vector __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* to[i] = from[i * stride]. */
static void copy_every(real *to, const real *from, ptrdiff_t stride, ptrdiff_t count) {
    const ptrdiff_t width = MINIDL_VECTOR_BYTES / sizeof(real);
    ptrdiff_t i = 0;
    if (stride == 1) {
        minidl_copy_run(to, from, (size_t)count * sizeof(real));
        return;
    }
    if ((stride == 2 || stride == 4) && count > width) {
        /* Whole vectors reach beyond the last number that is taken: there must be one more to take behind them. */
        for (; i + width < count; i += width) {
            const run_vector *seen = (const run_vector *)(from + i * stride);
            run_vector half = MINIDL_SHUFFLE(seen[0], seen[1], EVEN_LANES);
            if (stride == 4) half = MINIDL_SHUFFLE(half, MINIDL_SHUFFLE(seen[2], seen[3], EVEN_LANES), EVEN_LANES);
            *(run_vector *)(to + i) = half;
        }
        /* The last one ends with it, and overlaps what is there already. */
        const run_vector *seen = (const run_vector *)(from + (count - 1) * stride + 1 - width * stride);
        run_vector half = MINIDL_SHUFFLE(seen[0], seen[1], ODD_LANES);
        if (stride == 4) half = MINIDL_SHUFFLE(half, MINIDL_SHUFFLE(seen[2], seen[3], ODD_LANES), ODD_LANES);
        *(run_vector *)(to + count - width) = half;
        return;
    }
    for (; i < count; i++) to[i] = from[i * stride];
}

/* to[i] = even[i / 2] or odd[i / 2], in turns. */
static void merge_runs(real *to, const real *even, const real *odd, ptrdiff_t count) {
    const ptrdiff_t width = MINIDL_VECTOR_BYTES / sizeof(real);
    ptrdiff_t i = 0;
    for (; i + 2 * width <= count; i += 2 * width) {
        const run_vector one = *(const run_vector *)(even + i / 2), other = *(const run_vector *)(odd + i / 2);
        *(run_vector *)(to + i) = MINIDL_SHUFFLE(one, other, MERGED_LOW);
        *(run_vector *)(to + i + width) = MINIDL_SHUFFLE(one, other, MERGED_HIGH);
    }
    for (; i < count; i++) to[i] = i % 2 ? odd[i / 2] : even[i / 2];
}

#endif
