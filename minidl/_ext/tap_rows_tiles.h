/* The product that an input's gradient is where images have few channels: a row for each channel and tap, whose
 * numbers are added to the pixels that the tap saw.
 */
#ifndef MINIDL_TAP_ROWS_TILES_H
#define MINIDL_TAP_ROWS_TILES_H

#include "gemm_tiles.h"

#define LANES (MINIDL_GEMM_VECTORS * WIDTH)
#define ROWS MINIDL_GEMM_ROWS

/* Rows are written one after the other, since two taps may have seen the same pixels. */
#define TILE(VB)                                                                                                       \
    APART void tap_rows_tile_##VB(const real *restrict a, const real *restrict b, ptrdiff_t count,                     \
                                  const ptrdiff_t *restrict offset, int rows, real *restrict to) {                     \
        TILE_SUMS(sum, ROWS, VB);                                                                                      \
        GEMM_PRODUCTS(VB)                                                                                              \
        UNROLL for (int i = 0; i < ROWS; i++)                                                                          \
            if (i < rows)                                                                                              \
                UNROLL for (int v = 0; v < VB; v++) *(vector *)(to + offset[i] + v * WIDTH) += sum[i][v];              \
    }
EACH_3(TILE)

/* to[offset[i] + lane] += the sum over k < count of a[k][i] b[k][lane], for `rows` of the tile's rows. */
static inline void tap_rows_tile(const real *a, const real *b, ptrdiff_t count, ptrdiff_t lanes,
                                 const ptrdiff_t *offset, int rows, real *to) {
#define CALL(VB) tap_rows_tile_##VB(a, b, count, offset, rows, to)
    SWITCH(VECTORS_OF(lanes), EACH_2, 3, CALL)
#undef CALL
}

/* to[k][lane] = what the gradients of outputs k < count hold at so many positions from `first` on, where rows of `wide`
 * of them have zeros behind, up to `pitch`. */
static void tap_rows_gather(const real *grad, ptrdiff_t step, ptrdiff_t wide, ptrdiff_t pitch, ptrdiff_t first,
                            ptrdiff_t lanes, ptrdiff_t count, real *to) {
    const ptrdiff_t whole = (lanes + WIDTH - 1) / WIDTH * WIDTH;
    for (ptrdiff_t lane = 0, now; lane < whole; lane += now) {
        const ptrdiff_t row = (first + lane) / pitch, column = (first + lane) % pitch;
        const real *from = grad + row * wide + column;
        now = (column < wide && lane < lanes ? wide : pitch) - column;
        if (lane < lanes && now > lanes - lane) now = lanes - lane;
        if (now > whole - lane) now = whole - lane;
        if (lane >= lanes || column >= wide)
            for (ptrdiff_t k = 0; k < count; k++) minidl_zero_run(to + k * LANES + lane, (size_t)now * sizeof(real));
        else if (now == LANES)
            for (ptrdiff_t k = 0; k < count; k++, from += step)
                UNROLL for (int v = 0; v < LANES; v += WIDTH)
                    STORE(to + k * LANES + v, LOAD(from + v));
        else
            for (ptrdiff_t k = 0; k < count; k++, from += step)
                minidl_copy_run(to + k * LANES + lane, from, (size_t)now * sizeof(real));
    }
}

#undef LANES
#undef ROWS
#undef TILE

#endif
