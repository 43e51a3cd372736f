"""Initial values, written to a tensor in place."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from minidl.errors import ShapeError
from minidl.runtime import default_generator


def uniform_(tensor: Any, low: float = 0.0, high: float = 1.0, generator: np.random.Generator | None = None) -> Any:
    """Draw every element evenly from [low, high).

    Parameters
    ----------
    tensor : Tensor
        Is filled, and returned.
    low, high : float
        The limits.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.nn.init.uniform_(minidl.zeros(100), -1, 1)
    >>> bool((x.abs() <= 1).all())
    True
    """
    source = default_generator() if generator is None else generator
    # Drawn in float64 whatever the dtype, so that a seed means the same in both.
    tensor.data[...] = source.uniform(low, high, tensor.data.shape)
    tensor._version[0] += 1
    return tensor


def fan_in_of(shape: tuple[int, ...]) -> int:
    """The number of inputs that an output of a dense or convolution weight sums over.

    Raises
    ------
    ShapeError
        If the weight has fewer than 2 dimensions.
    """
    if len(shape) < 2:
        raise ShapeError(f"init: a weight of shape {shape} has no fan; at least 2 dimensions are needed")
    return prod(shape[1:])


def kaiming_uniform_(tensor: Any, a: float = 0.0, generator: np.random.Generator | None = None) -> Any:
    """Draw a weight evenly from (-b, b) with b = sqrt(6 / ((1 + a^2) fan_in)), for leaky ReLU of slope `a`.

    Parameters
    ----------
    tensor : Tensor (out, in, ...)
        Is filled, and returned.
    a : float
        The slope below 0; sqrt(5) gives the bounds 1 / sqrt(fan_in) that PyTorch's layers start from.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Returns
    -------
    Tensor
        The tensor itself.

    Raises
    ------
    ShapeError
        If the tensor has fewer than 2 dimensions.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, equation 14 and the text below it.

    Examples
    --------
    >>> import minidl
    >>> weight = minidl.nn.init.kaiming_uniform_(minidl.zeros(8, 6))
    >>> bool((weight.abs() <= 1).all())
    True
    """
    bound = sqrt(6 / ((1 + a**2) * max(fan_in_of(tensor.data.shape), 1)))
    return uniform_(tensor, -bound, bound, generator)
