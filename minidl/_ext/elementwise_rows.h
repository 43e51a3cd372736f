/* A kernel for the value and one for the gradient of each row of elementwise_table.h.
 *
 * Loops run over whole blocks; one that is not whole is padded. So all numbers meet the same vector instructions and no
 * scalar ones, and the bits of a result depend neither on where its number stands nor on how work is shared.
 */
#include "core/vector_math.h"

/* Limits of NaN do not limit. */
static inline real vector_clipped(real x, real low, real high) {
    const real raised = x < low ? low : x;
    return raised > high ? high : raised;
}

static inline real vector_least(real x, real y) {
    return x < y ? x : y;
}

static inline real vector_square_root(real x) {
    return IS_FLOAT ? (real)__builtin_sqrtf((float)x) : (real)__builtin_sqrt(x);
}

/* log(1 + exp(x)), which overflows nowhere. */
static inline real vector_softplus(real x) {
    return (x > 0 ? x : 0) + vector_log1p_of_unit(vector_exp_of_minus_size(x));
}

/* sigmoid(x), with 0 instead of subnormal numbers: for what multiplies it, in fewer steps. */
static inline real vector_gate(real x) {
    const real power = vector_exp_of_minus_size(x);
    return (x < 0 ? power : 1) / (1 + power);
}

static inline real vector_silu_slope(real x) {
    const real s = vector_gate(x);
    return s * (x * (1 - s) + 1);
}

typedef struct {
    /* tanh(softplus(x)), 1 less its square, and sigmoid(x). */
    real value, rest, sigmoid;
} vector_TanhOfSoftplus;

/* With n = exp(x) it is (n^2 + 2 n) / (n^2 + 2 n + 2); for x above 0 both are divided by n^2, which may overflow. */
static inline vector_TanhOfSoftplus vector_tanh_of_softplus(real x) {
    const real power = vector_exp_of_minus_size(x), twice = 2 * power, square = power * power;
    const real upper = x < 0 ? square + twice : 1 + twice, gap = x < 0 ? 2 : 2 * square, lower = upper + gap;
    const vector_TanhOfSoftplus result = {
        upper / lower, gap * (upper + lower) / (lower * lower), (x < 0 ? power : 1) / (1 + power)};
    return result;
}

static inline real vector_mish_slope(real x) {
    const vector_TanhOfSoftplus t = vector_tanh_of_softplus(x);
    return t.value + x * t.sigmoid * t.rest;
}

/* The integer below, above, nearest (even of two) or towards 0. */
static inline real vector_floor(real x) {
    return IS_FLOAT ? (real)__builtin_floorf((float)x) : (real)__builtin_floor(x);
}

static inline real vector_ceil(real x) {
    return IS_FLOAT ? (real)__builtin_ceilf((float)x) : (real)__builtin_ceil(x);
}

static inline real vector_round(real x) {
    return IS_FLOAT ? (real)__builtin_rintf((float)x) : (real)__builtin_rint(x);
}

static inline real vector_trunc(real x) {
    return IS_FLOAT ? (real)__builtin_truncf((float)x) : (real)__builtin_trunc(x);
}

static inline real vector_secant_squared(real cosine) {
    return 1 / (cosine * cosine);
}

static inline real vector_library_tan(real x) {
    return IS_FLOAT ? (real)__builtin_tanf((float)x) : (real)__builtin_tan(x);
}

static inline real vector_library_sin(real x) {
    return IS_FLOAT ? (real)__builtin_sinf((float)x) : (real)__builtin_sin(x);
}

static inline real vector_library_cos(real x) {
    return IS_FLOAT ? (real)__builtin_cosf((float)x) : (real)__builtin_cos(x);
}

#define INVERSE_ROOT_2PI (real)0x1.9884533d43651p-2

static inline real vector_normal_density(real x) {
    return INVERSE_ROOT_2PI * vector_exp((real)-0.5 * (x * x));
}

static inline real vector_gelu_slope(real x) {
    real power;
    const real share = vector_normal_cdf_and_power(x, &power);
    return share + x * (INVERSE_ROOT_2PI * power);
}

/* 2 sqrt(2 / pi) (x + 0.044715 x^3), whose sigmoid is (1 + tanh(half of it)) / 2. */
static inline real vector_gelu_tanh_inner(real x) {
    return x * (x * x * (real)0.044715 + 1) * (real)0x1.9884533d43651p0;
}

