"""Losses and their gradients."""

from __future__ import annotations

import numpy as np

from minidl.reference.activation import log_softmax

__all__ = [
    "cross_entropy",
    "cross_entropy_gradient",
]

Array = np.ndarray


def cross_entropy(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """The losses -log(softmax(x))[target], 0 for ignored rows, and log(softmax(x))."""
    log_probability = log_softmax(x)
    loss = np.zeros(x.shape[0], x.dtype)
    for row, label in enumerate(target):
        if label != ignore_index:
            loss[row] = -log_probability[row, label]
    return loss, log_probability


def cross_entropy_gradient(log_probability: Array, target: Array, ignore_index: int, scale: Array) -> Array:
    """(softmax - onehot) * scale, row by row, 0 for ignored rows."""
    grad = np.zeros(log_probability.shape)
    for row, label in enumerate(target):
        if label != ignore_index:
            grad[row] = np.exp(log_probability[row].astype(np.float64))
            grad[row, label] -= 1
            grad[row] *= scale[row]
    return grad.astype(log_probability.dtype)
