/* Winograd's convolution along the rows of blocks of 16 samples, for kernels of 5 columns.
 *
 * F(4, 5): 4 neighbouring outputs from 8 products where there are 20 otherwise. The 8 pixels that they see become 8
 * values, one for each point of {0, 1, -1, 2, -2, 1/2, -1/2, infinity}; so do the 5 taps and, for the weight's
 * gradient, the 4 outputs' gradients. Products are summed up over channels and rows of the kernel point by point, as a
 * convolution with one column (direct_tiles.h), and transformed back once.
 *
 * The input's gradient, whose rounding errors would be too large so, goes by F(2, 5): the points {0, 1, -1, 2, -1/2,
 * infinity}, read backwards from 2 outputs' gradients to 6 pixels'.
 *
 * The matrices: minidl/reference/winograd.py makes them from the points. Their rows for p and -p differ in the signs of
 * odd powers, so that the two share their sums.
 *
 * Values lie [point][channel or filter][row][tile][16]; a point's step is given.
 */
#ifndef MINIDL_ROW_WINOGRAD_TILES_H
#define MINIDL_ROW_WINOGRAD_TILES_H

#include "direct_tiles.h"

#define MINIDL_ROW_OUTPUTS 4
#define MINIDL_ROW_POINTS 8

#define AT(pointer, i) (*(vector *)((pointer) + (i)*MINIDL_LANES))
#define FROM(pointer, i) (*(const vector *)((pointer) + (i)*MINIDL_LANES))

/* One tile of a part of the lanes. */
static inline void row_pixels_tile(const real *x, real *v, ptrdiff_t point) {
    const vector x0 = FROM(x, 0), x1 = FROM(x, 1), x2 = FROM(x, 2), x3 = FROM(x, 3);
    const vector x4 = FROM(x, 4), x5 = FROM(x, 5), x6 = FROM(x, 6), x7 = FROM(x, 7);
    const vector even1 = x2 + x6 - (real)4.25 * x4, odd1 = x1 + x5 - (real)4.25 * x3;
    const vector even2 = x6 + (real)0.25 * x2 - (real)1.25 * x4;
    const vector odd2 = (real)0.5 * x1 - (real)2.5 * x3 + (real)2 * x5;
    const vector even3 = x6 + (real)4 * x2 - (real)5 * x4;
    const vector odd3 = (real)2 * x1 - (real)2.5 * x3 + (real)0.5 * x5;
    *(vector *)v = x0 - x6 + (real)5.25 * (x4 - x2);
    *(vector *)(v + point) = even1 + odd1;
    *(vector *)(v + 2 * point) = even1 - odd1;
    *(vector *)(v + 3 * point) = even2 + odd2;
    *(vector *)(v + 4 * point) = even2 - odd2;
    *(vector *)(v + 5 * point) = even3 + odd3;
    *(vector *)(v + 6 * point) = even3 - odd3;
    *(vector *)(v + 7 * point) = x7 - x1 + (real)5.25 * (x3 - x5);
}

/* v[p][t] of a row of `columns` pixels for its tiles t of 4 outputs; what a tile sees beyond the row is 0. */
static inline void row_pixels(const real *x, ptrdiff_t columns, ptrdiff_t tiles, real *v, ptrdiff_t point) {
    real rest[MINIDL_ROW_POINTS * MINIDL_LANES];
    for (ptrdiff_t t = 0; t < tiles; t++, x += MINIDL_ROW_OUTPUTS * MINIDL_LANES, v += MINIDL_LANES) {
        const ptrdiff_t left = columns - t * MINIDL_ROW_OUTPUTS;
        const real *from = x;
        if (left < MINIDL_ROW_POINTS) {
            for (ptrdiff_t i = 0; i < MINIDL_ROW_POINTS * MINIDL_LANES; i++) rest[i] = i < left * MINIDL_LANES ? x[i] : 0;
            from = rest;
        }
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) row_pixels_tile(from + part, v + part, point);
    }
}

