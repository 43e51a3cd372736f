"""Limits on gradients."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite, isnan
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, wrap
from minidl.backward import tensors_of
from minidl.errors import ArgumentError, GraphError, check_flag
from minidl.ops._common import rounded

Array = np.ndarray


def clip_grad_norm_(
    parameters: TensorBase | Iterable[TensorBase],
    max_norm: float,
    norm_type: float | str = 2.0,
    error_if_nonfinite: bool = False,
) -> Any:
    """Scale the gradients of all parameters together so that their norm is at most max_norm.

    The norm is that of the vector of the norms of all gradients, as in PyTorch. (With `norm_type` 0 that is how many
    gradients are not all 0; otherwise it is that of one vector of all their elements.)

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        The limit.
    norm_type : float or str
        The order of the norm; inf, or "inf", for the largest absolute value, -inf for the smallest.
    error_if_nonfinite : bool
        Raise where the norm is infinite or NaN, instead of scaling by it: with an infinite norm finite gradients become
        0 and infinite ones NaN, with NaN all become NaN.

    Returns
    -------
    Tensor ()
        The norm before.

    Raises
    ------
    ArgumentError
        If max_norm is no number of at least 0, norm_type none at all, or for a norm that is not finite, if asked for.
    DTypeError
        If one of parameters is no tensor.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([3.0, 4.0])
    >>> (p * p / 2).sum().backward()
    >>> minidl.optim.clip_grad_norm_(p, 1.0)
    tensor(5.)
    >>> p.grad
    tensor([0.6, 0.8])
    """
    op = "clip_grad_norm_"
    limit, order = _read(op, "max_norm", max_norm, low=0), _read(op, "norm_type", norm_type)
    check_flag(op, "error_if_nonfinite", error_if_nonfinite)
    grads = _gradients(op, parameters)
    if not grads:
        return wrap(np.zeros((), np.float32))
    # Infinities and NaN are results like any other here, as in PyTorch.
    with np.errstate(all="ignore"):
        norm = float(_norm(np.array([_norm(g.data.astype(np.float64), order) for g in grads]), order))
        if error_if_nonfinite and not isfinite(norm):
            raise ArgumentError(f"{op}: the norm of the gradients is {norm}")
        # NumPy's division and minimum, by which inf / inf and whatever is made of NaN is NaN.
        factor = np.minimum(np.float64(limit) / (norm + 1e-6), 1.0)
        if factor != 1.0:
            for g in grads:
                g.data *= g.data.dtype.type(factor)
                g._version[0] += 1
    return wrap(rounded(norm, grads[0].data.dtype))


def clip_grad_value_(parameters: TensorBase | Iterable[TensorBase], clip_value: float) -> None:
    """Limit every element of the gradients of all parameters to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    clip_value : float
        The largest absolute value that stays; NaN stays NaN.

    Raises
    ------
    ArgumentError
        If clip_value is no number of at least 0.
    DTypeError
        If one of parameters is no tensor.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([3.0, -4.0, 0.5])
    >>> (p * p / 2).sum().backward()
    >>> minidl.optim.clip_grad_value_(p, 1.0)
    >>> p.grad
    tensor([ 1. , -1. ,  0.5])
    """
    limit = _read("clip_grad_value_", "clip_value", clip_value, low=0)
    for g in _gradients("clip_grad_value_", parameters):
        bound = rounded(limit, g.data.dtype)
        np.clip(g.data, -bound, bound, out=g.data)
        g._version[0] += 1


def _read(op: str, name: str, value: Any, low: float = -inf) -> float:
    """Read what PyTorch's `float(value)` makes a number of, but neither NaN nor less than `low`."""
    try:
        if isinstance(value, bool | np.bool_ | complex | np.complexfloating) or np.ndim(value):
            raise TypeError
        number = float(value)
    except Exception:
        # Any object may say what number it is, and fail at it.
        number = np.nan
    if isnan(number) or number < low:
        least = f" of at least {low:g}" if low > -inf else ", or 'inf'"
        raise ArgumentError(f"{op}: {name} must be a number{least}, got {value!r}")
    return number


def _gradients(op: str, parameters: Any) -> list[Any]:
    grads = [p.grad for p in tensors_of(op, "parameters", parameters) if p.grad is not None]
    for g in grads:
        if not g.data.flags.writeable:
            raise GraphError(f"{op}: a gradient of shape {g.data.shape} is read-only; it can't be changed in place")
    return grads


def _norm(values: Array, order: float) -> Any:
    """The norm of all values as one vector; 0 for none."""
    sizes = np.abs(values.ravel())
    if not sizes.size:
        return 0.0
    if order == 0:
        return np.count_nonzero(sizes)
    if abs(order) == inf:
        return sizes.max() if order > 0 else sizes.min()
    return (sizes**order).sum() ** (1 / order)
