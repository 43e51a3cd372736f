/* Depthwise convolution with whole vectors and, for narrow images, with half as wide ones. */
#ifndef MINIDL_DEPTHWISE_H
#define MINIDL_DEPTHWISE_H

#include <stddef.h>
#include <string.h>

#include "real.h"
#include "runs.h"

#if defined(__AVX512F__)
#define MINIDL_WIDE_BYTES 64
#define MINIDL_NARROW_BYTES 32
#elif defined(__AVX__)
#define MINIDL_WIDE_BYTES 32
#define MINIDL_NARROW_BYTES 16
#else
#define MINIDL_WIDE_BYTES 16
#define MINIDL_NARROW_BYTES 16
#endif

/* Rows of a 3x3 kernel's outputs that are computed at once: 7 sums and 9 weights fit 32 registers, 4 and 9 fit 16. */
#if defined(__AVX512F__)
#define MINIDL_ROWS_3 7
#else
#define MINIDL_ROWS_3 4
#endif
#define MINIDL_ROWS 4

#define MINIDL_INLINE static inline __attribute__((always_inline))
/* With registers of its own. */
#define MINIDL_APART static __attribute__((noinline))
#define MINIDL_UNROLL _Pragma("GCC unroll 16")

/* Keeps a vector in its register, and a pointer a pointer: else GCC loads what several sums need once for each of them,
 * and works out the address of every row beforehand, more than there are registers for. */
#if defined(__AVX512F__)
#define MINIDL_HOLD(vector) __asm__("" : "+v"(vector))
#elif defined(__x86_64__)
#define MINIDL_HOLD(vector) __asm__("" : "+x"(vector))
#else
#define MINIDL_HOLD(vector) (void)0
#endif
#define MINIDL_HOLD_POINTER(pointer) __asm__("" : "+r"(pointer))

/* Compared with to make a mask. */
static const integer depthwise_count[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The layout of planes in the workspace, and what is computed from them. Sizes are in numbers. */
typedef struct {
    ptrdiff_t height, width;   /* of a source plane */
    ptrdiff_t top, left;       /* where its first number goes in the padded plane; negative: it is cut off */
    ptrdiff_t gap_height, gap_width; /* from one of its numbers to the next in the padded plane */
    ptrdiff_t columns;         /* of a padded plane that are looked at */
    ptrdiff_t split;           /* columns are sorted by their remainder by this, each remainder in a part of the row */
    ptrdiff_t part, pitch;     /* length of such a part, and of a row */
    ptrdiff_t plane_step;      /* between padded planes */
    ptrdiff_t planes;          /* that are summed over */
    ptrdiff_t kernel_height, kernel_width;
    ptrdiff_t stride, dilation; /* of rows; those of columns are in `column` */
    ptrdiff_t square;          /* whether strides are equal, and dilations 1 */
    ptrdiff_t out_height, out_width;
    ptrdiff_t bands;           /* of output rows that go through the workspace one after the other */
    ptrdiff_t narrow;          /* whether half as wide vectors waste fewer lanes */
    ptrdiff_t ahead;           /* how many items are copied before they are computed */
    ptrdiff_t begin;           /* where the first padded plane begins: the plane's own numbers where a vector does */
    const ptrdiff_t *column;   /* where in a row the taps of output 0 are */
} minidl_depthwise;

#include "depthwise_pack.h"

#define BYTES MINIDL_WIDE_BYTES
#define NAME(name) depthwise_##name##_wide
#include "depthwise_lanes.h"
#undef BYTES
#undef NAME
#define BYTES MINIDL_NARROW_BYTES
#define NAME(name) depthwise_##name##_narrow
#include "depthwise_lanes.h"
#undef BYTES
#undef NAME

static inline void depthwise_correlate(const real *x, const real *w, real bias, real *y, ptrdiff_t rows,
                                       const minidl_depthwise *g) {
    if (g->narrow)
        depthwise_correlate_narrow(x, w, bias, y, rows, g);
    else
        depthwise_correlate_wide(x, w, bias, y, rows, g);
}

static inline void depthwise_spread(const real *grad, const real *w, real *dx, ptrdiff_t rows, ptrdiff_t height,
                                    ptrdiff_t width, int odd, const minidl_depthwise *g) {
    if (g->narrow)
        depthwise_spread_narrow(grad, w, dx, rows, height, width, odd, g);
    else
        depthwise_spread_wide(grad, w, dx, rows, height, width, odd, g);
}

static inline void depthwise_collect(const real *x, const real *grad, ptrdiff_t grad_pitch, real *sums, ptrdiff_t rows,
                                     const minidl_depthwise *g) {
    if (g->narrow)
        depthwise_collect_narrow(x, grad, grad_pitch, sums, rows, g);
    else
        depthwise_collect_wide(x, grad, grad_pitch, sums, rows, g);
}

/* The sum of `lanes` numbers, pairwise; they are lost. */
static inline real depthwise_fold(real *sums, ptrdiff_t lanes) {
    for (ptrdiff_t half = lanes / 2; half > 0; half /= 2)
        for (ptrdiff_t i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

#endif
