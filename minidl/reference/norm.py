"""Normalising by mean and variance, and its gradient by the formula."""

from __future__ import annotations

import numpy as np

__all__ = ["normalise", "normalise_gradient"]

Array = np.ndarray

# A mean is over these axes of (A, R, G, K, S), and weight and bias are the same along those.
SHARED = (0, 3, 4)
REPEATED = (0, 1, 4)


def _spread(statistic: Array, x: Array) -> Array:
    """(R G) as (1, R, G, 1, 1)."""
    return statistic.reshape(1, x.shape[1], x.shape[2], 1, 1)


def normalise(
    x: Array, weight: Array | None, bias: Array | None, eps: float, mean: Array | None, variance: Array | None
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) weight + bias; and mean and variance (R G), those of x if not given."""
    wide = x.astype(np.float64)
    if mean is None or variance is None:
        count = x.shape[0] * x.shape[3] * x.shape[4] or np.nan
        mean = (wide.sum(SHARED) / count).reshape(-1)
        variance = (((wide - _spread(mean, x)) ** 2).sum(SHARED) / count).reshape(-1)
    y = (wide - _spread(mean, x)) / np.sqrt(_spread(variance, x) + eps)
    if weight is not None:
        y = y * weight.astype(np.float64)[:, :, None]
    if bias is not None:
        y = y + bias.astype(np.float64)[:, :, None]
    return y.astype(x.dtype), mean, variance


def normalise_gradient(
    grad: Array, x: Array, weight: Array | None, eps: float, mean: Array, variance: Array, is_given: bool,
    needs: tuple[bool, ...],
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """The gradients of x, weight and bias; statistics that were given are constants.

    With x' the normalised x and h = grad weight, that of x is (h - mean(h) - x' mean(h x')) / sqrt(variance + eps),
    or h / sqrt(variance + eps) with constant statistics.
    """
    deviation = np.sqrt(_spread(variance, x) + eps)
    grad, standard = grad.astype(np.float64), (x.astype(np.float64) - _spread(mean, x)) / deviation
    h = grad if weight is None else grad * weight.astype(np.float64)[:, :, None]
    if not is_given and x.size:
        h = h - h.mean(SHARED, keepdims=True) - standard * (h * standard).mean(SHARED, keepdims=True)
    return (
        (h / deviation).astype(x.dtype) if needs[0] else None,
        (grad * standard).sum(REPEATED).astype(x.dtype) if needs[1] else None,
        grad.sum(REPEATED).astype(x.dtype) if needs[2] else None,
    )
