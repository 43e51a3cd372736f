"""Reductions along axes."""

from __future__ import annotations

import numpy as np

__all__ = ["reduce"]

Array = np.ndarray


def reduce(kind: str, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """The "sum", "max" or "min" over axes, NaN if a number is."""
    wide = getattr(np, kind)(x.astype(np.float64), axis=axes, keepdims=keepdims)
    return np.asarray(wide).astype(x.dtype)
