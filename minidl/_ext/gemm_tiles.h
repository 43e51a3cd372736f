/* Matrix products for convolution, one operand of which is packed straight from images: there is no matrix of columns.
 *
 * A tile of the result, ROWS rows by up to three vectors of lanes, stays in registers while the whole inner dimension
 * goes by. Its operands lie as it reads them: `a` as [k][ROWS], each number for all lanes, `b` as [k][LANES].
 */
#ifndef MINIDL_GEMM_TILES_H
#define MINIDL_GEMM_TILES_H

#include <stddef.h>
#include <string.h>

#include "core/register_tile.h"
#include "core/transpose.h"
#include "runs.h"

/* Sums of a tile, the vectors that they need and a factor fill the registers: 28 of 32, or 16 of 16. */
#define MINIDL_GEMM_VECTORS 3
#define MINIDL_GEMM_ROWS (MINIDL_VECTOR_BYTES == 64 ? 8 : 4)

/* The images [image][channel][H][W] that are read, the positions on them, and the taps of a kernel there. A tap has
 * four numbers: its offset in rows and in columns, the first column of positions from which it is inside, and the end
 * of those. */
typedef struct {
    ptrdiff_t H, W, image_step, channel_step;
    ptrdiff_t rows, columns, row_stride, column_stride;
    ptrdiff_t taps;
    const ptrdiff_t *tap;
} minidl_gemm_view;

/* Positions of one row of one image, and where they go: lanes of a panel. */
typedef struct {
    ptrdiff_t image, row, column, count, panel, lane;
} minidl_gemm_run;

/* The runs that positions first to first + count consist of, cut where a panel of `lanes` ends; returns how many. */
static int minidl_gemm_runs(const minidl_gemm_view *view, ptrdiff_t first, ptrdiff_t count, ptrdiff_t lanes,
                            minidl_gemm_run *runs) {
    const ptrdiff_t positions = view->rows * view->columns;
    ptrdiff_t image = first / positions, row = first % positions / view->columns, column = first % view->columns;
    int found = 0;
    for (ptrdiff_t at = 0; at < count;) {
        ptrdiff_t now = view->columns - column;
        if (now > count - at) now = count - at;
        if (now > lanes - at % lanes) now = lanes - at % lanes;
        runs[found++] = (minidl_gemm_run){image, row, column, now, at / lanes, at % lanes};
        at += now;
        column += now;
        if (column == view->columns) {
            column = 0;
            if (++row == view->rows) row = 0, image++;
        }
    }
    return found;
}

#define LANES (MINIDL_GEMM_VECTORS * WIDTH)
#define ROWS MINIDL_GEMM_ROWS

/* ---- The tile. ---- */

/* sum[ROWS][VB] += the sum over k < count of a[k][ROWS] times VB vectors of b[k][LANES]. */
#define GEMM_PRODUCTS(VB)                                                                                              \
    do {                                                                                                               \
        TILE_ADD(sum, ROWS, VB, a[i], LOAD(b + v * WIDTH));                                                            \
        a += ROWS, b += LANES;                                                                                         \
    } while (--count);

/* The result's lines are fetched while the products are computed. */
#define TILE(VB)                                                                                                       \
    static void gemm_tile_##VB(const real *restrict a, const real *restrict b, ptrdiff_t count,                        \
                               const real *restrict bias, int add, real *restrict c, ptrdiff_t c_row) {                \
        TILE_SUMS(sum, ROWS, VB);                                                                                      \
        TILE_EACH(ROWS, VB, __builtin_prefetch(c + i * c_row + v * WIDTH, 1))                                          \
        GEMM_PRODUCTS(VB)                                                                                              \
        if (add)                                                                                                       \
            TILE_EACH(ROWS, VB, sum[i][v] += LOAD(c + i * c_row + v * WIDTH))                                          \
        else                                                                                                           \
            TILE_EACH(ROWS, VB, sum[i][v] += bias[i])                                                                  \
        TILE_EACH(ROWS, VB, STORE(c + i * c_row + v * WIDTH, sum[i][v]))                                               \
    }
EACH_3(TILE)

/* A tile with a[i][k], rows of `a_row` numbers, and always added. Addresses go by fours, which three registers for
 * multiples of the row are enough for. */
#define TILE_OF_ROWS(VB)                                                                                               \
    static void gemm_rows_##VB(const real *restrict a, ptrdiff_t a_row, const real *restrict b, ptrdiff_t count,       \
                               int add, real *restrict c, ptrdiff_t c_row) {                                           \
        const real *second = a + 4 * a_row;                                                                            \
        TILE_SUMS(sum, ROWS, VB);                                                                                      \
        TILE_EACH(ROWS, VB, __builtin_prefetch(c + i * c_row + v * WIDTH, 1))                                          \
        do {                                                                                                           \
            TILE_ADD(sum, ROWS, VB, (i < 4 ? a[i * a_row] : second[(i - 4) * a_row]), LOAD(b + v * WIDTH));            \
            a++, second++, b += LANES;                                                                                 \
        } while (--count);                                                                                             \
        TILE_EACH(ROWS, VB,                                                                                            \
                  if (add) sum[i][v] += LOAD(c + i * c_row + v * WIDTH);                                               \
                  STORE(c + i * c_row + v * WIDTH, sum[i][v]))                                                         \
    }
EACH_3(TILE_OF_ROWS)

