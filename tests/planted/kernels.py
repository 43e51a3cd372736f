"""Mistakes in compiled kernels and in what calls them: windows, convolution, matrix products, sums, threads."""

from __future__ import annotations

from planted._mutant import Mutant

WINDOWS = "test_kernels.py -k windows_equal"
LARGE = "test_kernels.py -k large_convolutions_equal"

WINDOW = "_ext/_window.pxd"
CONV = "_ext/conv.pyx"

MUTANTS = [
    Mutant(
        "im2col-dilation-across", WINDOW,
        "k % window.KW * window.DW - window.left", "k % window.KW - window.left",
        "dilation ignored in one direction", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "im2col-kernel-swapped", WINDOW,
        "k // window.KW % window.KH * window.DH", "k // window.KH % window.KW * window.DH",
        "the kernel's height and width exchanged", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "im2col-padding-left", WINDOW,
        "k % window.KW * window.DW - window.left", "k % window.KW * window.DW - window.top",
        "the padding above taken for the padding on the left", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "window-end-on-the-right", WINDOW,
        "min((size - offset + stride - 1) // stride, outputs)", "min((size - offset) // stride, outputs)",
        "the last position that is inside lost on one side, with a stride", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "window-start-on-the-left", WINDOW,
        "(-offset + stride - 1) // stride if offset < 0", "(-offset + stride) // stride if offset < 0",
        "padding off by one on one side only", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-stride", WINDOW,
        "h, i * SW + tap.offset] +=", "h, i + tap.offset] +=",
        "the stride ignored in col2im", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-overwrites", WINDOW,
        "h, i * SW + tap.offset] +=", "h, i * SW + tap.offset] =",
        "overlapping windows overwrite one another instead of adding up", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-first-row", WINDOW,
        "if 0 <= h < window.H and inside > start:", "if 0 < h < window.H and inside > start:",
        "the first row of the image gets nothing", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "add-run-tail", "_ext/runs.h",
        "for (; i < count; i++) to[i] += from[i];", "for (; i + 1 < count; i++) to[i] += from[i];",
        "the last number of a run that fills no vector is dropped", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "copy-run-tail", "_ext/runs.h",
        "__builtin_memcpy(to + bytes - 16, from + bytes - 16, 16);",
        "__builtin_memcpy(to + bytes - 16, from + bytes - 20, 16);",
        "the block that ends a run is read one number too early", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "conv-group-of-the-weight", CONV,
        "k_stop - k_start, &weight_fk[g * F, k_start], K,", "k_stop - k_start, &weight_fk[0, k_start], K,",
        "every group uses the first group's filters", (WINDOWS,),
    ),
    Mutant(
        "conv-bias-of-the-group", CONV,
        "output_nfp[n, f, p] = bias_f[f]", "output_nfp[n, f, p] = bias_f[f - g * F]",
        "every group gets the first group's bias", (WINDOWS,),
    ),
    Mutant(
        "conv-blocks-of-k", CONV,
        "<real>(1 if has_bias or k_start > 0 else 0)", "<real>(1 if has_bias else 0)",
        "without a bias each block of K overwrites the ones before", (LARGE,),
    ),
    Mutant(
        "conv-weight-gradient-one-sample", CONV,
        "<real>(0 if pair == first else 1)", "<real>0",
        "the sum over the batch is missing", (WINDOWS, LARGE),
    ),
    Mutant(
        "conv-weight-gradient-last-chunk", CONV,
        "for chunk in range(1, chunks):", "for chunk in range(1, chunks - 1):",
        "the last partial sum is dropped", (WINDOWS, LARGE),
    ),
    Mutant(
        "conv-input-gradient-group", CONV,
        "p_start, p_stop, grad_input_nchw, n, g * C, window)", "p_start, p_stop, grad_input_nchw, n, 0, window)",
        "the offset of the group is missing in col2im", (WINDOWS,),
    ),
    Mutant(
        "conv-last-tile", CONV,
        "cdef Py_ssize_t items = output_nfp.shape[0] * groups * ((P + tile - 1) // tile)",
        "cdef Py_ssize_t items = output_nfp.shape[0] * groups * max(P // tile, 1)",
        "the last tile, if it is not whole, is dropped", (LARGE,),
    ),
    Mutant(
        "conv-shared-workspace", CONV,
        "output_nfp, workspace, item, slot, tile, k_block,", "output_nfp, workspace, item, 0, tile, k_block,",
        "a race: all threads build their columns in one workspace",
        ("test_ops.py -k threads_gives and conv2d", "test_same_bits.py -k any_number or cut_differently"),
    ),
    Mutant(
        "slots-lose-the-rest", "_ext/_threads.pxd",
        "items * slot // slots", "items // slots * slot",
        "items that don't divide by the number of threads: the rest is left out", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "matmul-last-rows", "_ext/matmul.pyx",
        "cdef Py_ssize_t rows = (c_bmn.shape[1] + block_m - 1) // block_m",
        "cdef Py_ssize_t rows = c_bmn.shape[1] // block_m",
        "the last block, if it is not whole, is dropped", ("test_survivors.py -k blocks",),
    ),
    Mutant(
        "matmul-transposed-batch", "_ext/matmul.pyx",
        "&b[batch, n_start, 0] if transpose_b", "&b[0, n_start, 0] if transpose_b",
        "transposed batches: the first matrix is taken for all", ("test_ops.py -k values and matmul",
        "test_ops.py -k first_gradients and matmul"),
    ),
    Mutant(
        "matmul-bias", "_ext/matmul.pyx",
        "<real>(1 if has_bias else 0), &c_bmn", "<real>0, &c_bmn",
        "the product overwrites the bias", ("test_kernels.py -k matmul",),
    ),
    Mutant(
        "matmul-cut-by-threads", "kernels/linear.py",
        "pieces = min(16, max(work", "pieces = min(threads_for(work), max(work",
        "work cut by the number of threads instead of by shape: other bits",
        ("test_same_bits.py -k any_number", "test_ops.py -k threads_gives and (linear or matmul)"),
    ),
    Mutant(
        "relu-nan", "_ext/elementwise.pyx",
        "y[i] = 0 if x[i] <= 0 else x[i]", "y[i] = x[i] if x[i] > 0 else 0",
        "NaN becomes 0", ("test_kernels.py -k special_values",),
    ),
    Mutant(
        "relu-gradient-at-0", "_ext/elementwise.pyx",
        "grad_x[i] = 0 if y[i] <= 0 else grad[i]", "grad_x[i] = 0 if y[i] < 0 else grad[i]",
        "the gradient passes where the result is 0", ("test_kernels.py -k special_values",),
    ),
    Mutant(
        "channel-sum-tail", "_ext/elementwise.pyx",
        "for p in range(P - P % 16, P):", "for p in range(P - P % 16 + 1, P):",
        "one number after the last whole vector is dropped", ("test_kernels.py -k channel_sum",),
    ),
    Mutant(
        "channel-sum-batch", "_ext/elementwise.pyx",
        "total = total + row_sum(x_ncp, n, c)", "total = row_sum(x_ncp, n, c)",
        "the sum over the batch is missing", ("test_kernels.py -k channel_sum",),
    ),
    Mutant(
        "channel-sum-precision", "_ext/elementwise.pyx",
        "cdef double total = 0", "cdef real total = 0",
        "long sums in single precision", ("test_kernels.py -k accurate",),
    ),
    Mutant(
        "softmax-shift", "_ext/loss.pyx",
        "total += exponential(x_rc[r, c] - highest)", "total += exponential(x_rc[r, c])",
        "the maximum is not taken off: exponentials overflow", ("test_kernels.py -k losses",),
    ),
]  # fmt: skip
