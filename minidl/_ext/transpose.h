/* Between rows of samples and blocks of 16 samples side by side: a transposition of 16 by `columns`.
 *
 * Squares of 4 go through registers; done number by number, each store or load would touch another cache line.
 */
#ifndef MINIDL_TRANSPOSE_H
#define MINIDL_TRANSPOSE_H

#include <stddef.h>

#include "real.h"
#include "vector.h"

typedef real square_row __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* to[j][i] = from[i][j] for a square of 4. */
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

/* Up to 16 rows, `row` apart, to [column][16]; lanes without a row become 0. */
static inline void to_lanes(const real *rows, ptrdiff_t row, ptrdiff_t count, ptrdiff_t columns, real *lanes) {
    ptrdiff_t i = 0;
    if (count == 16)
        for (; i + 4 <= columns; i += 4)
            for (int lane = 0; lane < 16; lane += 4)
                transpose_four(rows + lane * row + i, row, lanes + i * 16 + lane, 16);
    for (; i < columns; i++)
        for (int lane = 0; lane < 16; lane++) lanes[i * 16 + lane] = lane < count ? rows[lane * row + i] : 0;
}

/* The other way round, for `count` of the lanes. */
static inline void to_rows(const real *lanes, ptrdiff_t count, ptrdiff_t columns, real *rows, ptrdiff_t row) {
    ptrdiff_t i = 0;
    if (count == 16)
        for (; i + 4 <= columns; i += 4)
            for (int lane = 0; lane < 16; lane += 4)
                transpose_four(lanes + i * 16 + lane, 16, rows + lane * row + i, row);
    for (int lane = 0; lane < count; lane++)
        for (ptrdiff_t j = i; j < columns; j++) rows[lane * row + j] = lanes[j * 16 + lane];
}

#endif
