/* Winograd's convolution of 3x3 and 5x5 kernels: transforms of tiles, products between them, and the way in and out.
 *
 * 16 channels lie side by side, so that each is a lane of a vector and a transform is the same arithmetic for all of
 * them. Images are [pixel][16], what is multiplied [position][channels / 16][tile][16]: a tile of the product
 * then reads one operand as whole vectors and one number for all lanes of the other, without any packing.
 *
 * A tile of m x m outputs of kernels of r x r reads alpha = m + r - 1 inputs along an axis, and is evaluated at as many
 * points: 0, 1, -1 and infinity for 4 (m = 2, r = 3); 0, 5/8, -5/8, 3/2, -3/2 and infinity for 6 (m = 4, r = 3, or
 * m = 2, r = 5), with less than half the float32 error of 0, 1, -1, 2, -2; minidl/reference/winograd.py derives the
 * matrices. The transform of inputs depends on alpha alone, so both kinds of 6 share it.
 */
#ifndef MINIDL_WINOGRAD_TILES_H
#define MINIDL_WINOGRAD_TILES_H

#include <string.h>

#include "core/transpose.h"

#define MINIDL_LANES 16
/* As many sums as fill the registers: 24 of 32, or 12 of 16. */
#define MINIDL_VECTORS (MINIDL_VECTOR_BYTES == 64 ? 4 : 2)

/* c[i][lane] (+)= the sum over outer and k of a[outer][i][k] times b[outer][k][lane]. All steps are in numbers. So many
 * outer steps as `together` are summed up before they are added to c: the rounding of a sum of sums is less than that
 * of one long sum. */
typedef struct {
    ptrdiff_t outer, count, together;
    ptrdiff_t a_outer, a_row, a_k;
    ptrdiff_t b_outer, b_group; /* b's k is a step of 16; b_group and c_group between sixteens of lanes */
    ptrdiff_t c_row, c_group;
} minidl_winograd_product;

