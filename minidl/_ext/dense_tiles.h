/* Products of dense layers for small matrices, without BLAS: 16 samples lie side by side, each a lane of a vector.
 *
 * A layer's input is [feature][16]. A weight is one number for all lanes, read where it lies, so neither the forward
 * product (over a row of the weight) nor the one for the input's gradient (over a column) needs it packed or turned.
 * The weight's gradient has vectors along its rows instead: it adds up samples, of which each gives a row of the input.
 */
#ifndef MINIDL_DENSE_TILES_H
#define MINIDL_DENSE_TILES_H

#include "core/vector_math.h"
#include "direct_tiles.h"

enum { MINIDL_LINEAR, MINIDL_RELU, MINIDL_TANH, MINIDL_SIGMOID };

#define PARTS (MINIDL_LANES / WIDTH)
typedef real short_vector __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
#define SHORT_WIDTH ((int)(16 / sizeof(real)))
/* Outputs at once: 8 where there are 32 registers, else what leaves a few of 16. */
#define MOST (MINIDL_VECTOR_BYTES == 64 ? 8 : 12 / PARTS > 0 ? 12 / PARTS : 1)

/* y[j] = bias[j] + the sum over i of w[j, i] x[i], for JB neighbouring outputs of one block, or of two that lie x_block
 * and y_block apart: each weight is loaded once for both. */
#define PRODUCT(JB, BLOCKS)                                                                                            \
    static void product_##JB##_##BLOCKS(const real *x, const real *w, const real *bias, real *y,                       \
                                        ptrdiff_t inputs, ptrdiff_t w_output, ptrdiff_t w_input,                       \
                                        ptrdiff_t x_block, ptrdiff_t y_block) {                                        \
        TILE_SUMS(sum, JB, BLOCKS * PARTS);                                                                            \
        for (ptrdiff_t input = 0; input < inputs; input++, x += MINIDL_LANES, w += w_input)                            \
            TILE_ADD(sum, JB, BLOCKS * PARTS, w[i * w_output], LOAD(x + v / PARTS * x_block + v % PARTS * WIDTH));     \
        if (bias)                                                                                                      \
            TILE_EACH(JB, BLOCKS * PARTS, sum[i][v] += bias[i])                                                        \
        else /* This turns -0 into 0, as adding a bias of 0 does. */                                                   \
            TILE_EACH(JB, BLOCKS * PARTS, sum[i][v] += 0)                                                              \
        TILE_EACH(JB, BLOCKS * PARTS,                                                                                  \
                  STORE(y + i * MINIDL_LANES + v / PARTS * y_block + v % PARTS * WIDTH, sum[i][v]))                    \
    }
#define CALL(JB, BLOCKS) product_##JB##_##BLOCKS(x, w, bias, y, inputs, w_output, w_input, x_block, y_block)
#define PRODUCTS(BLOCKS)                                                                                               \
    EACH_8(PRODUCT, BLOCKS)                                                                                            \
    static inline void dense_products_##BLOCKS(const real *x, const real *w, const real *bias, real *y,                \
                                               ptrdiff_t outputs, ptrdiff_t inputs, ptrdiff_t w_output,                \
                                               ptrdiff_t w_input, ptrdiff_t x_block, ptrdiff_t y_block) {              \
        while (outputs > 0) {                                                                                          \
            const int now = outputs >= MOST ? MOST : (int)outputs;                                                     \
            SWITCH(now, EACH_7, 8, CALL, BLOCKS)                                                                       \
            w += now * w_output, y += now * MINIDL_LANES, outputs -= now;                                              \
            if (bias) bias += now;                                                                                     \
        }                                                                                                              \
    }
PRODUCTS(1)
PRODUCTS(2)
#undef CALL

/* Products of 1 or 2 blocks; together where the registers hold the sums of both. */
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

