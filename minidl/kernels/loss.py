"""Softmax and cross-entropy, over rows (R, C)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import _ext
from minidl.kernels._common import NOTHING, Array, by_dtype, contiguous
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "cross_entropy",
    "cross_entropy_gradient",
    "log_softmax",
]

_log_softmax = by_dtype(_ext.loss.log_softmax)
_cross_entropy = by_dtype(_ext.loss.cross_entropy)
_cross_entropy_gradient = by_dtype(_ext.loss.cross_entropy_gradient)


def log_softmax(x: Array) -> Array:
    """x - log(sum(exp(x))) along the last axis."""
    y = new_array(x.shape, x.dtype)
    if x.size:
        rows = (-1, x.shape[-1])
        _log_softmax[x.dtype](contiguous(x).reshape(rows), y.reshape(rows), threads_for(x.size * 8))
    return y


def cross_entropy(
    x: Array, target: Array, ignore_index: int, share: Array | None = None, spread: Array | None = None
) -> tuple[Array, Array, float, int]:
    """The losses (R,) of logits (R, C) for class numbers (R,), the log-probabilities (R, C), the losses' sum, and how
    many rows are not ignored.

    A loss is -share[r] of the target's log-probability less the sum of spread (C,) times all of the row's; share is 1
    and spread 0 by default. Class weights and label smoothing are no more than these two.
    """
    log_probability, loss = new_array(x.shape, x.dtype), np.empty(x.shape[0], x.dtype)
    total, kept = 0.0, 0
    if x.size:
        total, kept = _cross_entropy[x.dtype](
            contiguous(x), target, ignore_index, *_given(x.dtype, share, spread), log_probability, loss,
            threads_for(x.size * 8),
        )  # fmt: skip
    return loss, log_probability, total, kept


def cross_entropy_gradient(
    log_probability: Array,
    target: Array,
    ignore_index: int,
    scale: Array,
    share: Array | None = None,
    spread: Array | None = None,
) -> Array:
    """((share + sum(spread)) softmax - share onehot - spread) * scale, row by row, 0 for ignored rows."""
    grad = new_array(log_probability.shape, log_probability.dtype)
    if grad.size:
        _cross_entropy_gradient[grad.dtype](
            log_probability, target, ignore_index, contiguous(scale), *_given(grad.dtype, share, spread), grad,
            threads_for(grad.size * 8),
        )  # fmt: skip
    return grad


def _given(dtype: np.dtype, *arrays: Array | None) -> tuple[Array, ...]:
    nothing: Any = NOTHING[dtype]
    return tuple([nothing if a is None else contiguous(a) for a in arrays])
