"""Element-wise functions, and softmax along an axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import erf, pi

import numpy as np

__all__ = [
    "elu",
    "gelu",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "log_softmax_gradient",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_gradient",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_gradient",
    "softplus",
]

Array = np.ndarray


def relu(x: Array) -> Array:
    """max(x, 0), NaN for NaN."""
    return np.where(x <= 0, x.dtype.type(0), x)


def relu_gradient(grad: Array, y: Array) -> Array:
    """grad where relu's result y is not 0, else 0."""
    return np.where(y <= 0, y.dtype.type(0), grad)


def _computed_in_float64(function: Callable[..., Array]) -> Callable[..., Array]:
    """Compute in float64, whatever comes, and give the result in the dtype of x."""

    @wraps(function)
    def wide(x: Array, *rest: Array, **settings: float) -> Array:
        with np.errstate(over="ignore"):
            result = function(x.astype(np.float64), *(r.astype(np.float64) for r in rest), **settings)
        return np.asarray(result, x.dtype)

    return wide


@_computed_in_float64
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.minimum(np.maximum(x, 0), 6)


@_computed_in_float64
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x, or negative_slope x for x up to 0."""
    return np.where(x > 0, x, negative_slope * x)


@_computed_in_float64
def prelu(x: Array, weight: Array) -> Array:
    """x, or for x up to 0 the slope of its channel (axis 1) times x."""
    slope = weight.reshape(()) if weight.size == 1 else weight.reshape(weight.size, *[1] * (x.ndim - 2))
    return np.where(x > 0, x, slope * x)


@_computed_in_float64
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x, or alpha (exp(x) - 1) for x up to 0."""
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


@_computed_in_float64
def selu(x: Array) -> Array:
    """ELU times a scale; the two numbers come from the paper's fixed point."""
    return 1.0507009873554805 * elu(x, alpha=1.6732632423543772)


@_computed_in_float64
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


@_computed_in_float64
def logsigmoid(x: Array) -> Array:
    """log(1 / (1 + exp(-x))), with log(exp(0) + exp(-x)) as one function that does not overflow."""
    return -np.logaddexp(0, -x)


@_computed_in_float64
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, or x where beta x is above the threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


@_computed_in_float64
def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return x * sigmoid(x)


@_computed_in_float64
def mish(x: Array) -> Array:
    """x tanh(log(1 + exp(x)))."""
    return x * np.tanh(np.logaddexp(0, x))


@_computed_in_float64
def hardswish(x: Array) -> Array:
    """0 for x up to -3, x from 3 on, and x (x + 3) / 6 between."""
    return np.where(x <= -3, 0, np.where(x >= 3, x, x * (x + 3) / 6))


@_computed_in_float64
def gelu(x: Array, approximate: str = "none") -> Array:
    """x (1 + erf(x / sqrt(2))) / 2, or with tanh in place of the error function."""
    if approximate == "tanh":
        return x * (1 + np.tanh(np.sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
    return x * (1 + np.vectorize(erf, otypes=[float])(x / np.sqrt(2))) / 2


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log(sum(exp(x))) along an axis; the largest value is taken off first, so that nothing overflows."""
    if x.size == 0:
        return x.copy()
    shifted = x.astype(np.float64) - x.max(axis=axis, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))).astype(x.dtype)


def log_softmax_gradient(grad: Array, y: Array, axis: int = -1) -> Array:
    """grad - exp(y) sum(grad) along an axis, for log_softmax's result y."""
    wide = grad.astype(np.float64)
    return (wide - np.exp(y.astype(np.float64)) * wide.sum(axis=axis, keepdims=True)).astype(y.dtype)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis."""
    return np.exp(log_softmax(x.astype(np.float64), axis)).astype(x.dtype)


def softmax_gradient(grad: Array, y: Array, axis: int = -1) -> Array:
    """y (grad - sum(grad y)) along an axis, for softmax's result y."""
    wide, share = grad.astype(np.float64), y.astype(np.float64)
    return (share * (wide - (wide * share).sum(axis=axis, keepdims=True))).astype(y.dtype)
