"""Sums and extrema, softmax and its logarithm, along any axis without a transposed copy."""

from __future__ import annotations

from math import prod

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "is_reducible",
    "log_softmax",
    "log_softmax_gradient",
    "reduce",
    "softmax",
    "softmax_gradient",
]

_normalize = ByDtype(_ext.reduce, "normalize")
_reduce = ByDtype(_ext.reduce, "reduce")

_SOFTMAX, _LOG_SOFTMAX, _SOFTMAX_GRADIENT, _LOG_SOFTMAX_GRADIENT = range(4)
_KINDS = {"sum": 0, "max": 1, "min": 2}
# NumPy is as fast on fewer numbers, and on most of those that an op meets in a small model.
_FEWEST_NUMBERS = 4096


def _extents(shape: tuple[int, ...], first: int, last: int) -> tuple[int, int, int]:
    """(outer, n, inner) extents the axes from first to last."""
    return prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])


def _normalized(op: int, x: Array, y: Array | None, axis: int) -> Array:
    like = x if y is None else y
    out = new_array(like.shape, like.dtype)
    if not out.size:
        return out
    axis %= out.ndim
    extents = outer, n, inner = _extents(out.shape, axis, axis)
    threads = threads_for(out.size * 8)
    scratch = np.empty((threads, _ext.reduce.either.scratch_numbers(n, inner)), out.dtype)
    _normalize[out.dtype](op, shaped(x, *extents), shaped(like, *extents), scratch, out.reshape(extents), threads)
    return out


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis."""
    return _normalized(_SOFTMAX, x, None, axis)


def softmax_gradient(grad: Array, y: Array, axis: int = -1) -> Array:
    """y (grad - sum(grad y)) along an axis, for softmax's result y."""
    return _normalized(_SOFTMAX_GRADIENT, grad, y, axis)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log(sum(exp(x))) along an axis."""
    return _normalized(_LOG_SOFTMAX, x, None, axis)


def log_softmax_gradient(grad: Array, y: Array, axis: int = -1) -> Array:
    """grad - exp(y) sum(grad) along an axis, for log_softmax's result y."""
    return _normalized(_LOG_SOFTMAX_GRADIENT, grad, y, axis)


def is_reducible(kind: str, x: Array, axes: tuple[int, ...]) -> bool:
    """Whether `reduce` takes an array and axes, in increasing order, and is faster than NumPy.

    Axes that are no neighbours, and other memory layouts, are NumPy's: it reads every layout without a copy. So are
    extrema of contiguous rows, which it finds as fast as memory is read.
    """
    return (
        x.size >= max(_FEWEST_NUMBERS, 1)
        and x.dtype.kind == "f"
        and x.flags.c_contiguous
        and bool(axes)
        and axes[-1] - axes[0] == len(axes) - 1
        and (kind == "sum" or prod(x.shape[axes[-1] + 1 :]) > 1)
    )


def reduce(kind: str, x: Array, axes: tuple[int, ...], keepdims: bool = False, factor: Array | None = None) -> Array:
    """The "sum", "max" or "min" of an array that is not empty over neighbouring axes, NaN if a number is.

    With a factor, an array of the same shape, the sum is that of the products.
    """
    shape = x.shape
    extents = outer, n, inner = _extents(shape, axes[0], axes[-1])
    parts = np.empty((outer, _ext.reduce.either.num_parts(n, inner), inner))
    out = np.empty((outer, inner), x.dtype)
    factors = np.empty((0, 1, 1), x.dtype) if factor is None else shaped(factor, *extents)
    _reduce[x.dtype](_KINDS[kind], shaped(x, *extents), factors, parts, out, threads_for(outer * n * inner // 4))
    return out.reshape((*shape[: axes[0]], *(1,) * (len(axes) if keepdims else 0), *shape[axes[-1] + 1 :]))