/* Have bytes `start` to `stop` of each of some rows in the L1 cache soon. */
static inline void minidl_winograd_fetch(const void *from, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t start,
                                         ptrdiff_t stop) {
    const char *at = from;
    for (; rows > 0; rows--, at += row)
        for (ptrdiff_t i = start; i < stop; i += 64) __builtin_prefetch(at + i, 0, 3);
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- The way in and out: 16 channels of a run of pixels become pixels of 16 channels, and back. ---- */

/* to[pixel][16] = from[channel][pixel]; zeros in lanes beyond `channels`. */
static void winograd_gather(const real *from, ptrdiff_t channel_step, int channels, ptrdiff_t pixels, real *to) {
    if (pixels < WIDTH) {
        for (ptrdiff_t p = 0; p < pixels; p++)
            for (int c = 0; c < MINIDL_LANES; c++)
                to[p * MINIDL_LANES + c] = c < channels ? from[c * channel_step + p] : 0;
        return;
    }
    for (int part = 0; part < MINIDL_LANES; part += WIDTH)
        for (ptrdiff_t next = 0; next < pixels; next += WIDTH) {
            /* The last square overlaps the one before. */
            const ptrdiff_t p = next + WIDTH <= pixels ? next : pixels - WIDTH;
            vector rows[WIDTH];
            for (int i = 0; i < WIDTH; i++)
                rows[i] = part + i < channels ? *(const vector *)(from + (part + i) * channel_step + p) : (vector){0};
            transpose_square(rows);
            for (int i = 0; i < WIDTH; i++) *(vector *)(to + (p + i) * MINIDL_LANES + part) = rows[i];
        }
}

/* to[channel][pixel] = from[pixel][16]. */
static void winograd_scatter(const real *from, ptrdiff_t pixels, real *to, ptrdiff_t channel_step, int channels) {
    if (pixels < WIDTH) {
        for (int c = 0; c < channels; c++)
            for (ptrdiff_t p = 0; p < pixels; p++) to[c * channel_step + p] = from[p * MINIDL_LANES + c];
        return;
    }
    for (int part = 0; part < channels; part += WIDTH)
        for (ptrdiff_t next = 0; next < pixels; next += WIDTH) {
            const ptrdiff_t p = next + WIDTH <= pixels ? next : pixels - WIDTH;
            vector rows[WIDTH];
            for (int i = 0; i < WIDTH; i++) rows[i] = *(const vector *)(from + (p + i) * MINIDL_LANES + part);
            transpose_square(rows);
            for (int i = 0; i < WIDTH && part + i < channels; i++)
                *(vector *)(to + (part + i) * channel_step + p) = rows[i];
        }
}

/* ---- Transforms of one axis. ---- */

/* B^T d. */
ALWAYS_INLINE void winograd_input_2(const vector d[4], vector out[4]) {
    out[0] = d[2] - d[0];
    out[1] = d[2] + d[1];
    out[2] = d[2] - d[1];
    out[3] = d[3] - d[1];
}

#define A1 ((real)0.625)
#define A2 ((real)0.390625)
#define A3 ((real)0.244140625)
#define B1 ((real)1.5)
#define B2 ((real)2.25)
#define B3 ((real)3.375)

ALWAYS_INLINE void winograd_input_4(const vector d[6], vector out[6]) {
    const vector even_a = d[4] - B2 * d[2], odd_a = d[3] - B2 * d[1];
    const vector even_b = d[4] - A2 * d[2], odd_b = d[3] - A2 * d[1];
    out[0] = d[4] - (A2 + B2) * d[2] + (A2 * B2) * d[0];
    out[1] = even_a + A1 * odd_a;
    out[2] = even_a - A1 * odd_a;
    out[3] = even_b + B1 * odd_b;
    out[4] = even_b - B1 * odd_b;
    out[5] = d[5] - (A2 + B2) * d[3] + (A2 * B2) * d[1];
}

/* A^T d. */
ALWAYS_INLINE void winograd_output_2(const vector d[4], vector out[2]) {
    out[0] = d[0] + (d[1] + d[2]);
    out[1] = (d[1] - d[2]) + d[3];
}

ALWAYS_INLINE void winograd_output_4(const vector d[6], vector out[4]) {
    const vector sum_a = d[1] + d[2], less_a = d[1] - d[2], sum_b = d[3] + d[4], less_b = d[3] - d[4];
    out[0] = d[0] + (sum_a + sum_b);
    out[1] = A1 * less_a + B1 * less_b;
    out[2] = A2 * sum_a + B2 * sum_b;
    out[3] = A3 * less_a + B3 * less_b + d[5];
}

ALWAYS_INLINE void winograd_output_2_5(const vector d[6], vector out[2]) {
    out[0] = d[0] + ((d[1] + d[2]) + (d[3] + d[4]));
    out[1] = A1 * (d[1] - d[2]) + B1 * (d[3] - d[4]) + d[5];
}

/* A d. */
ALWAYS_INLINE void winograd_gradient_2(const vector d[2], vector out[4]) {
    out[0] = d[0];
    out[1] = d[0] + d[1];
    out[2] = d[0] - d[1];
    out[3] = d[1];
}

ALWAYS_INLINE void winograd_gradient_4(const vector d[4], vector out[6]) {
    const vector even_a = d[0] + A2 * d[2], odd_a = d[1] + A2 * d[3];
    const vector even_b = d[0] + B2 * d[2], odd_b = d[1] + B2 * d[3];
    out[0] = d[0];
    out[1] = even_a + A1 * odd_a;
    out[2] = even_a - A1 * odd_a;
    out[3] = even_b + B1 * odd_b;
    out[4] = even_b - B1 * odd_b;
    out[5] = d[3];
}

ALWAYS_INLINE void winograd_gradient_2_5(const vector d[2], vector out[6]) {
    out[0] = d[0];
    out[1] = d[0] + A1 * d[1];
    out[2] = d[0] - A1 * d[1];
    out[3] = d[0] + B1 * d[1];
    out[4] = d[0] - B1 * d[1];
    out[5] = d[1];
}

/* ---- Transforms of a tile of 16 channels. ---- */

/* The part of a tile that lies inside an image: rows from to to, columns alike. */
#define INSIDE ptrdiff_t row_from, ptrdiff_t row_to, ptrdiff_t column_from, ptrdiff_t column_to

/* to[position] = the transform of SIZE x SIZE pixels, zeros where they are outside; `from` is where the first pixel is
 * or would be. */
#define SPREAD(name, SIZE, ALPHA)                                                                                      \
    static void winograd_##name##_tile(const real *from, ptrdiff_t row_step, INSIDE, real *to,                         \
                                       ptrdiff_t position_step) {                                                      \
        real patch[SIZE * SIZE * MINIDL_LANES];                                                                        \
        if (row_from > 0 || row_to < SIZE || column_from > 0 || column_to < SIZE) {                                    \
            memset(patch, 0, sizeof patch);                                                                            \
            if (column_from < column_to)                                                                               \
                for (ptrdiff_t r = row_from; r < row_to; r++)                                                          \
                    memcpy(patch + (r * SIZE + column_from) * MINIDL_LANES,                                            \
                           from + r * row_step + column_from * MINIDL_LANES,                                           \
                           (size_t)(column_to - column_from) * MINIDL_LANES * sizeof(real));                           \
            from = patch, row_step = SIZE * MINIDL_LANES;                                                              \
        }                                                                                                              \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            vector half[SIZE][ALPHA];                                                                                  \
            UNROLL for (int c = 0; c < SIZE; c++) {                                                                    \
                vector seen[SIZE];                                                                                     \
                UNROLL for (int r = 0; r < SIZE; r++)                                                                  \
                    seen[r] = *(const vector *)(from + r * row_step + c * MINIDL_LANES + part);                        \
                winograd_##name(seen, half[c]);                                                                        \
            }                                                                                                          \
            UNROLL for (int r = 0; r < ALPHA; r++) {                                                                   \
                vector row[SIZE], out[ALPHA];                                                                          \
                UNROLL for (int c = 0; c < SIZE; c++) row[c] = half[c][r];                                             \
                winograd_##name(row, out);                                                                             \
                UNROLL for (int c = 0; c < ALPHA; c++)                                                                 \
                    *(vector *)(to + (r * ALPHA + c) * position_step + part) = out[c];                                 \
            }                                                                                                          \
        }                                                                                                              \
    }
