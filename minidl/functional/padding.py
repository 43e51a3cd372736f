"""Padding: more positions around what is there, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minidl.arguments import check_room, is_int, read_int
from minidl.errors import ArgumentError, DTypeError, ShapeError
from minidl.ops._common import as_tensor, check_choice
from minidl.ops.resample import AlongAxis, Pad, SparseMatrix

__all__ = ["pad"]

_MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Add positions before and after those of some dimensions, or take them away.

    Parameters
    ----------
    input : Tensor
        Any dtype. With `mode="constant"` any shape; else (N, C, ...) or (C, ...) with 1 to 3 dimensions after the
        channels, all of which are padded. Only the circular mode takes booleans, and zero channels.
    pad : sequence of int
        How many positions to add: before and after the last dimension, before and after the one in front of it, and
        so on. A negative number takes positions away; a dimension loses at most what it has.
    mode : str
        What the new positions hold: "constant" the `value`; "reflect" the values mirrored at the first and last one,
        which are not repeated, so fewer than the dimension has; "replicate" the first or last value; "circular"
        the values of the other end, at most as many as (after cropping) there are.
    value : float, optional
        For `mode="constant"`, 0 by default. For an integer input its whole part.

    Returns
    -------
    Tensor
        A copy, of the same dtype.

    Raises
    ------
    ShapeError
        If the input has another number of dimensions than `pad` is for, or more is added or taken away than
        there is.
    ArgumentError
        If `pad` is not an even number of ints, `mode` is not one of the four, or `value` is no number that the dtype
        holds or does not go with the mode.
    DTypeError
        If the input is boolean in a mode that does not take that.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> x = minidl.tensor([[1.0, 2.0, 3.0]])
    >>> F.pad(x, (1, 2))
    tensor([[0., 1., 2., 3., 0., 0.]])
    >>> F.pad(x, (1, 2), mode="reflect")
    tensor([[2., 1., 2., 3., 2., 1.]])
    >>> F.pad(x, (1, -1), mode="circular")
    tensor([[2., 1., 2.]])
    """
    x = as_tensor("pad", "input", input)
    check_choice("pad", "mode", mode, _MODES)
    pairs = _pairs(pad, x.data.ndim)
    grown = [n + leading + trailing for n, (leading, trailing) in zip(x.data.shape[::-1], pairs, strict=False)]
    check_room("pad", [*x.data.shape[: x.data.ndim - len(pairs)], *grown], x.data.itemsize)
    if mode == "constant":
        _check_crops(pairs, x.data.shape)
        filling = _value_in(x.data.dtype, 0 if value is None else value)
        return Pad((*((0, 0),) * (x.data.ndim - len(pairs)), *pairs[::-1]), filling)(x)
    if value is not None and (isinstance(value, str | np.ndarray) or value != 0):
        raise ArgumentError(f"pad: value goes with mode='constant' alone, got {value!r} with mode={mode!r}")
    _check_dimensions(x.data, len(pairs), mode)
    if mode == "circular":
        _check_crops(pairs, x.data.shape)
    if not any(map(any, pairs)):
        return Pad(((0, 0),) * x.data.ndim)(x)
    for axis, widths in zip(range(x.data.ndim)[::-1], pairs, strict=False):
        if any(widths):
            x = AlongAxis(_padding_matrix(mode, x.data.shape[axis], *widths, axis), axis)(x)
    return x


def read_widths(op: str, name: str, value: Any) -> tuple[int, ...]:
    """A sequence of ints as a tuple."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(is_int(width) for width in value):
        raise ArgumentError(f"{op}: {name} must be a sequence of ints, got {value!r}")
    return tuple([read_int(op, f"each of {name}", width) for width in value])


def _pairs(pad: Any, ndim: int) -> list[tuple[int, int]]:
    """The widths before and after each dimension, from the last one on."""
    widths = read_widths("pad", "pad", pad)
    if len(widths) % 2:
        raise ArgumentError(f"pad: pad must have two widths for each dimension, got {len(widths)} in all: {pad!r}")
    if len(widths) > 2 * ndim:
        raise ShapeError(f"pad: pad has widths for {len(widths) // 2} dimensions, input has {ndim}")
    return list(zip(widths[::2], widths[1::2], strict=True))


def _value_in(dtype: np.dtype, value: Any) -> Any:
    """The value as the dtype holds it."""
    if not isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating):
        raise ArgumentError(f"pad: value must be a number, got {value!r}")
    try:
        # NumPy would wrap integers around, and make floats infinite.
        whole = int(value) if dtype.kind in "iu" else 0
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= whole <= np.iinfo(dtype).max:
            raise OverflowError
        if dtype.kind == "f" and float(np.finfo(dtype).max) < abs(float(value)) < np.inf:
            raise OverflowError
    except (OverflowError, ValueError):
        raise ArgumentError(f"pad: value must be a number that {dtype} holds, got {value!r}") from None
    return whole if dtype.kind in "iu" else bool(value) if dtype.kind == "b" else float(value)


def _check_crops(pairs: list[tuple[int, int]], shape: tuple[int, ...]) -> None:
    """Refuse to take away more than there is."""
    for axis, (leading, trailing) in zip(range(len(shape))[::-1], pairs, strict=False):
        if shape[axis] + min(leading, 0) + min(trailing, 0) < 0:
            raise ShapeError(
                f"pad: pad takes {-min(leading, 0)} and {-min(trailing, 0)} positions from axis {axis}, which has "
                f"{shape[axis]}"
            )


def _check_dimensions(x: np.ndarray, padded: int, mode: str) -> None:
    """Refuse what only the constant mode takes."""
    if padded not in (1, 2, 3) or x.ndim not in (padded + 1, padded + 2):
        raise ShapeError(
            f"pad: mode={mode!r} pads all dimensions after the channels, 1 to 3, got an input of shape "
            f"{x.shape} and widths for {padded} of them"
        )
    if mode == "circular":
        return
    if x.dtype.kind == "b":
        raise DTypeError(f"pad: mode={mode!r} takes no booleans")
    if 0 in x.shape[x.ndim - padded - 1 :]:
        raise ShapeError(f"pad: with mode={mode!r} only N may be 0, input has shape {x.shape}")


@lru_cache(maxsize=256)
def _padding_matrix(mode: str, size: int, leading: int, trailing: int, axis: int) -> SparseMatrix:
    """Find the position that each new one is a copy of."""
    # Not reached for an input without positions, so that size is at least 1 but in the circular mode.
    if mode == "circular":
        # Positions that are taken away are not there any more when the rest is wrapped around.
        first, rest = max(-leading, 0), size + min(leading, 0) + min(trailing, 0)
        if max(leading, trailing) > rest:
            raise ShapeError(
                f"pad: mode='circular' adds at most as many positions as axis {axis} has, {rest}, got {leading} and "
                f"{trailing}"
            )
        source = first + (np.arange(-leading, size + trailing) - first) % max(rest, 1)
    else:
        if mode == "reflect" and max(leading, trailing) >= size:
            raise ShapeError(
                f"pad: mode='reflect' adds fewer positions than axis {axis} has, {size}, got {leading} and {trailing}"
            )
        if size + leading + trailing <= 0:
            raise ShapeError(
                f"pad: mode={mode!r} leaves nothing of axis {axis}, {size} with {leading} and {trailing} more"
            )
        source = np.arange(-leading, size + trailing)
        source = size - 1 - np.abs(size - 1 - np.abs(source)) if mode == "reflect" else np.clip(source, 0, size - 1)
    return SparseMatrix((len(source), size), np.arange(len(source)), source)
