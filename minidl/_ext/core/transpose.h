/* Transpositions by squares in registers: done number by number, each store or load would touch another cache line. */
#ifndef MINIDL_TRANSPOSE_H
#define MINIDL_TRANSPOSE_H

#include <string.h>

#include "register_tile.h"

typedef real square_row __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* to[k][i] = from[i][k] for a square of 4. */
static inline void transpose_four(const real *from, ptrdiff_t from_row, real *to, ptrdiff_t to_row) {
    const square_row a = *(const square_row *)from, b = *(const square_row *)(from + from_row);
    const square_row c = *(const square_row *)(from + 2 * from_row), d = *(const square_row *)(from + 3 * from_row);
    const square_row ab = MINIDL_SHUFFLE(a, b, MERGED_LOW), cd = MINIDL_SHUFFLE(c, d, MERGED_LOW);
    const square_row ab2 = MINIDL_SHUFFLE(a, b, MERGED_HIGH), cd2 = MINIDL_SHUFFLE(c, d, MERGED_HIGH);
    *(square_row *)to = MINIDL_SHUFFLE(ab, cd, FIRST_HALVES);
    *(square_row *)(to + to_row) = MINIDL_SHUFFLE(ab, cd, LAST_HALVES);
    *(square_row *)(to + 2 * to_row) = MINIDL_SHUFFLE(ab2, cd2, FIRST_HALVES);
    *(square_row *)(to + 3 * to_row) = MINIDL_SHUFFLE(ab2, cd2, LAST_HALVES);
}

/* A square of vectors, by rounds of interleaving the upper half of the rows with the lower half. */
static inline __attribute__((always_inline)) void transpose_square(vector rows[WIDTH]) {
    for (int round = 1; round < WIDTH; round *= 2) {
        vector mixed[WIDTH];
        for (int i = 0; i < WIDTH / 2; i++) {
            mixed[2 * i] = MINIDL_SHUFFLE(rows[i], rows[i + WIDTH / 2], MERGED_LOW);
            mixed[2 * i + 1] = MINIDL_SHUFFLE(rows[i], rows[i + WIDTH / 2], MERGED_HIGH);
        }
        for (int i = 0; i < WIDTH; i++) rows[i] = mixed[i];
    }
}

/* A square of vectors from memory to memory. */
static inline void transpose_vectors(const real *from, ptrdiff_t from_row, real *to, ptrdiff_t to_row) {
    vector square[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i++) square[i] = LOAD(from + i * from_row);
    transpose_square(square);
    UNROLL for (int i = 0; i < WIDTH; i++) STORE(to + i * to_row, square[i]);
}

/* to[k][i] = from[i][k] for i < rows and k < count. A last square overlaps the one before. */
static void transpose(const real *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t count, real *to,
                      ptrdiff_t to_row) {
    const ptrdiff_t least = rows < count ? rows : count, side = WIDTH > 4 && least >= WIDTH ? WIDTH : 4;
    if (least < 4) {
        for (ptrdiff_t k = 0; k < count; k++)
            for (ptrdiff_t i = 0; i < rows; i++) to[k * to_row + i] = from[i * from_row + k];
        return;
    }
    for (ptrdiff_t next_row = 0; next_row < rows; next_row += side) {
        const ptrdiff_t i = next_row + side <= rows ? next_row : rows - side;
        for (ptrdiff_t next = 0; next < count; next += side) {
            const ptrdiff_t k = next + side <= count ? next : count - side;
            if (side == 4)
                transpose_four(from + i * from_row + k, from_row, to + k * to_row + i, to_row);
            else
                transpose_vectors(from + i * from_row + k, from_row, to + k * to_row + i, to_row);
        }
    }
}

/* Up to 16 rows, `row` apart, to [column][16]; lanes without a row become 0. */
static inline void to_lanes(const real *rows, ptrdiff_t row, ptrdiff_t count, ptrdiff_t columns, real *lanes) {
    if (count < 16) memset(lanes, 0, (size_t)columns * 16 * sizeof(real));
    transpose(rows, row, count, columns, lanes, 16);
}

/* The other way round, for `count` of the lanes. */
static inline void to_rows(const real *lanes, ptrdiff_t count, ptrdiff_t columns, real *rows, ptrdiff_t row) {
    transpose(lanes, 16, columns, count, rows, row);
}

#endif
