"""Convolution and transposed convolution."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, ShapeError
from minidl.functional._images import image_batch, restored
from minidl.geometry import IntOrPair, Padding, sliding_window, transposed_window
from minidl.kernels import ALGORITHMS, ConvPlans, conv_plans, is_measuring, refusal
from minidl.ops._common import as_tensor, check_choice, check_same_dtype
from minidl.ops.conv import Conv2d, ConvInputGradient
from minidl.ops.shapes import Reshape
from minidl.runtime import get_precision

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str | Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Any:
    """Convolve signals with a bank of filters (a cross-correlation: the filters are not flipped).

    ``y[n, f, i] = bias[f] + sum over c, k of weight[f, c, k] x[n, c, i stride + k dilation - padding]``

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64. N may be 0.
    weight : Tensor (F, C / groups, K)
        F filters, of the same dtype.
    bias : Tensor (F,), optional
        Added to every position of each output channel.
    stride, padding, dilation : int or (int,)
        As in `conv2d`, along the one axis that there is; `padding` may also be 'same' or 'valid'.
    groups : int
        As in `conv2d`.

    Returns
    -------
    Tensor (N, F, OL) or (F, OL)
        ``OL = (L + padding before and after - dilation (K - 1) - 1) // stride + 1``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `conv2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.conv1d(minidl.tensor([[1.0, 2.0, 4.0, 8.0]]), minidl.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2., 4.]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str | Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Any:
    """Convolve images with a bank of filters (a cross-correlation: the filters are not flipped).

    ``y[n, f, i, j] = bias[f] + sum over c, k, l of weight[f, c, k, l] x[n, c, i stride + k dilation - padding, ...]``

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64. N may be 0.
    weight : Tensor (F, C / groups, KH, KW)
        F filters, of the same dtype.
    bias : Tensor (F,), optional
        Added to every position of each output channel.
    stride : int or (int, int)
        The steps of the window, in pixels down and across.
    padding : int, (int, int), 'same', 'valid' or Padding
        Zeros around the image: above and below, left and right; 'same' gives ceil(H / stride) by ceil(W / stride)
        outputs, its odd pixel below and right; a `minidl.Padding` has all four.
    dilation : int or (int, int)
        The distance between the taps of the kernel.
    groups : int
        Input and output channels are split into this many groups, each convolved by itself.
    algorithm : str
        How this convolution and its gradients are computed: "im2col", "implicit_gemm", "direct", "winograd",
        "winograd_2x2", "winograd_4x4", "winograd_rows", "fft", or a member of "implicit_gemm" or "direct". "auto" takes
        what a model of their costs says is fastest for these shapes, this dtype and this processor.
        docs/convolution.md says what each applies to.

    Returns
    -------
    Tensor (N, F, OH, OW) or (F, OH, OW)
        ``OH = (H + padding - dilation (KH - 1) - 1) // stride + 1``, and OW alike.

    Raises
    ------
    ShapeError
        If ranks or channels don't fit, or the window is larger than the padded image.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.
    ArgumentError
        If stride, dilation or groups is less than 1, padding less than 0, or the algorithm does not apply.

    Notes
    -----
    A pixel or a weight that is NaN or infinite makes NaN or infinite all outputs that see it. Algorithms that transform
    what they multiply pass it on to others of the same image: one NaN pixel spoils 216 outputs of 24 filters of 3 x 3,
    but up to 600 by "winograd_4x4", whose tiles have 4 x 4 outputs, and a whole image by "fft"; "implicit_gemm" may do
    so in the input's gradient. Where that matters, ask for "im2col" or "direct". No algorithm passes it on to other
    images of the batch.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, relationship 6 for the size.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> image = minidl.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> difference = minidl.tensor([[[[-1.0, 1.0]]]])
    >>> F.conv2d(image, difference)
    tensor([[[[1., 1.],
              [1., 1.],
              [1., 1.]]]])
    """
    key = _key("conv2d", input, weight, bias, groups, algorithm, padding, stride, dilation)
    plans = _plans.get(key)
    if plans is not None:
        return Conv2d(plans)(input, weight, bias)
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups, algorithm, key)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Any:
    """Spread each pixel over a window, weighted by a filter: the transpose of `conv2d`, and its input gradient.

    ``y[n, f, i stride + k dilation - padding, ...] += weight[c, f, k, l] x[n, c, i, j]`` over all c, i, j, k, l

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64. N may be 0.
    weight : Tensor (C, F / groups, KH, KW)
        The filters of the convolution that this is the transpose of, of the same dtype.
    bias : Tensor (F,), optional
        Added to every position of each output channel.
    stride : int or (int, int)
        The distance between the windows of neighbouring pixels, down and across.
    padding : int, (int, int) or Padding
        Rows and columns cut off the result: above and below, left and right; a `minidl.Padding` has all four.
    output_padding : int or (int, int)
        Rows below and columns on the right that are added to the result, fewer than `stride` or than `dilation`:
        convolutions of several sizes have an output of H by W, and this chooses one.
    groups : int
        Input and output channels are split into this many groups, each by itself.
    dilation : int or (int, int)
        The distance between the taps of the filter.

    Returns
    -------
    Tensor (N, F, OH, OW) or (F, OH, OW)
        ``OH = (H - 1) stride - padding above and below + dilation (KH - 1) + output_padding + 1``, and OW alike.

    Raises
    ------
    ShapeError
        If ranks or channels don't fit, or padding leaves nothing of the result.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.
    ArgumentError
        If stride, dilation or groups is less than 1, or padding or output_padding outside its range.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, relationship 14 for the size.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.conv_transpose2d(minidl.tensor([[[1.0, 2.0]]]), minidl.tensor([[[[1.0, 1.0], [0.0, 3.0]]]]), stride=2)
    tensor([[[1., 1., 2., 2.],
             [0., 3., 0., 6.]]])
    """
    key = _key("conv_transpose2d", input, weight, bias, groups, "auto", padding, stride, output_padding, dilation)
    plans = _plans.get(key)
    if plans is not None:
        return ConvInputGradient(plans)(input, weight, bias)
    return _convolve_transposed(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation, key
    )


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Any:
    """Spread each value over a window, weighted by a filter: the transpose of `conv1d`, and its input gradient.

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64. N may be 0.
    weight : Tensor (C, F / groups, K)
        The filters, of the same dtype.
    bias : Tensor (F,), optional
        Added to every position of each output channel.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`, along the one axis that there is.

    Returns
    -------
    Tensor (N, F, OL) or (F, OL)
        ``OL = (L - 1) stride - padding before and after + dilation (K - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `conv_transpose2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.conv_transpose1d(minidl.tensor([[1.0, 2.0]]), minidl.tensor([[[1.0, 3.0]]]))
    tensor([[1., 5., 6.]])
    """
    return _convolve_transposed(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


# Plans of calls that have passed all checks, by all that these and the plans depend on.
_plans: dict[tuple[Any, ...] | None, ConvPlans] = {}
_MAX_PLANS = 4096


def _as_pair(value: Any) -> tuple[int, int] | None:
    """A setting that is an int or a pair of ints and nothing like them, as a pair."""
    if type(value) is int:
        return value, value
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        return value
    return None


def _as_padding(value: Any) -> Any:
    """Read a padding alike, which may be a word or four ints as well."""
    if type(value) is str or (type(value) is Padding and all([type(side) is int for side in value])):
        return value
    return _as_pair(value)


def _key(
    op: str, input: Any, weight: Any, bias: Any, groups: Any, algorithm: Any, padding: Any, *settings: Any
) -> tuple[Any, ...] | None:
    """All that a call's checks and its plans depend on; None unless it is batches, tensors and ints alone.

    An int and a pair of it, as layers have them, are the same call. A key can't tell True and 1.0 from 1, which the
    checks do.
    """
    sides = _as_padding(padding)
    pairs = [_as_pair(setting) for setting in settings]
    if (
        sides is None
        or None in pairs
        or type(groups) is not int
        or not (isinstance(input, TensorBase) and isinstance(weight, TensorBase))
        or not (bias is None or isinstance(bias, TensorBase))
        or type(algorithm) is not str
    ):
        return None
    x, w = input._data, weight._data
    biases = None if bias is None else (bias._data.shape, bias._data.dtype)
    if len(x.shape) != 4:
        return None
    return (
        op, x.shape, x.dtype, w.shape, w.dtype, biases, sides, *pairs, groups, algorithm, get_precision(),
        is_measuring(),
    )  # fmt: skip


def _remember(key: tuple[Any, ...] | None, plans: ConvPlans) -> ConvPlans:
    if key is not None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        _plans[key] = plans
    return plans


def _convolve(
    op: str, spatial: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int,
    algorithm: str = "auto", key: tuple[Any, ...] | None = None,
) -> Any:  # fmt: skip
    """Convolution in `spatial` dimensions, 1 or 2, remembered by its key if it has one."""
    x, w, b, is_batch = _checked(op, spatial, input, weight, bias, groups, False)
    (N, C, *size), (F, _, *kernel), dtype = x.data.shape, w.data.shape, x.data.dtype
    window = sliding_window(op, size[2 - spatial :], kernel[2 - spatial :], stride, padding, dilation)
    if not isinstance(algorithm, str) or algorithm != "auto":
        check_choice(op, "algorithm", algorithm, ALGORITHMS)
        reason = refusal(algorithm, C, F, groups, window, dtype.itemsize)
        if reason is not None:
            raise ArgumentError(f"{op}: algorithm {algorithm!r} does not apply: {reason}")
    plans = _remember(key, conv_plans(N, C, F, groups, window, dtype, algorithm))
    return restored(Conv2d(plans)(x, w, b), is_batch, spatial)


def _convolve_transposed(
    op: str, spatial: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any, key: tuple[Any, ...] | None = None,
) -> Any:  # fmt: skip
    """Transposed convolution in `spatial` dimensions, 1 or 2: the input's gradient of one from F to C channels."""
    x, w, b, is_batch = _checked(op, spatial, input, weight, bias, groups, True)
    (N, F, *size), (_, C, *kernel), dtype = x.data.shape, w.data.shape, x.data.dtype
    size, kernel = size[2 - spatial :], kernel[2 - spatial :]
    window = transposed_window(op, size, kernel, stride, padding, output_padding, dilation)
    plans = _remember(key, conv_plans(N, C * groups, F, groups, window, dtype))
    return restored(ConvInputGradient(plans)(x, w, b), is_batch, spatial)


class _Operands(NamedTuple):
    """Images (N, C, H, W), filters and bias in two dimensions, and whether the images came as a batch."""

    images: Any
    filters: Any
    bias: Any
    is_batch: bool


def _checked(
    op: str, spatial: int, input: Any, weight: Any, bias: Any, groups: int, is_transposed: bool
) -> _Operands:  # fmt: skip
    """Check all that convolutions have in common."""
    x, w = as_tensor(op, "input", input), as_tensor(op, "weight", weight)
    b = None if bias is None else as_tensor(op, "bias", bias)
    filters = w.data.shape
    if len(filters) != spatial + 2 or 0 in filters:
        axes = ("C, F / groups, " if is_transposed else "F, C / groups, ") + ("KH, KW" if spatial == 2 else "K")
        raise ShapeError(
            f"{op}: weight must have {spatial + 2} dimensions ({axes}), none of them 0, got shape {filters}"
        )
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
        raise ArgumentError(f"{op}: groups must be an int of at least 1, got {groups!r}")
    images, is_batch = image_batch(op, x, spatial)
    check_same_dtype(op, input=x, weight=w, bias=b)
    shape, axis = x.data.shape, x.data.ndim - spatial - 1
    # A filter's axis that the input's channels are counted along, and how often.
    dimension, times = (0, 1) if is_transposed else (1, groups)
    if shape[axis] != filters[dimension] * times:
        grouping = f" in each of {groups} groups" if times != 1 else ""
        raise ShapeError(
            f"{op}: input has {shape[axis]} channels (axis {axis} of {shape}), weight expects "
            f"{filters[dimension]}{grouping} (axis {dimension} of {filters})"
        )
    if filters[0] % groups:
        what = "input channels" if is_transposed else "filters"
        raise ShapeError(f"{op}: {filters[0]} {what} (axis 0 of weight) can't be split into {groups} groups")
    channels = filters[1] * groups if is_transposed else filters[0]
    if b is not None and b.data.shape != (channels,):
        raise ShapeError(f"{op}: bias must have shape ({channels},), one a filter, got {b.data.shape}")
    return _Operands(images, w if spatial == 2 else Reshape((*filters[:2], 1, filters[2]))(w), b, is_batch)
