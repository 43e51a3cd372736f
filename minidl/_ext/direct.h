/* The tiles of direct_tiles.h for both number types. */
#ifndef MINIDL_DIRECT_H
#define MINIDL_DIRECT_H

#define REAL float
#define INTEGER int
#define NAME(name) minidl_##name##_float
#include "direct_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#define REAL double
#define INTEGER long long
#define NAME(name) minidl_##name##_double
#include "direct_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#endif
