/* Convolution without im2col, for few channels: 16 samples lie side by side, so that each is a lane of a vector.
 *
 * Images are blocks of 16 samples, laid out [channel][row][column][16] with their padding written out. Every load is
 * then a whole vector wherever the window stands, whatever the stride, and a weight is one number for all lanes. A tile
 * keeps some filters times some neighbouring outputs in registers while all taps go by.
 */
#ifndef MINIDL_DIRECT_TILES_H
#define MINIDL_DIRECT_TILES_H

#include <stddef.h>

#include "real.h"
#include "vector.h"

#define MINIDL_LANES 16

/* All steps are in numbers, and may be negative. */
typedef struct {
    ptrdiff_t channels, rows, columns;             /* what is summed over: channels, and taps of the kernel */
    ptrdiff_t x_channel, x_row, x_pixel;           /* x_pixel: between neighbouring outputs */
    const ptrdiff_t *x_columns;                    /* where each column of the kernel looks */
    ptrdiff_t w_channel, w_row, w_column;
    ptrdiff_t y_filter, y_pixel;
} minidl_direct;

/* A sum over positions for the weight gradient. */
typedef struct {
    ptrdiff_t rows, columns;    /* of outputs */
    ptrdiff_t x_row, x_pixel;   /* between outputs */
    const ptrdiff_t *x_taps;    /* where each tap looks */
    ptrdiff_t tail;             /* how many of the last column's lanes count; 0: all of them */
    ptrdiff_t dy_filter, dy_row, dy_pixel;
    ptrdiff_t dw_filter, dw_tap;
    int adds;                   /* to what is there already */
} minidl_direct_sum;

#define VECTOR direct_vector
typedef real VECTOR __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define MASK direct_mask
typedef integer MASK __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
/* a where the mask is set, else b. */
#define CHOOSE(mask, a, b) ((VECTOR)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
#define WIDTH ((int)(MINIDL_VECTOR_BYTES / sizeof(real)))

/* y[f][j] = bias[f] + the sum over channels and taps of w times x, for FB filters and WB neighbouring outputs. */
#define TILE(FB, WB)                                                                                                   \
    static void tile_##FB##_##WB(const real *x, const real *w, const real *bias, real *y,                              \
                                 const minidl_direct *s) {                                                             \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            VECTOR sum[FB][WB];                                                                                        \
            UNROLL for (int f = 0; f < FB; f++)                                                                        \
                UNROLL for (int j = 0; j < WB; j++) sum[f][j] = (VECTOR){0};                                           \
            for (ptrdiff_t c = 0; c < s->channels; c++)                                                                \
                for (ptrdiff_t r = 0; r < s->rows; r++) {                                                              \
                    const real *row = x + part + c * s->x_channel + r * s->x_row;                                      \
                    const real *weights = w + c * s->w_channel + r * s->w_row;                                         \
                    for (ptrdiff_t k = 0; k < s->columns; k++, weights += s->w_column) {                               \
                        const real *from = row + s->x_columns[k];                                                      \
                        VECTOR seen[WB];                                                                               \
                        UNROLL for (int j = 0; j < WB; j++) seen[j] = *(const VECTOR *)(from + j * s->x_pixel);        \
                        UNROLL for (int f = 0; f < FB; f++) {                                                          \
                            const VECTOR weight = weights[f] - (VECTOR){0};                                            \
                            UNROLL for (int j = 0; j < WB; j++) sum[f][j] += weight * seen[j];                         \
                        }                                                                                              \
                    }                                                                                                  \
                }                                                                                                      \
            /* The bias last, as BLAS adds what is there already, so that both round alike. */                         \
            UNROLL for (int f = 0; f < FB; f++)                                                                        \
                UNROLL for (int j = 0; j < WB; j++)                                                                    \
                    *(VECTOR *)(y + part + f * s->y_filter + j * s->y_pixel) = sum[f][j] + (bias ? bias[f] : 0);       \
        }                                                                                                              \
    }

