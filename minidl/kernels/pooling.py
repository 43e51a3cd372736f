"""Pooling. Images are planes (Q, H, W), Q = N C."""

from __future__ import annotations

import numpy as np

from minidl import _ext
from minidl.errors import ShapeError
from minidl.geometry import Window
from minidl.kernels._common import Array, by_dtype, contiguous
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "avg_pool2d",
    "avg_pool2d_gradient",
    "gather_positions",
    "max_pool2d",
    "scatter_positions",
]

_max_forward = by_dtype(_ext.pool.max_forward)
_scatter = by_dtype(_ext.pool.scatter)
_gather = by_dtype(_ext.pool.gather)
_mean_forward = by_dtype(_ext.pool.mean_forward)
_mean_gradient = by_dtype(_ext.pool.mean_gradient)


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maxima (N, C, OH, OW) and their flat positions in each plane, as int32."""
    height, width = window.input_size
    if height * width >= 2**31:
        raise ShapeError(f"max_pool2d: a plane of {height} x {width} has more positions than an int32 index counts")
    output = new_array((*x.shape[:2], *window.output_size), x.dtype)
    argmax = new_array(output.shape, np.dtype(np.int32))
    if output.size:
        planes = (-1, *window.output_size)
        _max_forward[x.dtype](
            contiguous(x).reshape(-1, height, width), window.packed, output.reshape(planes), argmax.reshape(planes),
            threads_for(output.size * window.taps),
        )  # fmt: skip
    return output, argmax


def scatter_positions(grad: Array, positions: Array, size: tuple[int, int]) -> Array:
    """Add each value of (N, C, OH, OW) to zeros (N, C, H, W) at its flat position."""
    N, C = grad.shape[:2]
    output = new_array((N, C, *size), grad.dtype)
    if output.size:
        _scatter[grad.dtype](
            contiguous(grad).reshape(N * C, -1), positions.reshape(N * C, -1), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def gather_positions(x: Array, positions: Array) -> Array:
    """Read (N, C, H, W) at each flat position of (N, C, OH, OW): the transpose of `scatter_positions`."""
    N, C = x.shape[:2]
    output = new_array(positions.shape, x.dtype)
    if output.size:
        _gather[x.dtype](
            contiguous(x).reshape(N * C, -1), positions.reshape(N * C, -1), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def avg_pool2d(x: Array, window: Window, scale: Array) -> Array:
    """The sum over each window times scale (OH, OW)."""
    output = new_array((*x.shape[:2], *window.output_size), x.dtype)
    if output.size:
        _mean_forward[x.dtype](
            contiguous(x).reshape(-1, *window.input_size), window.packed, scale.astype(x.dtype, copy=False),
            output.reshape(-1, *window.output_size), threads_for(output.size * window.taps),
        )  # fmt: skip
    return output


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """The transpose of `avg_pool2d`."""
    output = new_array((*grad.shape[:2], *window.input_size), grad.dtype)
    if output.size:
        _mean_gradient[grad.dtype](
            contiguous(grad).reshape(-1, *window.output_size), window.packed, scale.astype(grad.dtype, copy=False),
            output.reshape(-1, *window.input_size), threads_for(grad.size * window.taps),
        )  # fmt: skip
    return output
