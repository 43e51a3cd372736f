/* Convolution without im2col, for few channels: 16 samples lie side by side, so that each is a lane of a vector.
 *
 * Images are blocks of 16 samples, laid out [channel][row][column][16] with their padding written out. Every load is
 * then a whole vector wherever the window stands, whatever the stride, and a weight is one number for all lanes. A tile
 * keeps some filters times some neighbouring outputs in registers while all taps go by.
 */
#ifndef MINIDL_DIRECT_TILES_H
#define MINIDL_DIRECT_TILES_H

#include "core/register_tile.h"

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

/* y[f][j] = bias[f] + the sum over channels and taps of w times x, for FB filters and WB neighbouring outputs. */
#define TILE(FB, WB)                                                                                                   \
    static void tile_##FB##_##WB(const real *x, const real *w, const real *bias, real *y,                              \
                                 const minidl_direct *s) {                                                             \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            TILE_SUMS(sum, FB, WB);                                                                                    \
            for (ptrdiff_t c = 0; c < s->channels; c++)                                                                \
                for (ptrdiff_t r = 0; r < s->rows; r++) {                                                              \
                    const real *row = x + part + c * s->x_channel + r * s->x_row;                                      \
                    const real *weights = w + c * s->w_channel + r * s->w_row;                                         \
                    for (ptrdiff_t k = 0; k < s->columns; k++, weights += s->w_column) {                               \
                        const real *from = row + s->x_columns[k];                                                      \
                        TILE_ADD(sum, FB, WB, weights[i], LOAD(from + v * s->x_pixel));                                \
                    }                                                                                                  \
                }                                                                                                      \
            /* The bias last, as BLAS adds what is there already, so that both round alike. */                         \
            TILE_EACH(FB, WB,                                                                                          \
                      STORE(y + part + i * s->y_filter + v * s->y_pixel, sum[i][v] + (bias ? bias[i] : 0)))            \
        }                                                                                                              \
    }

#define CALL(WB, FB) tile_##FB##_##WB(x, w, bias, y, s)
/* `count` neighbouring outputs of FB filters. */
#define RUN(FB)                                                                                                        \
    TILE(FB, 1) TILE(FB, 2) TILE(FB, 3) TILE(FB, 4) TILE(FB, 5) TILE(FB, 6)                                            \
    static inline void run_##FB(const real *x, const real *w, const real *bias, real *y, ptrdiff_t count,              \
                                const minidl_direct *s, int most) {                                                    \
        while (count > 0) {                                                                                            \
            const int now = count >= most ? most : (int)count;                                                         \
            SWITCH(now, EACH_5, 6, CALL, FB)                                                                           \
            x += now * s->x_pixel, y += now * s->y_pixel, count -= now;                                                \
        }                                                                                                              \
    }
RUN(1) RUN(2) RUN(3) RUN(4) RUN(5) RUN(6)
#undef CALL

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
static inline mask lanes_before(ptrdiff_t part, ptrdiff_t tail) {
    integer inside[WIDTH];
    for (int i = 0; i < WIDTH; i++) inside[i] = part + i < tail ? -1 : 0;
    return *(const mask *)inside;
}

/* dw[f][k] = (or, if it `adds`, +=) the sum over positions of dy[f] times what tap k sees, lane by lane. */
#define SUM_TILE(FB, KB)                                                                                               \
    static void sum_##FB##_##KB(const real *x, const real *dy, real *dw, const minidl_direct_sum *s) {                 \
        const ptrdiff_t full = s->columns - (s->tail > 0);                                                             \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            const mask inside = lanes_before(part, s->tail);                                                                  \
            TILE_SUMS(sum, FB, KB);                                                                                    \
            for (ptrdiff_t r = 0; r < s->rows; r++) {                                                                  \
                const real *from = x + part + r * s->x_row, *grad = dy + part + r * s->dy_row;                         \
                for (ptrdiff_t at = 0; at < full; at++, from += s->x_pixel, grad += s->dy_pixel)                       \
                    TILE_ADD(sum, FB, KB, LOAD(grad + i * s->dy_filter), LOAD(from + s->x_taps[v]));                   \
                if (s->tail > part)                                                                                    \
                    TILE_ADD(sum, FB, KB, LOAD(grad + i * s->dy_filter),                                               \
                             (vector)(inside & (mask)LOAD(from + s->x_taps[v])));                                      \
            }                                                                                                          \
            TILE_EACH(FB, KB,                                                                                          \
                      real *to = dw + part + i * s->dw_filter + v * s->dw_tap;                                         \
                      if (s->adds) sum[i][v] += LOAD(to);                                                              \
                      STORE(to, sum[i][v]))                                                                            \
        }                                                                                                              \
    }
#define SUM_TILES(FB) SUM_TILE(FB, 1) SUM_TILE(FB, 2) SUM_TILE(FB, 3) SUM_TILE(FB, 4) SUM_TILE(FB, 5) SUM_TILE(FB, 6) SUM_TILE(FB, 7)
EACH_4(SUM_TILES)

