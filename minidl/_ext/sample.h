/* The tiles of sample_tiles.h for both number types. */
#ifndef MINIDL_SAMPLE_H
#define MINIDL_SAMPLE_H

#include "direct.h"

#define TYPED_FILE "sample_tiles.h"
#include "each_type.h"

#endif
