/* Includes TYPED_FILE once for each number type, with REAL, INTEGER (of the same size) and NAME(x) defined. */
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

#undef TYPED_FILE
