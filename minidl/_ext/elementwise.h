/* The table of element-wise ops, and what Python reads of it. */
#ifndef MINIDL_ELEMENTWISE_H
#define MINIDL_ELEMENTWISE_H

#include <stddef.h>

#include "real.h"

/* Numbers per block; the widest vectors divide it. */
#define ELEMENTWISE_BLOCK 64

#include "elementwise_rows.h"

typedef struct {
    const char *name, *torch, *keeps, *documentation;
    double steps;
} minidl_elementwise_row;

#define INPUT "x"
#define OUTPUT "y"
#define NOTHING ""
#define ROW(name, torch, keeps, steps, value, gradient, documentation) {#name, torch, keeps, documentation, steps},
#define FAR_ROW(name, torch, value, gradient, far_value, far_gradient, documentation)                                  \
    ROW(name, torch, INPUT, 2, value, gradient, documentation)
static const minidl_elementwise_row minidl_elementwise_rows[] = {
#include "elementwise_table.h"
};
#undef FAR_ROW
#undef ROW
#undef NOTHING
#undef OUTPUT
#undef INPUT

static const int minidl_elementwise_count = sizeof(minidl_elementwise_rows) / sizeof(minidl_elementwise_rows[0]);

#endif
