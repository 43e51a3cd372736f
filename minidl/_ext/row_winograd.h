/* The transforms of row_winograd_tiles.h for both number types. */
#ifndef MINIDL_ROW_WINOGRAD_H
#define MINIDL_ROW_WINOGRAD_H

#include "direct.h"
#define TYPED_FILE "row_winograd_tiles.h"
#include "each_type.h"

#endif
