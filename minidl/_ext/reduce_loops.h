/* Sums and extrema along the middle axis of (outer, n, inner), softmax and its logarithm, and their gradients.
 *
 * With inner = 1 a row is contiguous, and vectors lie along it. Otherwise they lie across columns, up to REDUCE_COLUMNS
 * of which are a tile. Sums are partial sums of REDUCE_TERMS terms at most, added up in double precision; their order
 * follows from the shape alone.
 */
#include "core/vector_math.h"

/* The sum of all lanes, in pairs so that no addition waits for more than three others. */
static inline double folded(const real *lanes) {
    double sums[REDUCE_LANES];
    for (int i = 0; i < REDUCE_LANES; i++) sums[i] = lanes[i];
    UNROLL
    for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
        UNROLL
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

/* The sum of a contiguous run. */
static double run_sum(const real *x, ptrdiff_t count) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, block = REDUCE_TERMS * REDUCE_LANES;
    double total = 0;
    for (ptrdiff_t start = 0; start < whole; start += block) {
        real lanes[REDUCE_LANES] = {0};
        const ptrdiff_t stop = start + block < whole ? start + block : whole;
        for (ptrdiff_t p = start; p < stop; p += REDUCE_LANES)
            for (int i = 0; i < REDUCE_LANES; i++) lanes[i] += x[p + i];
        total += folded(lanes);
    }
    for (ptrdiff_t p = whole; p < count; p++) total += x[p];
    return total;
}

/* The sum of products of two contiguous runs. */
static double run_dot(const real *x, const real *y, ptrdiff_t count) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, block = REDUCE_TERMS * REDUCE_LANES;
    double total = 0;
    for (ptrdiff_t start = 0; start < whole; start += block) {
        real lanes[REDUCE_LANES] = {0};
        const ptrdiff_t stop = start + block < whole ? start + block : whole;
        for (ptrdiff_t p = start; p < stop; p += REDUCE_LANES)
            for (int i = 0; i < REDUCE_LANES; i++) lanes[i] += x[p + i] * y[p + i];
        total += folded(lanes);
    }
    for (ptrdiff_t p = whole; p < count; p++) total += (double)x[p] * y[p];
    return total;
}

/* The larger of two, NaN if one is. Softmax may miss that the second is, in fewer steps: its sum is NaN then anyway. */
static inline real larger(real a, real b, int misses_nan) {
    return misses_nan ? (b > a ? b : a) : (a >= b) | (a != a) ? a : b;
}

/* The largest numbers of n rows, at least one, of `width` columns, NaN if one is; with a sign of -1, less the smallest. */
static inline void column_max(const real *restrict x, ptrdiff_t n, ptrdiff_t inner, int width, real sign,
                              int misses_nan, real *restrict largest) {
    for (int i = 0; i < width; i++) largest[i] = sign * x[i];
    for (ptrdiff_t p = 1; p < n; p++)
        for (int i = 0; i < width; i++) largest[i] = larger(largest[i], sign * x[p * inner + i], misses_nan);
}

/* The extremum of a contiguous run. */
static inline real run_max(const real *x, ptrdiff_t count, real sign, int misses_nan) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES;
    real lanes[REDUCE_LANES], found = sign * x[0];
    if (whole > 0) {
        column_max(x, whole / REDUCE_LANES, REDUCE_LANES, REDUCE_LANES, sign, misses_nan, lanes);
        UNROLL
        for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
            UNROLL
            for (int i = 0; i < half; i++) lanes[i] = larger(lanes[i], lanes[i + half], misses_nan);
        found = lanes[0];
    }
    for (ptrdiff_t p = whole; p < count; p++) found = larger(found, sign * x[p], misses_nan);
    return found;
}

/* to = exp(x - less) for a count that fills whole vectors. */
APART void exp_vectors(const real *restrict x, ptrdiff_t count, real less, real *restrict to) {
    for (ptrdiff_t p = 0; p < count / REDUCE_LANES * REDUCE_LANES; p++) to[p] = vector_exp(x[p] - less);
}

