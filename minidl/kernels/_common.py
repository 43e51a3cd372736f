"""Dtypes, layouts and limits that the kernels' callers share."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from minidl import _ext
from minidl.errors import DTypeError, ShapeError

Array = np.ndarray

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# An empty array stands for one that is not given.
NOTHING = {_FLOAT32: np.empty(0, _FLOAT32), _FLOAT64: np.empty(0, _FLOAT64)}


class ByDtype(dict[np.dtype, Any]):
    """A name of a kernel's two compilations: their functions or classes, by the dtype that they take."""

    def __init__(self, kernel: _ext.Kernel, name: str) -> None:
        self._kernel, self._name = kernel, name

    def __missing__(self, dtype: np.dtype) -> Any:
        self[dtype] = found = self._find(dtype)
        return found

    def _find(self, dtype: np.dtype) -> Any:
        if dtype not in NOTHING:
            raise DTypeError(f"kernels: an array must be float32 or float64, this one has been made {dtype}")
        return getattr(self._kernel[dtype.itemsize], self._name)


class PlanByDtype(ByDtype):
    """A kernel's `Plan` of given shapes, by the dtype of its arrays; each is made when it is first used."""

    def __init__(self, kernel: _ext.Kernel, *shapes: Any) -> None:
        super().__init__(kernel, "Plan")
        self._shapes = shapes

    def _find(self, dtype: np.dtype) -> Any:
        return super()._find(dtype)(*self._shapes)


def contiguous(x: Array) -> Array:
    """The array itself if it is C-contiguous, else a copy that is."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def shaped(x: Array, *shape: int) -> Array:
    """A C-contiguous array in the shape that a kernel reads it by: the kernel knows no bounds of it.

    The shape of a user's array is the user's to change, in place and from other threads, after it has been checked.
    """
    if x.shape == shape and x.flags.c_contiguous:
        return x
    try:
        return (x if x.flags.c_contiguous else x.copy(order="C")).reshape(shape)
    except ValueError:
        raise ShapeError(
            f"kernels: an array of {prod(shape)} numbers was expected, this one has been made {x.shape}"
        ) from None


def all_contiguous(arrays: Sequence[Array | None]) -> list[Array | None]:
    """Several arrays, some of which may be missing, each C-contiguous."""
    for x in arrays:
        if x is not None and not x.flags.c_contiguous:
            return [None if x is None else contiguous(x) for x in arrays]
    return list(arrays)


def gradient_layout(shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[slice, tuple[int, ...]], ...]:
    """Places of gradients in one array, all weights' before all biases'; listed in turn, with their shapes.

    `shapes` are those of the weights, whose first axis is as long as the bias.
    """
    found = []
    start, bias_start = 0, sum(map(prod, shapes))
    for shape in shapes:
        end, bias_end = start + prod(shape), bias_start + shape[0]
        found += [(slice(start, end), shape), (slice(bias_start, bias_end), shape[:1])]
        start, bias_start = end, bias_end
    return tuple(found)


def check_blas_sizes(op: str, *sizes: int) -> None:
    """Refuse a matrix product with a dimension that BLAS's 32-bit integers don't hold."""
    if max(sizes) >= 2**31:
        raise ShapeError(f"{op}: a matrix dimension of {max(sizes)} is more than BLAS counts (2^31 - 1)")
