"""Limits on gradients."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, wrap
from minidl.errors import ArgumentError


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Any:
    """Scale the gradients of all parameters together so that their norm is at most max_norm.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        The limit.
    norm_type : float
        The order of the norm, inf for the largest absolute value.
    error_if_nonfinite : bool
        Raise where the norm is infinite or NaN, instead of scaling by it.

    Returns
    -------
    Tensor ()
        The norm before.

    Raises
    ------
    ArgumentError
        If max_norm or norm_type is no positive number, or for a norm that is not finite, if asked for.

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
    if not max_norm >= 0 or not norm_type > 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm and norm_type must be positive, got {max_norm}, {norm_type}")
    chosen: Iterable[Any] = [parameters] if isinstance(parameters, TensorBase) else parameters
    grads = [p.grad for p in chosen if p.grad is not None]
    if not grads:
        return wrap(np.zeros((), np.float32))
    values = [np.abs(g.data.ravel()).astype(np.float64) for g in grads]
    if norm_type == inf:
        norm = max((float(v.max()) for v in values if v.size), default=0.0)
    else:
        norm = sum(float((v**norm_type).sum()) for v in values) ** (1 / norm_type)
    if error_if_nonfinite and not isfinite(norm):
        raise ArgumentError(f"clip_grad_norm_: the norm of the gradients is {norm}")
    factor = min(max_norm / (norm + 1e-6), 1.0) if not np.isnan(norm) else np.nan
    if factor != 1.0:
        for g in grads:
            g.data *= g.data.dtype.type(factor)
            g._version[0] += 1
    return wrap(np.asarray(norm, grads[0].data.dtype))
