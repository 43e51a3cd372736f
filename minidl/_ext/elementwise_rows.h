/* A kernel for the value and one for the gradient of each row of elementwise_table.h, included for each number type.
 *
 * Loops run over whole blocks; one that is not whole is padded. So all numbers meet the same vector instructions and no
 * scalar ones, and the bits of a result depend neither on where its number stands nor on how work is shared.
 */
#include "core/vector_math.h"

/* Limits of NaN do not limit. */
static inline REAL NAME(clipped)(REAL x, REAL low, REAL high) {
    const REAL raised = x < low ? low : x;
    return raised > high ? high : raised;
}

static inline REAL NAME(least)(REAL x, REAL y) {
    return x < y ? x : y;
}

static inline REAL NAME(square_root)(REAL x) {
    return IS_FLOAT ? (REAL)__builtin_sqrtf((float)x) : (REAL)__builtin_sqrt(x);
}

/* log(1 + exp(x)), which overflows nowhere. */
static inline REAL NAME(softplus)(REAL x) {
    return (x > 0 ? x : 0) + NAME(log1p_of_unit)(NAME(exp_of_minus_size)(x));
}

/* sigmoid(x), with 0 instead of subnormal numbers: for what multiplies it, in fewer steps. */
static inline REAL NAME(gate)(REAL x) {
    const REAL power = NAME(exp_of_minus_size)(x);
    return (x < 0 ? power : 1) / (1 + power);
}

static inline REAL NAME(silu_slope)(REAL x) {
    const REAL s = NAME(gate)(x);
    return s * (x * (1 - s) + 1);
}

typedef struct {
    /* tanh(softplus(x)), 1 less its square, and sigmoid(x). */
    REAL value, rest, sigmoid;
} NAME(TanhOfSoftplus);

/* With n = exp(x) it is (n^2 + 2 n) / (n^2 + 2 n + 2); for x above 0 both are divided by n^2, which may overflow. */
static inline NAME(TanhOfSoftplus) NAME(tanh_of_softplus)(REAL x) {
    const REAL power = NAME(exp_of_minus_size)(x), twice = 2 * power, square = power * power;
    const REAL upper = x < 0 ? square + twice : 1 + twice, gap = x < 0 ? 2 : 2 * square, lower = upper + gap;
    const NAME(TanhOfSoftplus) result = {
        upper / lower, gap * (upper + lower) / (lower * lower), (x < 0 ? power : 1) / (1 + power)};
    return result;
}

static inline REAL NAME(mish_slope)(REAL x) {
    const NAME(TanhOfSoftplus) t = NAME(tanh_of_softplus)(x);
    return t.value + x * t.sigmoid * t.rest;
}

static inline REAL NAME(library_sin)(REAL x) {
    return IS_FLOAT ? (REAL)__builtin_sinf((float)x) : (REAL)__builtin_sin(x);
}

static inline REAL NAME(library_cos)(REAL x) {
    return IS_FLOAT ? (REAL)__builtin_cosf((float)x) : (REAL)__builtin_cos(x);
}

#define INVERSE_ROOT_2PI (REAL)0x1.9884533d43651p-2

static inline REAL NAME(normal_density)(REAL x) {
    return INVERSE_ROOT_2PI * NAME(exp)((REAL)-0.5 * (x * x));
}

static inline REAL NAME(gelu_slope)(REAL x) {
    REAL power;
    const REAL share = NAME(normal_cdf_and_power)(x, &power);
    return share + x * (INVERSE_ROOT_2PI * power);
}

/* 2 sqrt(2 / pi) (x + 0.044715 x^3), whose sigmoid is (1 + tanh(half of it)) / 2. */
static inline REAL NAME(gelu_tanh_inner)(REAL x) {
    return x * (x * x * (REAL)0.044715 + 1) * (REAL)0x1.9884533d43651p0;
}

static inline REAL NAME(gelu_tanh_slope)(REAL x) {
    const REAL square = x * x * (REAL)0.044715;
    const REAL s = NAME(gate)(NAME(gelu_tanh_inner)(x)), inner = (square * 3 + 1) * (REAL)0x1.9884533d43651p0;
    return s * (x * (1 - s) * inner + 1);
}

