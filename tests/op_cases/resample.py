"""Interpolation."""

from __future__ import annotations

from typing import Any

import minidl.functional as F
from minidl import reference
from op_cases._case import *


def _each(value: Any, count: int) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * count


def _interpolate(
    x: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Array:  # fmt: skip
    before, count = x.shape[2:], x.ndim - 2
    factors = None if scale_factor is None else _each(scale_factor, count)
    after = _each(size, count) if factors is None else tuple(int(n * f) for n, f in zip(before, factors, strict=True))
    if mode != "nearest":
        # An axis whose size stays is copied.
        factors = factors and tuple(1.0 if n == m else f for n, m, f in zip(before, after, factors, strict=True))
    if align_corners:
        scales = [(n - 1) / (m - 1) if m > 1 else 0.0 for n, m in zip(before, after, strict=True)]
    elif factors is not None and not recompute_scale_factor:
        scales = [1 / f for f in factors]
    else:
        scales = [n / m for n, m in zip(before, after, strict=True)]
    return reference.interpolate(x, after, mode, tuple(scales), bool(align_corners))


REFERENCES[F.interpolate] = _interpolate


def rows() -> list[Case]:
    """Of the family."""
    x, signal = normal(2, 2, 3, 4), normal(2, 3, 5)
    sizes: list[dict[str, Any]] = [
        {"size": (5, 7)}, {"size": [6, 8]}, {"size": 2}, {"size": (1, 1)}, {"size": (3, 4)}, {"size": (7, 2)},
        {"scale_factor": 2}, {"scale_factor": (1.5, 2.3)}, {"scale_factor": (0.5, 3)}, {"scale_factor": (1.9, 1.3)},
        {"scale_factor": (1.7, 0.6), "recompute_scale_factor": True},
        {"scale_factor": (1.7, 0.6), "recompute_scale_factor": False},
    ]  # fmt: skip
    lengths: list[dict[str, Any]] = [{"size": 8}, {"size": (3,)}, {"scale_factor": 2.5}, {"scale_factor": [0.5]}]
    modes: list[dict[str, Any]] = [
        {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}, {"mode": "bilinear", "align_corners": False}
    ]  # fmt: skip
    table = [row(F.interpolate, [x], size, batched=(0,)) for size in sizes]
    table += [row(F.interpolate, [x], {**size, **mode}, batched=(0,)) for mode in modes[:2] for size in sizes]
    table += [row(F.interpolate, [signal], size, batched=(0,)) for size in lengths]
    for align_corners in (None, True, False):
        how = {"mode": "linear", "align_corners": align_corners}
        table += [row(F.interpolate, [signal], {**size, **how}, batched=(0,)) for size in lengths]
    return [
        *table,
        row(F.interpolate, [x], {"size": (5, 7), **modes[2]}, batched=(0,)),
        row(F.interpolate, [normal(1, 1, 1, 1)], {"size": (3, 2)}, batched=(0,)),
        row(F.interpolate, [normal(1, 1, 1, 1)], {"size": (3, 2), **modes[0]}, batched=(0,)),
        row(F.interpolate, [normal(1, 1, 1, 1)], {"size": (3, 2), **modes[1]}, batched=(0,)),
        row(F.interpolate, [normal(2, 3, 20, 30)], {"scale_factor": 2, **modes[0]}, numeric=False),
        row(F.interpolate, [normal(2, 3, 20, 30)], {"size": (9, 50)}, numeric=False),
    ]
