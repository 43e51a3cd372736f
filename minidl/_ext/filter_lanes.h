/* The tiles of filter_tiles.h for both number types. */
#ifndef MINIDL_FILTER_LANES_H
#define MINIDL_FILTER_LANES_H

#include "gemm.h"

#define TYPED_FILE "filter_tiles.h"
#include "each_type.h"

#endif
