"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from minidl.functional.activation import read_floating
from minidl.ops import activation
from minidl.ops._common import normal_dim

__all__ = ["log_softmax", "softmax"]


def softmax(input: Any, dim: int) -> Any:
    """exp(input) / sum(exp(input)) along a dimension.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    dim : int
        Along which the results sum to 1.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    OutOfRangeError
        If input has no such dimension.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.softmax(minidl.tensor([1000.0, 1000.0]), dim=0)
    tensor([0.5, 0.5])
    """
    x = read_floating("softmax", input)
    axis = normal_dim("softmax", dim, x.data.ndim)
    return activation.Softmax(axis)(x) if x.data.ndim else x - x + 1


def log_softmax(input: Any, dim: int) -> Any:
    """The logarithm of `softmax`, without taking the logarithm of something small.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    dim : int
        Along which exp of the results sums to 1.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    OutOfRangeError
        If input has no such dimension.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.log_softmax(minidl.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    x = read_floating("log_softmax", input)
    axis = normal_dim("log_softmax", dim, x.data.ndim)
    return activation.LogSoftmax(axis)(x) if x.data.ndim else x - x
