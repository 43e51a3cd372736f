"""The im2col and col2im that convolution is made of, as functions of their own."""

from __future__ import annotations

from typing import Any

from minidl.errors import ShapeError
from minidl.functional._images import compute_images
from minidl.geometry import IntOrPair, pair, sliding_window
from minidl.ops._common import as_tensor, check_floating
from minidl.ops.conv import Fold, Unfold
from minidl.ops.shapes import Reshape

__all__ = ["fold", "unfold"]


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

    return compute_images("unfold", input, compute)


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
