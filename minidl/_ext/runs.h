/* Copying and adding the short runs of numbers that im2col and col2im are made of.
 *
 * A row of a small image is 10 to 30 numbers: a call to memcpy, or a vectorised loop with its prologue and epilogue,
 * costs more than the copy. These are inlined and take a few instructions each.
 */
#ifndef MINIDL_RUNS_H
#define MINIDL_RUNS_H

#include <stddef.h>
#include <string.h>

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

#define MINIDL_ADD_RUN(name, type)                                                                                  \
    static inline void name(type *restrict to, const type *restrict from, ptrdiff_t count) {                       \
        typedef type block __attribute__((vector_size(32), aligned(sizeof(type)), may_alias));                     \
        const ptrdiff_t lanes = (ptrdiff_t)(32 / sizeof(type));                                                     \
        ptrdiff_t i = 0;                                                                                            \
        for (; i + lanes <= count; i += lanes) *(block *)(to + i) += *(const block *)(from + i);                   \
        for (; i < count; i++) to[i] += from[i];                                                                    \
    }

MINIDL_ADD_RUN(minidl_add_run_float, float)
MINIDL_ADD_RUN(minidl_add_run_double, double)

#undef MINIDL_ADD_RUN

#endif
