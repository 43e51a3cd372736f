"""The sliding window: one frozen, validated description that every pass of convolution and pooling shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.errors import ArgumentError, ShapeError

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]


class Padding(NamedTuple):
    """Positions added on each side of the image."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Window:
    """A window of kernel_size (KH, KW) that slides over an image of input_size (H, W), in positions.

    The output has ``(H + top + bottom - dilation (KH - 1) - 1) // stride + 1`` rows, and columns alike. Made by
    `sliding_window`, which checks everything, so whoever holds a Window need not.
    """

    input_size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    output_size: Pair
    packed: np.ndarray = field(compare=False, repr=False)

    @property
    def taps(self) -> int:
        """The number of positions in the kernel."""
        return self.kernel_size[0] * self.kernel_size[1]

    @property
    def positions(self) -> int:
        """The number of places that the window stands on."""
        return self.output_size[0] * self.output_size[1]


def pair(op: str, name: str, value: IntOrPair, minimum: int) -> Pair:
    """Read an int or a pair of ints of at least `minimum`: (height, width)."""
    values = (value, value) if isinstance(value, int | np.integer) else value
    if (
        isinstance(value, bool | str)
        or not isinstance(values, Sequence)
        or len(values) not in (1, 2)
        or not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)
    ):
        raise ArgumentError(f"{op}: {name} must be an int or a pair of ints, got {value!r}")
    height, width = int(values[0]), int(values[-1])
    if height < minimum or width < minimum:
        raise ArgumentError(f"{op}: {name} must be at least {minimum}, got {value!r}")
    return height, width


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's rule: the output has ceil(size / stride) positions, and the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def sliding_window(
    op: str,
    input_size: Pair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | str | Padding = 0,
    dilation: IntOrPair = 1,
) -> Window:
    """Check a window's description and build it; the same description gives the same object.

    Parameters
    ----------
    op : str
        The operation that asks, for messages.
    input_size : tuple of int
        (H, W).
    kernel_size, stride, dilation : int or pair of int
        (height, width), at least 1.
    padding : int, pair of int, "same", "valid" or Padding
        Both sides alike, or four values as a `Padding`.
    dilation : int or pair of int
        The distance between the kernel's taps.

    Raises
    ------
    ArgumentError
        If a value is not an int of its range.
    ShapeError
        If the window is larger than the padded image.
    """
    values = [tuple(v) if type(v) is list else v for v in (kernel_size, stride, padding, dilation)]
    # True and 1.0 are equal to 1, so the cache must be told their types, or it would let them pass after a 1.
    types = tuple([tuple(map(type, v)) if isinstance(v, tuple) else None for v in values])
    try:
        return _window(op, *input_size, *values, types)
    except TypeError:
        # Something that can't be a key of the cache can't be right either, and is refused by name here.
        return _window.__wrapped__(op, *input_size, *values, types)


@lru_cache(maxsize=4096, typed=True)
def _window(op: str, height: int, width: int, kernel_size, stride, padding, dilation, types: tuple) -> Window:
    kernel = pair(op, "kernel_size", kernel_size, 1)
    step = pair(op, "stride", stride, 1)
    spread = pair(op, "dilation", dilation, 1)
    if isinstance(padding, Padding):
        if not all(isinstance(p, int | np.integer) and not isinstance(p, bool) and p >= 0 for p in padding):
            raise ArgumentError(f"{op}: padding must be four ints of at least 0, got {padding!r}")
        around = Padding(*map(int, padding))
    elif isinstance(padding, str) and padding == "same":
        sides = [_same_padding(*axis) for axis in zip((height, width), kernel, step, spread, strict=True)]
        around = Padding(*sides[0], *sides[1])
    elif isinstance(padding, str) and padding == "valid":
        around = Padding(0, 0, 0, 0)
    elif isinstance(padding, str):
        raise ArgumentError(f"{op}: padding must be an int, a pair of ints, 'same' or 'valid', got {padding!r}")
    else:
        rows, columns = pair(op, "padding", padding, 0)
        around = Padding(rows, rows, columns, columns)
    padded = height + around.top + around.bottom, width + around.left + around.right
    reach = spread[0] * (kernel[0] - 1) + 1, spread[1] * (kernel[1] - 1) + 1
    if reach[0] > padded[0] or reach[1] > padded[1]:
        dilated = f" (dilated to {reach[0]} x {reach[1]})" if spread != (1, 1) else ""
        raise ShapeError(
            f"{op}: the kernel of {kernel[0]} x {kernel[1]}{dilated} is larger than the input of {height} x {width}, "
            f"padded to {padded[0]} x {padded[1]}"
        )
    output = (padded[0] - reach[0]) // step[0] + 1, (padded[1] - reach[1]) // step[1] + 1
    packed = (height, width, *kernel, *step, *spread, around.top, around.left, *output)
    if (
        max(padded) * max(step) >= 2**62
        or max(spread) >= 2**62
        or output[0] * output[1] * kernel[0] * kernel[1] >= 2**62
    ):
        raise ShapeError(f"{op}: the window {kernel} over {padded} has more positions than a 64-bit size counts")
    array = np.array(packed, np.intp)
    array.setflags(write=False)
    return Window((height, width), kernel, step, around, spread, output, array)
