"""What rows of bad input are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Row", "ones"]

# A name (that of the function or layer, then what is wrong), the call, the error, and a pattern for its message.
Row = tuple[str, Callable[[], Any], type[Exception], str]


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    """An array of ones."""
    return np.ones(shape, dtype)
