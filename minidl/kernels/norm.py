"""Normalising by mean and variance. Images are (A, R, G, K, S), with statistics over A, K and S for each of R and G.

Weight and bias are (G, K). So batch normalisation is A = N, G = C, S = positions, and R = K = 1; layer normalisation
R = rows, K = features, and A = G = S = 1.
"""

from __future__ import annotations

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, shaped
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = ["normalise", "normalise_gradient"]

_normalise = ByDtype(_ext.norm, "normalise")
_normalise_gradient = ByDtype(_ext.norm, "normalise_gradient")

# The gradients of weight and bias are partial sums over chunks of the rows: 16 where these fit, else at least 4.
_CHUNKS, _FEW_CHUNKS = 16, 4
_BYTES_FOR_CHUNKS = 16 * 1024**2


def _parameters(weight: Array | None, bias: Array | None, shape: tuple[int, int], dtype: np.dtype) -> tuple:
    """Both or none of them, since the kernel knows no other case."""
    if weight is None and bias is None:
        return (np.empty((0, 1), dtype),) * 2
    return (
        np.ones(shape, dtype) if weight is None else shaped(weight, *shape),
        np.zeros(shape, dtype) if bias is None else shaped(bias, *shape),
    )


def _chunks(rows: int, parameters: int) -> int:
    """Count the partial sums, of two double numbers a parameter."""
    fitting = _BYTES_FOR_CHUNKS // max(16 * parameters, 1)
    return max(min(rows, _CHUNKS, max(fitting, _FEW_CHUNKS)), 1)


def normalise(
    x: Array, weight: Array | None, bias: Array | None, eps: float, mean: Array | None, variance: Array | None
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) weight + bias; and mean and variance (R G), those of x if not given.

    Both are float64. The mean of nothing is NaN.
    """
    A, R, G, K, S = x.shape
    rows = (A, R * G, K * S)
    is_given = mean is not None and variance is not None
    means = np.full(R * G, np.nan) if mean is None else mean
    variances = np.full(R * G, np.nan) if variance is None else variance
    y = new_array(x.shape, x.dtype)
    if x.size:
        _normalise[x.dtype](
            shaped(x, *rows), *_parameters(weight, bias, (G, K), x.dtype), eps, is_given, means, variances,
            y.reshape(rows), threads_for(x.size * 2),
        )  # fmt: skip
    return y, means, variances


def normalise_gradient(
    grad: Array, x: Array, weight: Array | None, eps: float, mean: Array, variance: Array, is_given: bool,
    needs: tuple[bool, ...],
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """The gradients of x, weight and bias, as far as they are needed; statistics that were given are constants."""
    A, R, G, K, S = x.shape
    rows = (A, R * G, K * S)
    if weight is None and (needs[1] or needs[2]):
        # With weights the kernel sums run by run.
        weight = np.ones((G, K), x.dtype)
    runs = 1 if weight is None else K
    chunks = _chunks(R, G * runs)
    sums, products = np.zeros((chunks, G, runs)), np.zeros((chunks, G, runs))
    grad_x = new_array(x.shape if needs[0] else (0, 1, 1), x.dtype)
    if x.size:
        _normalise_gradient[x.dtype](
            shaped(grad, *rows), shaped(x, *rows), _parameters(weight, None, (G, K), x.dtype)[0], eps,
            is_given, mean, variance, grad_x.reshape(rows) if needs[0] else grad_x, sums, products,
            threads_for(x.size * 3),
        )  # fmt: skip
    return (
        grad_x if needs[0] else None,
        products.sum(axis=0).astype(x.dtype) if needs[1] else None,
        sums.sum(axis=0).astype(x.dtype) if needs[2] else None,
    )
