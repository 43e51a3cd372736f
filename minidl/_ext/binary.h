/* The table of element-wise ops of two inputs. */
#ifndef MINIDL_BINARY_H
#define MINIDL_BINARY_H

#include <stddef.h>

#include "real.h"

#define binary_pow(x, y) _Generic((real)0, float: powf, double: pow)(x, y)
#define binary_log(x) _Generic((real)0, float: logf, double: log)(x)

#include "binary_loops.h"

#define ROW(name, value) #name,
static const char *binary_names[] = {
#include "binary_table.h"
};
#undef ROW

static const int binary_count = sizeof(binary_names) / sizeof(binary_names[0]);

#endif
