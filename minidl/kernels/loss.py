"""Cross-entropy over rows (R, C), and the squared distance."""

from __future__ import annotations

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "all_below",
    "cross_entropy",
    "cross_entropy_gradient",
    "squared_distance",
    "squared_distance_gradient",
]

_cross_entropy = ByDtype(_ext.loss, "cross_entropy")
_cross_entropy_gradient = ByDtype(_ext.loss, "cross_entropy_gradient")
_squared_distance = ByDtype(_ext.loss, "squared_distance")
_squared_distance_gradient = ByDtype(_ext.loss, "squared_distance_gradient")

# Elements of a partial sum.
_CHUNK = 2**14


def all_below(numbers: Array, limit: int) -> bool:
    """Whether all of the numbers, C-contiguous ones of 64 bits, are from 0 on and below the limit."""
    return _ext.loss.either.all_below(numbers if numbers.ndim == 1 else numbers.reshape(-1), limit)


def cross_entropy(
    x: Array,
    target: Array,
    ignore_index: int,
    share: Array | None = None,
    spread: Array | None = None,
    each: bool = True,
) -> tuple[Array | None, Array, float, int]:
    """The losses (R,) of logits (R, C) for class numbers (R,), the log-probabilities (R, C), the losses' sum, and how
    many rows are not ignored.

    A loss is -share[r] of the target's log-probability less the sum of spread (C,) times all of the row's; share is 1
    and spread 0 by default. Class weights and label smoothing are no more than these two. Both are C-contiguous, as is
    the target. Losses are None where `each` of them is not wanted.
    """
    (R, C), dtype = x.shape, x.dtype
    log_probability = new_array((R, C), dtype)
    loss = np.empty(R, dtype) if each else None
    total, kept = 0.0, 0
    if x.size:
        total, kept = _cross_entropy[dtype](
            shaped(x, R, C), target, ignore_index, share, spread, log_probability, loss, threads_for(x.size * 8)
        )
    return loss, log_probability, total, kept


def cross_entropy_gradient(
    log_probability: Array,
    target: Array,
    ignore_index: int,
    scale: Array | float,
    share: Array | None = None,
    spread: Array | None = None,
) -> Array:
    """((share + sum(spread)) softmax - share onehot - spread) * scale, row by row, 0 for ignored rows.

    The scale is a number, or an array (R,) with one for each row.
    """
    grad = new_array(log_probability.shape, log_probability.dtype)
    if grad.size:
        factor, scales = (0.0, shaped(scale, len(grad))) if isinstance(scale, np.ndarray) else (scale, None)
        _cross_entropy_gradient[grad.dtype](
            log_probability, target, ignore_index, factor, scales, share, spread, grad, threads_for(grad.size * 8)
        )
    return grad


def squared_distance(x: Array, target: Array) -> float:
    """The sum of (x - target)^2."""
    size = x.size
    if not size:
        return 0.0
    sums = np.empty(-(-size // _CHUNK))
    return _squared_distance[x.dtype](shaped(x, size), shaped(target, size), sums, threads_for(size))


def squared_distance_gradient(x: Array, target: Array, factor: float) -> Array:
    """(x - target) * factor."""
    grad = new_array(x.shape, x.dtype)
    size = grad.size
    if size:
        _squared_distance_gradient[grad.dtype](
            shaped(x, size), shaped(target, size), factor, grad.reshape(-1), threads_for(size)
        )
    return grad
