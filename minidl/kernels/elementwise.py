"""The table of element-wise ops, sums, shifted images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, contiguous, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "ELEMENTWISE",
    "channel_sum",
    "elementwise",
    "elementwise_gradient",
    "shift",
]

_value = ByDtype(_ext.elementwise, "value")
_gradient = ByDtype(_ext.elementwise, "gradient")
_channel_sum = ByDtype(_ext.elementwise, "channel_sum")


class Row(NamedTuple):
    """A row of the table in `_ext/elementwise_table.h`."""

    number: int
    # The function that does the same in PyTorch.
    torch: str
    # The source of the gradient: "x", "y" (the result) or nothing.
    keeps: str
    # Multiply-adds an element, fields.
    steps: float
    documentation: str


ELEMENTWISE = {name: Row(number, *fields) for number, (name, *fields) in enumerate(_ext.elementwise.either.rows())}


def elementwise(name: str, x: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """y = f(x) for the f of a row of the table, with its numbers a and b."""
    row = ELEMENTWISE[name]
    x = contiguous(x)
    y = new_array(x.shape, x.dtype)
    size = y.size
    _value[y.dtype](row.number, shaped(x, size), a, b, y.reshape(-1), threads_for(int(size * row.steps)))
    return y


def elementwise_gradient(name: str, grad: Array, kept: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """The gradient of x from that of the result and from what the row keeps: x or the result."""
    row = ELEMENTWISE[name]
    grad_x = new_array(kept.shape, kept.dtype)
    size = grad_x.size
    _gradient[grad_x.dtype](
        row.number, shaped(grad, size), shaped(kept, size), a, b, grad_x.reshape(-1), threads_for(int(size * row.steps))
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
