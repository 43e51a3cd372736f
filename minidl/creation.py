"""Functions that make tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import dtypes
from minidl.arguments import check_room
from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, ShapeError
from minidl.ops.shapes import size_argument
from minidl.tensor import Tensor


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a tensor with memory of its own; see `Tensor`, which shares an array's.

    Parameters
    ----------
    data : array_like
        What to copy.
    dtype : numpy dtype or str, optional
        Convert to this one.
    requires_grad : bool
        Whether gradients are to flow to it.

    Returns
    -------
    Tensor
        Without history.

    Examples
    --------
    >>> import minidl
    >>> minidl.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    source = data.data if isinstance(data, TensorBase) else data
    return Tensor(dtypes.to_array("tensor", source, dtype, copy=True), requires_grad=requires_grad)


def from_dlpack(external: Any) -> Tensor:
    """Wrap an array of another library (PyTorch, JAX, CuPy on the CPU) that speaks DLPack, sharing its memory."""
    try:
        return Tensor(np.from_dlpack(external))
    except (AttributeError, TypeError, BufferError, RuntimeError, ValueError) as error:
        raise ArgumentError(f"from_dlpack: {error}") from None


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, in the default dtype or the one given."""
    return _filled("zeros", size_argument("zeros", size), 0, dtype, requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of a shape, in the default dtype or the one given."""
    return _filled("ones", size_argument("ones", size), 1, dtype, requires_grad)


def full(size: tuple[int, ...], value: float, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value in every element of a shape, in the default dtype or the one given."""
    return _filled("full", size_argument("full", (size,)), value, dtype, requires_grad)


def _filled(op: str, size: tuple[int, ...], value: Any, dtype: Any, requires_grad: bool) -> Tensor:
    if min(size, default=0) < 0:
        raise ShapeError(f"{op}: sizes must not be negative, got {size}")
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.to_dtype(op, dtype)
    number = value.data if isinstance(value, TensorBase) else value
    filler = dtypes.to_array(op, number, kind)
    if filler.ndim:
        raise ShapeError(f"{op}: value must be a number, got one of shape {filler.shape}")
    # A number that wraps around or can't be an integer is no value of this dtype.
    if kind.kind in "iu" and filler != number:
        if not abs(float(number) - float(filler)) < 1:
            raise ArgumentError(f"{op}: value must be a number that {kind} holds, got {number!r}")
    check_room(op, size, kind.itemsize)
    return Tensor(np.full(size, filler), requires_grad=requires_grad)
