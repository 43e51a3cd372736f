/* Sums and extrema along the middle axis of (outer, n, inner), softmax and its logarithm, and their gradients.
 *
 * With inner = 1 a row is contiguous, and vectors lie along it. Otherwise they lie across columns, up to REDUCE_COLUMNS
 * of which are a tile. Sums are partial sums of REDUCE_TERMS terms at most, added up in double precision; their order
 * follows from the shape alone.
 */
#include "core/vector_math.h"

/* The sum of all lanes, in pairs so that no addition waits for more than three others. */
static inline double NAME(folded)(const REAL *lanes) {
    double sums[REDUCE_LANES];
    for (int i = 0; i < REDUCE_LANES; i++) sums[i] = lanes[i];
    UNROLL
    for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
        UNROLL
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

/* The sum of a contiguous run. */
static double NAME(run_sum)(const REAL *x, ptrdiff_t count) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, block = REDUCE_TERMS * REDUCE_LANES;
    double total = 0;
    for (ptrdiff_t start = 0; start < whole; start += block) {
        REAL lanes[REDUCE_LANES] = {0};
        const ptrdiff_t stop = start + block < whole ? start + block : whole;
        for (ptrdiff_t p = start; p < stop; p += REDUCE_LANES)
            for (int i = 0; i < REDUCE_LANES; i++) lanes[i] += x[p + i];
        total += NAME(folded)(lanes);
    }
    for (ptrdiff_t p = whole; p < count; p++) total += x[p];
    return total;
}

/* The sum of products of two contiguous runs. */
static double NAME(run_dot)(const REAL *x, const REAL *y, ptrdiff_t count) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, block = REDUCE_TERMS * REDUCE_LANES;
    double total = 0;
    for (ptrdiff_t start = 0; start < whole; start += block) {
        REAL lanes[REDUCE_LANES] = {0};
        const ptrdiff_t stop = start + block < whole ? start + block : whole;
        for (ptrdiff_t p = start; p < stop; p += REDUCE_LANES)
            for (int i = 0; i < REDUCE_LANES; i++) lanes[i] += x[p + i] * y[p + i];
        total += NAME(folded)(lanes);
    }
    for (ptrdiff_t p = whole; p < count; p++) total += (double)x[p] * y[p];
    return total;
}

/* The larger of two, NaN if one is. Softmax may miss that the second is, in fewer steps: its sum is NaN then anyway. */
static inline REAL NAME(larger)(REAL a, REAL b, int misses_nan) {
    return misses_nan ? (b > a ? b : a) : (a >= b) | (a != a) ? a : b;
}

/* The largest numbers of n rows, at least one, of `width` columns, NaN if one is; with a sign of -1, less the smallest. */
static inline void NAME(column_max)(const REAL *restrict x, ptrdiff_t n, ptrdiff_t inner, int width, REAL sign,
                                    int misses_nan, REAL *restrict largest) {
    for (int i = 0; i < width; i++) largest[i] = sign * x[i];
    for (ptrdiff_t p = 1; p < n; p++)
        for (int i = 0; i < width; i++) largest[i] = NAME(larger)(largest[i], sign * x[p * inner + i], misses_nan);
}

/* The same of a contiguous run. */
static inline REAL NAME(run_max)(const REAL *x, ptrdiff_t count, REAL sign, int misses_nan) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES;
    REAL lanes[REDUCE_LANES], found = sign * x[0];
    if (whole > 0) {
        NAME(column_max)(x, whole / REDUCE_LANES, REDUCE_LANES, REDUCE_LANES, sign, misses_nan, lanes);
        UNROLL
        for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
            UNROLL
            for (int i = 0; i < half; i++) lanes[i] = NAME(larger)(lanes[i], lanes[i + half], misses_nan);
        found = lanes[0];
    }
    for (ptrdiff_t p = whole; p < count; p++) found = NAME(larger)(found, sign * x[p], misses_nan);
    return found;
}

/* to = exp(x - less) for a count that fills whole vectors. */
APART void NAME(exp_vectors)(const REAL *restrict x, ptrdiff_t count, REAL less, REAL *restrict to) {
    for (ptrdiff_t p = 0; p < count / REDUCE_LANES * REDUCE_LANES; p++) to[p] = NAME(exp)(x[p] - less);
}

static void NAME(exp_run)(const REAL *x, ptrdiff_t count, REAL less, REAL *to) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, rest = count - whole;
    NAME(exp_vectors)(x, whole, less, to);
    if (rest > 0) {
        REAL padded[REDUCE_LANES] = {0}, result[REDUCE_LANES];
        __builtin_memcpy(padded, x + whole, (size_t)rest * sizeof(REAL));
        NAME(exp_vectors)(padded, REDUCE_LANES, less, result);
        __builtin_memcpy(to + whole, result, (size_t)rest * sizeof(REAL));
    }
}

