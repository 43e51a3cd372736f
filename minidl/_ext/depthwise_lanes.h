/* Depthwise convolution: neighbouring outputs of one row lie in the lanes of a vector.
 *
 * A padded copy of some rows of a plane lies in the workspace, with even and odd columns apart where the stride is 2,
 * so that every tap of neighbouring outputs is one load. A tile is several rows of one vector each: what a load brings
 * serves all rows whose windows see it. Rows that are no multiple of the lanes end with a vector that overlaps the one
 * before; a row that is shorter than a vector spills into the next ones, which are written after it, and is cut where
 * the last row ends.
 *
 * Included for each width of vectors, with BYTES (of a vector) and NAME(name) defined.
 */
#define VECTOR NAME(vector)
typedef real VECTOR __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
#define MASK NAME(mask)
typedef integer MASK __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
#define WIDTH ((ptrdiff_t)(BYTES / sizeof(real)))
#define LOAD(from) (*(const VECTOR *)(from))
/* A number in all lanes; it is not added to zero, which would not be nothing for -0. */
#define ALL(number) ((number) - (VECTOR){0})

/* The first `keep` lanes; all of them from WIDTH on. */
MINIDL_INLINE void NAME(store)(real *to, VECTOR value, ptrdiff_t keep) {
    if (keep >= WIDTH)
        *(VECTOR *)to = value;
    else if (keep > 0) {
        real lanes[BYTES / sizeof(real)];
        *(VECTOR *)lanes = value;
        minidl_copy_run(to, lanes, (size_t)keep * sizeof(real));
    }
}

/* y = bias + the sum over the taps of a K x K kernel with dilation 1 and stride S on one plane, R rows at once (at most
 * `rows`). All three are constants where this is inlined. */
MINIDL_INLINE void NAME(correlate_square)(const real *x, const real *w, real bias, real *y, ptrdiff_t rows,
                                          const minidl_depthwise *g, const int K, const int S, const int R) {
    const ptrdiff_t width = g->out_width, pitch = g->pitch, part = g->part;
    VECTOR weight[25];
    MINIDL_UNROLL for (int k = 0; k < K * K; k++) weight[k] = ALL(w[k]);
    for (ptrdiff_t r = 0; r < rows; r += R) {
        if (r + R > rows) r = rows - R;
        for (ptrdiff_t j = 0; j < width; j += WIDTH) {
            if (j > 0 && j + WIDTH > width) j = width - WIDTH;
            const real *from = x + r * S * pitch + j;
            VECTOR sum[MINIDL_ROWS_3];
            MINIDL_UNROLL for (int i = 0; i < R; i++) sum[i] = (VECTOR){0};
            MINIDL_UNROLL for (int row = 0; row < (R - 1) * S + K; row++) {
                MINIDL_UNROLL for (int k = 0; k < K; k++) {
                    VECTOR seen = LOAD(from + (S == 1 ? k : k % 2 * part + k / 2));
                    MINIDL_HOLD(seen);
                    MINIDL_UNROLL for (int i = 0; i < R; i++) {
                        const int tap = row - i * S;
                        if (tap >= 0 && tap < K) sum[i] += seen * weight[tap * K + k];
                    }
                }
                from += pitch;
                MINIDL_HOLD_POINTER(from);
            }
            real *to = y + r * width + j;
            ptrdiff_t keep = (rows - r) * width - j;
            MINIDL_UNROLL for (int i = 0; i < R; i++) {
                NAME(store)(to, sum[i] + bias, keep);
                to += width, keep -= width;
                MINIDL_HOLD_POINTER(to);
            }
        }
    }
}

