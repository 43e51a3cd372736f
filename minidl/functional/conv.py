"""Convolution, and the im2col and col2im that it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.errors import ArgumentError, ShapeError
from minidl.functional._images import per_image
from minidl.geometry import IntOrPair, Padding, pair, sliding_window
from minidl.ops._common import as_tensor, check_floating, check_same_dtype
from minidl.ops.conv import Conv2d, Fold, Unfold
from minidl.ops.shapes import Reshape

__all__ = ["conv2d", "fold", "unfold"]


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str | Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
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
        If stride, dilation or groups is less than 1, or padding less than 0.

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
    w = as_tensor("conv2d", "weight", weight)
    b = None if bias is None else as_tensor("conv2d", "bias", bias)
    if w.data.ndim != 4 or 0 in w.data.shape:
        raise ShapeError(
            f"conv2d: weight must have 4 dimensions (F, C / groups, KH, KW), none of them 0, got shape {w.data.shape}"
        )
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
        raise ArgumentError(f"conv2d: groups must be an int of at least 1, got {groups!r}")

    def compute(x: Any) -> Any:
        check_same_dtype("conv2d", input=x, weight=w, bias=b)
        F, channels = w.data.shape[:2]
        if x.data.shape[1] != channels * groups:
            in_groups = f" in each of {groups} groups" if groups != 1 else ""
            raise ShapeError(
                f"conv2d: input has {x.data.shape[1]} channels (axis 1 of {x.data.shape}), weight expects "
                f"{channels}{in_groups} (axis 1 of {w.data.shape})"
            )
        if F % groups:
            raise ShapeError(f"conv2d: {F} filters (axis 0 of weight) can't be split into {groups} groups")
        if b is not None and b.data.shape != (F,):
            raise ShapeError(f"conv2d: bias must have shape ({F},), one a filter, got {b.data.shape}")
        window = sliding_window("conv2d", x.data.shape[2:], w.data.shape[2:], stride, padding, dilation)
        return Conv2d(window, groups)(x, w, b)

    return per_image("conv2d", input, compute)


def unfold(
    input: Any, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: IntOrPair = 0, stride: IntOrPair = 1
) -> Any:
    """Lay out what each position of a sliding window sees as a column (im2col).

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images.
    kernel_size, dilation, padding, stride : int or (int, int)
        The window, as in `conv2d`.

    Returns
    -------
    Tensor (N, C KH KW, L) or (C KH KW, L)
        Rows in the order (channel, row of the kernel, column of the kernel), a column for each of the L = OH OW
        positions; 0 where the window reaches into the padding.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `conv2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.unfold(minidl.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), kernel_size=2)
    tensor([[1., 2.],
            [2., 3.],
            [4., 5.],
            [5., 6.]])
    """

    def compute(x: Any) -> Any:
        return Unfold(sliding_window("unfold", x.data.shape[2:], kernel_size, stride, padding, dilation))(x)

    return per_image("unfold", input, compute)


def fold(
    input: Any,
    output_size: IntOrPair,
    kernel_size: IntOrPair,
    dilation: IntOrPair = 1,
    padding: IntOrPair = 0,
    stride: IntOrPair = 1,
) -> Any:
    """Add columns up into images (col2im): the transpose of `unfold`, so overlapping windows are summed.

    Parameters
    ----------
    input : Tensor (N, C KH KW, L) or (C KH KW, L)
        Columns as `unfold` gives them.
    output_size : int or (int, int)
        The height and width of the images.
    kernel_size, dilation, padding, stride : int or (int, int)
        The window, as in `conv2d`.

    Returns
    -------
    Tensor (N, C, H, W) or (C, H, W)
        Each pixel is the sum of the entries that `unfold` would have copied it to.

    Raises
    ------
    ShapeError
        If the rows are no multiple of the kernel's size, or L is not the number of positions.
    DTypeError, ArgumentError
        As `conv2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.fold(minidl.ones(4, 2), output_size=(2, 3), kernel_size=2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    x = as_tensor("fold", "input", input)
    check_floating("fold", "input", x)
    shape = x.data.shape
    if len(shape) not in (2, 3):
        raise ShapeError(f"fold: input must have 3 dimensions (N, C KH KW, L) or 2 (C KH KW, L), got shape {shape}")
    size = pair("fold", "output_size", output_size, 1)
    window = sliding_window("fold", size, kernel_size, stride, padding, dilation)
    rows, positions = shape[-2:]
    if rows == 0 or rows % window.taps:
        raise ShapeError(f"fold: input has {rows} rows (axis -2 of {shape}), no multiple of the kernel's {window.taps}")
    if positions != window.positions:
        raise ShapeError(
            f"fold: input has {positions} columns (axis -1 of {shape}), an output of {size[0]} x {size[1]} takes "
            f"{window.output_size[0]} * {window.output_size[1]} = {window.positions}"
        )
    batch = x if len(shape) == 3 else Reshape((1, *shape))(x)
    images = Fold(rows // window.taps, window)(batch)
    return images if len(shape) == 3 else Reshape(images.data.shape[1:])(images)
