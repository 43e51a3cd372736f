/* Rows of a plane into the workspace, where padding is written out.
 *
 * Only what the plane itself fills is written, and rows of padding where another band may have left something: the rest
 * of the workspace holds zeros from the start.
 */

/* `from` in blocks of 2 COUNT columns, of which the last overlaps the one before and begins at an even column too. */
#define SPLIT(COUNT, EVEN, ODD)                                                                                        \
    for (ptrdiff_t i = 0; i < pairs; i += 2 * COUNT) {                                                                 \
        typedef real lanes __attribute__((vector_size(COUNT * sizeof(real)), aligned(sizeof(real)), may_alias));       \
        if (i + 2 * COUNT > pairs) i = pairs - 2 * COUNT;                                                              \
        const lanes low = *(const lanes *)(from + i), high = *(const lanes *)(from + i + COUNT);                       \
        *(lanes *)(even + i / 2) = __builtin_shufflevector(low, high, EVEN);                                           \
        *(lanes *)(odd + i / 2) = __builtin_shufflevector(low, high, ODD);                                             \
    }
#define LIST(...) __VA_ARGS__

/* Even columns to one place, odd ones to another. */
MINIDL_INLINE void depthwise_split(const real *from, ptrdiff_t width, real *even, real *odd) {
    const ptrdiff_t pairs = width / 2 * 2;
    if (pairs >= 16)
        SPLIT(8, LIST(0, 2, 4, 6, 8, 10, 12, 14), LIST(1, 3, 5, 7, 9, 11, 13, 15))
    else if (pairs >= 8)
        SPLIT(4, LIST(0, 2, 4, 6), LIST(1, 3, 5, 7))
    else
        for (ptrdiff_t i = 0; i < pairs; i += 2) even[i / 2] = from[i], odd[i / 2] = from[i + 1];
    if (width > pairs) even[pairs / 2] = from[pairs];
}
#undef SPLIT
#undef LIST

/* A row of any layout, number by number. */
static void depthwise_pack_row(const real *from, real *to, const minidl_depthwise *g) {
    for (ptrdiff_t w = 0; w < g->width; w++) {
        const ptrdiff_t at = w * g->gap_width + g->left;
        if (at >= 0 && at < g->columns) to[at % g->split * g->part + at / g->split] = from[w];
    }
}

/* `rows` rows of the padded plane from `first` on. */
MINIDL_APART void depthwise_pack(const real *plane, ptrdiff_t first, ptrdiff_t rows, real *to, const minidl_depthwise *g) {
    const ptrdiff_t skip = g->left < 0 ? -g->left : 0, left = g->left < 0 ? 0 : g->left, gap = g->gap_height;
    const ptrdiff_t pitch = g->pitch, part = g->part, step = g->width;
    const ptrdiff_t width = (step - skip < g->columns - left) ? step - skip : g->columns - left;
    /* The rows inside the plane, whose first one has number h. */
    const ptrdiff_t h = first - g->top;
    const ptrdiff_t start = h < 0 ? -h : 0;
    const ptrdiff_t stop = g->height * gap - h < rows ? g->height * gap - h : rows;
    if (g->bands > 1)
        for (ptrdiff_t r = 0; r < rows; r++)
            if (r < start || r >= stop || (gap > 1 && (h + r) % gap))
                memset(to + r * pitch, 0, (size_t)pitch * sizeof(real));
    if (gap > 1 || g->gap_width > 1 || g->split > 2) {
        for (ptrdiff_t r = start; r < stop; r++)
            if ((h + r) % gap == 0) depthwise_pack_row(plane + (h + r) / gap * step, to + r * pitch, g);
        return;
    }
    if (width <= 0 || start >= stop) return;
    const real *from = plane + (h + start) * step + skip;
    to += start * pitch;
    if (g->split == 1) {
        to += left;
        for (ptrdiff_t r = start; r < stop; r++, from += step, to += pitch)
            minidl_copy_run(to, from, (size_t)width * sizeof(real));
    } else {
        real *even = to + left % 2 * part + left / 2, *odd = to + (left + 1) % 2 * part + (left + 1) / 2;
        for (ptrdiff_t r = start; r < stop; r++, from += step, even += pitch, odd += pitch)
            depthwise_split(from, width, even, odd);
    }
}