/* y for any kernel, stride and dilation, and a sum over any number of planes. */
MINIDL_INLINE void NAME(correlate_any)(const real *x, const real *w, real bias, real *y, ptrdiff_t rows,
                                       const minidl_depthwise *g, const int R) {
    const ptrdiff_t width = g->out_width, step = g->stride * g->pitch;
    for (ptrdiff_t r = 0; r < rows; r += R) {
        if (r + R > rows) r = rows - R;
        for (ptrdiff_t j = 0; j < width; j += WIDTH) {
            if (j > 0 && j + WIDTH > width) j = width - WIDTH;
            const real *weight = w;
            VECTOR sum[MINIDL_ROWS];
            MINIDL_UNROLL for (int i = 0; i < R; i++) sum[i] = (VECTOR){0};
            for (ptrdiff_t p = 0; p < g->planes; p++)
                for (ptrdiff_t kh = 0; kh < g->kernel_height; kh++) {
                    const real *from = x + p * g->plane_step + r * step + kh * g->dilation * g->pitch + j;
                    for (ptrdiff_t kw = 0; kw < g->kernel_width; kw++, weight++) {
                        const real *seen = from + g->column[kw];
                        MINIDL_UNROLL for (int i = 0; i < R; i++) sum[i] += LOAD(seen + i * step) * *weight;
                    }
                }
            real *to = y + r * width + j;
            MINIDL_UNROLL for (int i = 0; i < R; i++)
                NAME(store)(to + i * width, sum[i] + bias, (rows - r - i) * width - j);
        }
    }
}

#define SQUARE(K, S, R)                                                                                                \
    MINIDL_APART void NAME(correlate_##K##_##S)(const real *x, const real *w, real bias, real *y, ptrdiff_t rows,      \
                                                const minidl_depthwise *g) {                                           \
        if (rows >= R)                                                                                                 \
            NAME(correlate_square)(x, w, bias, y, rows, g, K, S, R);                                                   \
        else                                                                                                           \
            NAME(correlate_square)(x, w, bias, y, rows, g, K, S, 1);                                                   \
    }
SQUARE(3, 1, MINIDL_ROWS_3) SQUARE(3, 2, MINIDL_ROWS_3) SQUARE(5, 1, MINIDL_ROWS) SQUARE(5, 2, MINIDL_ROWS)
#undef SQUARE

/* `rows` rows of outputs from the padded planes at x. */
static void NAME(correlate)(const real *x, const real *w, real bias, real *y, ptrdiff_t rows,
                            const minidl_depthwise *g) {
    const ptrdiff_t K = g->kernel_width;
    const int fast = g->square && g->kernel_height == K;
    if (fast && K == 3 && g->stride == 1)
        NAME(correlate_3_1)(x, w, bias, y, rows, g);
    else if (fast && K == 3 && g->stride == 2)
        NAME(correlate_3_2)(x, w, bias, y, rows, g);
    else if (fast && K == 5 && g->stride == 1)
        NAME(correlate_5_1)(x, w, bias, y, rows, g);
    else if (fast && K == 5 && g->stride == 2)
        NAME(correlate_5_2)(x, w, bias, y, rows, g);
    else if (rows >= MINIDL_ROWS)
        NAME(correlate_any)(x, w, bias, y, rows, g, MINIDL_ROWS);
    else
        NAME(correlate_any)(x, w, bias, y, rows, g, 1);
}

/* Lanes of even and odd columns alternating: those of their first halves, or of their second ones. */
#if BYTES / REAL_BYTES == 16
#define FIRST 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SECOND 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif BYTES / REAL_BYTES == 8
#define FIRST 0, 8, 1, 9, 2, 10, 3, 11
#define SECOND 4, 12, 5, 13, 6, 14, 7, 15
#elif BYTES / REAL_BYTES == 4
#define FIRST 0, 4, 1, 5
#define SECOND 2, 6, 3, 7
#else
#define FIRST 0, 2
#define SECOND 1, 3
#endif

/* The input gradient for stride 2 on one plane: the four pixels of a block of 2 x 2 have taps of their own. ODD is the
 * parity of the padding above and left; `rows` counts rows of blocks, height x width is what dx has from here on.
 * Columns go from right to left, so that what spills over the end of a row is overwritten. */
