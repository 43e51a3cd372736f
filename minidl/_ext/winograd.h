/* The tiles of winograd_tiles.h for both number types. */
#ifndef MINIDL_WINOGRAD_H
#define MINIDL_WINOGRAD_H

#define REAL float
#define INTEGER int
#define NAME(name) minidl_##name##_float
#include "winograd_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#define REAL double
#define INTEGER long long
#define NAME(name) minidl_##name##_double
#include "winograd_tiles.h"
#undef REAL
#undef INTEGER
#undef NAME

#endif
