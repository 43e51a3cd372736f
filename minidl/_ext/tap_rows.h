/* The tiles of tap_rows_tiles.h for both number types. */
#ifndef MINIDL_TAP_ROWS_H
#define MINIDL_TAP_ROWS_H

#include "gemm.h"

#define TYPED_FILE "tap_rows_tiles.h"
#include "each_type.h"

#endif