MINIDL_INLINE void NAME(spread_square)(const real *grad, const real *w, real *dx, ptrdiff_t rows, ptrdiff_t height,
                                       ptrdiff_t width, const minidl_depthwise *g, const int K, const int ODD,
                                       const int R) {
    const ptrdiff_t blocks = g->out_width, pitch = g->pitch;
    const ptrdiff_t end = 2 * rows < height ? 2 * rows : height;
    const int last = (K - 1 - ODD) / 2;
    VECTOR weight[25];
    MINIDL_UNROLL for (int k = 0; k < K * K; k++) weight[k] = ALL(w[k]);
    for (ptrdiff_t r = 0; r < rows; r += R) {
        if (r + R > rows) r = rows - R;
        for (ptrdiff_t j = blocks > WIDTH ? blocks - WIDTH : 0;; j = j > WIDTH ? j - WIDTH : 0) {
            const real *from = grad + r * pitch + j;
            VECTOR sum[MINIDL_ROWS][2][2];
            MINIDL_UNROLL for (int i = 0; i < R; i++) {
                sum[i][0][0] = sum[i][0][1] = sum[i][1][0] = sum[i][1][1] = (VECTOR){0};
            }
            MINIDL_UNROLL for (int row = 0; row < R + last + ODD; row++) {
                MINIDL_UNROLL for (int column = 0; column <= last + ODD; column++) {
                    VECTOR seen = LOAD(from + column);
                    MINIDL_HOLD(seen);
                    MINIDL_UNROLL for (int i = 0; i < R; i++) {
                        MINIDL_UNROLL for (int phase = 0; phase < 4; phase++) {
                            const int kh = ODD + 2 * (last - row + i) + phase / 2;
                            const int kw = ODD + 2 * (last - column) + phase % 2;
                            if (row >= i && kh >= 0 && kh < K && kw >= 0 && kw < K)
                                sum[i][phase / 2][phase % 2] += seen * weight[kh * K + kw];
                        }
                    }
                }
                from += pitch;
                MINIDL_HOLD_POINTER(from);
            }
            real *to = dx + 2 * r * width + 2 * j;
            ptrdiff_t keep = (end - 2 * r) * width - 2 * j;
            MINIDL_UNROLL for (int i = 0; i < R; i++) {
                MINIDL_UNROLL for (int a = 0; a < 2; a++) {
                    /* Below the last row nothing is to be kept. */
                    NAME(store)(to, __builtin_shufflevector(sum[i][a][0], sum[i][a][1], FIRST), keep);
                    NAME(store)(to + WIDTH, __builtin_shufflevector(sum[i][a][0], sum[i][a][1], SECOND), keep - WIDTH);
                    to += width, keep -= width;
                    MINIDL_HOLD_POINTER(to);
                }
            }
            if (j == 0) break;
        }
    }
}

#define SPREAD(K, ODD, R)                                                                                              \
    MINIDL_APART void NAME(spread_##K##_##ODD)(const real *grad, const real *w, real *dx, ptrdiff_t rows,              \
                                               ptrdiff_t height, ptrdiff_t width, const minidl_depthwise *g) {         \
        if (rows >= R)                                                                                                 \
            NAME(spread_square)(grad, w, dx, rows, height, width, g, K, ODD, R);                                       \
        else                                                                                                           \
            NAME(spread_square)(grad, w, dx, rows, height, width, g, K, ODD, 1);                                       \
    }
SPREAD(3, 0, 2) SPREAD(3, 1, 2) SPREAD(5, 0, 2) SPREAD(5, 1, 2)
#undef SPREAD

/* For kernels of 3 x 3 and 5 x 5. */
static void NAME(spread)(const real *grad, const real *w, real *dx, ptrdiff_t rows, ptrdiff_t height, ptrdiff_t width,
                         int odd, const minidl_depthwise *g) {
    if (g->kernel_width == 3 && odd)
        NAME(spread_3_1)(grad, w, dx, rows, height, width, g);
    else if (g->kernel_width == 3)
        NAME(spread_3_0)(grad, w, dx, rows, height, width, g);
    else if (odd)
        NAME(spread_5_1)(grad, w, dx, rows, height, width, g);
    else
        NAME(spread_5_0)(grad, w, dx, rows, height, width, g);
}

