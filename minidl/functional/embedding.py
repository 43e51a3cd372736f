"""Class numbers as vectors: one-hot, or rows of a table that is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.arguments import check_room, is_int
from minidl.autograd import wrap
from minidl.dtypes import FLOAT64
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, check_flag
from minidl.ops._common import as_tensor, check_floating, read_number
from minidl.ops.embedding import Lookup

__all__ = ["embedding", "one_hot"]


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A row for each class number, 1 at that class and 0 at the others.

    Parameters
    ----------
    tensor : Tensor (...)
        Class numbers from 0 on, of an integer dtype and any shape.
    num_classes : int
        How many classes there are; -1 for one more than the largest number.

    Returns
    -------
    Tensor (..., num_classes)
        Int64.

    Raises
    ------
    OutOfRangeError
        If a number is no class.
    ArgumentError
        If `num_classes` is no number of classes, or is to be found from an empty tensor.
    DTypeError
        If `tensor` is not of an integer dtype.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.one_hot(minidl.tensor([1, 0, 2]))
    tensor([[0, 1, 0],
            [1, 0, 0],
            [0, 0, 1]])
    """
    numbers = _numbers("one_hot", "tensor", tensor)
    if not is_int(num_classes) or num_classes < -1:
        raise ArgumentError(f"one_hot: num_classes must be an int of at least 1, or -1, got {num_classes!r}")
    if num_classes < 1 and numbers.size == 0:
        raise ArgumentError(
            f"one_hot: an empty tensor has no largest class; num_classes must be given, got {num_classes}"
        )
    classes = int(numbers.max()) + 1 if num_classes == -1 else int(num_classes)
    _check_range("one_hot", "tensor", numbers, classes, "the classes")
    check_room("one_hot", (*numbers.shape, classes), 8)
    result = np.zeros((*numbers.shape, classes), np.int64)
    np.put_along_axis(result, numbers[..., None].astype(np.intp), 1, axis=-1)
    return wrap(result)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> Any:
    """The rows of a table with the given numbers. PyTorch's `sparse` gradients there are not.

    Parameters
    ----------
    input : Tensor (...)
        The numbers of rows, of an integer dtype and any shape.
    weight : Tensor (num_embeddings, embedding_dim)
        The table, float32 or float64.
    padding_idx : int, optional
        A row that gets no gradient, so that learning leaves it as it is; counted from the end if negative.
    max_norm : float, optional
        Rows that are used and longer than this are first scaled to this length, in `weight` itself, and unseen by the
        gradient.
    norm_type : float
        The p of the norm that measures this length.
    scale_grad_by_freq : bool
        Whether the gradient of a row is divided by how often it is used here.

    Returns
    -------
    Tensor (..., embedding_dim)
        The rows.

    Raises
    ------
    OutOfRangeError
        If a number, or `padding_idx`, is that of no row.
    ShapeError
        If `weight` has not 2 dimensions.
    DTypeError
        If `input` is not of an integer dtype or `weight` is not floating.
    ArgumentError
        If another argument has no allowed value, or `weight` has to be scaled and is read-only.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> weight = minidl.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    >>> F.embedding([1, 1, 2], weight)
    tensor([[3., 4.],
            [3., 4.],
            [1., 0.]])
    """
    numbers, table = _numbers("embedding", "input", input), as_tensor("embedding", "weight", weight)
    check_floating("embedding", "weight", table)
    if table.data.ndim != 2:
        raise ShapeError(
            f"embedding: weight must have 2 dimensions (num_embeddings, embedding_dim), got shape {table.data.shape}"
        )
    rows = table.data.shape[0]
    _check_range("embedding", "input", numbers, rows, "the rows")
    padding = check_embedding_options("embedding", rows, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    # A copy of our own, so that nothing can change it before the backward pass.
    index = numbers.astype(np.intp)
    if max_norm is not None:
        _shorten(table, np.unique(index), float(max_norm), float(norm_type))
    factor = None
    if scale_grad_by_freq:
        factor = 1 / np.maximum(np.bincount(index.reshape(-1), minlength=rows), 1)[:, None]
    if padding is not None:
        factor = np.ones((rows, 1)) if factor is None else factor
        factor[padding] = 0
    return Lookup(index, rows, factor)(table)


def check_embedding_options(
    op: str, rows: int, padding_idx: Any, max_norm: Any, norm_type: Any, scale_grad_by_freq: Any
) -> int | None:
    """Refuse options that make no sense; returns the padding row's number from the front."""
    if padding_idx is not None:
        if isinstance(padding_idx, bool) or not isinstance(padding_idx, int | np.integer):
            raise ArgumentError(f"{op}: padding_idx must be an int or None, got {padding_idx!r}")
        if not -rows <= padding_idx < rows:
            raise OutOfRangeError(f"{op}: padding_idx is {padding_idx}, there are {rows} rows")
    if np.isnan(read_number(op, "norm_type", norm_type, FLOAT64)):
        raise ArgumentError(f"{op}: norm_type must be a number, got {norm_type!r}")
    if max_norm is not None and not read_number(op, "max_norm", max_norm, FLOAT64) >= 0:
        raise ArgumentError(f"{op}: max_norm must be at least 0, got {max_norm!r}")
    check_flag(op, "scale_grad_by_freq", scale_grad_by_freq)
    return None if padding_idx is None else int(padding_idx) % rows


def _numbers(op: str, name: str, value: Any) -> np.ndarray:
    numbers = as_tensor(op, name, value).data
    if numbers.size == 0 and isinstance(value, list | tuple):
        # An empty list has no dtype of its own.
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        raise DTypeError(f"{op}: {name} must be of an integer dtype, got {numbers.dtype}")
    return numbers


def _check_range(op: str, name: str, numbers: np.ndarray, count: int, what: str) -> None:
    wrong = (numbers < 0) | (numbers >= count)
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        there = f"{what} 0 to {count - 1}" if count else f"none of {what}"
        raise OutOfRangeError(f"{op}: {name}{list(position) or ''} is {numbers[position]}, there are {there}")


def _shorten(table: Any, used: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are longer than max_norm to that length, in place and unrecorded."""
    rows = table.data[used].astype(np.float64)
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(rows, norm_type, axis=1) if rows.size else np.zeros(len(rows))
        # PyTorch adds the same, for a norm of 0.
        scale = (max_norm / (norms + 1e-7))[:, None].astype(table.data.dtype)
        long = norms > max_norm
        if not long.any():
            return
        if not table.data.flags.writeable:
            raise ArgumentError("embedding: weight must be writeable, since max_norm changes it")
        table.data[used[long]] *= scale[long]
    table._version[0] += 1
