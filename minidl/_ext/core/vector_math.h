/* exp, exp2, expm1, log, log2, log10, log1p, tanh, erf, sigmoid, sin, cos and the normal distribution for `real`, as plain C that compilers
 * turn into vector code: there are no branches, no tables and no calls, and a number's result depends on nothing but it.
 *
 * Arguments are reduced as in Cody and Waite, Software Manual for the
 * Elementary Functions (1980), by constants whose products with small integers are exact; erfc's exponent-free factor is
 * approximated over a half-line as in Shepherd and Laframboise, Math. Comp. 36 (1981). The polynomials are minimax ones
 * by tools/minimax.py. Infinities, NaN and subnormal numbers give what IEEE 754 recommends. The largest errors, which
 * tests/test_vector_math.py holds the functions to, in units in the last place (float over all numbers, double sampled):
 *
 *            exp   log   expm1  log1p  tanh  erf   sigmoid  sin   cos
 *   float    1.1   0.9   1.5    0.9    1.4   1.3   2.4      2.4   2.4
 *   double   1.0   0.8   1.9    0.9    1.4   1.2   2.2      1.5   2.2
 *
 * normal_cdf is within 7, relative to results that may be as small as normal numbers are.
 */
#ifndef MINIDL_VECTOR_MATH_H
#define MINIDL_VECTOR_MATH_H

#include "../real.h"

#define IS_FLOAT (sizeof(real) == 4)
typedef __typeof__(_Generic((real)0, float: 0u, double: 0ull)) Bits;
#define SIGN_BIT ((Bits)1 << (8 * sizeof(real) - 1))
#define MANTISSA_BITS (IS_FLOAT ? 23 : 52)
#define EXPONENT_BIAS (IS_FLOAT ? 127 : 1023)
/* Adding it rounds to an integer, which then stands in the lowest bits. */
#define ROUNDER (IS_FLOAT ? (real)0x1.8p23 : (real)0x1.8p52)
#define INVERSE_LN2 (real)0x1.71547652b82fep0
#define LN2 (real)0x1.62e42fefa39efp-1
/* The upper part has so few bits that its products with exponents are exact. */
#define LN2_UPPER (IS_FLOAT ? (real)0x1.62e4p-1 : (real)0x1.62e42fefa38p-1)
#define LN2_LOWER (IS_FLOAT ? (real)0x1.7f7d1cp-20 : (real)0x1.ef35793c7673p-45)

#ifndef MINIDL_POLYNOMIAL
#define MINIDL_POLYNOMIAL
/* POLY4(x, a, b, c, d) is a + b x + c x^2 + d x^3. Four terms at a time (Estrin), not one (Horner): half of the steps or
 * less wait for one another, and a processor has other numbers only for some of its units meanwhile. */
#define POLY1(x, a) ((real)(a))
#define POLY2(x, a, b) ((real)(a) + (x) * (real)(b))
#define POLY3(x, a, b, c) (POLY2(x, a, b) + (x) * (x) * (real)(c))
#define POLY4(x, a, b, c, d) (POLY2(x, a, b) + (x) * (x) * POLY2(x, c, d))
#define POLY5(x, a, b, ...) (POLY2(x, a, b) + (x) * (x) * POLY3(x, __VA_ARGS__))
#define POLY6(x, a, b, ...) (POLY2(x, a, b) + (x) * (x) * POLY4(x, __VA_ARGS__))
#define POLY7(x, a, b, ...) (POLY2(x, a, b) + (x) * (x) * POLY5(x, __VA_ARGS__))
#define POLY8(x, a, b, ...) (POLY2(x, a, b) + (x) * (x) * POLY6(x, __VA_ARGS__))
#define POLY9(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY5(x, __VA_ARGS__))
#define POLY10(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY6(x, __VA_ARGS__))
#define POLY12(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY8(x, __VA_ARGS__))
#define POLY14(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY10(x, __VA_ARGS__))
#define POLY16(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY12(x, __VA_ARGS__))
#define POLY20(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY16(x, __VA_ARGS__))
#define POLY24(x, a, b, c, d, ...) (POLY4(x, a, b, c, d) + (x) * (x) * ((x) * (x)) * POLY20(x, __VA_ARGS__))
#endif