/* Vectors that so many lanes fill. */
#define VECTORS_OF(lanes) ((int)(((lanes) + WIDTH - 1) / WIDTH))

/* c[i][lane] = the sum over k < count (at least 1) of a[i][k] b[k][lane], plus c itself if `add`. */
static inline void gemm_tile_of_rows(const real *a, ptrdiff_t a_row, const real *b, ptrdiff_t count,
                                     ptrdiff_t lanes, int add, real *c, ptrdiff_t c_row) {
#define CALL(VB) gemm_rows_##VB(a, a_row, b, count, add, c, c_row)
    SWITCH(VECTORS_OF(lanes), EACH_2, 3, CALL)
#undef CALL
}

/* c[i][lane] = the sum over k < count (at least 1) of a[k][i] b[k][lane], plus c itself or, without `add`, bias[i]. */
static inline void gemm_tile(const real *a, const real *b, ptrdiff_t count, ptrdiff_t lanes, const real *bias,
                             int add, real *c, ptrdiff_t c_row) {
#define CALL(VB) gemm_tile_##VB(a, b, count, bias, add, c, c_row)
    SWITCH(VECTORS_OF(lanes), EACH_2, 3, CALL)
#undef CALL
}

/* ---- What the tile reads. ---- */

/* to[panel][k][lane] = what taps k_start to k_stop (channel by channel) see from the runs' positions, 0 outside. */
static void gemm_gather(const real *x, const minidl_gemm_view *view, ptrdiff_t k_start, ptrdiff_t k_stop,
                        const minidl_gemm_run *runs, int found, real *to, ptrdiff_t to_panel,
                        ptrdiff_t to_row) {
    const ptrdiff_t line = 64 / sizeof(real);
    ptrdiff_t channel = k_start / view->taps, t = k_start % view->taps;
    for (ptrdiff_t k = k_start; k < k_stop; k++, to += to_row) {
        const ptrdiff_t *tap = view->tap + 4 * t;
        const real *plane = x + channel * view->channel_step;
        for (int r = 0; r < found; r++) {
            const ptrdiff_t h = runs[r].row * view->row_stride + tap[0];
            const ptrdiff_t stop = runs[r].column + runs[r].count;
            ptrdiff_t start = runs[r].column > tap[2] ? runs[r].column : tap[2];
            ptrdiff_t end = stop < tap[3] ? stop : tap[3];
            real *lanes = to + runs[r].panel * to_panel + runs[r].lane - runs[r].column;
            if (h < 0 || h >= view->H || start >= end) start = end = stop;
            const real *from = plane + runs[r].image * view->image_step + h * view->W + tap[1];
            for (ptrdiff_t j = runs[r].column; j < start; j++) lanes[j] = 0;
            if (view->taps == 1 && k + 1 < k_stop && start < end)
                /* The next channel's: hardware doesn't foresee another page. */
                for (ptrdiff_t i = start * view->column_stride; i < end * view->column_stride; i += line)
                    __builtin_prefetch(from + view->channel_step + i, 0, 3);
            if (end - start == LANES && view->column_stride == 1)
                UNROLL for (int v = 0; v < LANES; v += WIDTH)
                    STORE(lanes + start + v, LOAD(from + start + v));
            else if (start < end)
                copy_every(lanes + start, from + start * view->column_stride, view->column_stride, end - start);
            for (ptrdiff_t j = end; j < stop; j++) lanes[j] = 0;
        }
        if (++t == view->taps) t = 0, channel++;
    }
}

/* to[k][row] = from[row][k] for the ROWS rows of a panel and so many k as a vector has lanes. */
static inline void gemm_turn_panel(const real *from, ptrdiff_t from_row, real *to) {
    vector rows[ROWS];
    UNROLL for (int i = 0; i < ROWS; i++) rows[i] = *(const vector *)(from + i * from_row);
    /* Merging takes the highest bit of a row's number into the lane's, as its lowest, and the lane's highest instead. */
    UNROLL for (int round = 1; round < ROWS; round *= 2) {
        vector merged[ROWS];
        UNROLL for (int i = 0; i < ROWS / 2; i++) {
            merged[2 * i] = MINIDL_SHUFFLE(rows[i], rows[i + ROWS / 2], MERGED_LOW);
            merged[2 * i + 1] = MINIDL_SHUFFLE(rows[i], rows[i + ROWS / 2], MERGED_HIGH);
        }
        UNROLL for (int i = 0; i < ROWS; i++) rows[i] = merged[i];
    }
    UNROLL for (int i = 0; i < ROWS; i++) *(vector *)(to + i * WIDTH) = rows[i];
}

/* to[k][row] = from[row][k] for `rows` of `wide` rows; zeros in rows beyond. */
static void gemm_turn(const real *from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t count, real *to,
                      ptrdiff_t wide) {
    if (wide == ROWS && rows == ROWS && count >= WIDTH) {
        for (ptrdiff_t next = 0; next < count; next += WIDTH) {
            const ptrdiff_t k = next + WIDTH <= count ? next : count - WIDTH;
            gemm_turn_panel(from + k, from_row, to + k * ROWS);
        }
        return;
    }
    transpose(from, from_row, rows, count, to, wide);
    for (ptrdiff_t k = 0; k < count; k++)
        for (ptrdiff_t row = rows; row < wide; row++) to[k * wide + row] = 0;
}

#undef LANES
#undef ROWS
#undef TILE
#undef TILE_OF_ROWS

#endif
