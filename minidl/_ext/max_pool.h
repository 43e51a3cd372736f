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

typedef struct {
    ptrdiff_t kernel_height, kernel_width; /* taps */
    ptrdiff_t row_step, column_step;       /* between taps, in elements */
    ptrdiff_t stride;                      /* between neighbouring windows: 1 or 2 */
} minidl_taps;

#define MINIDL_MAX_BLOCK(name, type, int_type, lanes, ODD)                                                             \
    static inline void name(const type *first, int position, const minidl_taps *taps, type *output, int *argmax) {     \
        typedef type values __attribute__((vector_size(lanes * sizeof(type))));                                        \
        typedef int_type integers __attribute__((vector_size(lanes * sizeof(type))));                                  \
        typedef type unaligned __attribute__((vector_size(lanes * sizeof(type)), aligned(sizeof(type)), may_alias));   \
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
                    value = __builtin_shuffle(value, (values)*(const unaligned *)(first + offset + lanes - 1), ODD);   \
                const integers wins = (value > best) | (value != value);                                               \
                best = (values)((wins & (integers)value) | (~wins & (integers)best));                                  \
                index = (wins & (start + (int_type)offset)) | (~wins & index);                                         \
            }                                                                                                          \
        }                                                                                                              \
        *(unaligned *)output = best;                                                                                   \
        for (int i = 0; i < lanes; i++) argmax[i] = (int)index[i];                                                     \
    }

#define MINIDL_MAX_RUN(name, type, int_type)                                                                           \
    MINIDL_MAX_BLOCK(name##_4, type, int_type, 4, ((integers){0, 2, 5, 7}))                                            \
    MINIDL_MAX_BLOCK(name##_8, type, int_type, 8, ((integers){0, 2, 4, 6, 9, 11, 13, 15}))                             \
    /* `count` windows, at least 4, whose first taps are at `first`, `first + stride`, ... */                          \
    static void name(const type *first, int position, const minidl_taps *taps, ptrdiff_t count, type *output,          \
                     int *argmax) {                                                                                    \
        const ptrdiff_t lanes = count < 8 ? 4 : 8;                                                                     \
        for (ptrdiff_t i = 0; i < count; i += lanes) {                                                                 \
            if (i > count - lanes) i = count - lanes;                                                                  \
            const type *at = first + i * taps->stride;                                                                 \
            if (lanes == 4)                                                                                            \
                name##_4(at, position + (int)(i * taps->stride), taps, output + i, argmax + i);                        \
            else                                                                                                       \
                name##_8(at, position + (int)(i * taps->stride), taps, output + i, argmax + i);                        \
        }                                                                                                              \
    }

MINIDL_MAX_RUN(minidl_max_run_float, float, int)
MINIDL_MAX_RUN(minidl_max_run_double, double, long long)

#undef MINIDL_MAX_RUN
#undef MINIDL_MAX_BLOCK

#endif
