/* A kernel for each row of optim_table.h: a step of a run of elements of one parameter. */
#ifndef MINIDL_OPTIM_ROWS_H
#define MINIDL_OPTIM_ROWS_H

#include <stddef.h>

#include "real.h"

/* old + part (new - old), exactly new where part is 1: the difference may have lost all of a small new. */
static inline real optim_towards(real old, real new, real part) {
    return part < (real)0.5 ? old + part * (new - old) : new - (1 - part) * (new - old);
}

/* Declarations of the names in a list of up to six, which are numbered from 0. */
#define BIND_0(DECLARE, i)
#define BIND_1(DECLARE, i, name) DECLARE(i, name)
#define BIND_2(DECLARE, i, name, ...) DECLARE(i, name) BIND_1(DECLARE, i + 1, __VA_ARGS__)
#define BIND_3(DECLARE, i, name, ...) DECLARE(i, name) BIND_2(DECLARE, i + 1, __VA_ARGS__)
#define BIND_4(DECLARE, i, name, ...) DECLARE(i, name) BIND_3(DECLARE, i + 1, __VA_ARGS__)
#define BIND_5(DECLARE, i, name, ...) DECLARE(i, name) BIND_4(DECLARE, i + 1, __VA_ARGS__)
#define BIND_6(DECLARE, i, name, ...) DECLARE(i, name) BIND_5(DECLARE, i + 1, __VA_ARGS__)
#define SEVENTH_AFTER(declare, a, b, c, d, e, f, found, ...) found
#define BIND(DECLARE, ...)                                                                                             \
    SEVENTH_AFTER(DECLARE __VA_OPT__(, ) __VA_ARGS__, BIND_6, BIND_5, BIND_4, BIND_3, BIND_2, BIND_1, BIND_0, )        \
    (DECLARE, 0 __VA_OPT__(, ) __VA_ARGS__)
/* The list stands in brackets, which are taken off first. */
#define BOUND(DECLARE, list) BIND_LISTED(DECLARE, LIST list)
#define BIND_LISTED(...) BIND(__VA_ARGS__)
#define LIST(...) __VA_ARGS__
#define STATE(i, name) real *restrict const name = arrays[2 + (i)];
#define NUMBER(i, name) const double name = numbers[i];
#define OPTION(i, name) const double name = options[i];

/* Weight decay that is part of the gradient is a run of its own: 0 times an infinite parameter would be NaN. */
#define STEP(name, states, each, settings, constants, update)                                                          \
    static inline __attribute__((always_inline)) void name##_run(                                                      \
        const int decays, real sign, real decay, void **arrays, ptrdiff_t count, const double *numbers,                \
        const double *options) {                                                                                       \
        const real *restrict const grads = arrays[0];                                                                  \
        real *restrict const parameter = arrays[1];                                                                    \
        BOUND(STATE, states) BOUND(NUMBER, each) BOUND(OPTION, settings) constants                      \
        for (ptrdiff_t i = 0; i < count; i++) {                                                                        \
            real g = decays ? sign * grads[i] + decay * parameter[i] : sign * grads[i];                                \
            update                                                                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_step(real sign, real decay, void **arrays, ptrdiff_t count, const double *numbers,              \
                            const double *options) {                                                                   \
        if (decay != 0)                                                                                                \
            name##_run(1, sign, decay, arrays, count, numbers, options);                                               \
        else                                                                                                           \
            name##_run(0, sign, decay, arrays, count, numbers, options);                                               \
    }
#include "optim_table.h"
#undef STEP

typedef struct {
    const char *name, *states, *numbers, *options;
    void (*step)(real, real, void **, ptrdiff_t, const double *, const double *);
} minidl_optim_row;

#define NAMES(...) #__VA_ARGS__
#define STEP(name, states, each, settings, constants, update)                                                          \
    {#name, NAMES states, NAMES each, NAMES settings, name##_step},
static const minidl_optim_row minidl_optim_rows[] = {
#include "optim_table.h"
};
#undef STEP
static const int minidl_optim_count = sizeof(minidl_optim_rows) / sizeof(minidl_optim_rows[0]);

#endif
