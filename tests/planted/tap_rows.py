"""Mistakes in the input's gradient as a product with a row for each tap."""

from __future__ import annotations

from planted._mutant import Mutant

TESTS = "test_kernels_tap_rows.py"
BUILT = ("tap_rows",)

MUTANTS = [
    Mutant(
        "tap-rows-replace", "TILE",
        "v * WIDTH) += sum[i][v];", "v * WIDTH) = sum[i][v];",
        "the last tap's numbers replace the others'", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "tap-rows-no-gaps", "tap_rows_gather",
        "if (lane >= lanes || column >= wide)", "if (lane >= lanes)",
        "the next row's gradients stand in the gap, too", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "tap-rows-first-block-of-filters", "add_band",
        "gather(grad + k * P + row * cut.OW,", "gather(grad + row * cut.OW,",
        "each block of filters sees the first one's gradients", (f"{TESTS} -k several_blocks",), modules=BUILT,
    ),
    Mutant(
        "tap-rows-bands-not-cleared", "add_band",
        "    zero_run(band, <size_t>cut.size * sizeof(real))\n", "",
        "a band is added to what the workspace held", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "tap-rows-without-what-bands-share", "pixels_of_row",
        "slot_start(cut.OH, band + 1, cut.bands) + cut.more:", "slot_start(cut.OH, band + 1, cut.bands):",
        "rows that the next band sees, too, get nothing from the band before", (f"{TESTS} -k bands",), modules=BUILT,
    ),
    Mutant(
        "tap-rows-padding-on-top-forgotten", "pixels_of_row",
        "(h + cut.top) % cut.SH) * cut.SW\n", "h % cut.SH) * cut.SW\n",
        "rows of pixels come from another remainder's plane", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "tap-rows-end-not-cleared", "pixels_of_row",
        "    zero_run(output + seen, <size_t>(cut.W - seen) * sizeof(real))\n", "",
        "pixels that no tap sees are what the memory held", (f"{TESTS} -k strides",), modules=BUILT,
    ),
    Mutant(
        "tap-rows-quarters-in-order", "pixels_of_row",
        "merge_runs(merged, sums, sums + 2 * pitch, 2 * pitch)", "merge_runs(merged, sums, sums + pitch, 2 * pitch)",
        "with a stride of 4, the wrong quarters are merged", (f"{TESTS} -k strides",), modules=BUILT,
    ),
    Mutant(
        "tap-rows-all-filters-packed-once", "pack",
        "        first += FILTERS_AT_ONCE\n", "        first += cut.F\n",
        "only the first filters' weights are packed", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "tap-rows-dilation-forgotten", "_plan",
        "k * DH // SH, j * DW // SW,", "k * DH // SH, j // SW,",
        "taps of a row are taken for neighbours", (f"{TESTS} -k dilation",),
    ),
    Mutant(
        "tap-rows-strides-exchanged", "_plan",
        "((c * SH + a) * SW + b) * plane", "((c * SW + a) * SH + b) * plane",
        "planes are counted by the other axis's remainders", (f"{TESTS} -k strides",),
    ),
]  # fmt: skip
