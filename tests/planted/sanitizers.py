"""Mistakes that no value shows, or not surely: the sanitizers must report them (make sanitize)."""

from __future__ import annotations

from planted._mutant import Mutant

WINDOWS = "test_kernels.py -k windows_equal"
MAXIMA = "test_kernels.py -k max_pool2d_equals"
READ, WRITE = r"ERROR: AddressSanitizer: .*?\nREAD of size", r"ERROR: AddressSanitizer: .*?\nWRITE of size"
# So far beyond that there is no memory at all.
WILD_WRITE = r"ERROR: AddressSanitizer: SEGV .*?caused by a WRITE"

MUTANTS = [
    Mutant(
        "im2col-reads-beyond", "im2col",
        "image_nchw[n, channel + tap.channel, h, i * SW + tap.offset]\n            for",
        "image_nchw[n, channel + tap.channel, h, i * SW + tap.offset + 1]\n            for",
        "with a stride, every number is read one too far: the last one from beyond the image",
        (WINDOWS,), READ, ("conv",),
    ),
    Mutant(
        "im2col-writes-beyond", "im2col",
        "for i in range(inside, stop):\n", "for i in range(inside, stop + 1):\n",
        "one zero too many: the last one after the end of the workspace's row",
        (WINDOWS,), WRITE, ("conv",),
    ),
    Mutant(
        "copy-run-writes-beyond", "im2col",
        "<size_t>(inside - start) * sizeof(real))", "<size_t>(inside - start + 1) * sizeof(real))",
        "one number too many is copied", (WINDOWS,), r"ERROR: AddressSanitizer", ("conv",),
    ),
    Mutant(
        "workspace-too-small", "im2col_conv2d",
        "workspace(threads, plan.columns, dtype)", "workspace(threads, plan.columns - 1, dtype)",
        "rows of the workspace are one number short, and only the next row would be hurt", (WINDOWS,), WRITE,
    ),
    Mutant(
        "along-rows-scratch-of-one-half", "row_scratch",
        "(F * OH + 2 * MOST_FILTERS * together)", "(F * OH + MOST_FILTERS * together)",
        "scratch for the sums of one half of the filters, where there are two",
        ("test_kernels_row_winograd.py -k group_of_channels",), WRITE + "|" + WILD_WRITE,
    ),
    Mutant(
        "blas-reads-beyond", "matmul_item",
        "m_stop - m_start, n_stop - n_start, K,", "m_stop - m_start, n_stop - n_start, K + 1,",
        "BLAS, which is not instrumented, is told of a column that is not there",
        ("test_kernels.py -k matmul_equals",), READ,
    ),
    Mutant(
        "copy-every-reads-beyond", "copy_every",
        "i + width < count; i += width", "i + width <= count; i += width",
        "with stride 2 or 4, the last vector reaches beyond the last number that is taken",
        ("test_kernels_implicit_gemm.py -k random_windows",), READ, ("implicit_gemm",),
    ),
    Mutant(
        "filters-read-beyond", "filter_row",
        "next + rows <= columns ? next : columns - rows;", "next;",
        "the last tile of a row goes on beyond it, and so beyond the last image",
        ("test_kernels_implicit_gemm.py -k panels_of_filters",), READ + "|" + WRITE, ("filter_lanes",),
    ),
    Mutant(
        "pointwise-writes-beyond", "TILE",
        "lanes == ALL && rows == ROWS", "lanes == ALL",
        "a last panel of few rows is written whole",
        ("test_kernels_pointwise.py -k vectors_in_two_images",), READ + "|" + WRITE, ("pointwise",),
    ),
    Mutant(
        "tap-rows-reads-beyond", "tap_rows_tiles: TILE",
        "if (i < rows)", "if (i <= rows)",
        "a last panel adds zeros where the row after the last has no place",
        ("test_kernels_tap_rows.py -k several_blocks",), READ, ("tap_rows",),
    ),
    Mutant(
        "mean-pool-reads-beyond", "mean_plane",
        "total[ow] += row[ow * SW + offset]", "total[ow] += row[ow * SW + offset + 1]",
        "every number is read one too far", (WINDOWS,), READ,
    ),
    Mutant(
        "mean-pool-writes-beyond", "mean_plane",
        "        for ow in range(window.OW):\n            total[ow] = 0",
        "        for ow in range(window.OW + 1):\n            total[ow] = 0",
        "one zero too many: only the one after the last plane does harm", (WINDOWS,), WRITE,
    ),
    Mutant(
        "max-pool-writes-beyond", "max_run",
        "if (i > count - lanes) i = count - lanes;", "if (0) i = count - lanes;",
        "the last block of vector lanes does not move back to where the run ends", (MAXIMA,), READ + "|" + WRITE,
    ),
    Mutant(
        "int-overflows", "max_window",
        "                index = <int>(h * W + w)\n", "                index = <int>(h * W + w) + 2147483647\n",
        "a signed overflow", (MAXIMA,), r"pool.c:\d+:\d+: runtime error: signed integer overflow",
    ),
    Mutant(
        "vector-misaligned", "add_run",
        "vector_size(32), aligned(sizeof(real)), may_alias", "vector_size(32), may_alias",
        "a vector move that supposes alignment to its own size", (WINDOWS,),
        r"runs.h:\d+:\d+: runtime error: load of misaligned address", ("conv",),
    ),
]  # fmt: skip
