/* Transposes a square of vectors. Included in tiles, with VECTOR and WIDTH defined. */

/* Rounds of interleaving the upper half of the rows with the lower half transpose a square. */
static inline __attribute__((always_inline)) void transpose_square(VECTOR rows[WIDTH]) {
    for (int round = 1; round < WIDTH; round *= 2) {
        VECTOR mixed[WIDTH];
        for (int i = 0; i < WIDTH / 2; i++) {
            mixed[2 * i] = MINIDL_SHUFFLE(rows[i], rows[i + WIDTH / 2], MERGED_LOW);
            mixed[2 * i + 1] = MINIDL_SHUFFLE(rows[i], rows[i + WIDTH / 2], MERGED_HIGH);
        }
        for (int i = 0; i < WIDTH; i++) rows[i] = mixed[i];
    }
}