static inline real dense_fold(vector sum) {
    real lanes[WIDTH];
    STORE(lanes, sum);
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* Products of a single sample: y[j] = bias[j] + w[j] . x, vectors along the rows of w. */
#define ROW(JB)                                                                                                        \
    static void row_##JB(const real *x, const real *w, const real *bias, real *y, ptrdiff_t inputs) {                  \
        ptrdiff_t at = 0;                                                                                              \
        TILE_SUMS(sum, JB, 1);                                                                                         \
        for (; at + WIDTH <= inputs; at += WIDTH) TILE_ADD(sum, JB, 1, LOAD(w + i * inputs + at), LOAD(x + at));       \
        UNROLL for (int j = 0; j < JB; j++) {                                                                          \
            real total = dense_fold(sum[j][0]);                                                                          \
            for (ptrdiff_t k = at; k < inputs; k++) total += w[j * inputs + k] * x[k];                                  \
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
#define UPDATE(JB, VB, TYPE, LANES)                                                                                    \
    static void update_##JB##_##VB##_##TYPE(const real *x, const real *grad, real *dw, ptrdiff_t samples,              \
                                            ptrdiff_t inputs, ptrdiff_t grad_block) {                                  \
        TILE_SUMS_OF(TYPE, sum, JB, VB);                                                                               \
        for (; samples > 0; samples -= MINIDL_LANES, grad += grad_block) {                                             \
            const int lanes = samples < MINIDL_LANES ? (int)samples : MINIDL_LANES;                                    \
            for (int lane = 0; lane < lanes; lane++, x += inputs)                                                      \
                TILE_ADD_OF(TYPE, sum, JB, VB, grad[i * MINIDL_LANES + lane], *(const TYPE *)(x + v * LANES));         \
        }                                                                                                              \
        TILE_EACH(JB, VB, *(TYPE *)(dw + i * inputs + v * LANES) = sum[i][v])                                          \
    }
EACH_6(UPDATE, 1, vector, WIDTH)
EACH_6(UPDATE, 2, vector, WIDTH)
EACH_6(UPDATE, 4, vector, WIDTH)
/* A short vector for the columns that no whole one holds. */
EACH_6(UPDATE, 1, short_vector, SHORT_WIDTH)
#define CALL(JB, VB, TYPE) update_##JB##_##VB##_##TYPE(x + i, grad, dw + i, samples, inputs, grad_block)

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
        for (; i + 4 * WIDTH <= inputs; i += 4 * WIDTH) SWITCH(outputs, EACH_5, 6, CALL, 4, vector)
    for (; i + 2 * WIDTH <= inputs; i += 2 * WIDTH) SWITCH(outputs, EACH_5, 6, CALL, 2, vector)
    for (; i + WIDTH <= inputs; i += WIDTH) SWITCH(outputs, EACH_5, 6, CALL, 1, vector)
    for (; i + SHORT_WIDTH <= inputs; i += SHORT_WIDTH) SWITCH(outputs, EACH_5, 6, CALL, 1, short_vector)
    for (; i < inputs; i++)
        for (int j = 0; j < outputs; j++) {
            real total = 0;
            for (ptrdiff_t n = 0; n < samples; n++)
                total += grad[n / MINIDL_LANES * grad_block + j * MINIDL_LANES + n % MINIDL_LANES] * x[n * inputs + i];
            dw[j * inputs + i] = total;
        }
}

#undef CALL

/* y = function(y), by whole blocks, so that a number's bits do not depend on its place. */
#define BLOCKWISE(y, count, function)                                                                                  \
    for (ptrdiff_t i = 0; i < count; i += MINIDL_LANES) {                                                              \
        real block[MINIDL_LANES] = {0};                                                                                \
        const size_t bytes = (size_t)(count - i < MINIDL_LANES ? count - i : MINIDL_LANES) * sizeof(real);             \
        memcpy(block, y + i, bytes);                                                                                   \
        for (int lane = 0; lane < MINIDL_LANES; lane++) block[lane] = function(block[lane]);                           \
        memcpy(y + i, block, bytes);                                                                                   \
    }

/* y = the activation of y; NaN stays NaN. */
static inline void dense_activate(real *y, ptrdiff_t count, int activation) {
    if (activation == MINIDL_RELU)
        for (ptrdiff_t i = 0; i < count; i++) y[i] = y[i] <= 0 ? 0 : y[i];
    else if (activation == MINIDL_TANH)
        BLOCKWISE(y, count, vector_tanh)
    else if (activation == MINIDL_SIGMOID)
        BLOCKWISE(y, count, vector_sigmoid)
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
#undef BLOCKWISE
#undef SHORT_WIDTH
#undef PARTS
#undef MOST

#endif
