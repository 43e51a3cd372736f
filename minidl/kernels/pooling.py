"""Pooling. Images are planes (Q, H, W), Q = N C."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minidl import _ext
from minidl.errors import ShapeError
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, ByDtype, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

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

_max_forward = ByDtype(_ext.pool, "max_forward")
_max_of_bins = ByDtype(_ext.pool, "max_of_bins")
_scatter = ByDtype(_ext.pool, "scatter")
_gather = ByDtype(_ext.pool, "gather")
_mean_forward = ByDtype(_ext.pool, "mean_forward")
_mean_gradient = ByDtype(_ext.pool, "mean_gradient")
_mean_of_bins = ByDtype(_ext.pool, "mean_of_bins")
_mean_of_bins_gradient = ByDtype(_ext.pool, "mean_of_bins_gradient")


def _argmax_like(op: str, output: Array, plane: Pair) -> Array:
    if plane[0] * plane[1] >= 2**31:
        raise ShapeError(f"{op}: a plane of {plane[0]} x {plane[1]} has more positions than an int32 index counts")
    return new_array(output.shape, np.dtype(np.int32))


def _edges(size: int, count: int) -> Array:
    """The starts and stops (2, count) of windows that share `size` positions out: floor(i size / count) and on."""
    edges = np.arange(count + 1, dtype=np.intp) * size
    return np.stack([edges[:-1] // count, -(-edges[1:] // count)])


class _Bins:
    """Windows that share images out, and the shapes (H, W) that the kernels see images and results in."""

    def __init__(self, input_size: Pair, output_size: Pair) -> None:
        self.image, self.output = input_size, output_size
        self.rows, self.columns = map(_edges, input_size, output_size)
        if output_size[1] == 1:
            # Windows as wide as the image are runs of memory; pooling whole images is what adaptive pooling is for.
            self.image, self.output = (1, input_size[0] * input_size[1]), (1, output_size[0])
            self.rows, self.columns = _edges(1, 1), self.rows * input_size[1]


_bins = lru_cache(maxsize=256)(_Bins)


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maxima (N, C, OH, OW) and their flat positions in each plane, as int32."""
    N, C = x.shape[:2]
    output = new_array((N, C, *window.output_size), x.dtype)
    argmax = _argmax_like("max_pool2d", output, window.input_size)
    if output.size:
        _max_forward[x.dtype](
            shaped(x, N * C, *window.input_size), window.packed, output.reshape(-1, *window.output_size),
            argmax.reshape(-1, *window.output_size), threads_for(output.size * window.taps),
        )  # fmt: skip
    return output, argmax


def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """As `max_pool2d`, for output_size windows that share the image out."""
    N, C, H, W = x.shape
    output = new_array((N, C, *output_size), x.dtype)
    argmax = _argmax_like("adaptive_max_pool2d", output, (H, W))
    if output.size:
        bins = _bins((H, W), output_size)
        _max_of_bins[x.dtype](
            shaped(x, N * C, *bins.image), bins.rows, bins.columns, output.reshape(-1, *bins.output),
            argmax.reshape(-1, *bins.output), threads_for(N * C * H * W),
        )  # fmt: skip
    return output, argmax


def scatter_positions(grad: Array, positions: Array, size: tuple[int, int]) -> Array:
    """Add each value of (N, C, OH, OW) to zeros (N, C, H, W) at its flat position."""
    N, C, OH, OW = positions.shape
    output = new_array((N, C, *size), grad.dtype)
    if output.size:
        _scatter[grad.dtype](
            shaped(grad, N * C, OH * OW), positions.reshape(N * C, OH * OW), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def gather_positions(x: Array, positions: Array) -> Array:
    """Read (N, C, H, W) at each flat position of (N, C, OH, OW): the transpose of `scatter_positions`."""
    N, C, H, W = x.shape
    output = new_array((N, C, *positions.shape[2:]), x.dtype)
    if output.size:
        _gather[x.dtype](
            shaped(x, N * C, H * W), positions.reshape(N * C, -1), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def avg_pool2d(x: Array, window: Window, scale: Array) -> Array:
    """The sum over each window times scale (OH, OW)."""
    N, C = x.shape[:2]
    output = new_array((N, C, *window.output_size), x.dtype)
    if output.size:
        _mean_forward[x.dtype](
            shaped(x, N * C, *window.input_size), window.packed, scale.astype(x.dtype, copy=False),
            output.reshape(-1, *window.output_size), threads_for(output.size * window.taps),
        )  # fmt: skip
    return output


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """The transpose of `avg_pool2d`."""
    N, C = grad.shape[:2]
    output = new_array((N, C, *window.input_size), grad.dtype)
    if output.size:
        _mean_gradient[grad.dtype](
            shaped(grad, N * C, *window.output_size), window.packed, scale.astype(grad.dtype, copy=False),
            output.reshape(-1, *window.input_size), threads_for(grad.size * window.taps),
        )  # fmt: skip
    return output


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """The means of output_size windows that share the image out."""
    N, C, H, W = x.shape
    output = new_array((N, C, *output_size), x.dtype)
    if output.size:
        bins = _bins((H, W), output_size)
        _mean_of_bins[x.dtype](
            shaped(x, N * C, *bins.image), bins.rows, bins.columns, output.reshape(-1, *bins.output),
            threads_for(N * C * H * W),
        )  # fmt: skip
    return output


def adaptive_avg_pool2d_gradient(grad: Array, input_size: Pair) -> Array:
    """The transpose of `adaptive_avg_pool2d`, for images of input_size."""
    N, C, OH, OW = grad.shape
    output = new_array((N, C, *input_size), grad.dtype)
    if output.size:
        bins = _bins(input_size, (OH, OW))
        _mean_of_bins_gradient[grad.dtype](
            shaped(grad, N * C, *bins.output), bins.rows, bins.columns, output.reshape(-1, *bins.image),
            threads_for(output.size),
        )  # fmt: skip
    return output
