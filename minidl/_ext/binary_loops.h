/* Kernels of the rows of binary_table.h, for runs of the last axis: an input either goes along with it or repeats. */

#define ROW(name, value)                                                                                               \
    static void NAME(name##_run)(const REAL *restrict grads, const REAL *restrict xs, int x_moves,                     \
                                 const REAL *restrict ys, int y_moves, ptrdiff_t count, REAL *restrict to) {           \
        if (x_moves && y_moves) {                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const REAL grad = grads[i], x = xs[i], y = ys[i];                                                      \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        } else if (x_moves) {                                                                                          \
            const REAL y = ys[0];                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const REAL grad = grads[i], x = xs[i];                                                                 \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        } else {                                                                                                       \
            const REAL x = xs[0];                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const REAL grad = grads[i], y = ys[i];                                                                 \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }
#include "binary_table.h"
#undef ROW

#define ROW(name, value) NAME(name##_run),
static void (*const NAME(binary_runs)[])(const REAL *, const REAL *, int, const REAL *, int, ptrdiff_t, REAL *) = {
#include "binary_table.h"
};
#undef ROW

static inline void NAME(binary_run)(int row, const REAL *grad, const REAL *x, int x_moves, const REAL *y, int y_moves,
                                    ptrdiff_t count, REAL *to) {
    NAME(binary_runs)[row](grad, x, x_moves, y, y_moves, count, to);
}
