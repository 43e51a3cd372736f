"""Element-wise functions, and softmax along the last axis."""

from __future__ import annotations

import numpy as np

__all__ = [
    "log_softmax",
    "relu",
    "relu_gradient",
    "softmax",
]

Array = np.ndarray


def relu(x: Array) -> Array:
    """max(x, 0), NaN for NaN."""
    return np.where(x <= 0, x.dtype.type(0), x)


def relu_gradient(grad: Array, y: Array) -> Array:
    """grad where relu's result y is not 0, else 0."""
    return np.where(y <= 0, y.dtype.type(0), grad)


def log_softmax(x: Array) -> Array:
    """x - log(sum(exp(x))) along the last axis; the largest value is taken off first, so that nothing overflows."""
    if x.size == 0:
        return x.copy()
    shifted = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(x.dtype)


def softmax(x: Array) -> Array:
    """exp(x) / sum(exp(x)) along the last axis."""
    return np.exp(log_softmax(x.astype(np.float64))).astype(x.dtype)
