/* Convolution of one sample, whose lanes are up to 16 filters: a pixel is one number for all of them.
 *
 * Narrow images, of which a row does not fill vectors, fill them so, and pooling needs no shuffles. Weights are packed
 * [channel][tap][16]. A tile keeps neighbouring outputs of one row in registers while all taps go by. Sums are added in
 * the order of direct_tiles.h, so that a sample's bits do not depend on how many come with it.
 */
#ifndef MINIDL_SAMPLE_TILES_H
#define MINIDL_SAMPLE_TILES_H

#include "direct_tiles.h"

/* Steps are in numbers. */
typedef struct {
    ptrdiff_t channels, rows, columns;   /* what is summed over: channels, and taps of the kernel */
    ptrdiff_t x_channel, x_row;
    const ptrdiff_t *x_columns;          /* where each column of the kernel looks */
} minidl_sample;

/* 8 filters or fewer take half of the lanes: two such products cost what a whole one does, or less. */
#define HALF_BYTES (MINIDL_VECTOR_BYTES < 8 * sizeof(real) ? MINIDL_VECTOR_BYTES : 8 * sizeof(real))
typedef real half_vector __attribute__((vector_size(HALF_BYTES), aligned(sizeof(real)), may_alias));
#define HALF_WIDTH ((int)(HALF_BYTES / sizeof(real)))
typedef integer half_mask __attribute__((vector_size(HALF_BYTES), aligned(sizeof(real)), may_alias));
#define CHOOSE_HALF(condition, a, b) CHOOSE_OF(half_vector, half_mask, condition, a, b)
/* Outputs at once, of 32 registers or 16. */
#define MOST (MINIDL_VECTOR_BYTES == 64 ? 14 : 12)

/* y[p] = bias + the sum over channels and taps of w times x[p], for P neighbouring outputs of a row. */
#define TILE(P, TYPE, LANES, USED)                                                                                     \
    static void sample_##P##_##USED(const real *x, const real *w, const real *bias, real *y,                           \
                                    const minidl_sample *s) {                                                          \
        for (int part = 0; part < USED; part += LANES) {                                                               \
            const real *weights = w + part;                                                                            \
            TILE_SUMS_OF(TYPE, sum, P, 1);                                                                             \
            for (ptrdiff_t c = 0; c < s->channels; c++)                                                                \
                for (ptrdiff_t r = 0; r < s->rows; r++) {                                                              \
                    const real *row = x + c * s->x_channel + r * s->x_row;                                             \
                    for (ptrdiff_t k = 0; k < s->columns; k++, weights += MINIDL_LANES) {                              \
                        const real *from = row + s->x_columns[k];                                                      \
                        TILE_ADD_OF(TYPE, sum, P, 1, from[i], *(const TYPE *)weights);                                 \
                    }                                                                                                  \
                }                                                                                                      \
            TILE_EACH(P, 1, *(TYPE *)(y + i * MINIDL_LANES + part) = sum[i][v] + *(const TYPE *)(bias + part))         \
        }                                                                                                              \
    }
#define CALL(P, USED) sample_##P##_##USED(x, w, bias, y, s)
#define TILES(TYPE, LANES, USED)                                                                                       \
    EACH_14(TILE, TYPE, LANES, USED)                                                                                   \
    /* `count` neighbouring outputs, in tiles of about the same width. */                                              \
    static inline void sample_row_##USED(const real *x, const real *w, const real *bias, real *y,                      \
                                         ptrdiff_t count, const minidl_sample *s) {                                    \
        for (ptrdiff_t tiles = (count + MOST - 1) / MOST; tiles > 0; tiles--) {                                        \
            const ptrdiff_t now = (count + tiles - 1) / tiles;                                                         \
            SWITCH(now, EACH_13, 14, CALL, USED)                                                                       \
            x += now, y += now * MINIDL_LANES, count -= now;                                                           \
        }                                                                                                              \
    }
TILES(vector, WIDTH, 16)
TILES(half_vector, HALF_WIDTH, 8)

/* y[p] for a row of `count` outputs of `filters` (1 to 16) filters. */
static inline void sample_row(const real *x, const real *w, const real *bias, real *y, ptrdiff_t count,
                              ptrdiff_t filters, const minidl_sample *s) {
    if (filters > 8)
        sample_row_16(x, w, bias, y, count, s);
    else
        sample_row_8(x, w, bias, y, count, s);
}

/* One row of pooled outputs: of `rows` x `columns` neighbouring values the largest, NaN over everything; 0 where it is
 * not positive and `relu` is set. */
static inline void sample_pool(const real *y, ptrdiff_t y_row, int rows, int columns, int relu, ptrdiff_t count,
                               ptrdiff_t filters, real *out) {
    for (ptrdiff_t q = 0; q < count; q++, y += columns * MINIDL_LANES, out += MINIDL_LANES)
        for (int part = 0; part < (filters > 8 ? MINIDL_LANES : 8); part += HALF_WIDTH) {
            half_vector best = *(const half_vector *)(y + part);
            for (int r = 0; r < rows; r++)
                for (int k = r == 0; k < columns; k++) {
                    const half_vector value = *(const half_vector *)(y + part + r * y_row + k * MINIDL_LANES);
                    best = CHOOSE_HALF((value > best) | (value != value), value, best);
                }
            if (relu) best = CHOOSE_HALF(best <= 0, (half_vector){0}, best);
            *(half_vector *)(out + part) = best;
        }
}

#undef CALL
#undef TILE
#undef TILES
#undef HALF_BYTES
#undef HALF_WIDTH
#undef CHOOSE_HALF
#undef MOST

#endif
