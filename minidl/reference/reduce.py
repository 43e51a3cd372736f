"""Reductions along axes."""

from __future__ import annotations

import numpy as np

__all__ = ["reduce"]

Array = np.ndarray


def reduce(kind: str, x: Array, axes: tuple[int, ...], keepdims: bool = False, factor: Array | None = None) -> Array:
    """The "sum", "max" or "min" over axes, NaN if a number is; with a factor, the sum of the products."""
    wide = x.astype(np.float64) if factor is None else x.astype(np.float64) * factor
    return np.asarray(getattr(np, kind)(wide, axis=axes, keepdims=keepdims)).astype(x.dtype)
