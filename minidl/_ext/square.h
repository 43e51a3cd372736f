/* Transposes a square of vectors. Included by tiles. */

/* Rounds of interleaving the upper half of the rows with the lower half transpose a square. */
static inline __attribute__((always_inline)) void transpose_square(vector rows[WIDTH]) {
    mask low, high;
    for (int i = 0; i < WIDTH; i++) {
        low[i] = i / 2 + (i % 2) * WIDTH;
        high[i] = i / 2 + (i % 2) * WIDTH + WIDTH / 2;
    }
    for (int round = 1; round < WIDTH; round *= 2) {
        vector mixed[WIDTH];
        for (int i = 0; i < WIDTH / 2; i++) {
            mixed[2 * i] = __builtin_shuffle(rows[i], rows[i + WIDTH / 2], low);
            mixed[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + WIDTH / 2], high);
        }
        for (int i = 0; i < WIDTH; i++) rows[i] = mixed[i];
    }
}