/* A vector without the lanes that the mask leaves out. Both factors go through it: zero times infinity is no zero. */
MINIDL_INLINE VECTOR NAME(masked)(const real *from, MASK mask, const int whole) {
    return whole ? LOAD(from) : (VECTOR)((MASK)LOAD(from) & mask);
}

/* sum[tap] += grad times what the tap sees, for R rows of one vector each. */
MINIDL_INLINE void NAME(collect_tile)(const real *x, const real *grad, ptrdiff_t grad_pitch, VECTOR *sum, MASK mask,
                                      const minidl_depthwise *g, const int K, const int S, const int R,
                                      const int whole) {
    const ptrdiff_t pitch = g->pitch, part = g->part;
    VECTOR here[MINIDL_ROWS_3];
    MINIDL_UNROLL for (int i = 0; i < R; i++) {
        here[i] = NAME(masked)(grad, mask, whole);
        MINIDL_HOLD(here[i]);
        grad += grad_pitch;
    }
    MINIDL_UNROLL for (int row = 0; row < (R - 1) * S + K; row++) {
        MINIDL_UNROLL for (int k = 0; k < K; k++) {
            VECTOR seen = NAME(masked)(x + (S == 1 ? k : k % 2 * part + k / 2), mask, whole);
            MINIDL_HOLD(seen);
            MINIDL_UNROLL for (int i = 0; i < R; i++) {
                const int tap = row - i * S;
                if (tap >= 0 && tap < K) sum[tap * K + k] += seen * here[i];
            }
        }
        x += pitch;
        MINIDL_HOLD_POINTER(x);
    }
}

MINIDL_INLINE void NAME(collect_square)(const real *x, const real *grad, ptrdiff_t grad_pitch, real *sums,
                                        ptrdiff_t rows, MASK mask, const minidl_depthwise *g, const int K, const int S,
                                        const int R) {
    const ptrdiff_t width = g->out_width, x_row = S * g->pitch, whole = width / WIDTH * WIDTH;
    const ptrdiff_t rest = width < WIDTH ? 0 : width - WIDTH;
    VECTOR sum[25];
    MINIDL_UNROLL for (int k = 0; k < K * K; k++) sum[k] = (VECTOR){0};
    ptrdiff_t r = 0;
    for (; r + R <= rows; r += R) {
        const real *from = x + r * x_row, *here = grad + r * grad_pitch;
        for (ptrdiff_t j = 0; j < whole; j += WIDTH)
            NAME(collect_tile)(from + j, here + j, grad_pitch, sum, mask, g, K, S, R, 1);
        if (whole < width) NAME(collect_tile)(from + rest, here + rest, grad_pitch, sum, mask, g, K, S, R, 0);
    }
    for (; r < rows; r++) {
        const real *from = x + r * x_row, *here = grad + r * grad_pitch;
        for (ptrdiff_t j = 0; j < whole; j += WIDTH)
            NAME(collect_tile)(from + j, here + j, grad_pitch, sum, mask, g, K, S, 1, 1);
        if (whole < width) NAME(collect_tile)(from + rest, here + rest, grad_pitch, sum, mask, g, K, S, 1, 0);
    }
    MINIDL_UNROLL for (int k = 0; k < K * K; k++) *(VECTOR *)(sums + k * WIDTH) += sum[k];
}

