"""Pooling: windows that keep one number each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minidl.errors import ArgumentError, ShapeError
from minidl.functional._images import per_image
from minidl.geometry import IntOrPair, Window, sliding_window
from minidl.ops.pooling import AvgPool2d, MaxPool2d

__all__ = ["avg_pool2d", "max_pool2d"]


def max_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Any:
    """Keep the largest value in each position of a sliding window.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64.
    kernel_size : int or (int, int)
        The height and width of the window.
    stride : int or (int, int), optional
        The steps of the window; `kernel_size` by default.
    padding : int or (int, int)
        How far the window may stand outside, at most half of its size; nothing out there is ever the largest.
    dilation : int or (int, int)
        The distance between the positions that the window looks at.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        NaN where the window holds one. The gradient goes to the first of equal maxima.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `conv2d` does, and if `padding` is more than half of `kernel_size`.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.max_pool2d(minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]]), 2)
    tensor([[[4., 8.]]])
    """

    def compute(x: Any) -> Any:
        return MaxPool2d(_pooling_window("max_pool2d", x, kernel_size, stride, padding, dilation))(x)

    return per_image("max_pool2d", input, compute)


def avg_pool2d(input: Any, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> Any:
    """Keep the mean of each position of a sliding window.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64.
    kernel_size : int or (int, int)
        The height and width of the window.
    stride : int or (int, int), optional
        The steps of the window; `kernel_size` by default.
    padding : int or (int, int)
        Zeros around the image, at most half of the window; they count in the mean.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        The means.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `conv2d` does, and if `padding` is more than half of `kernel_size`.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.avg_pool2d(minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]]), 2)
    tensor([[[2.5, 6.5]]])
    """

    def compute(x: Any) -> Any:
        window = _pooling_window("avg_pool2d", x, kernel_size, stride, padding, 1)
        return AvgPool2d(window, _mean_scale(window))(x)

    return per_image("avg_pool2d", input, compute)


def _pooling_window(
    op: str, x: Any, kernel_size: IntOrPair, stride: IntOrPair | None, padding: IntOrPair, dilation: IntOrPair
) -> Window:
    window = sliding_window(
        op, x.data.shape[2:], kernel_size, kernel_size if stride is None else stride, padding, dilation
    )
    if isinstance(padding, str):
        raise ArgumentError(f"{op}: padding must be an int or a pair of ints, got {padding!r}")
    (rows, columns), around = window.kernel_size, window.padding
    if 2 * max(around.top, around.bottom) > rows or 2 * max(around.left, around.right) > columns or min(around) < 0:
        raise ArgumentError(
            f"{op}: padding must be at most half of kernel_size {window.kernel_size}, and not negative, got {padding!r}"
        )
    if window.dilation != (1, 1) and any(around):
        _check_that_windows_see_the_input(op, window)
    return window


@lru_cache(maxsize=256)
def _check_that_windows_see_the_input(op: str, window: Window) -> None:
    """Refuse a dilated window whose taps all fall into the padding somewhere: there is no value to choose there."""
    around = window.padding
    for axis, before in enumerate((around.top, around.left)):
        starts = np.arange(window.output_size[axis]) * window.stride[axis] - before
        first_inside = np.where(starts < 0, starts % window.dilation[axis], starts)
        if (first_inside >= window.input_size[axis]).any():
            raise ShapeError(
                f"{op}: kernel_size {window.kernel_size} with dilation {window.dilation} and padding {tuple(around)} "
                f"sees nothing but padding at some positions of an input of {window.input_size}"
            )


@lru_cache(maxsize=256)
def _mean_scale(window: Window) -> np.ndarray:
    return np.full(window.output_size, 1 / window.taps)
