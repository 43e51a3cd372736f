"""Element-wise work, sums, shifted images."""

from __future__ import annotations

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, by_dtype, contiguous, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "channel_sum",
    "relu",
    "relu_gradient",
    "shift",
]

_relu = by_dtype(_ext.elementwise, "relu")
_relu_gradient = by_dtype(_ext.elementwise, "relu_gradient")
_channel_sum = by_dtype(_ext.elementwise, "channel_sum")


def relu(x: Array) -> Array:
    """max(x, 0)."""
    x = contiguous(x)
    y = new_array(x.shape, x.dtype)
    _relu[y.dtype](shaped(x, y.size), y.reshape(-1), threads_for(y.size // 4))
    return y


def relu_gradient(grad: Array, y: Array) -> Array:
    """grad where relu's result y is positive, else 0."""
    grad_x = new_array(y.shape, y.dtype)
    _relu_gradient[y.dtype](
        shaped(grad, grad_x.size), shaped(y, grad_x.size), grad_x.reshape(-1), threads_for(y.size // 4)
    )
    return grad_x


def channel_sum(x: Array) -> Array:
    """The sum of (N, C, ...) over all axes but the second."""
    (N, C), size = x.shape[:2], x.size
    total = np.empty(C, x.dtype)
    _channel_sum[x.dtype](shaped(x, N, C, size // (N * C) if size else 0), total, threads_for(size // 4))
    return total


def shift(images: Array, down: Array, right: Array) -> Array:
    """Images (N, C, H, W) of any dtype, each moved by so many pixels (N,), zeros entering."""
    moved = new_array(images.shape, images.dtype)
    if images.size:
        planes = (*images.shape[:2], -1)
        _ext.elementwise.either.shift(
            contiguous(images).reshape(-1).view(np.uint8).reshape(planes), down, right, images.shape[3],
            images.itemsize, moved.reshape(-1).view(np.uint8).reshape(planes), threads_for(images.nbytes // 16),
        )  # fmt: skip
    return moved