/* y = bias + the outputs of a row of `columns` that the sums of products m[p][t] stand for. */
APART void row_outputs(const real *m, ptrdiff_t point, real bias, ptrdiff_t columns, real *y) {
    for (; columns > 0; columns -= MINIDL_ROW_OUTPUTS, m += MINIDL_LANES, y += MINIDL_ROW_OUTPUTS * MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const real *from = m + part;
#define POINT(p) (*(const vector *)(from + (p)*point))
            const vector sum1 = POINT(1) + POINT(2), difference1 = POINT(1) - POINT(2);
            const vector sum2 = POINT(3) + POINT(4), difference2 = POINT(3) - POINT(4);
            const vector sum3 = POINT(5) + POINT(6), difference3 = POINT(5) - POINT(6);
            real *to = y + part;
            AT(to, 0) = POINT(0) + sum1 + (sum2 + sum3) + bias;
            if (columns > 1) AT(to, 1) = difference1 + (real)2 * difference2 + (real)0.5 * difference3 + bias;
            if (columns > 2) AT(to, 2) = sum1 + (real)4 * sum2 + (real)0.25 * sum3 + bias;
            if (columns > 3) AT(to, 3) = POINT(7) + difference1 + (real)8 * difference2 + (real)0.125 * difference3 + bias;
#undef POINT
        }
}

/* d[p][t] of a row of `columns` outputs' gradients: what tile t's 4 give each point. */
APART void row_gradients(const real *dy, ptrdiff_t columns, real *d, ptrdiff_t point) {
    for (; columns > 0; columns -= MINIDL_ROW_OUTPUTS, d += MINIDL_LANES, dy += MINIDL_ROW_OUTPUTS * MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            const real *from = dy + part;
            real *to = d + part;
            const vector zero = (vector){0};
            const vector g0 = FROM(from, 0), g1 = columns > 1 ? FROM(from, 1) : zero;
            const vector g2 = columns > 2 ? FROM(from, 2) : zero, g3 = columns > 3 ? FROM(from, 3) : zero;
            const vector even1 = g0 + g2, odd1 = g1 + g3;
            const vector even2 = g0 + (real)4 * g2, odd2 = (real)2 * g1 + (real)8 * g3;
            const vector even3 = g0 + (real)0.25 * g2, odd3 = (real)0.5 * g1 + (real)0.125 * g3;
            *(vector *)to = g0;
            *(vector *)(to + point) = even1 + odd1;
            *(vector *)(to + 2 * point) = even1 - odd1;
            *(vector *)(to + 3 * point) = even2 + odd2;
            *(vector *)(to + 4 * point) = even2 - odd2;
            *(vector *)(to + 5 * point) = even3 + odd3;
            *(vector *)(to + 6 * point) = even3 - odd3;
            *(vector *)(to + 7 * point) = g3;
        }
}

/* u[p] of 5 neighbouring taps; rounded once. */
static inline void row_weights(const real *w, real *u) {
    const double w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4];
    const double even1 = -2.0 / 9 * (w0 + w2 + w4), odd1 = -2.0 / 9 * (w1 + w3);
    const double even2 = (w0 + 4 * w2 + 16 * w4) / 90, odd2 = (2 * w1 + 8 * w3) / 90;
    const double even3 = 32.0 / 45 * (w0 + 0.25 * w2 + 0.0625 * w4), odd3 = 32.0 / 45 * (0.5 * w1 + 0.125 * w3);
    u[0] = (real)w0;
    u[1] = (real)(even1 + odd1);
    u[2] = (real)(even1 - odd1);
    u[3] = (real)(even2 + odd2);
    u[4] = (real)(even2 - odd2);
    u[5] = (real)(even3 + odd3);
    u[6] = (real)(even3 - odd3);
    u[7] = (real)w4;
}

/* Weights for the points of F(2, 5). */
static inline void row_few_weights(const real *w, real *u) {
    const double w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4];
    const double even = (w0 + w2 + w4) / 3, odd = (w1 + w3) / 3;
    u[0] = (real)w0;
    u[1] = (real)(-even - odd);
    u[2] = (real)(even - odd);
    u[3] = (real)((w0 + 2 * w1 + 4 * w2 + 8 * w3 + 16 * w4) / 15);
    u[4] = (real)((-16 * w0 + 8 * w1 - 4 * w2 + 2 * w3 - w4) / 15);
    u[5] = (real)w4;
}