SPREAD(input_2, 4, 4)
SPREAD(input_4, 6, 6)
SPREAD(gradient_2, 2, 4)
SPREAD(gradient_4, 4, 6)
SPREAD(gradient_2_5, 2, 6)

/* `rows` x `columns` pixels (at most SIZE x SIZE) = the transform of all positions, plus bias[16]. */
#define COLLECT(name, SIZE, ALPHA)                                                                                     \
    static void winograd_##name##_tile(const real *from, ptrdiff_t position_step, const real *bias,                    \
                                                    real *to, ptrdiff_t row_step, ptrdiff_t rows, ptrdiff_t columns) { \
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {                                                       \
            const vector more = *(const vector *)(bias + part);                                                        \
            vector half[ALPHA][SIZE];                                                                                  \
            UNROLL for (int c = 0; c < ALPHA; c++) {                                                                   \
                vector seen[ALPHA];                                                                                    \
                UNROLL for (int r = 0; r < ALPHA; r++)                                                                 \
                    seen[r] = *(const vector *)(from + (r * ALPHA + c) * position_step + part);                        \
                winograd_##name(seen, half[c]);                                                                        \
            }                                                                                                          \
            UNROLL for (int r = 0; r < SIZE; r++) {                                                                    \
                vector row[ALPHA], out[SIZE];                                                                          \
                if (r >= rows) break;                                                                                  \
                UNROLL for (int c = 0; c < ALPHA; c++) row[c] = half[c][r];                                            \
                winograd_##name(row, out);                                                                             \
                UNROLL for (int c = 0; c < SIZE; c++)                                                                  \
                    if (c < columns) *(vector *)(to + r * row_step + c * MINIDL_LANES + part) = out[c] + more;         \
            }                                                                                                          \
        }                                                                                                              \
    }
COLLECT(output_2, 2, 4)
COLLECT(output_4, 4, 6)
COLLECT(output_2_5, 2, 6)

/* ---- Transforms of weights, in double: there are few of them, and all of an output's error passes through. ---- */

/* G g along one axis for 16 lanes; g and out have steps in numbers. A point and its opposite share the even and the odd
 * part of their polynomial. */
ALWAYS_INLINE void winograd_weight_axis(int m, int r, const double *g, ptrdiff_t step, double *out,
                                        ptrdiff_t out_step) {
    const double a1 = 0.625, a2 = 0.390625, b1 = 1.5, b2 = 2.25;
    const double at_a = 1 / (2 * a2 * (a2 - b2)), at_b = 1 / (2 * b2 * (b2 - a2)), at_0 = 1 / (a2 * b2);
    for (int lane = 0; lane < MINIDL_LANES; lane++) {
        const double g0 = g[lane], g1 = g[step + lane], g2 = g[2 * step + lane];
        double *to = out + lane;
        if (m + r - 1 == 4) {
            to[0] = -g0;
            to[out_step] = (g0 + g2 + g1) / 2;
            to[2 * out_step] = (g0 + g2 - g1) / 2;
            to[3 * out_step] = g2;
        } else {
            double even_a = g0 + a2 * g2, odd_a = a1 * g1, even_b = g0 + b2 * g2, odd_b = b1 * g1;
            if (r == 5) {
                const double g3 = g[3 * step + lane], g4 = g[4 * step + lane];
                even_a += a2 * a2 * g4, odd_a += a1 * a2 * g3;
                even_b += b2 * b2 * g4, odd_b += b1 * b2 * g3;
            }
            to[0] = at_0 * g0;
            to[out_step] = at_a * (even_a + odd_a);
            to[2 * out_step] = at_a * (even_a - odd_a);
            to[3 * out_step] = at_b * (even_b + odd_b);
            to[4 * out_step] = at_b * (even_b - odd_b);
            to[5 * out_step] = g[(r - 1) * step + lane];
        }
    }
}

