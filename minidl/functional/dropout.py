"""Dropout of elements and of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.arguments import check_generator
from minidl.errors import ArgumentError, ShapeError, check_flag, warn
from minidl.functional.activation import apply_in_place, read_floating
from minidl.ops import activation
from minidl.runtime import default_generator

__all__ = ["dropout", "dropout2d"]


def dropout(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Set elements to 0 with probability p, and divide the rest by 1 - p, so that the mean stays.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    p : float
        From 0 to 1.
    training : bool
        If False, `input` comes back as it is.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.
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
    if inplace is not False:
        return apply_in_place("dropout", inplace, dropout, input, p, training, generator=generator)
    return _drop("dropout", read_floating("dropout", input), p, training, generator, None)


def dropout2d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Set whole channels of each sample to 0 with probability p, and divide the rest by 1 - p.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (N, C, L)
        Float32 or float64. Other shapes (N, C, ...) with at least 2 dimensions work too, with a warning: of (N, C),
        single elements are dropped.
    p : float
        From 0 to 1.
    training : bool
        If False, `input` comes back as it is.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.
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
    ShapeError
        If input has fewer than 2 dimensions.

    Warns
    -----
    UserWarning
        If input has neither 3 nor 4 dimensions.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Examples
    --------
    >>> import numpy
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.dropout2d(minidl.ones(1, 2, 2, 2), 0.5, generator=numpy.random.default_rng(1))
    tensor([[[[0., 0.],
              [0., 0.]],
             [[2., 2.],
              [2., 2.]]]])
    """
    if inplace is not False:
        return apply_in_place("dropout2d", inplace, dropout2d, input, p, training, generator=generator)
    x = read_floating("dropout2d", input)
    if x.data.ndim not in (3, 4):
        wanted = f"4 dimensions (N, C, H, W) or 3 (N, C, L), got {x.data.ndim}: {x.data.shape}"
        if x.data.ndim < 2:
            raise ShapeError(f"dropout2d: input must have {wanted}")
        what = "single elements are dropped; dropout() says so" if x.data.ndim == 2 else "whole channels are dropped"
        warn(f"dropout2d: input should have {wanted}; {what}")
    return _drop("dropout2d", x, p, training, generator, 2)


def _drop(op: str, x: Any, p: Any, training: bool, generator: Any, shared_dims: int | None) -> Any:
    check_probability(op, p)
    check_generator(op, generator)
    check_flag(op, "training", training)
    if not training or p == 0:
        return x
    return activation.Dropout(float(p), default_generator() if generator is None else generator, shared_dims)(x)


def check_probability(op: str, p: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, int | float | np.floating) or not 0 <= p <= 1:
        raise ArgumentError(f"{op}: p must be a number from 0 to 1, got {p!r}")
