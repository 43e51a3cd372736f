/* Products of dense layers for small matrices, without BLAS: 16 samples lie side by side, each a lane of a vector.
 *
 * A layer's input is [feature][16]. A weight is one number for all lanes, read where it lies, so neither the forward
 * product (over a row of the weight) nor the one for the input's gradient (over a column) needs it packed or turned.
 * The weight's gradient has vectors along its rows instead: it adds up samples, of which each gives a row of the input.
 */
#ifndef MINIDL_DENSE_TILES_H
#define MINIDL_DENSE_TILES_H

#include "dense.h"
#include "direct_tiles.h"

enum { MINIDL_LINEAR, MINIDL_RELU, MINIDL_TANH, MINIDL_SIGMOID };

#define VECTOR dense_vector
typedef real VECTOR __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define WIDTH ((int)(MINIDL_VECTOR_BYTES / sizeof(real)))
#define PARTS (MINIDL_LANES / WIDTH)
#define SHORT dense_short
typedef real SHORT __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
#define SHORT_WIDTH ((int)(16 / sizeof(real)))
/* Outputs at once: 8 where there are 32 registers, else what leaves a few of 16. */
#define MOST (MINIDL_VECTOR_BYTES == 64 ? 8 : 12 / PARTS > 0 ? 12 / PARTS : 1)

/* y[j] = bias[j] + the sum over i of w[j, i] x[i], for JB neighbouring outputs of one block, or of two that lie x_block
 * and y_block apart: each weight is loaded once for both. */
#define PRODUCT(JB, BLOCKS)                                                                                            \
    static void product_##JB##_##BLOCKS(const real *x, const real *w, const real *bias, real *y,                       \
                                        ptrdiff_t inputs, ptrdiff_t w_output, ptrdiff_t w_input,                       \
                                        ptrdiff_t x_block, ptrdiff_t y_block) {                                        \
        VECTOR sum[JB][BLOCKS * PARTS];                                                                                \
        UNROLL for (int j = 0; j < JB; j++)                                                                            \
            UNROLL for (int p = 0; p < BLOCKS * PARTS; p++) sum[j][p] = (VECTOR){0};                                   \
        for (ptrdiff_t i = 0; i < inputs; i++, x += MINIDL_LANES, w += w_input) {                                      \
            VECTOR seen[BLOCKS * PARTS];                                                                               \
            UNROLL for (int p = 0; p < BLOCKS * PARTS; p++)                                                            \
                seen[p] = *(const VECTOR *)(x + p / PARTS * x_block + p % PARTS * WIDTH);                              \
            UNROLL for (int j = 0; j < JB; j++) {                                                                      \
                const VECTOR weight = w[j * w_output] - (VECTOR){0};                                                   \
                UNROLL for (int p = 0; p < BLOCKS * PARTS; p++) sum[j][p] += weight * seen[p];                         \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL for (int j = 0; j < JB; j++)                                                                            \
            UNROLL for (int p = 0; p < BLOCKS * PARTS; p++)                                                            \
                *(VECTOR *)(y + j * MINIDL_LANES + p / PARTS * y_block + p % PARTS * WIDTH) =                          \
                    sum[j][p] + (bias ? bias[j] : 0);                                                                  \
    }
#define PRODUCTS(BLOCKS)                                                                                               \
    PRODUCT(1, BLOCKS) PRODUCT(2, BLOCKS) PRODUCT(3, BLOCKS) PRODUCT(4, BLOCKS)                                        \
    PRODUCT(5, BLOCKS) PRODUCT(6, BLOCKS) PRODUCT(7, BLOCKS) PRODUCT(8, BLOCKS)                                        \
    static inline void dense_products_##BLOCKS(const real *x, const real *w, const real *bias, real *y,                \
                                               ptrdiff_t outputs, ptrdiff_t inputs, ptrdiff_t w_output,                \
                                               ptrdiff_t w_input, ptrdiff_t x_block, ptrdiff_t y_block) {              \
        while (outputs > 0) {                                                                                          \
            const int now = outputs >= MOST ? MOST : (int)outputs;                                                     \
            switch (now) {                                                                                             \
            case 1: product_1_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 2: product_2_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 3: product_3_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 4: product_4_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 5: product_5_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 6: product_6_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            case 7: product_7_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block); break;             \
            default: product_8_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block);                   \
            }                                                                                                          \
            w += now * w_output, y += now * MINIDL_LANES, outputs -= now;                                              \
            if (bias) bias += now;                                                                                     \
        }                                                                                                              \
    }