#define CALL(KB, FB) sum_##FB##_##KB(x, dy, dw, s)
#define SUM_CASE(FB) SWITCH(taps, EACH_6, 7, CALL, FB)
/* The same for 1 to 4 filters and 1 to 7 taps. */
static inline void direct_sum(const real *x, const real *dy, real *dw, int filters, int taps, const minidl_direct_sum *s) {
    switch (filters) {
    case 1: SUM_CASE(1) break;
    case 2: SUM_CASE(2) break;
    case 3: SUM_CASE(3) break;
    default: SUM_CASE(4)
    }
}
#undef CALL

/* The larger of two values and where it stood, the first of equal ones; NaN over everything. */
#define LARGER(a, a_place, b, b_place, best, place)                                                                    \
    do {                                                                                                               \
        const mask wins = ((b) > (a)) | ((b) != (b));                                                                  \
        best = CHOOSE(wins, b, a), place = CHOOSE(wins, b_place, a_place);                                             \
    } while (0)

/* `direct_pool` for windows of 2 x 2, in pairs that don't wait for each other. */
static inline void pool_by_two(const real *y, ptrdiff_t y_row, int relu, ptrdiff_t count, real *out, real *place) {
    const vector zero = {0}, one = zero + 1, two = zero + 2, three = zero + 3;
    for (ptrdiff_t q = 0; q < count; q++, y += 2 * MINIDL_LANES, out += MINIDL_LANES, place += MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const real *from = y + part;
            const vector a = LOAD(from), b = *(const vector *)(from + MINIDL_LANES);
            const vector c = *(const vector *)(from + y_row), d = *(const vector *)(from + y_row + MINIDL_LANES);
            vector above, below, best, above_place, below_place, where;
            LARGER(a, zero, b, one, above, above_place);
            LARGER(c, two, d, three, below, below_place);
            LARGER(above, above_place, below, below_place, best, where);
            if (relu) {
                const mask cut = best <= zero;
                best = CHOOSE(cut, zero, best), where = CHOOSE(cut, zero - 1, where);
            }
            *(vector *)(out + part) = best;
            *(vector *)(place + part) = where;
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
            vector best = *(const vector *)(y + part), where = (vector){0};
            for (int r = 0; r < rows; r++)
                for (int k = r == 0; k < columns; k++) {
                    const vector value = *(const vector *)(y + part + r * y_row + k * MINIDL_LANES);
                    const mask wins = (value > best) | (value != value);
                    best = CHOOSE(wins, value, best);
                    where = CHOOSE(wins, (vector){0} + (real)(r * columns + k), where);
                }
            if (relu) {
                const mask cut = best <= 0;
                best = CHOOSE(cut, (vector){0}, best);
                where = CHOOSE(cut, (vector){0} - 1, where);
            }
            *(vector *)(out + part) = best;
            *(vector *)(place + part) = where;
        }
}

/* One row of the gradient before pooling: row `row` of the windows, zeros where another place was chosen. */
static inline void direct_spread(const real *grad, const real *place, int row, int columns, ptrdiff_t count,
                                 real *dy) {
    if (columns == 2) {
        const vector zero = {0}, left = zero + (real)(2 * row), right = left + 1;
        for (ptrdiff_t q = 0; q < count; q++, grad += MINIDL_LANES, place += MINIDL_LANES, dy += 2 * MINIDL_LANES)
            for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
                const vector where = *(const vector *)(place + part), value = *(const vector *)(grad + part);
                *(vector *)(dy + part) = CHOOSE(where == left, value, zero);
                *(vector *)(dy + part + MINIDL_LANES) = CHOOSE(where == right, value, zero);
            }
        return;
    }
    for (ptrdiff_t q = 0; q < count; q++, grad += MINIDL_LANES, place += MINIDL_LANES, dy += columns * MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const vector where = *(const vector *)(place + part), value = *(const vector *)(grad + part);
            for (int k = 0; k < columns; k++)
                *(vector *)(dy + part + k * MINIDL_LANES) =
                    CHOOSE(where == (vector){0} + (real)(row * columns + k), value, (vector){0});
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

/* The sum of what passes back through the chosen places: short sums in lanes, which are added in double precision. */
static inline real direct_total(const real *grad, const real *place, ptrdiff_t count) {
    const ptrdiff_t together = 32;
    double total = 0;
    for (ptrdiff_t first = 0; first < count; first += together) {
        const ptrdiff_t stop = first + together < count ? first + together : count;
        real lanes[MINIDL_LANES];
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            vector sum = (vector){0};
            for (ptrdiff_t q = first; q < stop; q++) {
                const vector where = LOAD(place + q * MINIDL_LANES + part);
                sum += CHOOSE(where >= 0, LOAD(grad + q * MINIDL_LANES + part), (vector){0});
            }
            STORE(lanes + part, sum);
        }
        total += direct_fold(lanes);
    }
    return (real)total;
}

#undef TILE
#undef RUN
#undef SUM_TILE
#undef SUM_TILES
#undef SUM_CASE
#undef LARGER

#endif