/* What softmax and the like do with a contiguous row: x, or the gradient and what was computed from x, to `to`. */
static void NAME(normalize_row)(int op, const REAL *restrict x, const REAL *restrict y, ptrdiff_t n,
                                REAL *restrict to) {
    if (op == MINIDL_SOFTMAX_GRADIENT) {
        const REAL less = (REAL)NAME(run_dot)(x, y, n);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = y[p] * (x[p] - less);
        return;
    }
    if (op == MINIDL_LOG_SOFTMAX_GRADIENT) {
        const REAL sum = (REAL)NAME(run_sum)(x, n);
        NAME(exp_run)(y, n, 0, to);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = x[p] - to[p] * sum;
        return;
    }
    const REAL largest = NAME(run_max)(x, n, 1, 1);
    NAME(exp_run)(x, n, largest, to);
    const double sum = NAME(run_sum)(to, n);
    if (op == MINIDL_SOFTMAX) {
        const REAL factor = (REAL)(1 / sum);
        for (ptrdiff_t p = 0; p < n; p++) to[p] *= factor;
    } else {
        const double less = __builtin_log(sum);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = (REAL)((double)(x[p] - largest) - less);
    }
}

/* sums += the products of x and y over n rows of `width` columns, or of x alone; rows are `inner` apart. */
APART void NAME(add_columns)(const REAL *restrict x, const REAL *restrict y, ptrdiff_t n, ptrdiff_t inner, int width,
                             double *restrict sums) {
    for (ptrdiff_t start = 0; start < n; start += REDUCE_TERMS) {
        REAL terms[REDUCE_COLUMNS];
        const ptrdiff_t stop = start + REDUCE_TERMS < n ? start + REDUCE_TERMS : n;
        for (int i = 0; i < width; i++) terms[i] = 0;
        for (ptrdiff_t p = start; p < stop; p++) {
            if (y)
                for (int i = 0; i < width; i++) terms[i] += x[p * inner + i] * y[p * inner + i];
            else
                for (int i = 0; i < width; i++) terms[i] += x[p * inner + i];
        }
        for (int i = 0; i < width; i++) sums[i] += terms[i];
    }
}

/* The exponentials of n rows less those of a row, to `to` unless it is NULL; their sums are added to `sums`. */
APART void NAME(exp_columns)(const REAL *restrict x, ptrdiff_t n, ptrdiff_t inner, int width,
                             const REAL *restrict less, REAL *restrict to, REAL *restrict sums) {
    for (ptrdiff_t p = 0; p < n; p++)
        if (to)
            for (int i = 0; i < width; i++) {
                const REAL power = NAME(exp)(x[p * inner + i] - less[i]);
                to[p * inner + i] = power;
                sums[i] += power;
            }
        else
            for (int i = 0; i < width; i++) sums[i] += NAME(exp)(x[p * inner + i] - less[i]);
}

/* The maximum and the sum of exponentials less it of each of `width` columns; `parts` are those of blocks of rows, all
 * maxima before all sums. With `to`, the exponentials less their block's maximum go there: so x is read once. */
static void NAME(column_exponentials)(const REAL *restrict x, ptrdiff_t n, ptrdiff_t inner, int width,
                                      REAL *restrict parts, REAL *restrict to, REAL *restrict largest,
                                      double *restrict sums) {
    const ptrdiff_t num_blocks = (n + REDUCE_TERMS - 1) / REDUCE_TERMS;
    REAL less[REDUCE_COLUMNS];
    for (ptrdiff_t b = 0; b < num_blocks; b++) {
        const ptrdiff_t at = b * REDUCE_TERMS * inner;
        const ptrdiff_t rows = REDUCE_TERMS < n - b * REDUCE_TERMS ? REDUCE_TERMS : n - b * REDUCE_TERMS;
        REAL *const block_max = parts + b * width, *const block_sum = parts + (num_blocks + b) * width;
        NAME(column_max)(x + at, rows, inner, width, 1, 1, block_max);
        for (int i = 0; i < width; i++) {
            /* Where all are -infinity, their exponentials are 0, but for the whole column to be so. */
            less[i] = block_max[i] == -(REAL)__builtin_inf() ? 0 : block_max[i];
            block_sum[i] = 0;
            largest[i] = b == 0 ? block_max[i] : NAME(larger)(largest[i], block_max[i], 1);
        }
        NAME(exp_columns)(x + at, rows, inner, width, less, to ? to + at : NULL, block_sum);
    }
    for (ptrdiff_t b = 0; b < num_blocks; b++) {
        REAL *const factor = parts + b * width;
        for (int i = 0; i < width; i++) {
            factor[i] = NAME(exp)(factor[i] - largest[i]);
            sums[i] += (double)factor[i] * parts[(num_blocks + b) * width + i];
        }
    }
}

/* As normalize_row, for `width` neighbouring columns whose rows are `inner` apart; parts are 2 numbers for each column
 * and REDUCE_TERMS rows. */
