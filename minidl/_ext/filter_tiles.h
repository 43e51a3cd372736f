/* Convolution with filters in the lanes of vectors: pixels are read where they lie, one at a time for all lanes, so that
 * no column of im2col is ever written, whatever the stride.
 *
 * A tile is some positions of one row (forward) or some taps (the weight's gradient) by one to four vectors of filters,
 * a "panel". What it reads of the filters lies as [k][lanes of the panel], of the outputs' gradients as
 * [position][lanes of the panel].
 */
#ifndef MINIDL_FILTER_TILES_H
#define MINIDL_FILTER_TILES_H

#include "gemm_tiles.h"

/* Sums, the vectors that they need and a factor fill the registers: rows of a tile by its number of vectors. */
#if defined(__AVX512F__)
#define MINIDL_FILTER_VECTORS 4
#define MINIDL_FILTER_EACH(TILE) TILE(1, 12) TILE(1, 6) TILE(1, 1) TILE(2, 12) TILE(2, 6) TILE(2, 1)                   \
    TILE(3, 8) TILE(3, 4) TILE(3, 1) TILE(4, 6) TILE(4, 3) TILE(4, 1)
#define MINIDL_FILTER_TAPS(TILE) TILE(1, 8) TILE(2, 8) TILE(3, 8) TILE(4, 6)
static const int minidl_filter_rows[5] = {0, 12, 12, 8, 6}, minidl_filter_taps[5] = {0, 8, 8, 8, 6};
#else
#define MINIDL_FILTER_VECTORS 3
#define MINIDL_FILTER_EACH(TILE) TILE(1, 8) TILE(1, 4) TILE(1, 1) TILE(2, 6) TILE(2, 3) TILE(2, 1)                     \
    TILE(3, 4) TILE(3, 2) TILE(3, 1)
#define MINIDL_FILTER_TAPS(TILE) TILE(1, 8) TILE(2, 6) TILE(3, 4)
static const int minidl_filter_rows[4] = {0, 8, 6, 4}, minidl_filter_taps[4] = {0, 8, 6, 4};
#endif
#define MINIDL_FILTER_MOST_TAPS 8

/* ---- Forward. ---- */

/* to[i][lane] = bias[lane] + the sum over k < count of x[offset[k] + i * stride] weight[k][lane]. Addresses go by fours,
 * which three registers for multiples of the stride are enough for. */
#define TILE(VB, ROWS)                                                                                                 \
    static void filter_tile_##VB##_##ROWS(const real *restrict x, ptrdiff_t stride,                                    \
                                          const ptrdiff_t *restrict offset, ptrdiff_t count,                           \
                                          const real *restrict weight, const real *restrict bias,                      \
                                          real *restrict to) {                                                         \
        const real *const fifth = x + 4 * stride, *const ninth = x + 8 * stride;                                       \
        TILE_SUMS(sum, ROWS, VB);                                                                                      \
        for (ptrdiff_t k = 0; k < count; k++, weight += VB * WIDTH) {                                                  \
            const ptrdiff_t at = offset[k];                                                                            \
            TILE_ADD(sum, ROWS, VB, (i < 4 ? x : i < 8 ? fifth : ninth)[at + i % 4 * stride],                          \
                     LOAD(weight + v * WIDTH));                                                                        \
        }                                                                                                              \
        TILE_EACH(ROWS, VB, STORE(to + (i * VB + v) * WIDTH, sum[i][v] + LOAD(bias + v * WIDTH)))                      \
    }
MINIDL_FILTER_EACH(TILE)
#undef TILE

/* A row of `columns` positions: whole tiles, the last of which overlaps the one before; smaller ones in short rows. */
static void filter_row(const real *x, ptrdiff_t stride, ptrdiff_t columns, const ptrdiff_t *offset,
                       ptrdiff_t count, const real *weight, int vectors, const real *bias, real *to) {
    const ptrdiff_t most = minidl_filter_rows[vectors];
    const ptrdiff_t rows = columns >= most ? most : columns >= most / 2 ? most / 2 : 1;
    for (ptrdiff_t next = 0; next < columns; next += rows) {
        const ptrdiff_t first = next + rows <= columns ? next : columns - rows;
        const real *from = x + first * stride;
        real *result = to + first * vectors * WIDTH;
#define TILE(VB, ROWS)                                                                                                 \
    if (vectors == VB && rows == ROWS)                                                                                 \
        filter_tile_##VB##_##ROWS(from, stride, offset, count, weight, bias, result);
        MINIDL_FILTER_EACH(TILE)
#undef TILE
    }
}

/* ---- The weight's gradient. ---- */

