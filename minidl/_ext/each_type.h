/* Includes TYPED_FILE once for each number type, with REAL, INTEGER (of the same size) and NAME(x) defined. */

/* Before a loop over vectors in registers, so that it is unrolled early enough: else GCC keeps arrays of some sizes on
 * the stack, clears them there, and copies them from there, which a short sum takes longer for than for its products. */
#define UNROLL _Pragma("GCC unroll 16")
/* A function with registers of its own. */
#define APART static __attribute__((noinline))

#define REAL float
#define INTEGER int
#define NAME(name) minidl_##name##_float
#include TYPED_FILE
#undef REAL
#undef INTEGER
#undef NAME

#define REAL double
#define INTEGER long long
#define NAME(name) minidl_##name##_double
#include TYPED_FILE
#undef REAL
#undef INTEGER
#undef NAME

#undef UNROLL
#undef APART
#undef TYPED_FILE
