/* The tiles of winograd_tiles.h for both number types. */
#ifndef MINIDL_WINOGRAD_H
#define MINIDL_WINOGRAD_H

#define TYPED_FILE "winograd_tiles.h"
#include "each_type.h"

#endif