static void NAME(normalize_columns)(int op, const REAL *restrict x, const REAL *restrict y, ptrdiff_t n,
                                    ptrdiff_t inner, int width, REAL *restrict parts, REAL *restrict to) {
    REAL factor[REDUCE_COLUMNS], largest[REDUCE_COLUMNS];
    double sums[REDUCE_COLUMNS];
    for (int i = 0; i < width; i++) sums[i] = 0;
    if (op == MINIDL_SOFTMAX_GRADIENT || op == MINIDL_LOG_SOFTMAX_GRADIENT) {
        NAME(add_columns)(x, op == MINIDL_SOFTMAX_GRADIENT ? y : NULL, n, inner, width, sums);
        for (int i = 0; i < width; i++) factor[i] = (REAL)sums[i];
        for (ptrdiff_t p = 0; p < n; p++) {
            const REAL *const grads = x + p * inner, *const results = y + p * inner;
            REAL *const out = to + p * inner;
            if (op == MINIDL_SOFTMAX_GRADIENT)
                for (int i = 0; i < width; i++) out[i] = results[i] * (grads[i] - factor[i]);
            else
                for (int i = 0; i < width; i++) out[i] = grads[i] - NAME(exp)(results[i]) * factor[i];
        }
    } else if (op == MINIDL_SOFTMAX) {
        NAME(column_exponentials)(x, n, inner, width, parts, to, largest, sums);
        for (ptrdiff_t p = 0; p < n; p++) {
            if (p % REDUCE_TERMS == 0)
                for (int i = 0; i < width; i++)
                    factor[i] = (REAL)(parts[p / REDUCE_TERMS * width + i] / sums[i]);
            for (int i = 0; i < width; i++) to[p * inner + i] *= factor[i];
        }
    } else {
        NAME(column_exponentials)(x, n, inner, width, parts, NULL, largest, sums);
        for (int i = 0; i < width; i++) sums[i] = __builtin_log(sums[i]);
        for (ptrdiff_t p = 0; p < n; p++)
            for (int i = 0; i < width; i++)
                to[p * inner + i] = (REAL)((double)(x[p * inner + i] - largest[i]) - sums[i]);
    }
}

/* `width` columns of all of (outer, inner), from `first` on, to (n, width) side by side. */
static void NAME(pack_columns)(const REAL *restrict x, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first, int width,
                               REAL *restrict to) {
    ptrdiff_t at[REDUCE_COLUMNS];
    if (inner == 1) {
        for (int i = 0; i < width; i++)
            for (ptrdiff_t p = 0; p < n; p++) to[p * width + i] = x[(first + i) * n + p];
        return;
    }
    for (int i = 0; i < width; i++) at[i] = (first + i) / inner * n * inner + (first + i) % inner;
    for (ptrdiff_t p = 0; p < n; p++)
        for (int i = 0; i < width; i++) to[p * width + i] = x[at[i] + p * inner];
}

/* And back. */
static void NAME(unpack_columns)(const REAL *restrict packed, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first, int width,
                                 REAL *restrict to) {
    ptrdiff_t at[REDUCE_COLUMNS];
    if (inner == 1) {
        for (int i = 0; i < width; i++)
            for (ptrdiff_t p = 0; p < n; p++) to[(first + i) * n + p] = packed[p * width + i];
        return;
    }
    for (int i = 0; i < width; i++) at[i] = (first + i) / inner * n * inner + (first + i) % inner;
    for (ptrdiff_t p = 0; p < n; p++)
        for (int i = 0; i < width; i++) to[at[i] + p * inner] = packed[p * width + i];
}

/* As normalize_row, for such columns, by way of scratch (3, n, width, and the parts): where rows are short or
 * neighbouring columns few, vectors lie across what is far apart. */
static void NAME(normalize_packed)(int op, const REAL *x, const REAL *y, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first,
                                   int width, REAL *scratch, REAL *to) {
    REAL *const packed = scratch, *const other = scratch + n * width, *const result = scratch + 2 * n * width;
    NAME(pack_columns)(x, n, inner, first, width, packed);
    if (y) NAME(pack_columns)(y, n, inner, first, width, other);
    NAME(normalize_columns)(op, packed, y ? other : NULL, n, width, width, scratch + 3 * n * width, result);
    NAME(unpack_columns)(result, n, inner, first, width, to);
}

/* The reduction of n rows of `width` columns, `inner` apart, each to one double number; sums are those of the products
 * with y, unless it is NULL. */
static void NAME(reduce_columns)(int kind, const REAL *x, const REAL *y, ptrdiff_t n, ptrdiff_t inner, int width,
                                 double *to) {
    const REAL sign = kind == MINIDL_MIN ? -1 : 1;
    if (kind == MINIDL_SUM && inner == 1) {
        to[0] = y ? NAME(run_dot)(x, y, n) : NAME(run_sum)(x, n);
    } else if (kind == MINIDL_SUM) {
        for (int i = 0; i < width; i++) to[i] = 0;
        NAME(add_columns)(x, y, n, inner, width, to);
    } else if (inner == 1) {
        to[0] = sign * NAME(run_max)(x, n, sign, 0);
    } else {
        REAL largest[REDUCE_COLUMNS];
        NAME(column_max)(x, n, inner, width, sign, 0, largest);
        for (int i = 0; i < width; i++) to[i] = sign * largest[i];
    }
}