PRODUCTS(1)
PRODUCTS(2)

/* The same for 1 or 2 blocks; together where the registers hold the sums of both. */
static inline void dense_product(const real *x, const real *w, const real *bias, real *y, ptrdiff_t outputs,
                                 ptrdiff_t inputs, ptrdiff_t w_output, ptrdiff_t w_input, int blocks,
                                 ptrdiff_t x_block, ptrdiff_t y_block) {
    if (blocks == 2 && MINIDL_VECTOR_BYTES == 64 && PARTS == 1) {
        dense_products_2(x, w, bias, y, outputs, inputs, w_output, w_input, x_block, y_block);
        return;
    }
    for (int b = 0; b < blocks; b++)
        dense_products_1(x + b * x_block, w, bias, y + b * y_block, outputs, inputs, w_output, w_input, 0, 0);
}

static inline real dense_fold(VECTOR sum) {
    real lanes[WIDTH];
    *(VECTOR *)lanes = sum;
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* The same for a single sample: y[j] = bias[j] + w[j] . x, vectors along the rows of w. */
#define ROW(JB)                                                                                                        \
    static void row_##JB(const real *x, const real *w, const real *bias, real *y, ptrdiff_t inputs) {                  \
        VECTOR sum[JB];                                                                                                \
        ptrdiff_t i = 0;                                                                                               \
        UNROLL for (int j = 0; j < JB; j++) sum[j] = (VECTOR){0};                                                      \
        for (; i + WIDTH <= inputs; i += WIDTH) {                                                                      \
            const VECTOR seen = *(const VECTOR *)(x + i);                                                              \
            UNROLL for (int j = 0; j < JB; j++) sum[j] += *(const VECTOR *)(w + j * inputs + i) * seen;                \
        }                                                                                                              \
        UNROLL for (int j = 0; j < JB; j++) {                                                                          \
            real total = dense_fold(sum[j]);                                                                           \
            for (ptrdiff_t k = i; k < inputs; k++) total += w[j * inputs + k] * x[k];                                  \
            y[j] = total + (bias ? bias[j] : 0);                                                                       \
        }                                                                                                              \
    }
ROW(1) ROW(8)

static inline void dense_row(const real *x, const real *w, const real *bias, real *y, ptrdiff_t outputs,
                             ptrdiff_t inputs) {
    ptrdiff_t j = 0;
    for (; j + 8 <= outputs; j += 8) row_8(x, w + j * inputs, bias ? bias + j : 0, y + j, inputs);
    for (; j < outputs; j++) row_1(x, w + j * inputs, bias ? bias + j : 0, y + j, inputs);
}

