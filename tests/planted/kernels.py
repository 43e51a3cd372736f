"""Mistakes in compiled kernels and in what calls them: windows, convolution, matrix products, sums, threads."""

from __future__ import annotations

from planted._mutant import Mutant

WINDOWS = "test_kernels.py -k windows_equal"
LARGE = "test_kernels.py -k large_convolutions_equal"


MUTANTS = [
    Mutant(
        "im2col-dilation-across", "tap_of",
        "k % window.KW * window.DW - window.left", "k % window.KW - window.left",
        "dilation ignored in one direction", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "im2col-kernel-swapped", "tap_of",
        "k // window.KW % window.KH * window.DH", "k // window.KH % window.KW * window.DH",
        "the kernel's height and width exchanged", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "im2col-padding-left", "tap_of",
        "k % window.KW * window.DW - window.left", "k % window.KW * window.DW - window.top",
        "the padding above taken for the padding on the left", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "window-end-on-the-right", "end_inside",
        "min((size - offset + stride - 1) // stride, outputs)", "min((size - offset) // stride, outputs)",
        "the last position that is inside lost on one side, with a stride", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "window-start-on-the-left", "first_inside",
        "(-offset + stride - 1) // stride if offset < 0", "(-offset + stride) // stride if offset < 0",
        "padding off by one on one side only", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-stride", "col2im",
        "h, i * SW + tap.offset] +=", "h, i + tap.offset] +=",
        "the stride ignored in col2im", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-overwrites", "col2im",
        "h, i * SW + tap.offset] +=", "h, i * SW + tap.offset] =",
        "overlapping windows overwrite one another instead of adding up", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "col2im-first-row", "col2im",
        "if 0 <= h < window.H and inside > start:", "if 0 < h < window.H and inside > start:",
        "the first row of the image gets nothing", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "add-run-tail", "add_run",
        "for (; i < count; i++) to[i] += from[i];", "for (; i + 1 < count; i++) to[i] += from[i];",
        "the last number of a run that fills no vector is dropped", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "copy-run-tail", "minidl_copy_run",
        "__builtin_memcpy(to + bytes - 16, from + bytes - 16, 16);",
        "__builtin_memcpy(to + bytes - 16, from + bytes - 20, 16);",
        "the block that ends a run is read one number too early", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "conv-group-of-the-weight", "forward_item",
        "k_stop - k_start, &weight_fk[g * F, k_start], K,", "k_stop - k_start, &weight_fk[0, k_start], K,",
        "every group uses the first group's filters", (WINDOWS,),
    ),
    Mutant(
        "conv-bias-of-the-group", "forward_item",
        "output_nfp[n, f, p] = bias_f[f]", "output_nfp[n, f, p] = bias_f[f - g * F]",
        "every group gets the first group's bias", (WINDOWS,),
    ),
    Mutant(
        "conv-blocks-of-k", "forward_item",
        "<real>(1 if has_bias or k_start > 0 else 0)", "<real>(1 if has_bias else 0)",
        "without a bias each block of K overwrites the ones before", (LARGE,),
    ),
    Mutant(
        "conv-weight-gradient-one-sample", "weight_gradient_item",
        "<real>(0 if pair == first else 1)", "<real>0",
        "the sum over the batch is missing", (WINDOWS, LARGE),
    ),
    Mutant(
        "conv-weight-gradient-last-chunk", "conv: weight_gradient",
        "for chunk in range(1, chunks):", "for chunk in range(1, chunks - 1):",
        "the last partial sum is dropped", (WINDOWS, LARGE),
    ),
    Mutant(
        "conv-input-gradient-group", "input_gradient_item",
        "p_start, p_stop, grad_input_nchw, n, g * C, window)", "p_start, p_stop, grad_input_nchw, n, 0, window)",
        "the offset of the group is missing in col2im", (WINDOWS,),
    ),
    Mutant(
        "conv-last-tile", "forward",
        "cdef Py_ssize_t items = output_nfp.shape[0] * groups * ((P + tile - 1) // tile)",
        "cdef Py_ssize_t items = output_nfp.shape[0] * groups * max(P // tile, 1)",
        "the last tile, if it is not whole, is dropped", (LARGE,),
    ),
    Mutant(
        "conv-shared-workspace", "forward",
        "output_nfp, workspace, item, slot, tile, k_block,", "output_nfp, workspace, item, 0, tile, k_block,",
        "a race: all threads build their columns in one workspace",
        ("test_ops.py -k threads_gives and conv2d", "test_same_bits.py -k any_number or cut_differently"),
    ),
    Mutant(
        "slots-lose-the-rest", "slot_start",
        "items * slot // slots", "items // slots * slot",
        "items that don't divide by the number of threads: the rest is left out", (WINDOWS,), modules=("conv",),
    ),
    Mutant(
        "matmul-last-rows", "matmul",
        "cdef Py_ssize_t rows = (c_bmn.shape[1] + block_m - 1) // block_m",
        "cdef Py_ssize_t rows = c_bmn.shape[1] // block_m",
        "the last block, if it is not whole, is dropped", ("test_survivors.py -k blocks",),
    ),
    Mutant(
        "matmul-transposed-batch", "matmul_item",
        "&b[batch, n_start, 0] if transpose_b", "&b[0, n_start, 0] if transpose_b",
        "transposed batches: the first matrix is taken for all", ("test_ops.py -k values and matmul",
        "test_ops.py -k first_gradients and matmul"),
    ),
    Mutant(
        "matmul-bias", "matmul_item",
        "<real>(1 if has_bias else 0), &c_bmn", "<real>0, &c_bmn",
        "the product overwrites the bias", ("test_kernels.py -k matmul",),
    ),
    Mutant(
        "matmul-cut-by-threads", "matmul",
        "pieces = min(16, max(work", "pieces = min(threads_for(work), max(work",
        "work cut by the number of threads instead of by shape: other bits",
        ("test_same_bits.py -k any_number", "test_ops.py -k threads_gives and (linear or matmul)"),
    ),
    Mutant(
        "relu-nan", "elementwise_table: relu",
        "x <= 0 ? 0 : x,", "x > 0 ? x : 0,",
        "NaN becomes 0", ("test_kernels.py -k special_values",),
    ),
    Mutant(
        "relu-gradient-at-0", "elementwise_table: relu",
        "y <= 0 ? 0 : grad,", "y < 0 ? 0 : grad,",
        "the gradient passes where the result is 0", ("test_kernels.py -k special_values",),
    ),
    Mutant(
        "elementwise-rest", "elementwise_value",
        "if (rest > 0) {", "if (rest > 1) {",
        "the last number, if it is alone in its block, is left out", ("test_kernels_elementwise.py -k bits",),
    ),
    Mutant(
        "elementwise-gradient-rest", "elementwise_gradient",
        "__builtin_memcpy(padded[1], kept + whole,", "__builtin_memcpy(padded[1], grad + whole,",
        "the rest's gradient is computed from the gradient alone", ("test_kernels_elementwise.py -k rows_equal",),
    ),
    Mutant(
        "exp-of-one-power", "vector_times_power",
        "* vector_from_bits((exponents - half) << MANTISSA_BITS)", "* vector_from_bits(half << MANTISSA_BITS)",
        "the halves of an odd exponent are not equal", ("test_vector_math.py -k errors_in_float32 and exp",),
    ),
    Mutant(
        "log-of-subnormals", "vector_logarithm",
        "x < least_normal ? x * widen : x", "x",
        "subnormal numbers have another exponent than their bits say",
        ("test_vector_math.py -k errors_in_float32 and log",),
    ),
    Mutant(
        "log2-of-another-base", "vector_log2",
        "l.power + (l.f - l.less) * INVERSE_LN2", "l.power + (l.f - l.less) * LN2",
        "between powers of 2 the logarithm is wrong", ("test_vector_math.py -k errors_in_float32 and log2",),
    ),
    Mutant(
        "exp2-of-the-rest", "vector_exp2",
        "(limited - n) * LN2", "(limited - n)",
        "between integers the power of 2 is wrong", ("test_vector_math.py -k errors_in_float32 and exp2",),
    ),
    Mutant(
        "power-slope-at-0", "binary_table: pow_input",
        "y == 0 ? 0 : grad", "grad",
        "0 to the power of 0 has no slope of 0", ("test_kernels_binary.py -k special_values",),
    ),
    Mutant(
        "flat-functions-pass-gradients", "_Flat.backward",
        "np.zeros_like(grad.data)", "grad.data",
        "the gradient passes jumps", ("test_functions.py -k no_gradient_passes",),
    ),
    Mutant(
        "log1p-loses-what-the-sum-lost", "vector_log1p",
        "vector_log_and_rest(u, lost / u)", "vector_log_and_rest(u, 0)",
        "1 + x is rounded", ("test_vector_math.py -k errors_in_float32 and log1p",),
    ),
    Mutant(
        "square-of-a-rounded-deviate", "vector_exp_of_half_square",
        "(real)-0.5 * ((x - upper) * (x + upper))", "0",
        "what is cut off before squaring is not made up for", ("test_kernels_elementwise.py -k rows_equal and normal",),
    ),
    Mutant(
        "binary-repeats-the-first-row", "binary: binary",
        "cdef Py_ssize_t y_middle = (inner if y_moves[2] else 1) if y_moves[1] else 0",
        "cdef Py_ssize_t y_middle = inner if y_moves[1] else 0",
        "a number for each row is read as if it were a row", ("test_kernels_binary.py -k rows_equal",),
    ),
    Mutant(
        "binary-tie", "binary_table: maximum_other",
        "x > y ? 0 : grad * (x == y ? (real)0.5 : 1)", "x >= y ? 0 : grad",
        "one of two equal inputs gets the whole gradient", ("test_kernels_binary.py -k rows_equal",),
    ),
    Mutant(
        "sum-to-forgets-the-factor", "sum_to",
        "x = reduce(\"sum\", x, run, True, factor)", "x = reduce(\"sum\", x, run, True)",
        "the gradient of a factor that was broadcast", ("test_kernels_binary.py -k sums_over",),
    ),
    Mutant(
        "softmax-of-blocks-of-minus-infinity", "column_exponentials",
        "less[i] = block_max[i] == -(real)__builtin_inf() ? 0 : block_max[i];", "less[i] = block_max[i];",
        "rows of -infinity make NaN of the others", ("test_kernels_reduce.py -k special",),
    ),
    Mutant(
        "softmax-blocks-not-rescaled", "column_exponentials",
        "sums[i] += (double)factor[i] * parts", "sums[i] += parts",
        "each block has its own maximum", ("test_kernels_reduce.py -k softmax_equals",),
    ),
    Mutant(
        "packed-columns-of-one-sample", "pack_columns",
        "x[at[i] + p * inner]", "x[at[i] % (n * inner) + p * inner]",
        "columns come from the first sample alone", ("test_kernels_reduce.py -k softmax_equals",),
    ),
    Mutant(
        "maximum-forgets-nan", "larger",
        "(a >= b) | (a != a) ? a : b", "a >= b ? a : b",
        "a NaN is lost as soon as a number follows", ("test_kernels_reduce.py -k nan_anywhere",),
    ),
    Mutant(
        "reduce-last-part", "reduce",
        "for part in range(1, num_parts):", "for part in range(1, num_parts - 1):",
        "the last partial result is left out", ("test_kernels_reduce.py -k reductions",),
    ),
    Mutant(
        "channel-sum-tail", "row_sum",
        "for p in range(P - P % 16, P):", "for p in range(P - P % 16 + 1, P):",
        "one number after the last whole vector is dropped", ("test_kernels.py -k channel_sum",),
    ),
    Mutant(
        "channel-sum-batch", "channel_sum",
        "total = total + row_sum(x_ncp, n, c)", "total = row_sum(x_ncp, n, c)",
        "the sum over the batch is missing", ("test_kernels.py -k channel_sum",),
    ),
    Mutant(
        "channel-sum-precision", "row_sum",
        "cdef double total = 0", "cdef real total = 0",
        "long sums in single precision", ("test_kernels.py -k accurate",),
    ),
    Mutant(
        "softmax-shift", "row_log_sum",
        "total += exponential(x_rc[r, c] - highest)", "total += exponential(x_rc[r, c])",
        "the maximum is not taken off: exponentials overflow", ("test_kernels.py -k losses",),
    ),
]  # fmt: skip
