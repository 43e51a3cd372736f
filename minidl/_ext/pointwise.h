/* The tiles of pointwise_tiles.h for both number types. */
#ifndef MINIDL_POINTWISE_H
#define MINIDL_POINTWISE_H

#include "gemm.h"

#define TYPED_FILE "pointwise_tiles.h"
#include "each_type.h"

#endif
