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


def pair(op: str, name: str, value: IntOrPair, minimum: int, spatial: int = 2) -> Pair:
    """Read an int or a pair of ints of at least `minimum`: (height, width).

    In one dimension (`spatial` 1) the value is an int or one in a sequence, and stands for the width. The height is
    then `minimum`, which for sizes, strides and dilations (1) as for padding (0) is what leaves a height of 1 alone.
    """
    values = (value, value) if isinstance(value, int | np.integer) else value
    if (
        isinstance(value, bool | str)
        or not isinstance(values, Sequence)
        or (values is value and len(values) not in (1, spatial))
        or not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)
    ):
        kind = "a pair of ints" if spatial == 2 else "one in a tuple"
        raise ArgumentError(f"{op}: {name} must be an int or {kind}, got {value!r}")
    height, width = int(values[0]), int(values[-1])
    if height < minimum or width < minimum:
        raise ArgumentError(f"{op}: {name} must be at least {minimum}, got {value!r}")
    return (height if spatial == 2 else minimum), width


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's rule: the output has ceil(size / stride) positions, and the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _positions(size: int, padded: int, before: int, reach: int, stride: int, ceil_mode: bool) -> int:
    """How many places a window has along one axis, 0 or less if none."""
    if not ceil_mode:
        return (padded - reach) // stride + 1
    count = -((reach - padded) // stride) + 1
    # The last window must start inside the image or the padding before it.
    return count - 1 if (count - 1) * stride >= size + before else count


def sliding_window(
    op: str,
    input_size: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | str | Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> Window:
    """Check a window's description and build it; the same description gives the same object.

    Parameters
    ----------
    op : str
        The operation that asks, for messages.
    input_size : tuple of int
        (H, W), or (L,) for a window in one dimension, which becomes one of height 1 over an image of height 1.
    kernel_size, stride, dilation : int or pair of int
        (height, width), at least 1.
    padding : int, pair of int, "same", "valid" or Padding
        Both sides alike, or four values as a `Padding`.
    dilation : int or pair of int
        The distance between the kernel's taps.
    ceil_mode : bool
        Whether a last window that starts inside the image or the padding before it, but ends beyond the padding
        after it, counts.

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
        return _window(op, input_size, *values, ceil_mode, types)
    except TypeError:
        # Something that can't be a key of the cache can't be right either, and is refused by name here.
        return _window.__wrapped__(op, input_size, *values, ceil_mode, types)


@lru_cache(maxsize=4096, typed=True)
def _window(
    op: str, input_size: tuple[int, ...], kernel_size, stride, padding, dilation, ceil_mode, types: tuple
) -> Window:
    spatial = len(input_size)
    height, width = input_size if spatial == 2 else (1, *input_size)
    kernel = pair(op, "kernel_size", kernel_size, 1, spatial)
    step = pair(op, "stride", stride, 1, spatial)
    spread = pair(op, "dilation", dilation, 1, spatial)
    if not isinstance(ceil_mode, bool):
        raise ArgumentError(f"{op}: ceil_mode must be True or False, got {ceil_mode!r}")
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
        kind = "a pair of ints" if spatial == 2 else "one in a tuple"
        raise ArgumentError(f"{op}: padding must be an int, {kind}, 'same' or 'valid', got {padding!r}")
    else:
        rows, columns = pair(op, "padding", padding, 0, spatial)
        around = Padding(rows, rows, columns, columns)
    padded = height + around.top + around.bottom, width + around.left + around.right
    reach = spread[0] * (kernel[0] - 1) + 1, spread[1] * (kernel[1] - 1) + 1
    output = (
        _positions(height, padded[0], around.top, reach[0], step[0], ceil_mode),
        _positions(width, padded[1], around.left, reach[1], step[1], ceil_mode),
    )
    if min(output) < 1:

        def size(rows: int, columns: int) -> str:
            return f"{rows} x {columns}" if spatial == 2 else str(columns)

        dilated = f" (dilated to {size(*reach)})" if spread != (1, 1) else ""
        raise ShapeError(
            f"{op}: the kernel of {size(*kernel)}{dilated} is larger than the input of {size(height, width)}, "
            f"padded to {size(*padded)}"
        )
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