#define TILES(FB)                                                                                                      \
    TILE(FB, 1) TILE(FB, 2) TILE(FB, 3) TILE(FB, 4) TILE(FB, 5) TILE(FB, 6)                                            \
    /* `count` neighbouring outputs of FB filters. */                                                                  \
    static inline void run_##FB(const real *x, const real *w, const real *bias, real *y, ptrdiff_t count,              \
                                const minidl_direct *s, int most) {                                                    \
        while (count > 0) {                                                                                            \
            const int now = count >= most ? most : (int)count;                                                         \
            switch (now) {                                                                                             \
            case 1: tile_##FB##_1(x, w, bias, y, s); break;                                                            \
            case 2: tile_##FB##_2(x, w, bias, y, s); break;                                                            \
            case 3: tile_##FB##_3(x, w, bias, y, s); break;                                                            \
            case 4: tile_##FB##_4(x, w, bias, y, s); break;                                                            \
            case 5: tile_##FB##_5(x, w, bias, y, s); break;                                                            \
            default: tile_##FB##_6(x, w, bias, y, s);                                                                  \
            }                                                                                                          \
            x += now * s->x_pixel, y += now * s->y_pixel, count -= now;                                                \
        }                                                                                                              \
    }

TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)

/* `count` neighbouring outputs of `filters` (1 to 6) filters, whose weights lie side by side. */
static inline void direct_run(const real *x, const real *w, const real *bias, real *y, ptrdiff_t count, int filters,
                              const minidl_direct *s) {
    /* As many as fill the registers: 24 sums of 32, or 12 of 16. */
    const int full = MINIDL_VECTOR_BYTES == 64;
    switch (filters) {
    case 1: run_1(x, w, bias, y, count, s, 6); break;
    case 2: run_2(x, w, bias, y, count, s, full ? 6 : 5); break;
    case 3: run_3(x, w, bias, y, count, s, full ? 6 : 3); break;
    case 4: run_4(x, w, bias, y, count, s, full ? 6 : 3); break;
    case 5: run_5(x, w, bias, y, count, s, full ? 4 : 2); break;
    default: run_6(x, w, bias, y, count, s, full ? 4 : 2);
    }
}

/* All bits set in those lanes of a part, which begins at lane `part`, that lie before `tail`. */
static inline MASK until(ptrdiff_t part, ptrdiff_t tail) {
    integer inside[WIDTH];
    for (int i = 0; i < WIDTH; i++) inside[i] = part + i < tail ? -1 : 0;
    return *(const MASK *)inside;
}