#define ROW(name, torch, keeps, steps, value, gradient, documentation)                                                 \
    APART void NAME(name##_blocks)(const REAL *restrict from, ptrdiff_t count, REAL a, REAL b, REAL *restrict to) {    \
        for (ptrdiff_t i = 0; i < count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK; i++) {                                \
            const REAL x = from[i];                                                                                    \
            to[i] = (value);                                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    APART void NAME(name##_gradient_blocks)(const REAL *restrict grads, const REAL *restrict kept, ptrdiff_t count,    \
                                            REAL a, REAL b, REAL *restrict to) {                                       \
        for (ptrdiff_t i = 0; i < count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK; i++) {                                \
            const REAL grad = grads[i], x = kept[i], y = x;                                                            \
            (void)y;                                                                                                   \
            to[i] = (gradient);                                                                                        \
        }                                                                                                              \
    }
/* The loops of the fast reduction, and then the C library's for numbers that are too large for it, and for infinities. */
#define FAR_ROW(name, torch, value, gradient, far_value, far_gradient, documentation)                                  \
    ROW(near_##name, torch, INPUT, 2, value, gradient, documentation)                                                  \
    static void NAME(name##_blocks)(const REAL *from, ptrdiff_t count, REAL a, REAL b, REAL *to) {                     \
        NAME(near_##name##_blocks)(from, count, a, b, to);                                                             \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            const REAL x = from[i];                                                                                    \
            if (NAME(absolute)(x) > TRIGONOMETRIC_LIMIT) to[i] = (far_value);                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME(name##_gradient_blocks)(const REAL *grads, const REAL *kept, ptrdiff_t count, REAL a, REAL b,     \
                                             REAL *to) {                                                               \
        NAME(near_##name##_gradient_blocks)(grads, kept, count, a, b, to);                                             \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            const REAL grad = grads[i], x = kept[i];                                                                   \
            if (NAME(absolute)(x) > TRIGONOMETRIC_LIMIT) to[i] = (far_gradient);                                       \
        }                                                                                                              \
    }
#include "elementwise_table.h"
#undef FAR_ROW
#undef ROW

#define FAR_ROW(name, torch, value, gradient, far_value, far_gradient, documentation)                                  \
    ROW(name, torch, INPUT, 2, value, gradient, documentation)
#define ROW(name, torch, keeps, steps, value, gradient, documentation) NAME(name##_blocks),
static void (*const NAME(elementwise_values)[])(const REAL *, ptrdiff_t, REAL, REAL, REAL *) = {
#include "elementwise_table.h"
};
#undef ROW

#define ROW(name, torch, keeps, steps, value, gradient, documentation) NAME(name##_gradient_blocks),
static void (*const NAME(elementwise_gradients)[])(const REAL *, const REAL *, ptrdiff_t, REAL, REAL, REAL *) = {
#include "elementwise_table.h"
};
#undef ROW

/* y = f(x) for the f of a row. */
static void NAME(elementwise_value)(int row, const REAL *x, ptrdiff_t count, REAL a, REAL b, REAL *y) {
    const ptrdiff_t whole = count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK, rest = count - whole;
    if (whole > 0) NAME(elementwise_values)[row](x, whole, a, b, y);
    if (rest > 0) {
        REAL padded[ELEMENTWISE_BLOCK] = {0}, result[ELEMENTWISE_BLOCK];
        __builtin_memcpy(padded, x + whole, (size_t)rest * sizeof(REAL));
        NAME(elementwise_values)[row](padded, ELEMENTWISE_BLOCK, a, b, result);
        __builtin_memcpy(y + whole, result, (size_t)rest * sizeof(REAL));
    }
}

/* The gradient of x from that of y and from what the row keeps. */
static void NAME(elementwise_gradient)(int row, const REAL *grad, const REAL *kept, ptrdiff_t count, REAL a, REAL b,
                                       REAL *grad_x) {
    const ptrdiff_t whole = count / ELEMENTWISE_BLOCK * ELEMENTWISE_BLOCK, rest = count - whole;
    if (whole > 0) NAME(elementwise_gradients)[row](grad, kept, whole, a, b, grad_x);
    if (rest > 0) {
        REAL padded[2][ELEMENTWISE_BLOCK] = {{0}}, result[ELEMENTWISE_BLOCK];
        __builtin_memcpy(padded[0], grad + whole, (size_t)rest * sizeof(REAL));
        __builtin_memcpy(padded[1], kept + whole, (size_t)rest * sizeof(REAL));
        NAME(elementwise_gradients)[row](padded[0], padded[1], ELEMENTWISE_BLOCK, a, b, result);
        __builtin_memcpy(grad_x + whole, result, (size_t)rest * sizeof(REAL));
    }
}

#undef FAR_ROW
