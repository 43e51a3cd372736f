"""Matrix products and sums."""

from __future__ import annotations

import numpy as np

__all__ = [
    "channel_sum",
    "linear",
    "matmul",
]

Array = np.ndarray


def matmul(a: Array, b: Array, bias: Array | None = None) -> Array:
    """c[..., m, n] = bias[n] + the sum over k of a[..., m, k] b[..., k, n]."""
    c = np.einsum("...mk,...kn->...mn", a.astype(np.float64), b.astype(np.float64))
    return (c if bias is None else c + bias.astype(np.float64)).astype(a.dtype)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x weight^T + bias."""
    return matmul(x, weight.T, bias)


def channel_sum(x: Array) -> Array:
    """The sum of (N, C, ...) over all axes but the second."""
    return x.astype(np.float64).sum(axis=(0, *range(2, x.ndim))).astype(x.dtype)
