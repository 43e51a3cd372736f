/* The product of a 1 x 1 convolution with stride 1, whose columns are pieces of the images themselves.
 *
 * A tile is that of gemm_tiles.h. But positions are counted over the batch, so the lanes of a vector may lie in two
 * images, whose results are not neighbours: such a vector is loaded and stored in two pieces.
 */
#ifndef MINIDL_POINTWISE_TILES_H
#define MINIDL_POINTWISE_TILES_H

#include "gemm_tiles.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/* The part of a result row that a tile's vectors hold: of an image, and of the next one; a bit for each lane. */
typedef struct {
    ptrdiff_t at[MINIDL_GEMM_VECTORS], beyond[MINIDL_GEMM_VECTORS];
    unsigned lanes[MINIDL_GEMM_VECTORS], lanes_beyond[MINIDL_GEMM_VECTORS];
    int whole;
} minidl_pointwise_place;

#define LANES (MINIDL_GEMM_VECTORS * WIDTH)
#define ROWS MINIDL_GEMM_ROWS
#define ALL ((1u << WIDTH) - 1)

/* ---- The columns. ---- */

/* to[k][lane] = what channels k_start to k_stop hold at so many positions, counted over the batch. */
static void pointwise_gather(const real *x, ptrdiff_t P, ptrdiff_t channels, ptrdiff_t first, ptrdiff_t count,
                             ptrdiff_t k_start, ptrdiff_t k_stop, real *to) {
    for (ptrdiff_t lane = 0, now; lane < count; lane += now) {
        const ptrdiff_t image = (first + lane) / P, position = (first + lane) % P;
        const real *from = x + (image * channels + k_start) * P + position;
        real *lanes = to + lane;
        now = P - position < count - lane ? P - position : count - lane;
        if (now == LANES)
            for (ptrdiff_t k = k_start; k < k_stop; k++, from += P, lanes += LANES)
                UNROLL for (int v = 0; v < LANES; v += WIDTH) STORE(lanes + v, LOAD(from + v));
        else
            for (ptrdiff_t k = k_start; k < k_stop; k++, from += P, lanes += LANES)
                minidl_copy_run(lanes, from, (size_t)now * sizeof(real));
    }
    /* A vector's other lanes: any finite numbers do, what becomes of them is not stored. */
    const ptrdiff_t wide = (count + WIDTH - 1) / WIDTH * WIDTH;
    if (wide > count)
        for (ptrdiff_t k = 0; k < k_stop - k_start; k++)
            for (ptrdiff_t lane = count; lane < wide; lane++) to[k * LANES + lane] = 0;
}

/* ---- The tile. ---- */

/* The lanes that have a bit, 0 in others. */
static inline vector pointwise_take(const real *from, unsigned lanes) {
#if defined(__AVX512F__)
    return sizeof(real) == 4 ? (vector)_mm512_maskz_loadu_ps((__mmask16)lanes, from)
                             : (vector)_mm512_maskz_loadu_pd((__mmask8)lanes, from);
#else
    vector all = {0};
    for (int lane = 0; lane < WIDTH; lane++)
        if (lanes >> lane & 1) all[lane] = from[lane];
    return all;
#endif
}

static inline void pointwise_put(real *to, unsigned lanes, vector all) {
#if defined(__AVX512F__)
    if (sizeof(real) == 4)
        _mm512_mask_storeu_ps(to, (__mmask16)lanes, (__m512)all);
    else
        _mm512_mask_storeu_pd(to, (__mmask8)lanes, (__m512d)all);
#else
    for (int lane = 0; lane < WIDTH; lane++)
        if (lanes >> lane & 1) to[lane] = all[lane];
#endif
}

