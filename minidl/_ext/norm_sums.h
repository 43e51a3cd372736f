/* Sums of runs of numbers in 16 running double sums, always in the same order. */
#ifndef MINIDL_NORM_SUMS_H
#define MINIDL_NORM_SUMS_H

#include <stddef.h>

#include "real.h"

/* lanes[16] += term(i) for i < count; number i goes to sum i % 16. */
#define NORM_SUM(name, arguments, term)                                                                                \
    static void name(arguments, ptrdiff_t count, double mean, double *restrict lanes) {                                \
        double sums[16];                                                                                               \
        for (int lane = 0; lane < 16; lane++) sums[lane] = lanes[lane];                                                \
        for (ptrdiff_t p = 0; p + 16 <= count; p += 16)                                                                \
            for (int lane = 0; lane < 16; lane++) {                                                                    \
                const ptrdiff_t i = p + lane;                                                                          \
                sums[lane] += (term);                                                                                  \
            }                                                                                                          \
        for (int lane = 0; lane < 16; lane++) lanes[lane] = sums[lane];                                                \
        for (int lane = 0; lane < (int)(count % 16); lane++) {                                                         \
            const ptrdiff_t i = count - count % 16 + lane;                                                             \
            lanes[lane] += (term);                                                                                     \
        }                                                                                                              \
    }
#define ARGUMENTS(...) __VA_ARGS__

NORM_SUM(norm_add, const real *restrict x, x[i] - mean)
NORM_SUM(norm_add_squares, const real *restrict x, (x[i] - mean) * (x[i] - mean))
NORM_SUM(norm_add_products, ARGUMENTS(const real *restrict factor, const real *restrict x),
         (double)factor[i] * (x[i] - mean))
NORM_SUM(norm_add_weighted,
         ARGUMENTS(const real *restrict weight, const real *restrict factor, const real *restrict x),
         (double)weight[i] * factor[i] * (x[i] - mean))

#endif