/* Sums of COUNT neighbouring taps of any kernel. */
MINIDL_INLINE void NAME(collect_taps)(const real *x, const real *grad, ptrdiff_t grad_pitch, real *sums, ptrdiff_t rows,
                                      MASK mask, const ptrdiff_t *column, const minidl_depthwise *g, const int COUNT) {
    const ptrdiff_t width = g->out_width;
    VECTOR sum[5];
    MINIDL_UNROLL for (int k = 0; k < COUNT; k++) sum[k] = (VECTOR){0};
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *from = x + r * g->stride * g->pitch, *here = grad + r * grad_pitch;
        ptrdiff_t j = 0;
        for (; j + WIDTH <= width; j += WIDTH) {
            MINIDL_UNROLL for (int k = 0; k < COUNT; k++) sum[k] += LOAD(from + j + column[k]) * LOAD(here + j);
        }
        if (j < width) {
            j = width < WIDTH ? 0 : width - WIDTH;
            const VECTOR value = NAME(masked)(here + j, mask, 0);
            MINIDL_UNROLL for (int k = 0; k < COUNT; k++)
                sum[k] += NAME(masked)(from + j + column[k], mask, 0) * value;
        }
    }
    MINIDL_UNROLL for (int k = 0; k < COUNT; k++) *(VECTOR *)(sums + k * WIDTH) += sum[k];
}

static void NAME(collect_any)(const real *x, const real *grad, ptrdiff_t grad_pitch, real *sums, ptrdiff_t rows,
                              MASK mask, const minidl_depthwise *g) {
    for (ptrdiff_t kh = 0; kh < g->kernel_height; kh++, x += g->dilation * g->pitch)
        for (ptrdiff_t kw = 0; kw < g->kernel_width;) {
            const ptrdiff_t *column = g->column + kw;
            const ptrdiff_t count = g->kernel_width - kw < 5 ? g->kernel_width - kw : 5;
            switch (count) {
            case 1: NAME(collect_taps)(x, grad, grad_pitch, sums, rows, mask, column, g, 1); break;
            case 2: NAME(collect_taps)(x, grad, grad_pitch, sums, rows, mask, column, g, 2); break;
            case 3: NAME(collect_taps)(x, grad, grad_pitch, sums, rows, mask, column, g, 3); break;
            case 4: NAME(collect_taps)(x, grad, grad_pitch, sums, rows, mask, column, g, 4); break;
            default: NAME(collect_taps)(x, grad, grad_pitch, sums, rows, mask, column, g, 5);
            }
            kw += count, sums += count * WIDTH;
        }
}

/* sums[tap, lane] += what `rows` rows of the output's gradient say, whose rows of less than a vector must end in
 * readable memory. */
static void NAME(collect)(const real *x, const real *grad, ptrdiff_t grad_pitch, real *sums, ptrdiff_t rows,
                          const minidl_depthwise *g) {
    const ptrdiff_t width = g->out_width, K = g->kernel_width;
    const int fast = g->square && g->kernel_height == K && g->stride <= 2;
    const MASK lane = *(const MASK *)depthwise_count;
    /* A row of less than a vector has lanes beyond its end, which are left out; another row ends with some that an
     * earlier vector has counted. */
    const MASK mask = width < WIDTH ? (MASK)(lane < (integer)width) : (MASK)(lane >= (integer)(WIDTH - width % WIDTH));
    if (fast && K == 3 && g->stride == 1)
        NAME(collect_square)(x, grad, grad_pitch, sums, rows, mask, g, 3, 1, MINIDL_ROWS_3);
    else if (fast && K == 3)
        NAME(collect_square)(x, grad, grad_pitch, sums, rows, mask, g, 3, 2, MINIDL_ROWS_3);
#ifdef __AVX512F__
    /* 25 sums need 32 registers. */
    else if (fast && K == 5 && g->stride == 1)
        NAME(collect_square)(x, grad, grad_pitch, sums, rows, mask, g, 5, 1, MINIDL_ROWS);
    else if (fast && K == 5)
        NAME(collect_square)(x, grad, grad_pitch, sums, rows, mask, g, 5, 2, MINIDL_ROWS);
#endif
    else
        NAME(collect_any)(x, grad, grad_pitch, sums, rows, mask, g);
}

#undef VECTOR
#undef MASK
#undef WIDTH
#undef LOAD
#undef ALL
#undef FIRST
#undef SECOND