/* dw[j, i...] = the sum over samples of grad[j] times row i... of x. A sample's gradient is a lane of its block. */
#define UPDATE(JB, VB, VECTOR, WIDTH, SUFFIX)                                                                          \
    static void update_##JB##_##VB##SUFFIX(const real *x, const real *grad, real *dw, ptrdiff_t samples,               \
                                         ptrdiff_t inputs, ptrdiff_t grad_block) {                                     \
        VECTOR sum[JB][VB];                                                                                            \
        UNROLL for (int j = 0; j < JB; j++)                                                                            \
            UNROLL for (int v = 0; v < VB; v++) sum[j][v] = (VECTOR){0};                                               \
        for (; samples > 0; samples -= MINIDL_LANES, grad += grad_block) {                                             \
            const int lanes = samples < MINIDL_LANES ? (int)samples : MINIDL_LANES;                                    \
            for (int lane = 0; lane < lanes; lane++, x += inputs) {                                                    \
                VECTOR seen[VB];                                                                                       \
                UNROLL for (int v = 0; v < VB; v++) seen[v] = *(const VECTOR *)(x + v * WIDTH);                        \
                UNROLL for (int j = 0; j < JB; j++) {                                                                  \
                    const VECTOR here = grad[j * MINIDL_LANES + lane] - (VECTOR){0};                                   \
                    UNROLL for (int v = 0; v < VB; v++) sum[j][v] += here * seen[v];                                   \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL for (int j = 0; j < JB; j++)                                                                            \
            UNROLL for (int v = 0; v < VB; v++) *(VECTOR *)(dw + j * inputs + v * WIDTH) = sum[j][v];                  \
    }
#define UPDATES(VB, VECTOR, WIDTH, SUFFIX)                                                                             \
    UPDATE(1, VB, VECTOR, WIDTH, SUFFIX) UPDATE(2, VB, VECTOR, WIDTH, SUFFIX) UPDATE(3, VB, VECTOR, WIDTH, SUFFIX)     \
    UPDATE(4, VB, VECTOR, WIDTH, SUFFIX) UPDATE(5, VB, VECTOR, WIDTH, SUFFIX) UPDATE(6, VB, VECTOR, WIDTH, SUFFIX)
UPDATES(1, VECTOR, WIDTH, _whole)
UPDATES(2, VECTOR, WIDTH, _whole)
UPDATES(4, VECTOR, WIDTH, _whole)
/* A short vector for the columns that no whole one holds. */
UPDATES(1, SHORT, SHORT_WIDTH, _short)

#define UPDATE_CASE(VB)                                                                                                \
    switch (outputs) {                                                                                                 \
    case 1: update_1_##VB(x + i, grad, dw + i, samples, inputs, grad_block); break;                                    \
    case 2: update_2_##VB(x + i, grad, dw + i, samples, inputs, grad_block); break;                                    \
    case 3: update_3_##VB(x + i, grad, dw + i, samples, inputs, grad_block); break;                                    \
    case 4: update_4_##VB(x + i, grad, dw + i, samples, inputs, grad_block); break;                                    \
    case 5: update_5_##VB(x + i, grad, dw + i, samples, inputs, grad_block); break;                                    \
    default: update_6_##VB(x + i, grad, dw + i, samples, inputs, grad_block);                                          \
    }

/* Rows of the weight's gradient for 1 to 6 outputs, and the bias's. */
static inline void dense_update(const real *x, const real *grad, real *dw, real *db, int outputs,
                                ptrdiff_t samples, ptrdiff_t inputs, ptrdiff_t grad_block) {
    ptrdiff_t i = 0;
    for (int j = 0; j < outputs; j++) {
        real lanes[MINIDL_LANES] = {0};
        const real *here = grad + j * MINIDL_LANES;
        for (ptrdiff_t left = samples; left > 0; left -= MINIDL_LANES, here += grad_block)
            for (int lane = 0; lane < (left < MINIDL_LANES ? (int)left : MINIDL_LANES); lane++)
                lanes[lane] += here[lane];
        db[j] = direct_fold(lanes);
    }
    if (MINIDL_VECTOR_BYTES == 64)
        for (; i + 4 * WIDTH <= inputs; i += 4 * WIDTH) UPDATE_CASE(4_whole)
    for (; i + 2 * WIDTH <= inputs; i += 2 * WIDTH) UPDATE_CASE(2_whole)
    for (; i + WIDTH <= inputs; i += WIDTH) UPDATE_CASE(1_whole)
    for (; i + SHORT_WIDTH <= inputs; i += SHORT_WIDTH) UPDATE_CASE(1_short)
    for (; i < inputs; i++)
        for (int j = 0; j < outputs; j++) {
            real total = 0;
            for (ptrdiff_t n = 0; n < samples; n++)
                total += grad[n / MINIDL_LANES * grad_block + j * MINIDL_LANES + n % MINIDL_LANES] * x[n * inputs + i];
            dw[j * inputs + i] = total;
        }
}

/* y = the activation of y; NaN stays NaN. */
static inline void dense_activate(real *y, ptrdiff_t count, int activation) {
    if (activation == MINIDL_RELU)
        for (ptrdiff_t i = 0; i < count; i++) y[i] = y[i] <= 0 ? 0 : y[i];
    else if (activation == MINIDL_TANH)
        dense_tanh(y, count);
    else if (activation == MINIDL_SIGMOID)
        dense_sigmoid(y, count);
}

/* grad times the activation's slope, which its value y tells. */
static inline void dense_slope(const real *y, real *grad, ptrdiff_t count, int activation) {
    if (activation == MINIDL_RELU)
        for (ptrdiff_t i = 0; i < count; i++) grad[i] = y[i] <= 0 ? 0 : grad[i];
    else if (activation == MINIDL_TANH)
        for (ptrdiff_t i = 0; i < count; i++) grad[i] *= 1 - y[i] * y[i];
    else if (activation == MINIDL_SIGMOID)
        for (ptrdiff_t i = 0; i < count; i++) grad[i] *= y[i] * (1 - y[i]);
}

#undef PRODUCT
#undef PRODUCTS
#undef ROW
#undef UPDATE
#undef UPDATES
#undef SHORT
#undef SHORT_WIDTH
#undef UPDATE_CASE
#undef VECTOR
#undef WIDTH
#undef PARTS
#undef MOST

#endif
