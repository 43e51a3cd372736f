/* The tiles of direct_tiles.h for both number types. */
#ifndef MINIDL_DIRECT_H
#define MINIDL_DIRECT_H

#define TYPED_FILE "direct_tiles.h"
#include "each_type.h"

#endif
