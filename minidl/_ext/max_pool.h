/* Max pooling of a run of neighbouring windows that lie inside the image: 8 or 4 of them in vector lanes.
 *
 * The best value and its position stay in registers while the window's taps go by; a larger value wins over the one
 * before, so the first of equal ones stays, and NaN wins over everything. The rows of small images are short, so a run
 * that is no multiple of the lanes ends with a block that overlaps the one before: computing a window twice changes
 * nothing.
 */
#ifndef MINIDL_MAX_POOL_H
#define MINIDL_MAX_POOL_H

#include <stddef.h>

#include "real.h"

typedef struct {
    ptrdiff_t kernel_height, kernel_width; /* taps */
    ptrdiff_t row_step, column_step;       /* between taps, in elements */
    ptrdiff_t stride;                      /* between neighbouring windows: 1 or 2 */
} minidl_taps;

#define LIST(...) __VA_ARGS__
#define MAX_BLOCK(name, lanes, ODD)                                                                                    \
    static inline __attribute__((always_inline)) void name(const real *first, int position, const minidl_taps *taps,   \
                                                           real *output, int *argmax) {                                \
        typedef real values __attribute__((vector_size(lanes * sizeof(real))));                                        \
        typedef integer integers __attribute__((vector_size(lanes * sizeof(real))));                                   \
        typedef real unaligned __attribute__((vector_size(lanes * sizeof(real)), aligned(sizeof(real)), may_alias));   \
        values best;                                                                                                   \
        integers index;                                                                                                \
        for (int i = 0; i < lanes; i++) {                                                                              \
            best[i] = -__builtin_inf();                                                                                \
            index[i] = position + i * (int)taps->stride;                                                               \
        }                                                                                                              \
        const integers start = index;                                                                                  \
        for (ptrdiff_t kh = 0; kh < taps->kernel_height; kh++) {                                                       \
            for (ptrdiff_t kw = 0; kw < taps->kernel_width; kw++) {                                                    \
                const ptrdiff_t offset = kh * taps->row_step + kw * taps->column_step;                                 \
                values value = *(const unaligned *)(first + offset);                                                   \
                if (taps->stride == 2)                                                                                 \
                    /* The second load ends at the last value that is needed, and reads nothing beyond it. */          \
                    value = __builtin_shufflevector(value, (values)*(const unaligned *)(first + offset + lanes - 1),   \
                                                    ODD);                                                              \
                const integers wins = (value > best) | (value != value);                                               \
                best = (values)((wins & (integers)value) | (~wins & (integers)best));                                  \
                index = (wins & (start + (integer)offset)) | (~wins & index);                                          \
            }                                                                                                          \
        }                                                                                                              \
        *(unaligned *)output = best;                                                                                   \
        for (int i = 0; i < lanes; i++) argmax[i] = (int)index[i];                                                     \
    }

MAX_BLOCK(max_block_4, 4, LIST(0, 2, 5, 7))
MAX_BLOCK(max_block_8, 8, LIST(0, 2, 4, 6, 9, 11, 13, 15))

#undef MAX_BLOCK
#undef LIST

/* `count` windows, at least 4, whose first taps are at `first`, `first + stride`, ... */
static void max_run(const real *first, int position, const minidl_taps *taps, ptrdiff_t count, real *output,
                    int *argmax) {
    const ptrdiff_t lanes = count < 8 ? 4 : 8;
    for (ptrdiff_t i = 0; i < count; i += lanes) {
        if (i > count - lanes) i = count - lanes;
        const real *at = first + i * taps->stride;
        if (lanes == 4)
            max_block_4(at, position + (int)(i * taps->stride), taps, output + i, argmax + i);
        else
            max_block_8(at, position + (int)(i * taps->stride), taps, output + i, argmax + i);
    }
}

/* One window of `rows` by `count` neighbouring positions, at least 8: eight interleaved windows in lanes, with taps 8
 * apart, and the last 8 positions of each row once more, then the best of all lanes. */
static void max_span(const real *first, int position, ptrdiff_t rows, ptrdiff_t row_step, ptrdiff_t count, real *output,
                     int *argmax) {
    const minidl_taps whole = {rows, count / 8, row_step, 8, 1}, rest = {rows, 1, row_step, 8, 1};
    const ptrdiff_t last = count - 8;
    real best[16];
    int index[16];
    max_block_8(first, position, &whole, best, index);
    max_block_8(first + last, position + (int)last, &rest, best + 8, index + 8);
    int at = 0;
    for (int i = 1; i < 16; i++) {
        const int wins = best[at] != best[at] ? best[i] != best[i] && index[i] > index[at]
                                              : best[i] > best[at] || best[i] != best[i] ||
                                                    (best[i] == best[at] && index[i] < index[at]);
        if (wins) at = i;
    }
    *output = best[at];
    *argmax = index[at];
}

#endif