static inline real vector_gelu_tanh_slope(real x) {
    const real square = x * x * (real)0.044715;
    const real s = vector_gate(vector_gelu_tanh_inner(x)), inner = (square * 3 + 1) * (real)0x1.9884533d43651p0;
    return s * (x * (1 - s) * inner + 1);
}

#define ROW(name, torch, keeps, steps, value, gradient, documentation)                                                 \
    APART void name##_blocks(const real *restrict from, ptrdiff_t count, real a, real b, real *restrict to) {    \
        for (ptrdiff_t i = 0; i < count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK; i++) {                                \
            const real x = from[i];                                                                                    \
            to[i] = (value);                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    APART void name##_gradient_blocks(const real *restrict grads, const real *restrict kept, ptrdiff_t count,    \
                                            real a, real b, real *restrict to) {                                       \
        for (ptrdiff_t i = 0; i < count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK; i++) {                                \
            const real grad = grads[i], x = kept[i], y = x;                                                            \
            (void)grad, (void)y;                                                                                       \
            to[i] = (gradient);                                                                                        \
        }                                                                                                              \
    }
/* The loops of the fast reduction, and then the C library's for numbers that are too large for it, and for infinities. */
#define FAR_ROW(name, torch, value, gradient, far_value, far_gradient, documentation)                                  \
    ROW(near_##name, torch, INPUT, 2, value, gradient, documentation)                                                  \
    static void name##_blocks(const real *from, ptrdiff_t count, real a, real b, real *to) {                     \
        near_##name##_blocks(from, count, a, b, to);                                                             \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            const real x = from[i];                                                                                    \
            if (vector_absolute(x) > TRIGONOMETRIC_LIMIT) to[i] = (far_value);                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_gradient_blocks(const real *grads, const real *kept, ptrdiff_t count, real a, real b,     \
                                             real *to) {                                                               \
        near_##name##_gradient_blocks(grads, kept, count, a, b, to);                                             \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            const real grad = grads[i], x = kept[i];                                                                   \
            if (vector_absolute(x) > TRIGONOMETRIC_LIMIT) to[i] = (far_gradient);                                       \
        }                                                                                                              \
    }
#include "elementwise_table.h"
#undef FAR_ROW
#undef ROW

#define FAR_ROW(name, torch, value, gradient, far_value, far_gradient, documentation)                                  \
    ROW(name, torch, INPUT, 2, value, gradient, documentation)
#define ROW(name, torch, keeps, steps, value, gradient, documentation) name##_blocks,
static void (*const elementwise_values[])(const real *, ptrdiff_t, real, real, real *) = {
#include "elementwise_table.h"
};
#undef ROW

#define ROW(name, torch, keeps, steps, value, gradient, documentation) name##_gradient_blocks,
static void (*const elementwise_gradients[])(const real *, const real *, ptrdiff_t, real, real, real *) = {
#include "elementwise_table.h"
};
#undef ROW

/* y = f(x) for the f of a row. */
static void elementwise_value(int row, const real *x, ptrdiff_t count, real a, real b, real *y) {
    const ptrdiff_t whole = count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK, rest = count - whole;
    if (whole > 0) elementwise_values[row](x, whole, a, b, y);
    if (rest > 0) {
        real padded[ELEMENTWISE_BLOCK] = {0}, result[ELEMENTWISE_BLOCK];
        __builtin_memcpy(padded, x + whole, (size_t)rest * sizeof(real));
        elementwise_values[row](padded, ELEMENTWISE_BLOCK, a, b, result);
        __builtin_memcpy(y + whole, result, (size_t)rest * sizeof(real));
    }
}

/* The gradient of x from that of y and from what the row keeps. */
static void elementwise_gradient(int row, const real *grad, const real *kept, ptrdiff_t count, real a, real b,
                                 real *grad_x) {
    const ptrdiff_t whole = count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK, rest = count - whole;
    if (whole > 0) elementwise_gradients[row](grad, kept, whole, a, b, grad_x);
    if (rest > 0) {
        real padded[2][ELEMENTWISE_BLOCK] = {{0}}, result[ELEMENTWISE_BLOCK];
        __builtin_memcpy(padded[0], grad + whole, (size_t)rest * sizeof(real));
        __builtin_memcpy(padded[1], kept + whole, (size_t)rest * sizeof(real));
        elementwise_gradients[row](padded[0], padded[1], ELEMENTWISE_BLOCK, a, b, result);
        __builtin_memcpy(grad_x + whole, result, (size_t)rest * sizeof(real));
    }
}

#undef FAR_ROW