ALWAYS_INLINE void winograd_weight_both(int m, int r, const real *w, ptrdiff_t lane_step, int lanes, int turned,
                                        real *to, ptrdiff_t position_step) {
    const int alpha = m + r - 1, across = r * MINIDL_LANES;
    double taps[25][MINIDL_LANES] = {{0}}, half[6 * 5][MINIDL_LANES], full[6][6][MINIDL_LANES];
    for (int lane = 0; lane < lanes; lane++)
        for (int k = 0; k < r * r; k++) taps[k][lane] = w[lane * lane_step + (turned ? r * r - 1 - k : k)];
    for (int c = 0; c < r; c++) winograd_weight_axis(m, r, taps[c], across, half[c], across);
    for (int i = 0; i < alpha; i++)
        winograd_weight_axis(m, r, half[i * r], MINIDL_LANES, full[i][0], MINIDL_LANES);
    for (int i = 0; i < alpha; i++)
        for (int c = 0; c < alpha; c++)
            for (int lane = 0; lane < MINIDL_LANES; lane++)
                to[(i * alpha + c) * position_step + lane] = (real)full[i][c][lane];
}

/* to[position][16] = G g G^T for `lanes` kernels, each `lane_step` after the last; `turned`: taps from the last to the
 * first. */
static void winograd_weight(int m, int r, const real *w, ptrdiff_t lane_step, int lanes, int turned, real *to,
                            ptrdiff_t position_step) {
    if (r == 5)
        winograd_weight_both(2, 5, w, lane_step, lanes, turned, to, position_step);
    else if (m == 2)
        winograd_weight_both(2, 3, w, lane_step, lanes, turned, to, position_step);
    else
        winograd_weight_both(4, 3, w, lane_step, lanes, turned, to, position_step);
}

/* G^T s along one axis for 16 lanes. */
ALWAYS_INLINE void winograd_taps_axis(int m, int r, const double *s, ptrdiff_t step, double *out,
                                      ptrdiff_t out_step) {
    const double a1 = 0.625, a2 = 0.390625, b1 = 1.5, b2 = 2.25;
    const double at_a = 1 / (2 * a2 * (a2 - b2)), at_b = 1 / (2 * b2 * (b2 - a2)), at_0 = 1 / (a2 * b2);
    for (int lane = 0; lane < MINIDL_LANES; lane++) {
        const double *from = s + lane;
        double *to = out + lane;
        if (m + r - 1 == 4) {
            const double sum = (from[step] + from[2 * step]) / 2;
            to[0] = sum - from[0];
            to[out_step] = (from[step] - from[2 * step]) / 2;
            to[2 * out_step] = sum + from[3 * step];
        } else {
            const double sum_a = at_a * (from[step] + from[2 * step]), less_a = at_a * (from[step] - from[2 * step]);
            const double sum_b = at_b * (from[3 * step] + from[4 * step]);
            const double less_b = at_b * (from[3 * step] - from[4 * step]);
            to[0] = at_0 * from[0] + sum_a + sum_b;
            to[out_step] = a1 * less_a + b1 * less_b;
            to[2 * out_step] = a2 * sum_a + b2 * sum_b;
            if (r == 5) {
                to[3 * out_step] = a1 * a2 * less_a + b1 * b2 * less_b;
                to[4 * out_step] = a2 * a2 * sum_a + b2 * b2 * sum_b;
            }
            to[(r - 1) * out_step] += from[5 * step];
        }
    }
}

