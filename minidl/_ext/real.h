/* A module's number type: kernels are written once, for `real`, and compiled with -DREAL=float and -DREAL=double. */
#ifndef MINIDL_REAL_H
#define MINIDL_REAL_H

#include <math.h>

typedef REAL real;
/* As wide as a number: vectors of these are what comparisons give and what shuffles take. */
typedef __typeof__(_Generic((real)0, float: (int)0, double: (long long)0)) integer;

/* The preprocessor knows no sizeof. */
#define MINIDL_BYTES_OF_float 4
#define MINIDL_BYTES_OF_double 8
#define MINIDL_BYTES_OF(type) MINIDL_BYTES_OF_##type
#define MINIDL_BYTES(type) MINIDL_BYTES_OF(type)
#define REAL_BYTES MINIDL_BYTES(REAL)

/* C's functions of a `real`. */
#define real_exp(x) _Generic((real)0, float: expf, double: exp)(x)
#define real_sqrt(x) _Generic((real)0, float: sqrtf, double: sqrt)(x)

/* Before a loop over vectors in registers, so that it is unrolled early enough: else GCC keeps arrays of some sizes on
 * the stack, clears them there, and copies them from there, which a short sum takes longer for than for its products. */
#define UNROLL _Pragma("GCC unroll 16")
/* A function with registers of its own. */
#define APART static __attribute__((noinline))

#endif