/* dw[f][k] = (or, if it `adds`, +=) the sum over positions of dy[f] times what tap k sees, lane by lane. */
#define SUM_TILE(FB, KB)                                                                                               \
    static void sum_##FB##_##KB(const real *x, const real *dy, real *dw, const minidl_direct_sum *s) {                 \
        const ptrdiff_t full = s->columns - (s->tail > 0);                                                             \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            const MASK inside = until(part, s->tail);                                                                  \
            VECTOR sum[FB][KB];                                                                                        \
            UNROLL for (int f = 0; f < FB; f++)                                                                        \
                UNROLL for (int k = 0; k < KB; k++) sum[f][k] = (VECTOR){0};                                           \
            for (ptrdiff_t r = 0; r < s->rows; r++) {                                                                  \
                const real *from = x + part + r * s->x_row, *grad = dy + part + r * s->dy_row;                         \
                for (ptrdiff_t i = 0; i < full; i++, from += s->x_pixel, grad += s->dy_pixel) {                        \
                    VECTOR seen[KB];                                                                                   \
                    UNROLL for (int k = 0; k < KB; k++) seen[k] = *(const VECTOR *)(from + s->x_taps[k]);              \
                    UNROLL for (int f = 0; f < FB; f++) {                                                              \
                        const VECTOR here = *(const VECTOR *)(grad + f * s->dy_filter);                                \
                        UNROLL for (int k = 0; k < KB; k++) sum[f][k] += here * seen[k];                               \
                    }                                                                                                  \
                }                                                                                                      \
                if (s->tail > part) {                                                                                  \
                    VECTOR seen[KB];                                                                                   \
                    UNROLL for (int k = 0; k < KB; k++)                                                                \
                        seen[k] = (VECTOR)(inside & *(const MASK *)(from + s->x_taps[k]));                             \
                    UNROLL for (int f = 0; f < FB; f++) {                                                              \
                        const VECTOR here = *(const VECTOR *)(grad + f * s->dy_filter);                                \
                        UNROLL for (int k = 0; k < KB; k++) sum[f][k] += here * seen[k];                               \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
            UNROLL for (int f = 0; f < FB; f++)                                                                        \
                UNROLL for (int k = 0; k < KB; k++) {                                                                  \
                    VECTOR *to = (VECTOR *)(dw + part + f * s->dw_filter + k * s->dw_tap);                             \
                    if (s->adds)                                                                                       \
                        *to += sum[f][k];                                                                              \
                    else                                                                                               \
                        *to = sum[f][k];                                                                               \
                }                                                                                                      \
        }                                                                                                              \
    }
#define SUM_TILES(FB) SUM_TILE(FB, 1) SUM_TILE(FB, 2) SUM_TILE(FB, 3) SUM_TILE(FB, 4) SUM_TILE(FB, 5) SUM_TILE(FB, 6) SUM_TILE(FB, 7)
SUM_TILES(1) SUM_TILES(2) SUM_TILES(3) SUM_TILES(4)

#define SUM_CASE(FB)                                                                                                   \
    switch (taps) {                                                                                                    \
    case 1: sum_##FB##_1(x, dy, dw, s); break;                                                                         \
    case 2: sum_##FB##_2(x, dy, dw, s); break;                                                                         \
    case 3: sum_##FB##_3(x, dy, dw, s); break;                                                                         \
    case 4: sum_##FB##_4(x, dy, dw, s); break;                                                                         \
    case 5: sum_##FB##_5(x, dy, dw, s); break;                                                                         \
    case 6: sum_##FB##_6(x, dy, dw, s); break;                                                                         \
    default: sum_##FB##_7(x, dy, dw, s);                                                                               \
    }
/* The same for 1 to 4 filters and 1 to 7 taps. */
static inline void direct_sum(const real *x, const real *dy, real *dw, int filters, int taps, const minidl_direct_sum *s) {
    switch (filters) {
    case 1: SUM_CASE(1) break;
    case 2: SUM_CASE(2) break;
    case 3: SUM_CASE(3) break;
    default: SUM_CASE(4)
    }
}
/* The larger of two values and where it stood, the first of equal ones; NaN over everything. */
#define LARGER(a, a_place, b, b_place, best, place)                                                                    \
    do {                                                                                                               \
        const MASK wins = ((b) > (a)) | ((b) != (b));                                                                  \
        best = CHOOSE(wins, b, a), place = CHOOSE(wins, b_place, a_place);                                             \
    } while (0)

/* `direct_pool` for windows of 2 x 2, in pairs that don't wait for each other. */
static inline void pool_by_two(const real *y, ptrdiff_t y_row, int relu, ptrdiff_t count, real *out, real *place) {
    const VECTOR zero = {0}, one = zero + 1, two = zero + 2, three = zero + 3;
    for (ptrdiff_t q = 0; q < count; q++, y += 2 * MINIDL_LANES, out += MINIDL_LANES, place += MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const real *from = y + part;
            const VECTOR a = *(const VECTOR *)from, b = *(const VECTOR *)(from + MINIDL_LANES);
            const VECTOR c = *(const VECTOR *)(from + y_row), d = *(const VECTOR *)(from + y_row + MINIDL_LANES);
            VECTOR above, below, best, above_place, below_place, where;
            LARGER(a, zero, b, one, above, above_place);
            LARGER(c, two, d, three, below, below_place);
            LARGER(above, above_place, below, below_place, best, where);
            if (relu) {
                const MASK cut = best <= zero;
                best = CHOOSE(cut, zero, best), where = CHOOSE(cut, zero - 1, where);
            }
            *(VECTOR *)(out + part) = best;
            *(VECTOR *)(place + part) = where;
        }
}

/* One row of pooled outputs: of `rows` x `columns` neighbouring values the largest, the first of equal ones, NaN over
 * everything; 0 where it is not positive and `relu` is set. place is where it stood in the window, as a number of the
 * same width, so that comparing needs no conversion; -1 where relu cut it. */
static inline void direct_pool(const real *y, ptrdiff_t y_row, int rows, int columns, int relu, ptrdiff_t count,
                               real *out, real *place) {
    if (rows == 2 && columns == 2) {
        pool_by_two(y, y_row, relu, count, out, place);
        return;
    }
    for (ptrdiff_t q = 0; q < count; q++, y += columns * MINIDL_LANES, out += MINIDL_LANES, place += MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            VECTOR best = *(const VECTOR *)(y + part), where = (VECTOR){0};
            for (int r = 0; r < rows; r++)
                for (int k = r == 0; k < columns; k++) {
                    const VECTOR value = *(const VECTOR *)(y + part + r * y_row + k * MINIDL_LANES);
                    const MASK wins = (value > best) | (value != value);
                    best = CHOOSE(wins, value, best);
                    where = CHOOSE(wins, (VECTOR){0} + (real)(r * columns + k), where);
                }
            if (relu) {
                const MASK cut = best <= 0;
                best = CHOOSE(cut, (VECTOR){0}, best);
                where = CHOOSE(cut, (VECTOR){0} - 1, where);
            }
            *(VECTOR *)(out + part) = best;
            *(VECTOR *)(place + part) = where;
        }
}

/* One row of the gradient before pooling: row `row` of the windows, zeros where another place was chosen. */
static inline void direct_spread(const real *grad, const real *place, int row, int columns, ptrdiff_t count,
                                 real *dy) {
    if (columns == 2) {
        const VECTOR zero = {0}, left = zero + (real)(2 * row), right = left + 1;
        for (ptrdiff_t q = 0; q < count; q++, grad += MINIDL_LANES, place += MINIDL_LANES, dy += 2 * MINIDL_LANES)
            for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
                const VECTOR where = *(const VECTOR *)(place + part), value = *(const VECTOR *)(grad + part);
                *(VECTOR *)(dy + part) = CHOOSE(where == left, value, zero);
                *(VECTOR *)(dy + part + MINIDL_LANES) = CHOOSE(where == right, value, zero);
            }
        return;
    }
    for (ptrdiff_t q = 0; q < count; q++, grad += MINIDL_LANES, place += MINIDL_LANES, dy += columns * MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const VECTOR where = *(const VECTOR *)(place + part), value = *(const VECTOR *)(grad + part);
            for (int k = 0; k < columns; k++)
                *(VECTOR *)(dy + part + k * MINIDL_LANES) =
                    CHOOSE(where == (VECTOR){0} + (real)(row * columns + k), value, (VECTOR){0});
        }
}

/* The sum of 16 lanes, neighbours' halves first. */
static inline real direct_fold(const real *lanes) {
    typedef real eight __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));
    typedef real four __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const eight halves = *(const eight *)lanes + *(const eight *)(lanes + 8);
    const four quarters = *(const four *)&halves + *((const four *)&halves + 1);
    return (quarters[0] + quarters[2]) + (quarters[1] + quarters[3]);
}

/* The sum of what passes back through the chosen places. */
static inline real direct_total(const real *grad, const real *place, ptrdiff_t count) {
    real lanes[MINIDL_LANES];
    for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
        VECTOR sum = (VECTOR){0};
        for (ptrdiff_t q = 0; q < count; q++) {
            const VECTOR where = *(const VECTOR *)(place + q * MINIDL_LANES + part);
            sum += CHOOSE(where >= 0, *(const VECTOR *)(grad + q * MINIDL_LANES + part), (VECTOR){0});
        }
        *(VECTOR *)(lanes + part) = sum;
    }
    return direct_fold(lanes);
}

#undef TILE
#undef TILES
#undef SUM_TILE
#undef SUM_TILES
#undef SUM_CASE
#undef LARGER
#undef VECTOR
#undef MASK
#undef CHOOSE
#undef WIDTH

#endif
