/* Reductions along one axis, and what is normalised by them,. */
#ifndef MINIDL_REDUCE_H
#define MINIDL_REDUCE_H

#include <stddef.h>

#include "real.h"

/* Running sums along a row, and numbers of a row that are padded to be vectors. */
#define REDUCE_LANES 16
/* Columns of a tile, at most: what is kept for each of them stays in the first-level cache. */
#define REDUCE_COLUMNS 512
/* Terms of a partial sum in the arrays' own precision, at most. */
#define REDUCE_TERMS 32

enum { MINIDL_SUM, MINIDL_MAX, MINIDL_MIN };
enum { MINIDL_SOFTMAX, MINIDL_LOG_SOFTMAX, MINIDL_SOFTMAX_GRADIENT, MINIDL_LOG_SOFTMAX_GRADIENT };

#include "reduce_loops.h"

#endif
