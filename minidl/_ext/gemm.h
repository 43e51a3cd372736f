/* The matrix products of gemm_tiles.h for both number types. */
#ifndef MINIDL_GEMM_H
#define MINIDL_GEMM_H

#define REAL float
#define INTEGER int
#define NAME(name) minidl_##name##_float
#include "gemm_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#define REAL double
#define INTEGER long long
#define NAME(name) minidl_##name##_double
#include "gemm_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#endif
