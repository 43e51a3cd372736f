"""Max and mean pooling, window by window."""

from __future__ import annotations

import numpy as np

from minidl.geometry import Window
from minidl.reference._windows import cropped, padded, views

__all__ = [
    "avg_pool2d",
    "avg_pool2d_gradient",
    "gather_positions",
    "max_pool2d",
    "scatter_positions",
]

Array = np.ndarray


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum that each window sees, and its flat position in the image: the first of equals, the last NaN."""
    N, C, height, width = x.shape
    y = np.empty((N, C, *window.output_size), x.dtype)
    positions = np.empty(y.shape, np.int32)
    for n, c, oh, ow in np.ndindex(y.shape):
        best, where = -np.inf, -1
        for kh, kw in np.ndindex(window.kernel_size):
            h = oh * window.stride[0] + kh * window.dilation[0] - window.padding.top
            w = ow * window.stride[1] + kw * window.dilation[1] - window.padding.left
            if 0 <= h < height and 0 <= w < width:
                value = x[n, c, h, w]
                if value > best or np.isnan(value) or where < 0:
                    best, where = value, h * width + w
        y[n, c, oh, ow], positions[n, c, oh, ow] = best, where
    return y, positions


def scatter_positions(grad: Array, positions: Array, size: tuple[int, int]) -> Array:
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
        y[:, :, oh, ow] = image[view].sum(axis=(2, 3)) * scale[oh, ow]
    return y.astype(x.dtype)


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """Each output's gradient times its scale, added to all that its window saw."""
    image = padded(np.zeros((*grad.shape[:2], *window.input_size)), window)
    for oh, ow, view in views(window):
        image[view] += (grad[:, :, oh, ow].astype(np.float64) * scale[oh, ow])[:, :, None, None]
    return cropped(image, window).astype(grad.dtype)
