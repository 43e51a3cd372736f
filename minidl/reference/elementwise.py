"""The table of element-wise ops, number by number as mathematics has it; images that move."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minidl.reference import activation

__all__ = [
    "elementwise",
    "elementwise_gradient",
    "shift",
]

Array = np.ndarray


def _each(function: Callable[[float], float]) -> Callable[..., Array]:
    """A function of Python's module math, number by number; it raises where NumPy has infinities and NaN."""

    def scalar(x: float) -> float:
        try:
            return function(x)
        except (OverflowError, ValueError):
            return math.nan

    return lambda x, a, b: np.vectorize(scalar, otypes=[float])(x)


def _normal_cdf(x: Array) -> Array:
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


def _normal_density(x: Array) -> Array:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _mish_slope(x: Array) -> Array:
    t = np.tanh(np.logaddexp(0, x))
    return t + x * activation.sigmoid(x) * (1 - t * t)


def _tanh_gelu_slope(x: Array) -> Array:
    t, root = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), math.sqrt(2 / math.pi)
    return (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


def _flat(kept: Array, a: float, b: float) -> Array:
    return np.zeros(kept.shape)


# f(x) with the numbers a and b.
_VALUES: dict[str, Callable[[Array, float, float], Array]] = {
    "relu": lambda x, a, b: activation.relu(x),
    "relu6": lambda x, a, b: activation.relu6(x),
    "leaky_relu": lambda x, a, b: activation.leaky_relu(x, negative_slope=a),
    "elu": lambda x, a, b: np.where(x > 0, b * x, a * np.expm1(np.minimum(x, 0))),
    "hardswish": lambda x, a, b: activation.hardswish(x),
    "tanh": lambda x, a, b: np.tanh(x),
    "sigmoid": lambda x, a, b: activation.sigmoid(x),
    "logsigmoid": lambda x, a, b: activation.logsigmoid(x),
    "softplus": lambda x, a, b: activation.softplus(x, beta=a, threshold=b),
    "silu": lambda x, a, b: activation.silu(x),
    "mish": lambda x, a, b: activation.mish(x),
    "gelu": lambda x, a, b: x * _normal_cdf(x),
    "gelu_tanh": lambda x, a, b: activation.gelu(x, approximate="tanh"),
    "normal_cdf": lambda x, a, b: _normal_cdf(x),
    "neg": lambda x, a, b: -x,
    "abs": lambda x, a, b: np.abs(x),
    "clip": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "hardtanh": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "deviation": lambda x, a, b: np.sqrt(x),
    "square": lambda x, a, b: x**2,
    "cube": lambda x, a, b: x**3,
    "rsqrt": lambda x, a, b: 1 / np.sqrt(x),
    "reciprocal": lambda x, a, b: 1 / x,
    "exp": lambda x, a, b: np.exp(x),
    "exp2": lambda x, a, b: np.exp2(x),
    "expm1": lambda x, a, b: np.expm1(x),
    "log": lambda x, a, b: np.log(x),
    "log2": lambda x, a, b: np.log2(x),
    "log10": lambda x, a, b: np.log10(x),
    "log1p": lambda x, a, b: np.log1p(x),
    "erf": _each(math.erf),
    "sin": lambda x, a, b: np.sin(x),
    "cos": lambda x, a, b: np.cos(x),
    "tan": lambda x, a, b: np.tan(x),
    "floor": lambda x, a, b: np.floor(x),
    "ceil": lambda x, a, b: np.ceil(x),
    "round": lambda x, a, b: np.round(x),
    "trunc": lambda x, a, b: np.trunc(x),
    "threshold": lambda x, a, b: np.where(x >= a, b, 0),
    "sign": lambda x, a, b: np.subtract(x > 0, x < 0, dtype=float),
    "huber": lambda x, a, b: np.where(np.abs(x) <= a, x**2 / 2, a * (np.abs(x) - a / 2)),
    "smooth_l1": lambda x, a, b: np.where(np.abs(x) <= a, x**2 / (2 * a), np.abs(x) - a / 2),
}

# dy/dx from what is kept, x or the result.
_SLOPES: dict[str, Callable[[Array, float, float], Array]] = {
    "relu": lambda y, a, b: 1.0 * (y > 0),
    "relu6": lambda x, a, b: 1.0 * ((x > 0) & (x < 6)),
    "leaky_relu": lambda x, a, b: np.where(x > 0, 1, a),
    "elu": lambda x, a, b: np.where(x > 0, b, a * np.exp(np.minimum(x, 0))),
    "hardswish": lambda x, a, b: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    "tanh": lambda y, a, b: 1 - y * y,
    "sigmoid": lambda y, a, b: y * (1 - y),
    "logsigmoid": lambda x, a, b: activation.sigmoid(-x),
    "softplus": lambda x, a, b: np.where(a * x > b, 1, activation.sigmoid(a * x)),
    "silu": lambda x, a, b: activation.sigmoid(x) * (1 + x * activation.sigmoid(-x)),
    "mish": lambda x, a, b: _mish_slope(x),
    "gelu": lambda x, a, b: _normal_cdf(x) + x * _normal_density(x),
    "gelu_tanh": lambda x, a, b: _tanh_gelu_slope(x),
    "normal_cdf": lambda x, a, b: _normal_density(x),
    "neg": lambda x, a, b: np.full(x.shape, -1.0),
    "abs": lambda x, a, b: np.sign(x),
    "clip": lambda x, a, b: 1.0 * ((x >= a) & (x <= b)),
    "hardtanh": lambda x, a, b: 1.0 * ((x > a) & (x < b)),
    "sqrt": lambda y, a, b: 1 / (2 * y),
    "deviation": lambda y, a, b: np.where(y == 0, 0, 1 / (2 * np.where(y == 0, 1, y))),
    "square": lambda x, a, b: 2 * x,
    "cube": lambda x, a, b: 3 * x**2,
    "rsqrt": lambda y, a, b: -(y**3) / 2,
    "reciprocal": lambda y, a, b: -y * y,
    "exp": lambda y, a, b: y,
    "exp2": lambda y, a, b: y * math.log(2),
    "expm1": lambda y, a, b: y + 1,
    "log": lambda x, a, b: 1 / x,
    "log2": lambda x, a, b: 1 / (x * math.log(2)),
    "log10": lambda x, a, b: 1 / (x * math.log(10)),
    "log1p": lambda x, a, b: 1 / (1 + x),
    "erf": lambda x, a, b: 2 / math.sqrt(math.pi) * np.exp(-x * x),
    "sin": lambda x, a, b: np.cos(x),
    "cos": lambda x, a, b: -np.sin(x),
    "tan": lambda x, a, b: 1 / np.cos(x) ** 2,
    "floor": _flat,
    "ceil": _flat,
    "round": _flat,
    "trunc": _flat,
    "threshold": _flat,
    "sign": _flat,
    "huber": lambda x, a, b: np.minimum(np.maximum(x, -a), a),
    "smooth_l1": lambda x, a, b: np.minimum(np.maximum(x / a, -1), 1),
}


def elementwise(name: str, x: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """f(x) for the f of a row of the table, with its numbers a and b."""
    with np.errstate(all="ignore"):
        return np.asarray(_VALUES[name](x.astype(np.float64), a, b), x.dtype)


def elementwise_gradient(name: str, grad: Array, kept: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """The gradient of x from that of the result and from what the row keeps: x or the result."""
    with np.errstate(all="ignore"):
        return np.asarray(grad.astype(np.float64) * _SLOPES[name](kept.astype(np.float64), a, b), kept.dtype)


def shift(images: Array, down: Array, right: Array) -> Array:
    """Images (N, C, H, W), each moved by so many pixels (N,), zeros entering."""
    moved = np.zeros(images.shape, images.dtype)
    for n, c, h, w in np.ndindex(images.shape):
        new_h, new_w = h + down[n], w + right[n]
        if 0 <= new_h < images.shape[2] and 0 <= new_w < images.shape[3]:
            moved[n, c, new_h, new_w] = images[n, c, h, w]
    return moved