static inline Bits vector_bits_of(real x) {
    Bits bits;
    __builtin_memcpy(&bits, &x, sizeof(x));
    return bits;
}

static inline real vector_from_bits(Bits bits) {
    real x;
    __builtin_memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline real vector_absolute(real x) {
    return vector_from_bits(vector_bits_of(x) & ~SIGN_BIT);
}

/* The size of the first, which is not negative, with the sign of the second. */
static inline real vector_with_sign(real size, real sign) {
    return vector_from_bits(vector_bits_of(size) | (vector_bits_of(sign) & SIGN_BIT));
}

/* (exp(r) - 1 - r) / r^2 for |r| up to ln(2) / 2. */
static inline real vector_exp_rest(real r) {
    return IS_FLOAT
        ? POLY6(r, 0x1p-1, 0x1.555556p-3, 0x1.5554a8p-5, 0x1.11108ap-7, 0x1.6d7b4p-10, 0x1.a1a96cp-13)
        : POLY12(r, 0x1p-1, 0x1.5555555555555p-3, 0x1.5555555555559p-5, 0x1.1111111111114p-7, 0x1.6c16c16c14b29p-10,
                 0x1.a01a01a017a24p-13, 0x1.a01a01ae8a219p-16, 0x1.71de3a623fef7p-19, 0x1.27e4ca48870a6p-22,
                 0x1.ae640f3816e8ap-26, 0x1.1f8e481aa0a1ap-29, 0x1.61e9991487129p-33);
}

/* exp(r) for such r; the last term that expm1 needs is too small to matter here. */
static inline real vector_exp_of_reduced(real r) {
    return 1 + (r + r * r * (IS_FLOAT
        ? POLY5(r, 0x1p-1, 0x1.5554a8p-3, 0x1.555482p-5, 0x1.122d6ap-7, 0x1.6d9e9p-10)
        : vector_exp_rest(r)));
}

/* x 2^n, where n + ROUNDER is given. The power is in two halves: it may be subnormal or too large where the result is
 * neither. */
static inline real vector_times_power(real x, real rounded) {
    const Bits exponents = vector_bits_of(rounded) - vector_bits_of(ROUNDER) + 2 * EXPONENT_BIAS, half = exponents >> 1;
    return x * vector_from_bits(half << MANTISSA_BITS) * vector_from_bits((exponents - half) << MANTISSA_BITS);
}

static inline real vector_exp(real x) {
    const real least = IS_FLOAT ? -104 : -746, most = IS_FLOAT ? 89 : 710;
    /* NaN passes both. */
    const real low = x < least ? least : x, limited = low > most ? most : low;
    const real rounded = limited * INVERSE_LN2 + ROUNDER, n = rounded - ROUNDER;
    return vector_times_power(vector_exp_of_reduced((limited - n * LN2_UPPER) - n * LN2_LOWER), rounded);
}

static inline real vector_exp2(real x) {
    const real least = IS_FLOAT ? -151 : -1076, most = IS_FLOAT ? 129 : 1025;
    const real low = x < least ? least : x, limited = low > most ? most : low;
    const real rounded = limited + ROUNDER, n = rounded - ROUNDER;
    return vector_times_power(vector_exp_of_reduced((limited - n) * LN2), rounded);
}

/* exp(x) is about to become subnormal here. */
#define LEAST_EXPONENT (IS_FLOAT ? -87 : -708)

/* exp(x + rest) for x from LEAST_EXPONENT to 0 and a rest that is small, in fewer steps. */
static inline real vector_exp_of_negative_sum(real x, real rest) {
    const real rounded = x * INVERSE_LN2 + ROUNDER, n = rounded - ROUNDER;
    const real r = (x - n * LN2_UPPER) - (n * LN2_LOWER - rest);
    const Bits exponent = vector_bits_of(rounded) - vector_bits_of(ROUNDER) + EXPONENT_BIAS;
    return vector_exp_of_reduced(r) * vector_from_bits(exponent << MANTISSA_BITS);
}

/* exp(-|x|) in fewer steps, 0 instead of subnormal numbers. */
static inline real vector_exp_of_minus_size(real x) {
    const real minus = vector_from_bits(vector_bits_of(x) | SIGN_BIT);
    const real limited = minus < LEAST_EXPONENT ? LEAST_EXPONENT : minus;
    const real rounded = limited * INVERSE_LN2 + ROUNDER, n = rounded - ROUNDER;
    const real r = (limited - n * LN2_UPPER) - n * LN2_LOWER;
    const Bits exponent = vector_bits_of(rounded) - vector_bits_of(ROUNDER) + EXPONENT_BIAS;
    const real y = vector_exp_of_reduced(r) * vector_from_bits(exponent << MANTISSA_BITS);
    return minus < LEAST_EXPONENT ? 0 : y;
}

static inline real vector_expm1(real x) {
    /* Below the least the result is -1. */
    const real least = IS_FLOAT ? -18 : -38, most = IS_FLOAT ? 89 : 710;
    const real low = x < least ? least : x, limited = low > most ? most : low;
    const real rounded = limited * INVERSE_LN2 + ROUNDER, n = rounded - ROUNDER;
    const real r = (limited - n * LN2_UPPER) - n * LN2_LOWER;
    const real power = r + r * r * vector_exp_rest(r);
    /* Half of 2^n, which is finite where the result is. */
    const real half = vector_from_bits((vector_bits_of(rounded) - vector_bits_of(ROUNDER) + EXPONENT_BIAS - 1)
                                      << MANTISSA_BITS);
    const real scaled = 2 * (power * half + (half - (real)0.5));
    const real y = n == 0 ? power : scaled;
    /* The sign of 0 is that of x. */
    return x == 0 ? x : y;
}

/* (2 atanh(s) - 2 s) / s^3 as a function of s^2, up to s = 0.172. */
static inline real vector_atanh_rest(real z) {
    return IS_FLOAT
        ? POLY4(z, 0x1.555554p-1, 0x1.999a7ep-2, 0x1.2437e2p-2, 0x1.e31db8p-3)
        : POLY8(z, 0x1.5555555555555p-1, 0x1.9999999999e25p-2, 0x1.249249242821dp-2, 0x1.c71c725cc1b9dp-3,
                0x1.745cdd03006fcp-3, 0x1.3b20e0a0afbfp-3, 0x1.0f580fba5ba94p-3, 0x1.0f8e6732e51d2p-3);
}

typedef struct {
    real power, f, less;
} vector_Logarithm;

/* x that is positive and finite as 2^power m, with m from sqrt(1/2) to sqrt(2); log(m) is f - less. */
static inline vector_Logarithm vector_logarithm(real x) {
    const real least_normal = IS_FLOAT ? (real)0x1p-126 : (real)0x1p-1022, widen = IS_FLOAT ? (real)0x1p24 : (real)0x1p54;
    const real normal = x < least_normal ? x * widen : x;
    const real widened = x < least_normal ? (IS_FLOAT ? 24 : 54) : 0;
    const Bits root = vector_bits_of((real)0x1.6a09e667f3bcdp-1), one = vector_bits_of((real)1);
    const Bits shifted = vector_bits_of(normal) + (one - root);
    const real m = vector_from_bits((shifted & (((Bits)1 << MANTISSA_BITS) - 1)) + root);
    const real integers = IS_FLOAT ? (real)0x1p23 : (real)0x1p52;
    const real k = vector_from_bits(shifted >> MANTISSA_BITS | vector_bits_of(integers)) - (integers + EXPONENT_BIAS) - widened;
    /* log(1 + f) = 2 atanh(s), where f - s f is 2 s but for the rounding of s. */
    const real f = m - 1, s = f / (2 + f), z = s * s;
    const vector_Logarithm found = {k, f, s * (f - z * vector_atanh_rest(z))};
    return found;
}

/* log(x) + rest for x that is positive and finite; the rest is small. */
static inline real vector_log_and_rest(real x, real rest) {
    const vector_Logarithm l = vector_logarithm(x);
    return l.power * LN2_UPPER + (l.f - (l.less - (l.power * LN2_LOWER + rest)));
}

/* The logarithm y of x > 0 where that is so; infinity and NaN are their own. */
static inline real vector_logarithm_or_special(real x, real y) {
    const real infinity = (real)__builtin_inf(), outside = x == 0 ? -infinity : (real)__builtin_nan("");
    return x > 0 ? (x < infinity ? y : x) : outside;
}

static inline real vector_log(real x) {
    return vector_logarithm_or_special(x, vector_log_and_rest(x, 0));
}

static inline real vector_log2(real x) {
    const vector_Logarithm l = vector_logarithm(x);
    return vector_logarithm_or_special(x, l.power + (l.f - l.less) * INVERSE_LN2);
}

static inline real vector_log10(real x) {
    /* log10(2) in two parts: the upper one has so few bits that its products with powers are exact. */
    const real upper = IS_FLOAT ? (real)0x1.344p-2 : (real)0x1.34413509f78p-2;
    const real lower = IS_FLOAT ? (real)0x1.3509f8p-18 : (real)0x1.fef311f12b358p-46;
    const vector_Logarithm l = vector_logarithm(x);
    const real y = l.power * upper + ((l.f - l.less) * (real)0x1.bcb7b1526e50ep-2 + l.power * lower);
    return vector_logarithm_or_special(x, y);
}

static inline real vector_log1p(real x) {
    const real infinity = (real)__builtin_inf();
    const real u = 1 + x, back = u - 1;
    /* The sum lost exactly this (Knuth). */
    const real lost = (1 - (u - back)) + (x - back);
    const real y = vector_log_and_rest(u, lost / u);
    const real outside = x == -1 ? -infinity : (real)__builtin_nan("");
    const real inside = x < infinity ? y : x;
    return x == 0 ? x : x > -1 ? inside : outside;
}

/* log(1 + x) for x from 0 to 1, in fewer steps. */
static inline real vector_log1p_of_unit(real x) {
    const real s = x / (2 + x), z = s * s;
    const real rest = IS_FLOAT
        ? POLY5(z, 0x1.555558p-1, 0x1.9996aap-2, 0x1.250962p-2, 0x1.b6d7acp-3, 0x1.f1abeap-3)
        : POLY12(z, 0x1.5555555555555p-1, 0x1.99999999999c2p-2, 0x1.24924924902ffp-2, 0x1.c71c71c8da2f2p-3,
                 0x1.745d16d99ce12p-3, 0x1.3b13c1eb74af3p-3, 0x1.110f5af81cdabp-3, 0x1.e21ee9783e79ep-4,
                 0x1.ac442a8b28d68p-4, 0x1.9d73d15c0a564p-4, 0x1.dafd905e1e72fp-5, 0x1.48cebc5a0ee22p-3);
    return x - s * (x - z * rest);
}

static inline real vector_tanh(real x) {
    const real size = vector_absolute(x), z = size * size;
    const real near = size + size * z * (IS_FLOAT
        ? POLY5(z, -0x1.55553p-2, 0x1.110692p-3, -0x1.b8269ep-5, 0x1.518c28p-6, -0x1.72ff24p-8)
        : POLY12(z, -0x1.5555555555551p-2, 0x1.1111111110aedp-3, -0x1.ba1ba1b9bf48cp-5, 0x1.664f486cf8674p-6,
                 -0x1.226e325a1d60bp-7, 0x1.d6d3484eac943p-9, -0x1.7d9b4e0941e74p-10, 0x1.3503edbfab7ddp-11,
                 -0x1.f0be494c865d3p-13, 0x1.7eeee71349d4ap-14, -0x1.f6035df54b70bp-16, 0x1.8d9addbb49cf9p-18));
    const real far = 1 - 2 / (1 + vector_exp(2 * size));
    return vector_with_sign(size < (real)0.625 ? near : far, x);
}

static inline real vector_sigmoid(real x) {
    /* exp(-|x|) can't overflow, and where it is small the result is as accurate as it is. */
    const real power = vector_exp(-vector_absolute(x));
    return (x < 0 ? power : 1) / (1 + power);
}

/* exp(-x^2 / 2), for x from 0 to LARGEST_DEVIATE: a square that has been rounded would be off by its error times itself. */
static inline real vector_exp_of_half_square(real x) {
    const real upper = vector_from_bits(vector_bits_of(x) & (~(Bits)0 << (MANTISSA_BITS / 2 + 1)));
    return vector_exp_of_negative_sum((real)-0.5 * (upper * upper), (real)-0.5 * ((x - upper) * (x + upper)));
}

/* erfc(x / sqrt(2)) exp(x^2 / 2) / 2, for x from 0 to LARGEST_DEVIATE. */
static inline real vector_scaled_tail(real x) {
    const real centre = IS_FLOAT ? 3 : 5, inverse = 1 / (x + centre), u = (x - centre) * inverse;
    return inverse * (IS_FLOAT
        ? POLY9(u, 0x1.754a74p-1, -0x1.04c732p-1, 0x1.d71454p-3, -0x1.8321e8p-5, -0x1.5763e8p-7, 0x1.c62f4ap-8,
                0x1.1a8004p-10, -0x1.de7c7ap-11, -0x1.1e429ep-12)
        : POLY24(u, 0x1.89d3abe1f95aep-1, -0x1.54ad03f27ca18p-1, 0x1.fb31653876f89p-2, -0x1.410ed5f87594cp-2,
                 0x1.51f6329f01ba2p-3, -0x1.1b1c254ca3f76p-4, 0x1.54b4d4f48aeb5p-6,
                 -0x1.88590e985f9c8p-9, -0x1.a2503778cdb86p-11, 0x1.1daf1ae14befp-11,
                 -0x1.f21492a155fb7p-15, -0x1.a17013c3dfd8bp-15, 0x1.17df1089485p-16,
                 0x1.0b14ee9e11115p-18, -0x1.73e04975b160cp-19, -0x1.674b2f1bf97edp-22,
                 0x1.d4660331b1916p-22, 0x1.5986f470e7ffdp-25, -0x1.2ce377fded342p-24,
                 -0x1.26980ad781bbep-27, 0x1.70bb4ac33bb4p-27, 0x1.2ff70735eb66cp-29,
                 -0x1.39362882d1728p-30, -0x1.9aa68119d4be3p-32));
}

/* Here the density of the standard normal distribution is about to become subnormal. */
#define LARGEST_DEVIATE (IS_FLOAT ? (real)13.1 : (real)37.6)

/* The share of a standard normal distribution below x; also its density, but for the factor of 1 / sqrt(2 pi). */
static inline real vector_normal_cdf_and_power(real x, real *power) {
    const real size = vector_absolute(x), limited = size > LARGEST_DEVIATE ? LARGEST_DEVIATE : size;
    const real inside = vector_exp_of_half_square(limited);
    *power = size > LARGEST_DEVIATE ? 0 : inside;
    const real tail = *power * vector_scaled_tail(limited);
    return x < 0 ? tail : 1 - tail;
}

static inline real vector_normal_cdf(real x) {
    real power;
    return vector_normal_cdf_and_power(x, &power);
}

static inline real vector_erf(real x) {
    const real most = 6, size = vector_absolute(x), limited = size > most ? most : size;
    const real z = limited * limited;
    const real near = limited + limited * (IS_FLOAT
        ? POLY7(z, 0x1.06eba8p-3, -0x1.81273ep-2, 0x1.ce2d2p-4, -0x1.b7fbb6p-6, 0x1.5419fap-8, -0x1.a485f8p-11,
                0x1.4ae4c6p-14)
        : POLY14(z, 0x1.06eba8214db69p-3, -0x1.812746b0379e7p-2, 0x1.ce2f21a042bdep-4, -0x1.b82ce312889c2p-6,
                 0x1.565bcd0e65195p-8, -0x1.c02db3fef01d6p-11, 0x1.f9a326c2d9822p-14, -0x1.f4d2562a1b01p-17,
                 0x1.b9e6518e6129p-20, -0x1.5f6d9cc1c31e4p-23, 0x1.fc43f063b4a42p-27, -0x1.4e635b40a397fp-30,
                 0x1.7f171f011fd79p-34, -0x1.29e14842f8767p-38));
    const real wide = limited * (real)0x1.6a09e667f3bcdp0;
    const real far = 1 - 2 * (vector_exp_of_negative_sum(-z, 0) * vector_scaled_tail(wide));
    return vector_with_sign(size < 1 ? near : far, x);
}

/* The largest argument of sin and cos that they reduce themselves; what is larger is for the C library. */
#define TRIGONOMETRIC_LIMIT (IS_FLOAT ? (real)0x1p13 : (real)0x1p25)

/* sin(x + quarters pi / 2). */
static inline real vector_sin_from(real x, Bits quarters) {
    const real rounded = x * (real)0x1.45f306dc9c883p-1 + ROUNDER, n = rounded - ROUNDER;
    /* pi / 2 in four parts, of which all but the last have so few bits that their products with n are exact. */
    const real first = IS_FLOAT ? (real)0x1.920000p+0 : (real)0x1.921fb5p+0, second = IS_FLOAT ? (real)0x1.fb4000p-12 : (real)0x1.110b46p-26;
    const real third = IS_FLOAT ? (real)0x1.444000p-24 : (real)0x1.1a6263p-54, rest = IS_FLOAT ? (real)0x1.68c234c4c6629p-39 : (real)0x1.8a2e03707344ap-81;
    const real r = (((x - n * first) - n * second) - n * third) - n * rest;
    const real z = r * r;
    const Bits quadrant = vector_bits_of(rounded) + quarters;
    const real sine = r + r * z * (IS_FLOAT
        ? POLY4(z, -0x1.555556p-3, 0x1.111108p-7, -0x1.a00f34p-13, 0x1.6cbef4p-19)
        : POLY7(z, -0x1.5555555555555p-3, 0x1.111111111110ap-7, -0x1.a01a01a0188b9p-13, 0x1.71de3a530bcc0p-19,
                -0x1.ae64525c0d461p-26, 0x1.61206be9b8c25p-33, -0x1.aa91da53d086ep-41));
    const real half = (real)0.5 * z, about = 1 - half;
    const real cosine = about + (((1 - about) - half) + z * z * (IS_FLOAT
        ? POLY3(z, 0x1.55554ap-5, -0x1.6c0c22p-10, 0x1.99e34ap-16)
        : POLY6(z, 0x1.555555555554ap-5, -0x1.6c16c16c14ec4p-10, 0x1.a01a019c6ad0ep-16, -0x1.27e4f7d4ea0a4p-22,
                0x1.1ee9c6c63306bp-29, -0x1.8f9ade9ed96f8p-37)));
    const real y = quadrant & 1 ? cosine : sine;
    return vector_from_bits(vector_bits_of(y) ^ (quadrant >> 1 << (8 * sizeof(real) - 1)));
}

static inline real vector_sin(real x) {
    const real y = vector_sin_from(x, 0);
    /* The sign of 0 is that of x. */
    return x == 0 ? x : y;
}

static inline real vector_cos(real x) {
    return vector_sin_from(x, 1);
}

#endif
