/* The matrix products of gemm_tiles.h for both number types. */
#ifndef MINIDL_GEMM_H
#define MINIDL_GEMM_H

#define TYPED_FILE "gemm_tiles.h"
#include "each_type.h"

#endif
