/* The two activations that need an exponential. */
#ifndef MINIDL_DENSE_H
#define MINIDL_DENSE_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "real.h"

#if REAL_BYTES == 4

typedef double minidl_wide __attribute__((vector_size(64)));
typedef long long minidl_wide_bits __attribute__((vector_size(64)));
typedef float minidl_narrow __attribute__((vector_size(32)));

#define MINIDL_WIDE(x) ((minidl_wide){0} + (x))
#define MINIDL_SIGN ((minidl_wide_bits){0} + (long long)(1ull << 63))

/* scale - 1 and scale for e^x = scale (1 + rest), scale a power of 2, for |x| up to 700; rest to 1e-11 of itself.
 *
 * float32 is computed in float64, where a Taylor series of ten terms on |r| <= ln 2 / 2 is exact beyond what float32
 * keeps, and nothing cancels that matters. */
static inline minidl_wide minidl_exponential(minidl_wide x, minidl_wide *scale) {
    const minidl_wide round = MINIDL_WIDE(0x1.8p52);
    const minidl_wide shifted = x * 1.4426950408889634 + round;
    const minidl_wide power = shifted - round;
    const minidl_wide r = (x - power * 0.6931471805599453) - power * 2.3190468138462996e-17;
    minidl_wide rest = MINIDL_WIDE(1.0 / 3628800);
    rest = rest * r + 1.0 / 362880;
    rest = rest * r + 1.0 / 40320;
    rest = rest * r + 1.0 / 5040;
    rest = rest * r + 1.0 / 720;
    rest = rest * r + 1.0 / 120;
    rest = rest * r + 1.0 / 24;
    rest = rest * r + 1.0 / 6;
    rest = rest * r + 0.5;
    rest = rest * r + 1.0;
    /* The lowest bits of `shifted` count the powers of 2; moved up, they are an exponent. */
    *scale = (minidl_wide)(((minidl_wide_bits)shifted << 52) + (minidl_wide_bits)MINIDL_WIDE(1.0));
    return rest * r;
}

static inline minidl_wide minidl_choose(minidl_wide_bits mask, minidl_wide a, minidl_wide b) {
    return (minidl_wide)((mask & (minidl_wide_bits)a) | (~mask & (minidl_wide_bits)b));
}

static inline minidl_wide minidl_sigmoid_wide(minidl_wide x) {
    const minidl_wide_bits sign = (minidl_wide_bits)x & MINIDL_SIGN;
    minidl_wide size = (minidl_wide)((minidl_wide_bits)x ^ sign), scale, rest;
    size = minidl_choose(size < 120.0, size, MINIDL_WIDE(120.0));
    rest = minidl_exponential(-size, &scale);
    const minidl_wide shrunk = scale * rest + scale;
    return minidl_choose(x == x, minidl_choose(x < 0, shrunk, MINIDL_WIDE(1.0)) / (1.0 + shrunk), x);
}

/* y = sigmoid(y), 8 at a time in float64. */
static inline void dense_sigmoid(real *y, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += 8) {
        minidl_narrow part = {0};
        const size_t bytes = (count - i < 8 ? count - i : 8) * sizeof(float);
        memcpy(&part, y + i, bytes);
        part = __builtin_convertvector(minidl_sigmoid_wide(__builtin_convertvector(part, minidl_wide)), minidl_narrow);
        memcpy(y + i, &part, bytes);
    }
}
#undef MINIDL_WIDE
#undef MINIDL_SIGN

typedef float minidl_sixteen __attribute__((vector_size(64)));
typedef int minidl_sixteen_bits __attribute__((vector_size(64)));

/* tanh(x) = g / (g + 2) with g = e^(2|x|) - 1 = scale rest + (scale - 1), and x's sign; within 2.3 units in the last
 * place. Nothing cancels: for small x, scale is 1. From 10 on tanh is 1 in float32. */
static inline minidl_sixteen minidl_tanh_sixteen(minidl_sixteen x) {
    const minidl_sixteen_bits sign = (minidl_sixteen_bits)x & ((minidl_sixteen_bits){0} + (int)(1u << 31));
    const minidl_sixteen ten = (minidl_sixteen){0} + 10.0f;
    minidl_sixteen size = (minidl_sixteen)((minidl_sixteen_bits)x ^ sign);
    const minidl_sixteen_bits inside = size < ten;
    size = (minidl_sixteen)((inside & (minidl_sixteen_bits)size) | (~inside & (minidl_sixteen_bits)ten));
    const minidl_sixteen twice = size + size, round = (minidl_sixteen){0} + 0x1.8p23f;
    const minidl_sixteen shifted = twice * 1.44269504f + round, power = shifted - round;
    /* ln 2 in two parts, of which a multiple of the first is exact. */
    const minidl_sixteen r = (twice - power * 0.693359375f) + power * 2.12194440e-4f;
    minidl_sixteen rest = (minidl_sixteen){0} + 1.0f / 5040;
    rest = rest * r + 1.0f / 720;
    rest = rest * r + 1.0f / 120;
    rest = rest * r + 1.0f / 24;
    rest = rest * r + 1.0f / 6;
    rest = rest * r + 0.5f;
    /* The largest term is added last. */
    rest = rest * (r * r) + r;
    const minidl_sixteen scale =
        (minidl_sixteen)(((minidl_sixteen_bits)shifted << 23) + (minidl_sixteen_bits)((minidl_sixteen){0} + 1.0f));
    const minidl_sixteen grown = scale * rest + (scale - 1.0f);
    const minidl_sixteen_bits value = (minidl_sixteen_bits)(grown / (grown + 2.0f)) | sign, number = x == x;
    return (minidl_sixteen)((number & value) | (~number & (minidl_sixteen_bits)x));
}

static inline void dense_tanh(real *y, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += 16) {
        minidl_sixteen part = {0};
        const size_t bytes = (count - i < 16 ? count - i : 16) * sizeof(float);
        memcpy(&part, y + i, bytes);
        part = minidl_tanh_sixteen(part);
        memcpy(y + i, &part, bytes);
    }
}

#else

static inline void dense_tanh(real *y, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) y[i] = tanh(y[i]);
}

static inline void dense_sigmoid(real *y, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const real shrunk = exp(-fabs(y[i]));
        y[i] = (y[i] < 0 ? shrunk : 1) / (1 + shrunk);
    }
}

#endif

#endif
