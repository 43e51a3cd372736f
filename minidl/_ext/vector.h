/* The widest vectors of the instruction set that this is compiled for. */
#ifndef MINIDL_VECTOR_H
#define MINIDL_VECTOR_H

#if defined(__AVX512F__)
#define MINIDL_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MINIDL_VECTOR_BYTES 32
#else
#define MINIDL_VECTOR_BYTES 16
#endif

/* A vector of `a` and `b`, of 2 to 16 lanes each: lane i of the result is lane PLACE(i, lanes) of the two in a row. GCC
 * and Clang both have the builtin, which wants its places written out, as many as there are lanes. */
#define MINIDL_SHUFFLE(a, b, PLACE)                                                                                    \
    __builtin_choose_expr(MINIDL_LANES_OF(a) == 2, MINIDL_SHUFFLE_2(a, b, PLACE),                                      \
    __builtin_choose_expr(MINIDL_LANES_OF(a) == 4, MINIDL_SHUFFLE_4(a, b, PLACE),                                      \
    __builtin_choose_expr(MINIDL_LANES_OF(a) == 8, MINIDL_SHUFFLE_8(a, b, PLACE), MINIDL_SHUFFLE_16(a, b, PLACE))))
#define MINIDL_LANES_OF(vector) ((int)(sizeof(vector) / sizeof((vector)[0])))
/* Those that are not taken are checked all the same. */
#define MINIDL_AT(a, PLACE, i, lanes) (PLACE(i, lanes) % (2 * MINIDL_LANES_OF(a)))
#define MINIDL_AT_2(a, PLACE, i, lanes) MINIDL_AT(a, PLACE, i, lanes), MINIDL_AT(a, PLACE, i + 1, lanes)
#define MINIDL_AT_4(a, PLACE, i, lanes) MINIDL_AT_2(a, PLACE, i, lanes), MINIDL_AT_2(a, PLACE, i + 2, lanes)
#define MINIDL_AT_8(a, PLACE, i, lanes) MINIDL_AT_4(a, PLACE, i, lanes), MINIDL_AT_4(a, PLACE, i + 4, lanes)
#define MINIDL_SHUFFLE_2(a, b, PLACE) __builtin_shufflevector(a, b, MINIDL_AT_2(a, PLACE, 0, 2))
#define MINIDL_SHUFFLE_4(a, b, PLACE) __builtin_shufflevector(a, b, MINIDL_AT_4(a, PLACE, 0, 4))
#define MINIDL_SHUFFLE_8(a, b, PLACE) __builtin_shufflevector(a, b, MINIDL_AT_8(a, PLACE, 0, 8))
#define MINIDL_SHUFFLE_16(a, b, PLACE)                                                                                 \
    __builtin_shufflevector(a, b, MINIDL_AT_8(a, PLACE, 0, 16), MINIDL_AT_8(a, PLACE, 8, 16))

/* The lower or upper halves of both in turns, or one behind the other; every other lane of both. */
#define MERGED_LOW(i, lanes) ((i) / 2 + (i) % 2 * (lanes))
#define MERGED_HIGH(i, lanes) (MERGED_LOW(i, lanes) + (lanes) / 2)
#define FIRST_HALVES(i, lanes) ((i) < (lanes) / 2 ? (i) : (i) + (lanes) / 2)
#define LAST_HALVES(i, lanes) (FIRST_HALVES(i, lanes) + (lanes) / 2)
#define EVEN_LANES(i, lanes) (2 * (i))
#define ODD_LANES(i, lanes) (2 * (i) + 1)

#endif
