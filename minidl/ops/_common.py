"""The families of ops share these readers and checks of operands, dimensions and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from minidl.arguments import check_choice, is_int, read_number
from minidl.autograd import TensorBase, wrap
from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError

__all__ = [
    "as_tensor",
    "broadcast_shape",
    "check_broadcast",
    "check_choice",
    "check_floating",
    "check_same_dtype",
    "normal_dim",
    "normal_dims",
    "read_number",
    "rounded",
]

Array = np.ndarray

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def as_tensor(op: str, name: str, value: Any) -> Any:
    """A tensor as it is; an array, list or number as a tensor without history."""
    if isinstance(value, TensorBase):
        return value
    if value is None or isinstance(value, str | dict | set):
        raise DTypeError(f"{op}: {name} must be a tensor or an array, got {type(value).__name__}")
    return wrap(to_array(op, value))


def rounded(value: float, dtype: np.dtype) -> Array:
    """A Python float as an array without dimensions; one that `dtype` can't hold is infinite, without a warning."""
    if _LARGEST_FLOAT32 < abs(value) < inf:
        with np.errstate(over="ignore"):
            return np.asarray(value, dtype)
    return np.asarray(value, dtype)


def check_broadcast(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Refuse shapes that don't broadcast, naming the axis."""
    for axis in range(1, min(len(a), len(b)) + 1):
        if a[-axis] != b[-axis] and 1 not in (a[-axis], b[-axis]):
            raise ShapeError(
                f"{op}: input of shape {a} and other of shape {b} don't broadcast: axis -{axis} has {a[-axis]} and "
                f"{b[-axis]} entries"
            )


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Find what shapes broadcast to, or None; NumPy's function for it takes no more than 32 dimensions."""
    result = [1] * max(map(len, shapes))
    for shape in shapes:
        for axis in range(1, len(shape) + 1):
            if result[-axis] == 1:
                result[-axis] = shape[-axis]
            elif shape[-axis] not in (1, result[-axis]):
                return None
    return tuple(result)


def normal_dims(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """One, several or (None) all dimensions as non-negative numbers."""
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(dim) if isinstance(dim, Sequence) and not isinstance(dim, str) else (dim,)
    out = []
    for d in dims:
        if not is_int(d):
            raise ArgumentError(f"{op}: dim must be an int or several, got {dim!r}")
        if not -max(ndim, 1) <= d < max(ndim, 1):
            raise OutOfRangeError(f"{op}: dim {d} is out of range for a tensor of {ndim} dimensions")
        out.append(int(d) % max(ndim, 1))
    if len(set(out)) != len(out):
        raise ArgumentError(f"{op}: dim {dim!r} names a dimension twice")
    return tuple(out) if ndim else ()


def normal_dim(op: str, dim: int, ndim: int) -> int:
    """One dimension as a non-negative number."""
    if not isinstance(dim, int | np.integer):
        raise ArgumentError(f"{op}: dim must be an int, got {dim!r}")
    return (normal_dims(op, dim, ndim) or (0,))[0]


def check_floating(op: str, name: str, x: Any) -> None:
    """Refuse integers and booleans."""
    if x._data.dtype.kind != "f":
        raise DTypeError(f"{op}: {name} must be float32 or float64, got {x.data.dtype}")


def check_same_dtype(op: str, **tensors: Any) -> None:
    """Refuse to mix float32 and float64, and anything that isn't one of them."""
    first = None
    for name, x in tensors.items():
        if x is None:
            continue
        check_floating(op, name, x)
        if first is None:
            first = name, x.data.dtype
        elif x.data.dtype != first[1]:
            raise DTypeError(f"{op}: {first[0]} is {first[1]} and {name} is {x.data.dtype}; convert one with astype()")