#define TILE(VB, name, WHOLE)                                                                                          \
    APART void name(const real *restrict a, const real *restrict b, ptrdiff_t count, const real *restrict bias,        \
                    int add, int rows, real *restrict c, ptrdiff_t c_row, const minidl_pointwise_place *place) {       \
        TILE_SUMS(sum, ROWS, VB);                                                                                      \
        /* The result's lines are fetched while the products are computed. */                                          \
        UNROLL for (int v = 0; v < VB; v++)                                                                            \
            UNROLL for (int i = 0; i < ROWS; i++) {                                                                    \
                __builtin_prefetch(c + i * c_row + place->at[v], 1);                                                   \
                if (!(WHOLE)) __builtin_prefetch(c + i * c_row + place->beyond[v] + WIDTH - 1, 1);                     \
            }                                                                                                          \
        GEMM_PRODUCTS(VB)                                                                                              \
        if (!add) TILE_EACH(ROWS, VB, sum[i][v] += bias[i])                                                            \
        UNROLL for (int v = 0; v < VB; v++) {                                                                          \
            real *to = c + place->at[v], *beyond = c + place->beyond[v];                                               \
            const unsigned lanes = place->lanes[v], lanes_beyond = place->lanes_beyond[v];                             \
            if (WHOLE || (lanes == ALL && rows == ROWS))                                                               \
                UNROLL for (int i = 0; i < ROWS; i++) {                                                                \
                    if (add) sum[i][v] += LOAD(to + i * c_row);                                                        \
                    STORE(to + i * c_row, sum[i][v]);                                                                  \
                }                                                                                                      \
            else                                                                                                       \
                UNROLL for (int i = 0; i < ROWS; i++)                                                                  \
                    if (i < rows) {                                                                                    \
                        if (add) {                                                                                     \
                            mask there = (mask)pointwise_take(to + i * c_row, lanes);                                  \
                            if (lanes_beyond) there |= (mask)pointwise_take(beyond + i * c_row, lanes_beyond);         \
                            sum[i][v] += (vector)there;                                                                \
                        }                                                                                              \
                        pointwise_put(to + i * c_row, lanes, sum[i][v]);                                               \
                        if (lanes_beyond) pointwise_put(beyond + i * c_row, lanes_beyond, sum[i][v]);                  \
                    }                                                                                                  \
        }                                                                                                              \
    }
TILE(1, pointwise_tile_1, 0)
TILE(2, pointwise_tile_2, 0)
TILE(3, pointwise_tile_3, 0)
TILE(3, pointwise_tile_whole, 1)

/* Find where the lanes of a tile lie; an image has at least as many positions as a vector has lanes. */
static int pointwise_place(ptrdiff_t P, ptrdiff_t rows_of_image, ptrdiff_t first, ptrdiff_t count,
                           minidl_pointwise_place *place) {
    int vectors = 0;
    place->whole = count == LANES;
    for (ptrdiff_t lane = 0; lane < count; lane += WIDTH, vectors++) {
        const ptrdiff_t image = (first + lane) / P, position = (first + lane) % P;
        const ptrdiff_t now = count - lane < WIDTH ? count - lane : WIDTH;
        const ptrdiff_t here = P - position < now ? P - position : now;
        place->at[vectors] = image * rows_of_image * P + position;
        place->lanes[vectors] = (1u << here) - 1;
        /* Lane `here` is the next image's first position. */
        place->beyond[vectors] = (image + 1) * rows_of_image * P - here;
        place->lanes_beyond[vectors] = (1u << now) - (1u << here);
        if (here < WIDTH) place->whole = 0;
    }
    return vectors;
}

/* c[place of lane][i] = the sum over k < count of a[k][i] b[k][lane], plus what is there or, without `add`, bias[i], for
 * `rows` of the tile's rows, which are c_row apart. */
static inline void pointwise_tile(const real *a, const real *b, ptrdiff_t count, const real *bias, int add,
                                  int rows, real *c, ptrdiff_t c_row, int vectors,
                                  const minidl_pointwise_place *place) {
    if (vectors == 1)
        pointwise_tile_1(a, b, count, bias, add, rows, c, c_row, place);
    else if (vectors == 2)
        pointwise_tile_2(a, b, count, bias, add, rows, c, c_row, place);
    else if (!place->whole || rows < ROWS)
        pointwise_tile_3(a, b, count, bias, add, rows, c, c_row, place);
    else
        pointwise_tile_whole(a, b, count, bias, add, rows, c, c_row, place);
}

#undef LANES
#undef ROWS
#undef ALL
#undef TILE

#endif
