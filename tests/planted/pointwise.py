"""Mistakes in the product of 1x1 convolutions."""

from __future__ import annotations

from planted._mutant import Mutant

TESTS = "test_kernels_pointwise.py"
BUILT = ("pointwise",)

MUTANTS = [
    Mutant(
        "pointwise-one-bias-for-a-tile", "pointwise_tiles: TILE",
        "sum[i][v] += bias[i])", "sum[i][v] += bias[0])",
        "all rows of a tile get the first one's bias", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-next-image-one-too-far", "pointwise_place",
        "(image + 1) * rows_of_image * P - here;", "(image + 1) * rows_of_image * P - here + 1;",
        "lanes of the next image go one position too far", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-lanes-behind-the-last", "pointwise_place",
        "(1u << now) - (1u << here);", "(1u << WIDTH) - (1u << here);",
        "lanes without a position are written behind the result", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-two-images-taken-for-one", "pointwise_place",
        "        if (here < WIDTH) place->whole = 0;\n", "",
        "a vector that ends in the next image is stored as if it didn't", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-next-image-starts-again", "TILE",
        "if (lanes_beyond) there |= (mask)pointwise_take(beyond + i * c_row, lanes_beyond);", "",
        "later blocks of the inner dimension replace what the next image's lanes hold", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-piece-of-the-first-channel", "pointwise_gather",
        "x + (image * channels + k_start) * P + position;", "x + image * channels * P + position;",
        "each block of the inner dimension sees the first one's channels", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-bias-with-every-block", "multiply",
        "start, k_start > 0, rows, to, product.P, vectors[i],",
        "start, False, rows, to, product.P, vectors[i],",
        "each block of the inner dimension starts anew", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-parts-of-positions-twice", "pointwise: Plan.correlate",
        "slot_start(product.panels, slot // parts, row_parts),", "slot_start(product.panels, slot % parts, row_parts),",
        "threads that share rows and positions compute some twice and others not", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "pointwise-weights-never-turned", "_plan",
        "row_step, k_step = (1, F) if turned else (K, 1)", "row_step, k_step = (K, 1)",
        "the input's gradient multiplies by the weight as it is", (TESTS,),
    ),
    Mutant(
        "pointwise-fewer-windows", "is_pointwise",
        "        and window.input_size == window.output_size\n", "",
        "fewer windows than pixels are taken for windows at their places", (f"{TESTS} -k which_windows",),
    ),
    Mutant(
        "pointwise-windows-elsewhere", "is_pointwise",
        "        and not any(window.padding)\n", "",
        "as many windows as pixels are taken for windows at their places", (f"{TESTS} -k which_windows",),
    ),
]  # fmt: skip