static void exp_run(const real *x, ptrdiff_t count, real less, real *to) {
    const ptrdiff_t whole = count / REDUCE_LANES * REDUCE_LANES, rest = count - whole;
    exp_vectors(x, whole, less, to);
    if (rest > 0) {
        real padded[REDUCE_LANES] = {0}, result[REDUCE_LANES];
        __builtin_memcpy(padded, x + whole, (size_t)rest * sizeof(real));
        exp_vectors(padded, REDUCE_LANES, less, result);
        __builtin_memcpy(to + whole, result, (size_t)rest * sizeof(real));
    }
}

/* Softmax and the like of a contiguous row: x, or the gradient and what was computed from x, to `to`. */
static void normalize_row(int op, const real *restrict x, const real *restrict y, ptrdiff_t n,
                          real *restrict to) {
    if (op == MINIDL_SOFTMAX_GRADIENT) {
        const real less = (real)run_dot(x, y, n);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = y[p] * (x[p] - less);
        return;
    }
    if (op == MINIDL_LOG_SOFTMAX_GRADIENT) {
        const real sum = (real)run_sum(x, n);
        exp_run(y, n, 0, to);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = x[p] - to[p] * sum;
        return;
    }
    const real largest = run_max(x, n, 1, 1);
    exp_run(x, n, largest, to);
    const double sum = run_sum(to, n);
    if (op == MINIDL_SOFTMAX) {
        const real factor = (real)(1 / sum);
        for (ptrdiff_t p = 0; p < n; p++) to[p] *= factor;
    } else {
        const double less = __builtin_log(sum);
        for (ptrdiff_t p = 0; p < n; p++) to[p] = (real)((double)(x[p] - largest) - less);
    }
}

