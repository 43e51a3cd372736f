/* The table of element-wise ops of two inputs. */
#ifndef MINIDL_BINARY_H
#define MINIDL_BINARY_H

#include <stddef.h>

#include "core/vector_math.h"

/* A gradient is divided by no less than 1e-12 in single precision, as PyTorch has it whatever the dtype. */
#define LEAST_VARIANCE 1e-12f
#define binary_pow(x, y) _Generic((real)0, float: powf, double: pow)(x, y)

/* The larger one, NaN over everything. */
static inline real binary_larger(real x, real y) {
    return (x >= y) | (x != x) ? x : y;
}

/* log(sigmoid(x)). */
static inline real binary_log_sigmoid(real x) {
    return (x < 0 ? x : 0) - vector_log1p_of_unit(vector_exp_of_minus_size(x));
}

#include "binary_loops.h"

#define ROW(name, value) #name,
static const char *binary_names[] = {
#include "binary_table.h"
};
#undef ROW

static const int binary_count = sizeof(binary_names) / sizeof(binary_names[0]);

#endif