ALWAYS_INLINE void winograd_taps_both(int m, int r, const real *s, ptrdiff_t position_step, real *dw, int lanes) {
    const int alpha = m + r - 1, across = r * MINIDL_LANES;
    double full[6][6][MINIDL_LANES], half[6 * 5][MINIDL_LANES], taps[25][MINIDL_LANES];
    for (int i = 0; i < alpha; i++)
        for (int c = 0; c < alpha; c++)
            for (int lane = 0; lane < MINIDL_LANES; lane++)
                full[i][c][lane] = s[(i * alpha + c) * position_step + lane];
    for (int i = 0; i < alpha; i++)
        winograd_taps_axis(m, r, full[i][0], MINIDL_LANES, half[i * r], MINIDL_LANES);
    for (int c = 0; c < r; c++) winograd_taps_axis(m, r, half[c], across, taps[c], across);
    for (int lane = 0; lane < lanes; lane++)
        for (int k = 0; k < r * r; k++) dw[lane * r * r + k] = (real)taps[k][lane];
}

/* dw[lane][r * r] = G^T s G for the sums s[position][16], `lanes` kernels that lie one after the other. */
static void winograd_taps(int m, int r, const real *s, ptrdiff_t position_step, real *dw, int lanes) {
    if (r == 5)
        winograd_taps_both(2, 5, s, position_step, dw, lanes);
    else if (m == 2)
        winograd_taps_both(2, 3, s, position_step, dw, lanes);
    else
        winograd_taps_both(4, 3, s, position_step, dw, lanes);
}

/* ---- Products. ---- */

/* The place of vector v of several sixteens of lanes. */
#define AT(v, group) ((v) * WIDTH / MINIDL_LANES * (group) + (v) * WIDTH % MINIDL_LANES)

#define PRODUCT(RB, VB)                                                                                                \
    static void winograd_product_##RB##_##VB(const real *a, const real *b, real *c, int add,                           \
                                             const minidl_winograd_product *s) {                                       \
        for (ptrdiff_t o = 0; o < s->outer; add = 1) {                                                                 \
            const ptrdiff_t stop = o + s->together < s->outer ? o + s->together : s->outer;                            \
            TILE_SUMS(sum, RB, VB);                                                                                    \
            for (; o < stop; o++) {                                                                                    \
                const real *one = a + o * s->a_outer, *lanes = b + o * s->b_outer;                                     \
                for (ptrdiff_t k = 0; k < s->count; k++, one += s->a_k, lanes += MINIDL_LANES)                         \
                    TILE_ADD(sum, RB, VB, one[i * s->a_row], LOAD(lanes + AT(v, s->b_group)));                         \
            }                                                                                                          \
            TILE_EACH(RB, VB,                                                                                          \
                      real *to = c + i * s->c_row + AT(v, s->c_group);                                                 \
                      if (add) sum[i][v] += LOAD(to);                                                                  \
                      STORE(to, sum[i][v]))                                                                            \
        }                                                                                                              \
    }
#define CALL(RB, VB) winograd_product_##RB##_##VB(a, b, c, add, s)
#define PRODUCTS(VB)                                                                                                   \
    EACH_6(PRODUCT, VB)                                                                                                \
    static void winograd_rows_##VB(const real *a, const real *b, real *c, int rows, int add,                           \
                                   const minidl_winograd_product *s) {                                                 \
        SWITCH(rows, EACH_5, 6, CALL, VB)                                                                              \
    }
PRODUCTS(1) PRODUCTS(2)
#if MINIDL_VECTORS == 4
PRODUCTS(3) PRODUCTS(4)
#endif
#undef CALL

/* `rows` rows (1 to 6) times `groups` sixteens of lanes. */
static void winograd_multiply(const real *a, const real *b, real *c, int rows, ptrdiff_t groups, int add,
                              const minidl_winograd_product *s) {
    for (ptrdiff_t lane = 0; lane < groups * MINIDL_LANES;) {
        const ptrdiff_t left = (groups * MINIDL_LANES - lane) / WIDTH;
        const ptrdiff_t group = lane / MINIDL_LANES, part = lane % MINIDL_LANES;
        const real *from = b + group * s->b_group + part;
        real *to = c + group * s->c_group + part;
        const int now = left < MINIDL_VECTORS ? (int)left : MINIDL_VECTORS;
        switch (now) {
        case 1: winograd_rows_1(a, from, to, rows, add, s); break;
#if MINIDL_VECTORS == 4
        case 3: winograd_rows_3(a, from, to, rows, add, s); break;
        case 4: winograd_rows_4(a, from, to, rows, add, s); break;
#endif
        default: winograd_rows_2(a, from, to, rows, add, s);
        }
        lane += now * WIDTH;
    }
}

#undef ALWAYS_INLINE
#undef A1
#undef A2
#undef A3
#undef B1
#undef B2
#undef B3
#undef INSIDE
#undef SPREAD
#undef COLLECT
#undef AT
#undef PRODUCT
#undef PRODUCTS

#endif
