/* Between rows of samples and blocks of 16 samples side by side: a transposition of 16 by `columns`.
 *
 * Squares of 4 go through registers; done number
 * by number, each store or load would touch another cache line.
 */
#ifndef MINIDL_TRANSPOSE_H
#define MINIDL_TRANSPOSE_H

#include <stddef.h>


#define MINIDL_TRANSPOSE(type)                                                                                         \
    typedef type minidl_four_##type __attribute__((vector_size(4 * sizeof(type)), aligned(sizeof(type)), may_alias));  \
    typedef __typeof__(minidl_order_##type()) minidl_four_order_##type                                                 \
        __attribute__((vector_size(4 * sizeof(type))));                                                                \
    /* to[j][i] = from[i][j] for a square of 4. */                                                                     \
    static inline void minidl_square_##type(const type *from, ptrdiff_t from_row, type *to, ptrdiff_t to_row) {        \
        const minidl_four_##type a = *(const minidl_four_##type *)from;                                                \
        const minidl_four_##type b = *(const minidl_four_##type *)(from + from_row);                                   \
        const minidl_four_##type c = *(const minidl_four_##type *)(from + 2 * from_row);                               \
        const minidl_four_##type d = *(const minidl_four_##type *)(from + 3 * from_row);                               \
        const minidl_four_order_##type low = {0, 4, 1, 5}, high = {2, 6, 3, 7};                                        \
        const minidl_four_order_##type left = {0, 1, 4, 5}, right = {2, 3, 6, 7};                                      \
        const minidl_four_##type ab = __builtin_shuffle(a, b, low), cd = __builtin_shuffle(c, d, low);                 \
        const minidl_four_##type ab2 = __builtin_shuffle(a, b, high), cd2 = __builtin_shuffle(c, d, high);             \
        *(minidl_four_##type *)to = __builtin_shuffle(ab, cd, left);                                                   \
        *(minidl_four_##type *)(to + to_row) = __builtin_shuffle(ab, cd, right);                                       \
        *(minidl_four_##type *)(to + 2 * to_row) = __builtin_shuffle(ab2, cd2, left);                                  \
        *(minidl_four_##type *)(to + 3 * to_row) = __builtin_shuffle(ab2, cd2, right);                                 \
    }                                                                                                                  \
    /* Up to 16 rows, `row` apart, to [column][16]; lanes without a row become 0. */                                   \
    static inline void minidl_to_lanes_##type(const type *rows, ptrdiff_t row, ptrdiff_t count, ptrdiff_t columns,     \
                                              type *lanes) {                                                           \
        ptrdiff_t i = 0;                                                                                               \
        if (count == 16)                                                                                               \
            for (; i + 4 <= columns; i += 4)                                                                           \
                for (int lane = 0; lane < 16; lane += 4)                                                               \
                    minidl_square_##type(rows + lane * row + i, row, lanes + i * 16 + lane, 16);                       \
        for (; i < columns; i++)                                                                                       \
            for (int lane = 0; lane < 16; lane++) lanes[i * 16 + lane] = lane < count ? rows[lane * row + i] : 0;      \
    }                                                                                                                  \
    /* The other way round, for `count` of the lanes. */                                                               \
    static inline void minidl_to_rows_##type(const type *lanes, ptrdiff_t count, ptrdiff_t columns, type *rows,        \
                                             ptrdiff_t row) {                                                          \
        ptrdiff_t i = 0;                                                                                               \
        if (count == 16)                                                                                               \
            for (; i + 4 <= columns; i += 4)                                                                           \
                for (int lane = 0; lane < 16; lane += 4)                                                               \
                    minidl_square_##type(lanes + i * 16 + lane, 16, rows + lane * row + i, row);                       \
        for (int lane = 0; lane < count; lane++)                                                                       \
            for (ptrdiff_t j = i; j < columns; j++) rows[lane * row + j] = lanes[j * 16 + lane];                       \
    }

/* Integers of the same width say which numbers a shuffle takes. */
static inline int minidl_order_float(void) { return 0; }
static inline long long minidl_order_double(void) { return 0; }
MINIDL_TRANSPOSE(float)
MINIDL_TRANSPOSE(double)

#undef MINIDL_TRANSPOSE
#endif