/* sums += the products of x and y over n rows of `width` columns, or of x alone; rows are `inner` apart. */
APART void add_columns(const real *restrict x, const real *restrict y, ptrdiff_t n, ptrdiff_t inner, int width,
                             double *restrict sums) {
    for (ptrdiff_t start = 0; start < n; start += REDUCE_TERMS) {
        real terms[REDUCE_COLUMNS];
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
APART void exp_columns(const real *restrict x, ptrdiff_t n, ptrdiff_t inner, int width,
                             const real *restrict less, real *restrict to, real *restrict sums) {
    for (ptrdiff_t p = 0; p < n; p++)
        if (to)
            for (int i = 0; i < width; i++) {
                const real power = vector_exp(x[p * inner + i] - less[i]);
                to[p * inner + i] = power;
                sums[i] += power;
            }
        else
            for (int i = 0; i < width; i++) sums[i] += vector_exp(x[p * inner + i] - less[i]);
}

/* The maximum and the sum of exponentials less it of each of `width` columns; `parts` are those of blocks of rows, all
 * maxima before all sums. With `to`, the exponentials less their block's maximum go there: so x is read once. */
static void column_exponentials(const real *restrict x, ptrdiff_t n, ptrdiff_t inner, int width,
                                real *restrict parts, real *restrict to, real *restrict largest,
                                double *restrict sums) {
    const ptrdiff_t num_blocks = (n + REDUCE_TERMS - 1) / REDUCE_TERMS;
    real less[REDUCE_COLUMNS];
    for (ptrdiff_t b = 0; b < num_blocks; b++) {
        const ptrdiff_t at = b * REDUCE_TERMS * inner;
        const ptrdiff_t rows = REDUCE_TERMS < n - b * REDUCE_TERMS ? REDUCE_TERMS : n - b * REDUCE_TERMS;
        real *const block_max = parts + b * width, *const block_sum = parts + (num_blocks + b) * width;
        column_max(x + at, rows, inner, width, 1, 1, block_max);
        for (int i = 0; i < width; i++) {
            /* If all are -infinity, their exponentials are 0, but for the whole column to be so. */
            less[i] = block_max[i] == -(real)__builtin_inf() ? 0 : block_max[i];
            block_sum[i] = 0;
            largest[i] = b == 0 ? block_max[i] : larger(largest[i], block_max[i], 1);
        }
        exp_columns(x + at, rows, inner, width, less, to ? to + at : NULL, block_sum);
    }
    for (ptrdiff_t b = 0; b < num_blocks; b++) {
        real *const factor = parts + b * width;
        for (int i = 0; i < width; i++) {
            factor[i] = vector_exp(factor[i] - largest[i]);
            sums[i] += (double)factor[i] * parts[(num_blocks + b) * width + i];
        }
    }
}

/* As normalize_row, for `width` neighbouring columns whose rows are `inner` apart; parts are 2 numbers for each column
 * and REDUCE_TERMS rows. */
static void normalize_columns(int op, const real *restrict x, const real *restrict y, ptrdiff_t n,
                              ptrdiff_t inner, int width, real *restrict parts, real *restrict to) {
    real factor[REDUCE_COLUMNS], largest[REDUCE_COLUMNS];
    double sums[REDUCE_COLUMNS];
    for (int i = 0; i < width; i++) sums[i] = 0;
    if (op == MINIDL_SOFTMAX_GRADIENT || op == MINIDL_LOG_SOFTMAX_GRADIENT) {
        add_columns(x, op == MINIDL_SOFTMAX_GRADIENT ? y : NULL, n, inner, width, sums);
        for (int i = 0; i < width; i++) factor[i] = (real)sums[i];
        for (ptrdiff_t p = 0; p < n; p++) {
            const real *const grads = x + p * inner, *const results = y + p * inner;
            real *const out = to + p * inner;
            if (op == MINIDL_SOFTMAX_GRADIENT)
                for (int i = 0; i < width; i++) out[i] = results[i] * (grads[i] - factor[i]);
            else
                for (int i = 0; i < width; i++) out[i] = grads[i] - vector_exp(results[i]) * factor[i];
        }
    } else if (op == MINIDL_SOFTMAX) {
        column_exponentials(x, n, inner, width, parts, to, largest, sums);
        for (ptrdiff_t p = 0; p < n; p++) {
            if (p % REDUCE_TERMS == 0)
                for (int i = 0; i < width; i++)
                    factor[i] = (real)(parts[p / REDUCE_TERMS * width + i] / sums[i]);
            for (int i = 0; i < width; i++) to[p * inner + i] *= factor[i];
        }
    } else {
        column_exponentials(x, n, inner, width, parts, NULL, largest, sums);
        for (int i = 0; i < width; i++) sums[i] = __builtin_log(sums[i]);
        for (ptrdiff_t p = 0; p < n; p++)
            for (int i = 0; i < width; i++)
                to[p * inner + i] = (real)((double)(x[p * inner + i] - largest[i]) - sums[i]);
    }
}

/* `width` columns of all of (outer, inner), from `first` on, to (n, width) side by side. */
static void pack_columns(const real *restrict x, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first, int width,
                         real *restrict to) {
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
static void unpack_columns(const real *restrict packed, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first, int width,
                           real *restrict to) {
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
static void normalize_packed(int op, const real *x, const real *y, ptrdiff_t n, ptrdiff_t inner, ptrdiff_t first,
                             int width, real *scratch, real *to) {
    real *const packed = scratch, *const other = scratch + n * width, *const result = scratch + 2 * n * width;
    pack_columns(x, n, inner, first, width, packed);
    if (y) pack_columns(y, n, inner, first, width, other);
    normalize_columns(op, packed, y ? other : NULL, n, width, width, scratch + 3 * n * width, result);
    unpack_columns(result, n, inner, first, width, to);
}

/* The reduction of n rows of `width` columns, `inner` apart, each to one double number; sums are those of the products
 * with y, unless it is NULL. */
static void reduce_columns(int kind, const real *x, const real *y, ptrdiff_t n, ptrdiff_t inner, int width,
                           double *to) {
    const real sign = kind == MINIDL_MIN ? -1 : 1;
    if (kind == MINIDL_SUM && inner == 1) {
        to[0] = y ? run_dot(x, y, n) : run_sum(x, n);
    } else if (kind == MINIDL_SUM) {
        for (int i = 0; i < width; i++) to[i] = 0;
        add_columns(x, y, n, inner, width, to);
    } else if (inner == 1) {
        to[0] = sign * run_max(x, n, sign, 0);
    } else {
        real largest[REDUCE_COLUMNS];
        column_max(x, n, inner, width, sign, 0, largest);
        for (int i = 0; i < width; i++) to[i] = sign * largest[i];
    }
}
