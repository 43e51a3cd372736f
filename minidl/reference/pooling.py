"""Max and mean pooling, window by window."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import ceil, floor

import numpy as np

from minidl.geometry import Pair, Window
from minidl.reference._windows import cropped, padded, views

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_gradient",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "avg_pool2d_gradient",
    "gather_positions",
    "max_pool2d",
    "scatter_positions",
]

Array = np.ndarray


def _largest(plane: Array, rows: Iterable[int], columns: Iterable[int]) -> tuple[float, int]:
    """The maximum of a window over one image, and its flat position there: the first of equals, the last NaN."""
    best, where = -np.inf, -1
    for h in rows:
        for w in columns:
            if plane[h, w] > best or np.isnan(plane[h, w]) or where < 0:
                best, where = plane[h, w], h * plane.shape[1] + w
    return best, where


def _taps(window: Window, axis: int, position: int) -> list[int]:
    """The rows (axis 0) or columns (1) of the image that a window sees from one of its places."""
    leading = (window.padding.top, window.padding.left)[axis]
    first = position * window.stride[axis] - leading
    taps = [first + k * window.dilation[axis] for k in range(window.kernel_size[axis])]
    return [tap for tap in taps if 0 <= tap < window.input_size[axis]]


def _share(size: int, count: int, i: int) -> range:
    """Give what window i of `count` sees of an axis that they share out."""
    return range(floor(i * size / count), ceil((i + 1) * size / count))


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum that each window sees, and its flat position in the image: the first of equals, the last NaN."""
    y = np.empty((*x.shape[:2], *window.output_size), x.dtype)
    positions = np.empty(y.shape, np.int32)
    for n, c, oh, ow in np.ndindex(y.shape):
        rows, columns = _taps(window, 0, oh), _taps(window, 1, ow)
        y[n, c, oh, ow], positions[n, c, oh, ow] = _largest(x[n, c], rows, columns)
    return y, positions


def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """As `max_pool2d`, for output_size windows that share the image out."""
    y = np.empty((*x.shape[:2], *output_size), x.dtype)
    positions = np.empty(y.shape, np.int32)
    for n, c, oh, ow in np.ndindex(y.shape):
        rows, columns = _share(x.shape[2], output_size[0], oh), _share(x.shape[3], output_size[1], ow)
        y[n, c, oh, ow], positions[n, c, oh, ow] = _largest(x[n, c], rows, columns)
    return y, positions


def scatter_positions(grad: Array, positions: Array, size: Pair) -> Array:
    """Zeros (N, C, H, W) with each value of (N, C, OH, OW) added at its flat position."""
    N, C = grad.shape[:2]
    out = np.zeros((N, C, size[0] * size[1]))
    for n, c, oh, ow in np.ndindex(grad.shape):
        out[n, c, positions[n, c, oh, ow]] += grad[n, c, oh, ow]
    return out.reshape(N, C, *size).astype(grad.dtype)


def gather_positions(x: Array, positions: Array) -> Array:
    """The values of (N, C, H, W) at the flat positions of (N, C, OH, OW)."""
    out = np.empty(positions.shape, x.dtype)
    for n, c, oh, ow in np.ndindex(positions.shape):
        out[n, c, oh, ow] = x[n, c].reshape(-1)[positions[n, c, oh, ow]]
    return out


def avg_pool2d(x: Array, window: Window, scale: Array) -> Array:
    """The sum of what each window sees, times scale (OH, OW)."""
    image = padded(x, window)
    y = np.empty((*x.shape[:2], *window.output_size))
    for oh, ow, view in views(window):
        # A window that hangs over the padding's edge sees fewer: a slice ends where the array does.
        y[:, :, oh, ow] = image[view].sum(axis=(2, 3)) * scale[oh, ow]
    return y.astype(x.dtype)


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """Each output's gradient times its scale, added to all that its window saw."""
    image = padded(np.zeros((*grad.shape[:2], *window.input_size)), window)
    for oh, ow, view in views(window):
        image[view] += (grad[:, :, oh, ow].astype(np.float64) * scale[oh, ow])[:, :, None, None]
    return cropped(image, window).astype(grad.dtype)


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """The means of output_size windows that share the image out."""
    y = np.empty((*x.shape[:2], *output_size))
    for oh, ow in np.ndindex(*output_size):
        rows, columns = _share(x.shape[2], output_size[0], oh), _share(x.shape[3], output_size[1], ow)
        y[:, :, oh, ow] = x[:, :, rows.start : rows.stop, columns.start : columns.stop].mean((2, 3), np.float64)
    return y.astype(x.dtype)


def adaptive_avg_pool2d_gradient(grad: Array, input_size: Pair) -> Array:
    """Each output's gradient, shared evenly among all that its window saw."""
    image = np.zeros((*grad.shape[:2], *input_size))
    for oh, ow in np.ndindex(*grad.shape[2:]):
        rows, columns = _share(input_size[0], grad.shape[2], oh), _share(input_size[1], grad.shape[3], ow)
        for h, w in product(rows, columns):
            image[:, :, h, w] += grad[:, :, oh, ow].astype(np.float64) / (len(rows) * len(columns))
    return image.astype(grad.dtype)
