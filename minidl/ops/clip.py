"""Limits, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.arguments import is_finite_number, is_int
from minidl.dtypes import INT64
from minidl.errors import ArgumentError
from minidl.ops._common import as_tensor, rounded
from minidl.ops.arithmetic import Gate
from minidl.ops.casting import cast, floating


class Clip(Gate):
    """x limited to [low, high]; the gradient is 1 inside, limits included, and 0 outside."""

    row = "clip"

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high
        self.a, self.b = -np.inf if low is None else low, np.inf if high is None else high

    def forward(self, x):
        if self.a != self.a or self.b != self.b:
            # NaN makes NaN of all, although it does not limit.
            self.save(x)
            return np.full(x.shape, np.nan, x.dtype)
        return super().forward(x)

    def integer_forward(self, x):
        return np.asarray(np.clip(x, self.low, self.high))

    def passes(self, x):
        return (x >= self.a) & (x <= self.b)


def clip(input: Any, min: float | None = None, max: float | None = None) -> Any:
    """`input` limited to [min, max]; None leaves a side open."""
    x = as_tensor("clip", "input", input)
    for name, limit in (("min", min), ("max", max)):
        # Infinities leave a side open, and NaN makes NaN of all.
        if limit is not None and not is_finite_number(limit) and not isinstance(limit, float | np.floating):
            raise ArgumentError(f"clip: {name} must be a number or None, got {limit!r}")
    if min is None and max is None:
        return x
    # As numbers of Python's, which leave the dtype alone.
    low: Any
    high: Any
    low, high = (None if v is None else int(v) if is_int(v) else float(v) for v in (min, max))
    if x.data.dtype.kind != "f" and any(isinstance(v, float) for v in (low, high)):
        x = floating("clip", x)
    if x.data.dtype.kind == "b":
        x = cast(x, INT64)
    if x.data.dtype.kind in "iu":
        low, high = _integer_limits(x.data.dtype, low, high)
    if x.data.dtype.kind == "f":
        low, high = (None if v is None else rounded(v, x.data.dtype) for v in (low, high))
    return Clip(low, high)(x)


def _integer_limits(dtype: np.dtype, low: Any, high: Any) -> tuple[Any, Any]:
    """Limits as numbers that the dtype holds; refused where all results would be a number that it doesn't."""
    smallest, largest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    low_is_held, high_is_held = low is None or low <= largest, high is None or high >= smallest
    for name, limit, is_held in (("min", low, low_is_held), ("max", high, high_is_held)):
        if not is_held:
            raise ArgumentError(f"clip: {name} must be a number that {dtype} holds, got {limit}; use astype()")
    return None if low is None else max(low, smallest), None if high is None else min(high, largest)
