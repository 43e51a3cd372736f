/* The tiles of sample_tiles.h for both number types. */
#ifndef MINIDL_SAMPLE_H
#define MINIDL_SAMPLE_H

#include "direct.h"

#define REAL float
#define INTEGER int
#define NAME(name) minidl_##name##_float
#include "sample_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#define REAL double
#define INTEGER long long
#define NAME(name) minidl_##name##_double
#include "sample_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#endif
