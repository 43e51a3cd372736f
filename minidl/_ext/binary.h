/* The table of element-wise ops of two inputs for both number types. */
#ifndef MINIDL_BINARY_H
#define MINIDL_BINARY_H

#include <stddef.h>

#define TYPED_FILE "binary_loops.h"
#include "each_type.h"

#define ROW(name, value) #name,
static const char *minidl_binary_names[] = {
#include "binary_table.h"
};
#undef ROW

static const int minidl_binary_count = sizeof(minidl_binary_names) / sizeof(minidl_binary_names[0]);

#endif
