"""Mistakes in pooling, and in convolution above the kernels."""

from __future__ import annotations

from planted._mutant import Mutant

MAXIMA = "test_kernels.py -k max_pool2d_equals"
MEANS = "test_kernels.py -k windows_equal"
BINS = "test_kernels_pooling.py -k share_the_image_out"
FUSED = "test_ops.py -k fused and "
FIRST = "test_ops.py -k first_gradients and "
SECOND = "test_ops.py -k second_gradients and "

MUTANTS = [
    Mutant(
        "max-pool-last-of-ties", "max_window",
        "if value > best or value != value:", "if value >= best or value != value:",
        "the last of equal values is chosen", (MAXIMA,),
    ),
    Mutant(
        "max-pool-nan", "max_window",
        "if value > best or value != value:", "if value > best:",
        "NaN is passed over, outside the vector lanes", (MAXIMA,),
    ),
    Mutant(
        "max-pool-nan-in-lanes", "MAX_BLOCK",
        "(value > best) | (value != value);", "(value > best);",
        "NaN is passed over, in the vector lanes", (MAXIMA,),
    ),
    Mutant(
        "max-pool-position", "max_run",
        "max_block_8(at, position + (int)(i * taps->stride),", "max_block_8(at, position + (int)i,",
        "positions of later blocks forget the stride", (MAXIMA,),
    ),
    Mutant(
        "scatter-overwrites", "scatter",
        "output_qi[q, index_qp[q, p]] += grad_qp[q, p]", "output_qi[q, index_qp[q, p]] = grad_qp[q, p]",
        "a maximum of several windows gets the gradient of one", (MAXIMA,),
    ),
    Mutant(
        "mean-pool-dilation-down", "mean_plane",
        "            h = oh * window.SH + kh * window.DH - window.top\n"
        "            if h < 0 or h >= window.H:\n                continue\n            row = &image_qhw",
        "            h = oh * window.SH + kh - window.top\n"
        "            if h < 0 or h >= window.H:\n                continue\n            row = &image_qhw",
        "dilation ignored in one direction", (MEANS,),
    ),
    Mutant(
        "mean-pool-gradient-scale", "mean_gradient_plane",
        "row[ow * SW + offset] += grad_qhw[q, oh, ow] * scale_hw[oh, ow]",
        "row[ow * SW + offset] += grad_qhw[q, oh, ow] * scale_hw[0, 0]",
        "windows at the edge divide by the first window's count in the gradient", (MEANS,),
    ),
    Mutant(
        "adaptive-mean-of-the-width", "mean_of_bins",
        "<real>(total / (height * width))", "<real>(total / (width * width))",
        "the mean of a window that is not square", (BINS,),
    ),
    Mutant(
        "adaptive-stops-round-down", "_edges",
        "-(-edges[1:] // count)", "edges[1:] // count",
        "windows that don't divide the image leave something out", (BINS,),
    ),
    Mutant(
        "count-include-pad", "mean_scale",
        "low, high = (-leading, size + trailing) if count_include_pad else (0, size)",
        "low, high = -leading, size + trailing",
        "padding always counts", ("test_ops.py -k values_equal and avg_pool",),
    ),
    Mutant(
        "pooling-stride-default", "default_stride",
        "return kernel_size if stride is None or", "return 1 if stride is None or",
        "a wrong default", ("test_ops.py -k values_equal and max_pool",),
    ),
    Mutant(
        "pooling-padding-unchecked", "pooling_window",
        "if 2 * max(margins.top, margins.bottom) > rows or", "if 2 * max(margins.top, margins.bottom) > 2 * rows or",
        "a check removed: windows of nothing but padding", ("test_survivors.py -k padding",),
    ),
    Mutant(
        "conv-second-gradient-of-the-weight", "ConvInputGradient.backward",
        "self.weight_gradient(grad_input, grad) if self.needs[1]",
        "self.weight_gradient(grad, grad_input) if self.needs[1]",
        "the factors of the weight gradient exchanged", (SECOND + "conv_transpose",),
    ),
    Mutant(
        "conv-bias-gradient-in-the-graph", "Conv2d.backward",
        "Sum((0, 2, 3), False)(grad) if self.needs[2]", "Sum((2, 3), False)(grad) if self.needs[2]",
        "the sum over the batch is missing, in the differentiable gradient alone", (FUSED + "conv2d",),
    ),
    Mutant(
        "conv-keeps-the-wrong-factor", "ConvOp.save_factors",
        "self.save(first if self.needs[1] else None, second if self.needs[0] else None)",
        "self.save(first if self.needs[0] else None, second if self.needs[1] else None)",
        "needs ignored: each factor is kept for itself instead of for the other", ("test_survivors.py -k alone",),
    ),
    Mutant(
        "transposed-bias", "ConvInputGradient.forward",
        "dx += bias[:, None, None]", "dx += bias[0]",
        "every channel gets the first one's bias", ("test_ops.py -k values_equal and transpose",),
    ),
    Mutant(
        "transposed-output-padding", "transposed_window",
        "result = least[0] + extra[0], least[1] + extra[1]", "result = least[0] + extra[1], least[1] + extra[0]",
        "output padding down and across exchanged", ("test_geometry.py -k transposed",),
    ),
    Mutant(
        "transposed-groups", "_checked",
        "channels = filters[1] * groups if is_transposed else filters[0]",
        "channels = filters[1] if is_transposed else filters[0]",
        "a bias of all groups is refused", ("test_ops.py -k values_equal and transpose",),
    ),
    Mutant(
        "conv-layer-arguments", "_Convolution.forward",
        "self.weight, self.bias, self.stride, padding, self.dilation, self.groups)",
        "self.weight, self.bias, self.dilation, padding, self.stride, self.groups)",
        "stride and dilation exchanged in the layer", ("nn/test_conv.py -k layers_as",),
    ),
    Mutant(
        "unfold-gradient", "Unfold.forward",
        "        self.channels = x.shape[1]\n        return kernels.unfold(x, self.window)",
        "        self.channels = 1\n        return kernels.unfold(x, self.window)",
        "the gradient has one channel", (FIRST + "unfold",),
    ),
]  # fmt: skip