/* to[i][lane] += the sum over rows and columns of x[offset[i] + row * row_step + column * stride]
 * gradient[row][column][lane]. */
#define TILE(VB, TAPS)                                                                                                 \
    static void filter_taps_##VB##_##TAPS(const real *restrict x, const ptrdiff_t *restrict offset,                    \
                                          ptrdiff_t row_step, ptrdiff_t stride, ptrdiff_t rows,                        \
                                          ptrdiff_t columns, const real *restrict gradient,                            \
                                          real *restrict to) {                                                         \
        TILE_SUMS(sum, TAPS, VB);                                                                                      \
        for (ptrdiff_t row = 0; row < rows; row++, x += row_step) {                                                    \
            const real *seen_by[TAPS];                                                                                 \
            UNROLL for (int i = 0; i < TAPS; i++) seen_by[i] = x + offset[i];                                          \
            for (ptrdiff_t column = 0; column < columns; column++, gradient += VB * WIDTH) {                           \
                const ptrdiff_t at = column * stride;                                                                  \
                TILE_ADD(sum, TAPS, VB, seen_by[i][at], LOAD(gradient + v * WIDTH));                                   \
            }                                                                                                          \
        }                                                                                                              \
        TILE_EACH(TAPS, VB, *(vector *)(to + (i * VB + v) * WIDTH) += sum[i][v])                                       \
    }
MINIDL_FILTER_TAPS(TILE)
#undef TILE

/* All taps: `to` has lanes for whole tiles of them, the last of which repeats the last tap. */
static void filter_gradient(const real *x, const ptrdiff_t *offset, ptrdiff_t count, ptrdiff_t row_step,
                            ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, const real *gradient,
                            int vectors, real *to) {
    const int taps = minidl_filter_taps[vectors];
    for (ptrdiff_t k = 0; k < count; k += taps, to += taps * vectors * WIDTH) {
        ptrdiff_t group[MINIDL_FILTER_MOST_TAPS];
        for (int i = 0; i < taps; i++) group[i] = offset[k + i < count ? k + i : count - 1];
        /* Rows that only the next taps see, other channels': hardware doesn't foresee them. */
        const ptrdiff_t line = 64 / sizeof(real);
        for (ptrdiff_t next = k + taps; next < k + 2 * taps && next < count; next++)
            if (offset[next] - offset[next - 1] >= line)
                for (ptrdiff_t row = 0; row < rows; row++)
                    for (ptrdiff_t i = 0; i < columns * stride; i += line)
                        __builtin_prefetch(x + offset[next] + row * row_step + i, 0, 3);
#define TILE(VB, TAPS)                                                                                                 \
    if (vectors == VB) filter_taps_##VB##_##TAPS(x, group, row_step, stride, rows, columns, gradient, to);
        MINIDL_FILTER_TAPS(TILE)
#undef TILE
    }
}

/* ---- Between lanes and rows. ---- */

/* Fetch `count` numbers of each of `rows` rows into the caches, to be written or to be read. Hardware doesn't foresee so
 * many rows, and a row of results waits for memory longer than for a third of its products. */
static void filter_fetch(const real *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t count, int written) {
    const ptrdiff_t line = 64 / sizeof(real);
    for (ptrdiff_t row = 0; row < rows; row++, from += from_row)
        for (ptrdiff_t i = 0; i < count + line; i += line) {
            const real *at = from + (i < count ? i : count - 1);
            if (written)
                __builtin_prefetch(at, 1, 3);
            else
                __builtin_prefetch(at, 0, 2);
        }
}

/* to[lane][i] = from[i][lane] for `lanes` of `wide`, rows of the result `to_row` apart. */
static void filter_turn(const real *from, ptrdiff_t wide, ptrdiff_t lanes, ptrdiff_t count, real *to,
                        ptrdiff_t to_row) {
    ptrdiff_t lane = 0;
    if (WIDTH >= 4 && count >= WIDTH)
        for (; lane + WIDTH <= lanes; lane += WIDTH)
            for (ptrdiff_t next = 0; next < count; next += WIDTH) {
                /* The last square overlaps the one before. */
                const ptrdiff_t i = next + WIDTH <= count ? next : count - WIDTH;
                vector square[WIDTH];
                UNROLL for (int j = 0; j < WIDTH; j++) square[j] = *(const vector *)(from + (i + j) * wide + lane);
                transpose_square(square);
                UNROLL for (int j = 0; j < WIDTH; j++) *(vector *)(to + (lane + j) * to_row + i) = square[j];
            }
    for (; lane < lanes; lane++)
        for (ptrdiff_t i = 0; i < count; i++) to[lane * to_row + i] = from[i * wide + lane];
}

#endif
