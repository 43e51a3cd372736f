"""Pooling: windows that keep one number each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.autograd import wrap
from minidl.errors import check_flag
from minidl.functional._images import compute_images
from minidl.functional._pooling import adaptive_size, check_divisor, mean_scale, pooling_window
from minidl.geometry import IntOrPair
from minidl.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


def max_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value in each position of a sliding window.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64.
    kernel_size : int or (int, int)
        The height and width of the window.
    stride : int or (int, int), optional
        The steps of the window; `kernel_size` by default, and for an empty tuple.
    padding : int or (int, int)
        How far the window may stand outside, at most half of `kernel_size`; nothing out there is ever the largest.
    dilation : int or (int, int)
        The distance between the positions that the window looks at.
    ceil_mode : bool
        Whether a last window that starts inside the image or the padding before it, but reaches beyond the padding
        after it, counts.
    return_indices : bool
        Whether the positions of the maxima are returned too.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        NaN where the window holds one. The gradient goes to the first of equal maxima, and to the last NaN.
        ``OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1``, rounded down, or up in `ceil_mode`.
    Tensor of int64, of the same shape
        Only with `return_indices`: where each maximum stands in its image, as ``row * W + column``.

    Raises
    ------
    ShapeError
        As `conv2d` does, and if a dilated window sees nothing but padding somewhere.
    DTypeError, ArgumentError
        As `conv2d` does, and if `padding` is more than half of `kernel_size`.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> image = minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]])
    >>> F.max_pool2d(image, 2)
    tensor([[[4., 8.]]])
    >>> F.max_pool2d(image, 2, return_indices=True)[1]
    tensor([[[5, 6]]])
    """
    return _max_pool("max_pool2d", 2, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool1d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value in each position of a window that slides over signals.

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64.
    kernel_size, stride, padding, dilation : int or (int,)
        As in `max_pool2d`, in one dimension.
    ceil_mode, return_indices : bool
        As in `max_pool2d`.

    Returns
    -------
    Tensor (N, C, OL) or (C, OL)
        As from `max_pool2d`.
    Tensor of int64, of the same shape
        Only with `return_indices`: where each maximum stands in its signal.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `max_pool2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.max_pool1d(minidl.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2, ceil_mode=True)
    tensor([[3., 2., 5.]])
    """
    return _max_pool("max_pool1d", 1, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def avg_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
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
        Zeros around the image, at most half of the window.
    ceil_mode : bool
        As in `max_pool2d`. What a window sees beyond the padding never counts.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    divisor_override : int, optional
        What sums are divided by, instead of the number of positions that count; not 0.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        The means, of the size that `max_pool2d` would give.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `max_pool2d` does, and if `divisor_override` is 0 or no int.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> image = minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]])
    >>> F.avg_pool2d(image, 2)
    tensor([[[2.5, 6.5]]])
    >>> F.avg_pool2d(image, 2, divisor_override=1)
    tensor([[[10., 26.]]])
    """
    window = kernel_size, stride, padding, 1, ceil_mode
    return _avg_pool("avg_pool2d", 2, input, window, count_include_pad, divisor_override)


def avg_pool1d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Keep the mean of each position of a window that slides over signals.

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64.
    kernel_size, stride, padding : int or (int,)
        As in `avg_pool2d`, in one dimension.
    ceil_mode, count_include_pad : bool
        As in `avg_pool2d`.

    Returns
    -------
    Tensor (N, C, OL) or (C, OL)
        The means.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `avg_pool2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.avg_pool1d(minidl.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2, ceil_mode=True)
    tensor([[2., 1., 5.]])
    """
    return _avg_pool("avg_pool1d", 1, input, (kernel_size, stride, padding, 1, ceil_mode), count_include_pad)


def adaptive_max_pool2d(input: Any, output_size: int | Sequence[int | None], return_indices: bool = False) -> Any:
    """Keep the largest value in each of a given number of windows that share the image out.

    Output row i sees the image's rows from ``floor(i H / OH)`` up to ``ceil((i + 1) H / OH)``, and columns alike. So
    windows overlap by a row where OH does not divide H, and an `output_size` of 1 sees the whole image.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64.
    output_size : int or (int or None, int or None)
        The height and width of the result, at least 1; None for the input's own.
    return_indices : bool
        Whether the positions of the maxima are returned too.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        The maxima, as from `max_pool2d`.
    Tensor of int64, of the same shape
        Only with `return_indices`: where each maximum stands in its image, as ``row * W + column``.

    Raises
    ------
    ShapeError
        If the rank does not fit, or there are no channels or pixels.
    DTypeError
        If the input is not floating.
    ArgumentError
        If `output_size` is not an int of at least 1 or a pair of them, or `return_indices` not True or False.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.adaptive_max_pool2d(minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]]), (None, 2))
    tensor([[[2., 6.],
             [4., 8.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Any, output_size: int | Sequence[int], return_indices: bool = False) -> Any:
    """Keep the largest value in each of a given number of windows that share the signal out.

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64.
    output_size : int or (int,)
        The length of the result, at least 1.
    return_indices : bool
        As in `adaptive_max_pool2d`.

    Returns
    -------
    Tensor (N, C, OL) or (C, OL)
        The maxima.
    Tensor of int64, of the same shape
        Only with `return_indices`: where each maximum stands in its signal.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `adaptive_max_pool2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.adaptive_max_pool1d(minidl.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None]) -> Any:
    """Keep the mean of each of a given number of windows that share the image out.

    The windows are those of `adaptive_max_pool2d`; an `output_size` of 1 gives the mean of each channel.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (C, H, W)
        The images, float32 or float64.
    output_size : int or (int or None, int or None)
        The height and width of the result, at least 1; None for the input's own.

    Returns
    -------
    Tensor (N, C, OH, OW) or (C, OH, OW)
        The means.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `adaptive_max_pool2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.adaptive_avg_pool2d(minidl.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 8.0, 7.0]]]), 1)
    tensor([[[4.5]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool1d(input: Any, output_size: int | Sequence[int]) -> Any:
    """Keep the mean of each of a given number of windows that share the signal out.

    Parameters
    ----------
    input : Tensor (N, C, L) or (C, L)
        The signals, float32 or float64.
    output_size : int or (int,)
        The length of the result, at least 1.

    Returns
    -------
    Tensor (N, C, OL) or (C, OL)
        The means.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `adaptive_max_pool2d` does.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.adaptive_avg_pool1d(minidl.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]]), 2)
    tensor([[2.    , 2.3333]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def _max_pool(op: str, spatial: int, input: Any, window: tuple, return_indices: Any) -> Any:
    def make(x: Any) -> Any:
        return MaxPool2d(pooling_window(op, spatial, x, *window))

    return _maxima(op, spatial, input, make, return_indices)


def _adaptive_max_pool(op: str, spatial: int, input: Any, output_size: Any, return_indices: Any) -> Any:
    def make(x: Any) -> Any:
        return AdaptiveMaxPool2d(adaptive_size(op, spatial, x, output_size))

    return _maxima(op, spatial, input, make, return_indices)


def _maxima(op: str, spatial: int, input: Any, make: Callable[[Any], Any], return_indices: Any) -> Any:
    """Run the op that `make` gives for a batch of images, and say where the maxima stand if asked."""
    check_flag(op, "return_indices", return_indices)

    def compute(x: Any) -> Any:
        pool = make(x)
        y = pool(x)
        return (y, wrap(pool.positions.astype(np.int64))) if return_indices else y

    return compute_images(op, input, compute, spatial)


def _avg_pool(
    op: str, spatial: int, input: Any, window: tuple, count_include_pad: Any, divisor_override: Any = None
) -> Any:
    check_flag(op, "count_include_pad", count_include_pad)
    check_divisor(op, divisor_override)

    def compute(x: Any) -> Any:
        checked = pooling_window(op, spatial, x, *window)
        return AvgPool2d(checked, mean_scale(checked, count_include_pad, divisor_override))(x)

    return compute_images(op, input, compute, spatial)


def _adaptive_avg_pool(op: str, spatial: int, input: Any, output_size: Any) -> Any:
    def compute(x: Any) -> Any:
        return AdaptiveAvgPool2d(adaptive_size(op, spatial, x, output_size))(x)

    return compute_images(op, input, compute, spatial)
