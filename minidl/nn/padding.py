"""Padding layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minidl import functional as F
from minidl.dtypes import FLOAT64
from minidl.errors import ArgumentError
from minidl.functional.padding import read_widths
from minidl.nn.module import Module
from minidl.ops._common import read_number

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
]


class _Padding(Module):
    """`minidl.functional.pad` with a mode of its own, over the last one or two dimensions.

    Parameters
    ----------
    padding : int or sequence of int
        For each side, or (left, right) in one dimension, (left, right, above, below) in two; less than 0 to crop.
    """

    _mode: ClassVar[str] = "constant"
    _spatial: ClassVar[int] = 1

    def __init__(self, padding: int | Sequence[int]) -> None:
        layer, count = type(self).__name__, 2 * self._spatial
        is_one = isinstance(padding, int | np.integer)
        self.padding = read_widths(layer, "padding", (padding,) * count if is_one else padding)
        if len(self.padding) != count:
            raise ArgumentError(f"{layer}: padding must be an int or {count} of them, got {padding!r}")

    def forward(self, input: Any) -> Any:
        """Pad a batch or one sample."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The widths."""
        return str(self.padding)


class ConstantPad1d(_Padding):
    """Add positions with a constant before and after the last dimension; see `minidl.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int)
        How many on each side, or before and after; less than 0 to crop.
    value : float
        What the new positions hold.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.ConstantPad1d((1, 2), 7.0)(minidl.tensor([[1.0, 2.0]]))
    tensor([[7., 1., 2., 7., 7.]])
    """

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = read_number(type(self).__name__, "value", value, FLOAT64)

    def forward(self, input: Any) -> Any:
        """Pad a batch or one sample."""
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        """The widths and the constant."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Add positions with a constant around the last two dimensions; see `minidl.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        How many on each side, or on the left and right, above and below; less than 0 to crop.
    value : float
        What the new positions hold.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.ConstantPad2d((1, 0, 2, 3), 7.0)(minidl.zeros(64, 3, 10, 10)).shape
    (64, 3, 15, 11)
    """

    _spatial = 2


class ZeroPad1d(_Padding):
    """Add zeros before and after the last dimension; see `minidl.functional.pad`."""


class ZeroPad2d(_Padding):
    """Add zeros around the last two dimensions; see `minidl.functional.pad`."""

    _spatial = 2


class ReflectionPad1d(_Padding):
    """Go on as in a mirror before and after the last dimension; see `minidl.functional.pad`."""

    _mode = "reflect"


class ReflectionPad2d(_Padding):
    """Go on as in a mirror around the last two dimensions; see `minidl.functional.pad`."""

    _mode, _spatial = "reflect", 2


class ReplicationPad1d(_Padding):
    """Repeat the first and last value before and after the last dimension; see `minidl.functional.pad`."""

    _mode = "replicate"


class ReplicationPad2d(_Padding):
    """Repeat the outermost values around the last two dimensions; see `minidl.functional.pad`."""

    _mode, _spatial = "replicate", 2


class CircularPad1d(_Padding):
    """Go on with the other end before and after the last dimension; see `minidl.functional.pad`."""

    _mode = "circular"


class CircularPad2d(_Padding):
    """Go on with the other end around the last two dimensions; see `minidl.functional.pad`."""

    _mode, _spatial = "circular", 2
