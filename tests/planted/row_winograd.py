"""Mistakes in Winograd's convolution along rows, and in stacks that use it."""

from __future__ import annotations

from planted._mutant import Mutant

CHUNKS = "test_kernels_row_winograd.py -k more_blocks"
MATRICES = "test_kernels_row_winograd.py -k matrices"
EDGES = "test_kernels_row_winograd.py -k rows_below or remainder_of_tiles"
WIDTHS = "test_kernels_row_winograd.py -k remainder_of_tiles"
CHANNELS = "test_kernels_row_winograd.py -k group_of_channels"
ROWS = "test_kernels_row_winograd.py -k number_of_rows or parts_of_blocks"
LONG = "test_kernels_row_winograd.py -k many_tiles"
PARTS = "test_kernels_row_winograd.py -k parts_of_blocks"
STACK = "test_kernels_stack_rows.py"
REFUSED = "test_algorithms.py -k rows"
DECIDED = "test_kernels_stack_rows.py -k decided or precision"

MUTANTS = [
    Mutant(
        "along-rows-points-exchanged",
        "_ext/row_winograd_tiles.h",
        "odd2 = (REAL)0.5 * x1 - (REAL)2.5 * x3 + (REAL)2 * x5;",
        "odd2 = (REAL)2 * x1 - (REAL)2.5 * x3 + (REAL)0.5 * x5;",
        "the pixels at 2 get the odd powers of 1/2",
        (MATRICES,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-infinity",
        "_ext/row_winograd_tiles.h",
        "AT(to, 3) = POINT(7) + difference1",
        "AT(to, 3) = difference1",
        "the point at infinity left out of the last output",
        (MATRICES,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-third-power",
        "_ext/row_winograd_tiles.h",
        "AT(to, 3) = difference1 + (REAL)8 *",
        "AT(to, 3) = difference1 + (REAL)4 *",
        "the second power in place of the third in the last transform of the weight's gradient",
        (MATRICES,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-wrong-sign",
        "_ext/row_winograd_tiles.h",
        "u[1] = (REAL)(-even - odd);",
        "u[1] = (REAL)(even + odd);",
        "the sign that one point's distances from the others have",
        (MATRICES,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-next-row",
        "_ext/row_winograd_tiles.h",
        "rest[i] = i < left * MINIDL_LANES ? x[i] : 0",
        "rest[i] = x[i]",
        "a last tile sees the row below",
        (EDGES,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-last-pixels",
        "_ext/row_winograd_tiles.h",
        "t < tiles + 2; t++",
        "t < tiles + 1; t++",
        "pixels that only the last tile's gradients reach are left as they were",
        (WIDTHS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-odd-padding",
        "_ext/row_winograd_tiles.h",
        "if (column >= -1 && column + 1 < columns)",
        "if (column >= 0 && column + 1 < columns)",
        "with an odd padding the first pixel is left out",
        (WIDTHS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-second-half",
        "_ext/_row_winograd.pxd",
        "m + other + at if halves == 2 else NULL",
        "m + other + at if halves == 3 else NULL",
        "the second half of the filters adds nothing",
        (CHANNELS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-halves-of-an-odd-number",
        "_ext/_row_winograd.pxd",
        "else filters - filters // halves",
        "else filters // halves",
        "the last of an odd number of filters is left out",
        (CHANNELS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-below-seen-by-fewer",
        "_ext/_row_winograd.pxd",
        "min(together, min(window.OH - window.top, window.H) - h)",
        "min(together, window.H - h)",
        "rows at the lower edge are taken for such as all taps see",
        (ROWS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-sums-of-before",
        "_ext/_row_winograd.pxd",
        "                    for i in range(point):\n                        some[i] = 0\n",
        "                    for i in range(point if row == 0 else 0):\n                        some[i] = 0\n",
        "each sum over some rows still has those before",
        (LONG,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-taps-beyond-7",
        "_ext/_row_winograd.pxd",
        "dw[((i * channels + c) * window.KH + kh + j) * 5 + k]",
        "dw[((i * channels + c) * window.KH + j) * 5 + k]",
        "the gradient of a kernel's eighth row goes to its first",
        (ROWS,),
        modules=("row_winograd",),
    ),
    Mutant(
        "along-rows-part-at-the-top",
        "_ext/row_winograd.pyx",
        "outputs + (cut.output + first) * OW, F * outputs)",
        "outputs + first * OW, F * outputs)",
        "every part of a block writes the first rows",
        (PARTS,),
    ),
    Mutant(
        "along-rows-sum-of-the-last-item",
        "_ext/row_winograd.pyx",
        "dw[i] += part_sum[i]",
        "dw[i] = part_sum[i]",
        "of a chunk's items only the last one counts",
        (CHUNKS,),
    ),
    Mutant(
        "along-rows-of-pooled-outputs",
        "_ext/_stage.pxd",
        "output_points(scratch, weights, m, q * stage.PH,",
        "output_points(scratch, weights, m, q,",
        "rows of pooled outputs are taken for rows of the convolution",
        (STACK,),
        modules=("stack",),
    ),
    Mutant(
        "along-rows-filters-overwritten",
        "_ext/_stage.pxd",
        "weight_points(scratch, d, dw + f * stage.C",
        "weight_points(scratch, d, dw + 0 * stage.C",
        "all groups of filters write the first one's gradients",
        (STACK,),
        modules=("stack",),
    ),
    Mutant(
        "along-rows-without-recording",
        "_ext/stack.pyx",
        "stage.by_points = stage.by_points and keep",
        "stage.by_points = stage.by_points and True",
        "what is not recorded goes by rows, with weights that were not transformed",
        (STACK,),
    ),
    Mutant(
        "along-rows-weights-without-recording",
        "_ext/stack.pyx",
        "pack_weights(job, weights, from_weights, False, keep)",
        "pack_weights(job, weights, from_weights, False, True)",
        "weights are transformed for stages that go directly",
        (STACK,),
    ),
    Mutant(
        "along-rows-directions-exchanged",
        "kernels/stack.py",
        'for direction in ("forward", "input", "weight")',
        'for direction in ("forward", "weight", "input")',
        "the gradients of input and weight go each other's way",
        (DECIDED,),
    ),
    Mutant(
        "along-rows-dilation",
        "kernels/row_winograd.py",
        " and window.dilation == (1, 1) and groups == 1",
        " and groups == 1",
        "a dilation is taken for 1",
        (REFUSED,),
    ),
    Mutant(
        "along-rows-precision-unasked",
        "kernels/choice.py",
        ' or not within_precision("winograd_rows", direction, C, F, window):',
        ":",
        "a stack takes the faster way however much it rounds",
        (DECIDED,),
    ),
    Mutant(
        "along-rows-of-small-images",
        "kernels/choice.py",
        "weights < 900 and least >= 24",
        "weights < 900 and least >= 14",
        "few weights' gradients on images on which they round too much",
        (REFUSED,),
    ),
    Mutant(
        "along-rows-few-terms",
        "kernels/choice.py",
        "7 <= summed <= 160 and least >= 6",
        "3 <= summed <= 160 and least >= 6",
        "so few terms that the transforms' own errors stand out",
        (REFUSED,),
    ),
]
