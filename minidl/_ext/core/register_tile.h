/* The register tile, which every product of this package is made of: sums of ROWS rows by VECTORS vectors stay in registers
 * while the inner dimension goes by.
 *
 *     TILE_SUMS(sum, 4, 3);                                     sums of zero
 *     for (k ...) TILE_ADD(sum, 4, 3, a[i], LOAD(b + v * WIDTH))  sum[i][v] += a[i] times vector v of b
 *     TILE_EACH(4, 3, STORE(c + i * c_row + v * WIDTH, sum[i][v]))
 *
 * Rows are numbered i, vectors v. A factor is a number, for all lanes, or a vector. Kernels differ in where a tile's
 * operands lie and in what becomes of the sums; neither is known here. Sizes are constants of the preprocessor, so that
 * the compiler keeps the sums in registers: sums, the vectors that are loaded and a factor have to fit into 32 (AVX-512)
 * or 16 of them.
 */
#ifndef MINIDL_REGISTER_TILE_H
#define MINIDL_REGISTER_TILE_H

#include <stddef.h>

#include "../real.h"
#include "../vector.h"

typedef real vector __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef integer mask __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
/* Lanes of a vector. */
#define WIDTH ((int)(MINIDL_VECTOR_BYTES / sizeof(real)))

#define LOAD(from) (*(const vector *)(from))
#define STORE(to, value) (*(vector *)(to) = (value))
/* a where the condition holds, else b; for vectors of `type`, whose comparisons give a `mask_type`. */
#define CHOOSE_OF(type, mask_type, condition, a, b)                                                                    \
    ((type)(((condition) & (mask_type)(a)) | (~(condition) & (mask_type)(b))))
#define CHOOSE(condition, a, b) CHOOSE_OF(vector, mask, condition, a, b)

#define TILE_EACH(ROWS, VECTORS, ...)                                                                                  \
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int v = 0; v < VECTORS; v++) {                                   \
        __VA_ARGS__;                                                                                                   \
    }
/* For another type of vectors than the widest, with _OF. */
#define TILE_SUMS_OF(type, sum, ROWS, VECTORS)                                                                         \
    type sum[ROWS][VECTORS];                                                                                           \
    TILE_EACH(ROWS, VECTORS, sum[i][v] = (type){0})
#define TILE_ADD_OF(type, sum, ROWS, VECTORS, FACTOR, VECTOR)                                                          \
    do {                                                                                                               \
        type loaded[VECTORS];                                                                                          \
        UNROLL for (int v = 0; v < VECTORS; v++) loaded[v] = VECTOR;                                                   \
        UNROLL for (int i = 0; i < ROWS; i++) {                                                                        \
            /* To subtract 0 changes no number and costs nothing; to add it would turn -0 into 0. */                   \
            const type factor = FACTOR - (type){0};                                                                    \
            UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] += factor * loaded[v];                                  \
        }                                                                                                              \
    } while (0)
#define TILE_SUMS(sum, ROWS, VECTORS) TILE_SUMS_OF(vector, sum, ROWS, VECTORS)
#define TILE_ADD(sum, ROWS, VECTORS, FACTOR, VECTOR) TILE_ADD_OF(vector, sum, ROWS, VECTORS, FACTOR, VECTOR)

/* A tile's size is a number at run time: DO(1, ...) DO(2, ...) defines the functions, `switch` calls one of them. The
 * last one answers for whatever is left. A macro does not expand itself: lists do not go into lists. */
#define EACH_1(DO, ...) DO(1, ##__VA_ARGS__)
#define EACH_2(DO, ...) EACH_1(DO, ##__VA_ARGS__) DO(2, ##__VA_ARGS__)
#define EACH_3(DO, ...) EACH_2(DO, ##__VA_ARGS__) DO(3, ##__VA_ARGS__)
#define EACH_4(DO, ...) EACH_3(DO, ##__VA_ARGS__) DO(4, ##__VA_ARGS__)
#define EACH_5(DO, ...) EACH_4(DO, ##__VA_ARGS__) DO(5, ##__VA_ARGS__)
#define EACH_6(DO, ...) EACH_5(DO, ##__VA_ARGS__) DO(6, ##__VA_ARGS__)
#define EACH_7(DO, ...) EACH_6(DO, ##__VA_ARGS__) DO(7, ##__VA_ARGS__)
#define EACH_8(DO, ...) EACH_7(DO, ##__VA_ARGS__) DO(8, ##__VA_ARGS__)
#define EACH_13(DO, ...)                                                                                               \
    EACH_8(DO, ##__VA_ARGS__) DO(9, ##__VA_ARGS__) DO(10, ##__VA_ARGS__) DO(11, ##__VA_ARGS__) DO(12, ##__VA_ARGS__)   \
    DO(13, ##__VA_ARGS__)
#define EACH_14(DO, ...) EACH_13(DO, ##__VA_ARGS__) DO(14, ##__VA_ARGS__)
#define CASE(N, CALL, ...) case N: CALL(N, ##__VA_ARGS__); break;
#define SWITCH(n, EACH_BUT_LAST, LAST, CALL, ...)                                                                      \
    switch (n) {                                                                                                       \
        EACH_BUT_LAST(CASE, CALL, ##__VA_ARGS__)                                                                       \
    default: CALL(LAST, ##__VA_ARGS__);                                                                                \
    }

#endif
