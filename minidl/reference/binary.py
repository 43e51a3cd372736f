"""Element-wise ops of two inputs, number by number."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["binary"]

Array = np.ndarray


def _extreme(x: float, y: float, sign: int) -> float:
    if math.isnan(x) or math.isnan(y):
        return math.nan
    return max(x, y) if sign > 0 else min(x, y)


def _share(grad: float, mine: float, others: float, sign: int) -> float:
    """The winner's gradient, half of it for both of equal ones, and beside NaN all of it for both."""
    if math.isnan(mine) or math.isnan(others) or sign * mine > sign * others:
        return grad
    return grad / 2 if mine == others else 0.0


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _log1p_exp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _power(x: float, y: float) -> float:
    """NaN for powers that are no real numbers, infinite for those that are too large."""
    try:
        return math.pow(x, y)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if x == 0 else math.nan


def _power_slope(x: float, y: float, grad: float) -> float:
    return 0.0 if y == 0 else grad * y * _power(x, y - 1)


def _exponent_slope(x: float, y: float, grad: float) -> float:
    if x == 0 and y >= 0:
        return 0.0
    return math.nan if x < 0 else grad * _power(x, y) * math.log(x)


_ROWS = {
    "add": lambda x, y, grad: x + y,
    "sub": lambda x, y, grad: x - y,
    "mul": lambda x, y, grad: x * y,
    "div": lambda x, y, grad: x / y,
    "maximum": lambda x, y, grad: _extreme(x, y, 1),
    "minimum": lambda x, y, grad: _extreme(x, y, -1),
    "div_other": lambda x, y, grad: -grad * x / y**2,
    "maximum_input": lambda x, y, grad: _share(grad, x, y, 1),
    "maximum_other": lambda x, y, grad: _share(grad, y, x, 1),
    "minimum_input": lambda x, y, grad: _share(grad, x, y, -1),
    "minimum_other": lambda x, y, grad: _share(grad, y, x, -1),
    "pow": lambda x, y, grad: _power(x, y),
    "pow_input": lambda x, y, grad: _power_slope(x, y, grad),
    "pow_other": lambda x, y, grad: _exponent_slope(x, y, grad),
    "equal": lambda x, y, grad: float(x == y),
    "same": lambda x, y, grad: float(x == y or (math.isnan(x) and math.isnan(y))),
    "chosen": lambda x, y, grad: 0.0 if x == 0 else y,
    "cross_entropy": lambda x, y, grad: -y * max(_log(x), -100) - (1 - y) * max(_log(1 - x), -100),
    "cross_entropy_input": lambda x, y, grad: grad * (x - y) / max(x * (1 - x), 1e-12),
    "cross_entropy_other": lambda x, y, grad: grad * (_log(1 - x) - _log(x)),
    "logit_cross_entropy": lambda x, y, grad: y * _log1p_exp(-x) + (1 - y) * _log1p_exp(x),
    "logit_cross_entropy_input": lambda x, y, grad: grad * (1 / (1 + math.exp(-x)) - y),
    "logit_cross_entropy_other": lambda x, y, grad: -grad * x,
    "prelu": lambda x, y, grad: x if x > 0 else y * x,
    "prelu_input": lambda x, y, grad: grad if x > 0 else grad * y,
    "prelu_other": lambda x, y, grad: 0.0 if x > 0 else grad * x,
}


def binary(name: str, x: Array, y: Array, grad: Array | None = None) -> Array:
    """A row of the table for two inputs that broadcast, and for gradients the gradient of the result."""
    wide_x, wide_y = np.broadcast_arrays(x.astype(np.float64), y.astype(np.float64))
    wide_grad = np.zeros(wide_x.shape) if grad is None else grad.astype(np.float64)
    return np.vectorize(_ROWS[name], otypes=[float])(wide_x, wide_y, wide_grad).astype(x.dtype)
