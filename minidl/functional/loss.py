"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from minidl.ops._common import as_tensor, check_choice, check_floating
from minidl.ops.loss import CrossEntropy
from minidl.ops.shapes import Reshape

__all__ = ["cross_entropy"]


def cross_entropy(input: Any, target: Any, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The negative log-probability of the right class, from unnormalised scores (logits).

    ``loss[n] = log(sum over c of exp(input[n, c])) - input[n, target[n]]``

    Parameters
    ----------
    input : Tensor (N, C) or (C,)
        The score of each class, float32 or float64.
    target : Tensor (N,) or ()
        The number of the right class, from 0 to C - 1, of an integer dtype.
    ignore_index : int
        Rows with this target count for nothing.
    reduction : {'mean', 'sum', 'none'}
        The mean over the rows that count (NaN if there are none), their sum, or a loss a row.

    Returns
    -------
    Tensor () or (N,)
        The loss.

    Raises
    ------
    ShapeError
        If the shapes don't fit.
    DTypeError
        If target is not of an integer dtype, or input not floating.
    OutOfRangeError
        If a target is no class and not `ignore_index`.
    ArgumentError
        If reduction is another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.cross_entropy(minidl.tensor([[0.0, 0.0], [0.0, 1000.0]]), [1, 1])
    tensor(0.3466)
    """
    x, t = as_tensor("cross_entropy", "input", input), as_tensor("cross_entropy", "target", target).data
    check_floating("cross_entropy", "input", x)
    check_choice("cross_entropy", "reduction", reduction, ("mean", "sum", "none"))
    shape = x.data.shape
    if len(shape) not in (1, 2) or shape[-1] == 0:
        raise ShapeError(
            f"cross_entropy: input must have 2 dimensions (N, C) or 1 (C,), and classes, got shape {shape}"
        )
    if t.size == 0 and shape[0] == 0:
        t = t.astype(np.int64)
    if t.dtype.kind not in "iu":
        raise DTypeError(f"cross_entropy: target must be class numbers of an integer dtype, got {t.dtype}")
    if t.shape != shape[:-1]:
        raise ShapeError(
            f"cross_entropy: target must have shape {shape[:-1]}, one a row of input {shape}, got {t.shape}"
        )
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int | np.integer) or abs(ignore_index) >= 2**63:
        raise ArgumentError(f"cross_entropy: ignore_index must be an int of 64 bits, got {ignore_index!r}")
    classes = shape[-1]
    t = t.reshape(-1)
    wrong = (t != ignore_index) & ((t < 0) | (t >= classes))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise OutOfRangeError(f"cross_entropy: target[{row}] is {t[row]}, input has the classes 0 to {classes - 1}")
    rows = x if len(shape) == 2 else Reshape((1, classes))(x)
    # A copy of our own, so that nothing can change it before the backward pass.
    t = t.astype(np.longlong)
    loss = CrossEntropy(t, ignore_index, reduction)(rows)
    return loss if len(shape) == 2 or loss.data.ndim == 0 else Reshape(())(loss)
