"""Mistakes in convolution with filters in the lanes."""

from __future__ import annotations

from planted._mutant import Mutant

TESTS = "test_kernels_implicit_gemm.py -k filters"
BUILT = ("filter_lanes",)

MUTANTS = [
    Mutant(
        "filters-without-bias", "TILE",
        "sum[i][v] + LOAD(bias + v * WIDTH))", "sum[i][v])",
        "no bias is added", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-fifth-position", "TILE",
        "*const fifth = x + 4 * stride", "*const fifth = x + 3 * stride",
        "positions of a tile from the fifth on see one position too early", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-last-tile-beyond", "filter_row",
        "next + rows <= columns ? next : columns - rows;", "next + rows <= columns ? next : columns - rows - 1;",
        "the last position of a row is left out", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-sums-not-added", "TILE",
        "*(vector *)(to + (i * VB + v) * WIDTH) += sum[i][v])", "*(vector *)(to + (i * VB + v) * WIDTH) = sum[i][v])",
        "the last band's part of a weight gradient replaces the others'", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-taps-of-the-first-row", "TILE",
        "row < rows; row++, x += row_step) {", "row < rows; row++) {",
        "a band's gradients all meet the pixels of its first row", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-last-square", "filter_turn",
        "const ptrdiff_t i = next + WIDTH <= count ? next : count - WIDTH;",
        "const ptrdiff_t i = next + WIDTH <= count ? next : count - WIDTH - 1;",
        "the last position is not turned", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-no-zeros-above", "seen_by",
        "if first + i < 0 or first + i >= cut.H:\n                zero_run(to, <size_t>cut.columns * sizeof(real))\n",
        "if first + i < 0 or first + i >= cut.H:\n",
        "rows of padding are what the workspace held", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-no-zeros-behind", "seen_by",
        "            zero_run(to + before + inside, <size_t>count * sizeof(real))\n", "",
        "columns of padding to the right are what the workspace held", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-stride-of-columns-for-rows", "seen_by",
        "    cdef Py_ssize_t first = row * cut.SH - cut.top, c, i, count",
        "    cdef Py_ssize_t first = row * cut.SW - cut.top, c, i, count",
        "bands start where the columns' stride says", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-chunk-starts-with-what-was-there", "clear_taps",
        "            sums[i] = 0\n", "            pass\n",
        "sums start with what the workspace held", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-one-chunk", "write_taps",
        "for chunk in range(1, chunks):", "for chunk in range(2, chunks):",
        "the second of the partial sums is left out", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-tiles-of-the-threads-before", "part_of",
        "part.start = max(start, 0) * part.taps", "part.start = 0",
        "a thread also adds to the tiles before its own", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-threads-share-the-first-panel-alone", "weight_gradient_band",
        "part = part_of(cut, panel, start - before, stop - before)\n        before += part.tiles\n"
        "        if part.start < part.stop:\n            if first",
        "part = part_of(cut, panel, start, stop - before)\n        before += part.tiles\n"
        "        if part.start < part.stop:\n            if first",
        "in later panels a thread leaves out tiles that are its own", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-bias-of-the-first-panel", "forward_band",
        "bias + first, results", "bias, results",
        "every panel gets the first one's bias", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "filters-padding-read-in-place", "filter_plan",
        "copies = top > 0 or left > 0 or rows > H or columns > W",
        "copies = top > 0 or left > 0 or rows > H",
        "with padding on the right alone, a row goes on with the next one", (TESTS,),
    ),
    Mutant(
        "filters-always", "_filters_cost",
        "return filter_lanes_cost(", "return 0 * filter_lanes_cost(",
        "every product but the input's gradient has filters in its lanes",
        ("test_kernels_implicit_gemm.py -k depends_on_shapes_alone",),
    ),
]  # fmt: skip
