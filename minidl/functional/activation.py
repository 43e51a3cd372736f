"""Activations, softmax and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.errors import ArgumentError, DTypeError
from minidl.ops import activation
from minidl.ops._common import as_tensor, check_floating, normal_dim
from minidl.runtime import default_generator

__all__ = ["dropout", "log_softmax", "relu", "sigmoid", "softmax", "tanh"]


def _read(op: str, input: Any) -> Any:
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    return x


def relu(input: Any) -> Any:
    """max(input, 0), element by element; NaN stays NaN, and the gradient at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.relu(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return activation.ReLU()(_read("relu", input))


def tanh(input: Any) -> Any:
    """The hyperbolic tangent, element by element.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape, between -1 and 1.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.tanh(minidl.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    return activation.Tanh()(_read("tanh", input))


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-input)), element by element; it does not overflow.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape, between 0 and 1.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.sigmoid(minidl.tensor([-1000.0, 0.0, 1.0]))
    tensor([0.    , 0.5   , 0.7311])
    """
    return activation.Sigmoid()(_read("sigmoid", input))


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

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.softmax(minidl.tensor([1000.0, 1000.0]), dim=0)
    tensor([0.5, 0.5])
    """
    x = _read("softmax", input)
    return activation.Softmax(normal_dim("softmax", dim, x.data.ndim))(x) if x.data.ndim else x - x + 1


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

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.log_softmax(minidl.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    x = _read("log_softmax", input)
    return activation.LogSoftmax(normal_dim("log_softmax", dim, x.data.ndim))(x) if x.data.ndim else x - x


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Any:
    """Set elements to 0 with probability p, and divide the rest by 1 - p, so that the mean stays.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    p : float
        From 0 to 1.
    training : bool
        If False, `input` comes back as it is.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ArgumentError
        If p is no number from 0 to 1.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.dropout(minidl.ones(4), 0.5, generator=numpy.random.default_rng(1))
    tensor([0., 2., 2., 2.])
    """
    x = _read("dropout", input)
    check_probability("dropout", p)
    if generator is not None and not isinstance(generator, np.random.Generator):
        raise DTypeError(f"dropout: generator must be a numpy.random.Generator, got {type(generator).__name__}")
    if not training or p == 0:
        return x
    return activation.Dropout(float(p), default_generator() if generator is None else generator)(x)


def check_probability(op: str, p: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, int | float | np.floating) or not 0 <= p <= 1:
        raise ArgumentError(f"{op}: p must be a number from 0 to 1, got {p!r}")