/* d[p][t] for the points of F(2, 5). */
static inline void row_few_gradients(const real *dy, ptrdiff_t columns, real *d, ptrdiff_t point) {
    for (; columns > 0; columns -= 2, d += MINIDL_LANES, dy += 2 * MINIDL_LANES)
        for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
            real *to = d + part;
            const vector g0 = FROM(dy + part, 0), g1 = columns > 1 ? FROM(dy + part, 1) : (vector){0};
            *(vector *)to = g0;
            *(vector *)(to + point) = g0 + g1;
            *(vector *)(to + 2 * point) = g0 - g1;
            *(vector *)(to + 3 * point) = g0 + (real)2 * g1;
            *(vector *)(to + 4 * point) = g0 - (real)0.5 * g1;
            *(vector *)(to + 5 * point) = g1;
        }
}

/* A row of `columns` pixels' gradients, from the padded row's `first` on, that the sums m[p][t] of F(2, 5) stand for: a
 * tile gives 6 pixels, 2 beyond those of the tile before. `rest`, if any, has other sums to add to them. */
static inline void row_pixel_gradients(const real *m, const real *rest, ptrdiff_t point, ptrdiff_t tiles,
                                       ptrdiff_t first, ptrdiff_t columns, real *dx) {
    for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
        vector given0 = {0}, given1 = {0}, given2 = {0}, given3 = {0};
        real *to = dx + part;
        /* Two tiles more, of zeros, for the pixels that only tiles before see. */
        for (ptrdiff_t t = 0, column = -first; t < tiles + 2; t++, column += 2) {
            vector m0 = {0}, m1 = {0}, m2 = {0}, m3 = {0}, m4 = {0}, m5 = {0};
            if (t < tiles) {
                const real *from = m + part + t * MINIDL_LANES;
#define POINT(p) (*(const vector *)(from + (p)*point))
                m0 = POINT(0), m1 = POINT(1), m2 = POINT(2), m3 = POINT(3), m4 = POINT(4), m5 = POINT(5);
                if (rest) {
                    from = rest + part + t * MINIDL_LANES;
                    m0 += POINT(0), m1 += POINT(1), m2 += POINT(2), m3 += POINT(3), m4 += POINT(4), m5 += POINT(5);
                }
#undef POINT
            }
            const vector pixel0 = given0 + m0;
            const vector pixel1 = given1 + ((real)1.5 * m0 + (m2 - m1) - (real)0.5 * m3 + (real)2 * m4 + m5);
            if (column >= 0 && column < columns) AT(to, column) = pixel0;
            if (column >= -1 && column + 1 < columns) AT(to, column + 1) = pixel1;
            given0 = given2 + ((real)0.5 * m2 - (real)2 * m0 - (real)2.5 * m1 - (m3 + m4) + (real)1.5 * m5);
            given1 = given3 + ((real)0.5 * (m3 - m1) - (real)1.5 * m0 - (real)2.5 * m2 - (real)2 * (m4 + m5));
            given2 = m0 + (m1 + m2) + (m3 + m4) - (real)1.5 * m5;
            given3 = m5;
        }
    }
}

/* dw[k], 5 taps of 16 lanes, from the sums s[p] of a point's products. */
static inline void row_weight_sums(const real *s, ptrdiff_t point, real *dw) {
    for (int part = 0; part < MINIDL_LANES; part += WIDTH) {
        const real *from = s + part;
#define POINT(p) (*(const vector *)(from + (p)*point))
        const vector sum1 = (real)(-2.0 / 9) * (POINT(1) + POINT(2)), difference1 = (real)(-2.0 / 9) * (POINT(1) - POINT(2));
        const vector sum2 = (real)(1.0 / 90) * (POINT(3) + POINT(4)), difference2 = (real)(1.0 / 90) * (POINT(3) - POINT(4));
        const vector sum3 = (real)(32.0 / 45) * (POINT(5) + POINT(6)), difference3 = (real)(32.0 / 45) * (POINT(5) - POINT(6));
        real *to = dw + part;
        AT(to, 0) = POINT(0) + sum1 + (sum2 + sum3);
        AT(to, 1) = difference1 + (real)2 * difference2 + (real)0.5 * difference3;
        AT(to, 2) = sum1 + (real)4 * sum2 + (real)0.25 * sum3;
        AT(to, 3) = difference1 + (real)8 * difference2 + (real)0.125 * difference3;
        AT(to, 4) = POINT(7) + sum1 + (real)16 * sum2 + (real)0.0625 * sum3;
#undef POINT
    }
}

#undef AT
#undef FROM

#endif
