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

#define WHOLE sample_whole
typedef real WHOLE __attribute__((vector_size(MINIDL_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define WHOLE_WIDTH ((int)(MINIDL_VECTOR_BYTES / sizeof(real)))
/* 8 filters or fewer take half of the lanes: two such products cost what a whole one does, or less. */
#define HALF_BYTES (MINIDL_VECTOR_BYTES < 8 * sizeof(real) ? MINIDL_VECTOR_BYTES : 8 * sizeof(real))
#define HALF sample_half
typedef real HALF __attribute__((vector_size(HALF_BYTES), aligned(sizeof(real)), may_alias));
#define HALF_WIDTH ((int)(HALF_BYTES / sizeof(real)))
#define MASK sample_mask
typedef integer MASK __attribute__((vector_size(HALF_BYTES), aligned(sizeof(real)), may_alias));
#define CHOOSE(mask, a, b) ((HALF)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
/* Outputs at once, of 32 registers or 16. */
#define MOST (MINIDL_VECTOR_BYTES == 64 ? 14 : 12)

/* y[p] = bias + the sum over channels and taps of w times x[p], for P neighbouring outputs of a row. */
#define TILE(P, VECTOR, WIDTH, USED)                                                                                   \
    static void sample_##P##_##USED(const real *x, const real *w, const real *bias, real *y,                           \
                                    const minidl_sample *s) {                                                          \
        for (int part = 0; part < USED; part += WIDTH) {                                                               \
            const real *weights = w + part;                                                                            \
            VECTOR sum[P];                                                                                             \
            UNROLL for (int p = 0; p < P; p++) sum[p] = (VECTOR){0};                                                   \
            for (ptrdiff_t c = 0; c < s->channels; c++)                                                                \
                for (ptrdiff_t r = 0; r < s->rows; r++) {                                                              \
                    const real *row = x + c * s->x_channel + r * s->x_row;                                             \
                    for (ptrdiff_t k = 0; k < s->columns; k++, weights += MINIDL_LANES) {                              \
                        const real *from = row + s->x_columns[k];                                                      \
                        const VECTOR weight = *(const VECTOR *)weights;                                                \
                        UNROLL for (int p = 0; p < P; p++) sum[p] += weight * from[p];                                 \
                    }                                                                                                  \
                }                                                                                                      \
            UNROLL for (int p = 0; p < P; p++)                                                                         \
                *(VECTOR *)(y + p * MINIDL_LANES + part) = sum[p] + *(const VECTOR *)(bias + part);                    \
        }                                                                                                              \
    }
#define TILES(VECTOR, WIDTH, USED)                                                                                     \
    TILE(1, VECTOR, WIDTH, USED) TILE(2, VECTOR, WIDTH, USED) TILE(3, VECTOR, WIDTH, USED)                             \
    TILE(4, VECTOR, WIDTH, USED) TILE(5, VECTOR, WIDTH, USED) TILE(6, VECTOR, WIDTH, USED)                             \
    TILE(7, VECTOR, WIDTH, USED) TILE(8, VECTOR, WIDTH, USED) TILE(9, VECTOR, WIDTH, USED)                             \
    TILE(10, VECTOR, WIDTH, USED) TILE(11, VECTOR, WIDTH, USED) TILE(12, VECTOR, WIDTH, USED)                          \
    TILE(13, VECTOR, WIDTH, USED) TILE(14, VECTOR, WIDTH, USED)                                                        \
    /* `count` neighbouring outputs, in tiles of about the same width. */                                              \
    static inline void sample_row_##USED(const real *x, const real *w, const real *bias, real *y,                      \
                                         ptrdiff_t count, const minidl_sample *s) {                                    \
        for (ptrdiff_t tiles = (count + MOST - 1) / MOST; tiles > 0; tiles--) {                                        \
            const ptrdiff_t now = (count + tiles - 1) / tiles;                                                         \
            switch (now) {                                                                                             \
            case 1: sample_1_##USED(x, w, bias, y, s); break;                                                          \
            case 2: sample_2_##USED(x, w, bias, y, s); break;                                                          \
            case 3: sample_3_##USED(x, w, bias, y, s); break;                                                          \
            case 4: sample_4_##USED(x, w, bias, y, s); break;                                                          \
            case 5: sample_5_##USED(x, w, bias, y, s); break;                                                          \
            case 6: sample_6_##USED(x, w, bias, y, s); break;                                                          \
            case 7: sample_7_##USED(x, w, bias, y, s); break;                                                          \
            case 8: sample_8_##USED(x, w, bias, y, s); break;                                                          \
            case 9: sample_9_##USED(x, w, bias, y, s); break;                                                          \
            case 10: sample_10_##USED(x, w, bias, y, s); break;                                                        \
            case 11: sample_11_##USED(x, w, bias, y, s); break;                                                        \
            case 12: sample_12_##USED(x, w, bias, y, s); break;                                                        \
            case 13: sample_13_##USED(x, w, bias, y, s); break;                                                        \
            default: sample_14_##USED(x, w, bias, y, s);                                                               \
            }                                                                                                          \
            x += now, y += now * MINIDL_LANES, count -= now;                                                           \
        }                                                                                                              \
    }
TILES(WHOLE, WHOLE_WIDTH, 16)
TILES(HALF, HALF_WIDTH, 8)

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
            HALF best = *(const HALF *)(y + part);
            for (int r = 0; r < rows; r++)
                for (int k = r == 0; k < columns; k++) {
                    const HALF value = *(const HALF *)(y + part + r * y_row + k * MINIDL_LANES);
                    best = CHOOSE((value > best) | (value != value), value, best);
                }
            if (relu) best = CHOOSE(best <= 0, (HALF){0}, best);
            *(HALF *)(out + part) = best;
        }
}

#undef TILE
#undef TILES
#undef WHOLE
#undef WHOLE_WIDTH
#undef HALF
#undef HALF_BYTES
#undef HALF_WIDTH
#undef MASK
#undef CHOOSE
#undef MOST

#endif
