/* Kernels of the rows of binary_table.h, for runs of the last axis: an input either goes along with it or repeats. */

#define ROW(name, value)                                                                                               \
    static void name##_run(const real *restrict grads, const real *restrict xs, int x_moves,                     \
                                 const real *restrict ys, int y_moves, ptrdiff_t count, real *restrict to) {           \
        if (x_moves && y_moves) {                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const real grad = grads[i], x = xs[i], y = ys[i];                                                      \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        } else if (x_moves) {                                                                                          \
            const real y = ys[0];                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const real grad = grads[i], x = xs[i];                                                                 \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        } else {                                                                                                       \
            const real x = xs[0];                                                                                      \
            for (ptrdiff_t i = 0; i < count; i++) {                                                                    \
                const real grad = grads[i], y = ys[i];                                                                 \
                (void)grad, (void)x, (void)y;                                                                          \
                to[i] = (value);                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }
#include "binary_table.h"
#undef ROW

#define ROW(name, value) name##_run,
static void (*const binary_runs[])(const real *, const real *, int, const real *, int, ptrdiff_t, real *) = {
#include "binary_table.h"
};
#undef ROW

static inline void binary_run(int row, const real *grad, const real *x, int x_moves, const real *y, int y_moves,
                              ptrdiff_t count, real *to) {
    binary_runs[row](grad, x, x_moves, y, y_moves, count, to);
}
