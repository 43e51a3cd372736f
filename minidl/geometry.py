"""The sliding window: one frozen, validated description that every pass of convolution and pooling shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl.arguments import check_room, is_int
from minidl.errors import ArgumentError, ShapeError, check_flag

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]


class Padding(NamedTuple):
    """Positions added on each side of the image."""

    top: int
    bottom: int
    left: int
    right: int


# Compared and hashed by identity, since every call looks plans up by it: equal windows are one object (`_packed`).
@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A window of kernel_size (KH, KW) that slides over an image of input_size (H, W), in positions.

    The output has ``(H + top + bottom - dilation (KH - 1) - 1) // stride + 1`` rows, and columns alike; one more in
    ceil mode, or fewer where a transposed convolution says so. Made by `sliding_window` and `transposed_window`, which
    check everything, so whoever holds a Window need not.
    """

    input_size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    output_size: Pair
    packed: np.ndarray = field(repr=False)

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
        or not all(is_int(v) for v in values)
    ):
        kind = "a pair of ints" if spatial == 2 else "one in a tuple"
        raise ArgumentError(f"{op}: {name} must be an int or {kind}, got {value!r}")
    height, width = int(values[0]), int(values[-1])
    if height < minimum or width < minimum:
        raise ArgumentError(f"{op}: {name} must be at least {minimum}, got {value!r}")
    return (height if spatial == 2 else minimum), width


def sides(op: str, padding: IntOrPair | Padding, spatial: int = 2) -> Padding:
    """Read padding that is given in ints: one for all sides, one for each axis, or as a `Padding`."""
    if not isinstance(padding, Padding):
        rows, columns = pair(op, "padding", padding, 0, spatial)
        return Padding(rows, rows, columns, columns)
    if not all(is_int(p) and p >= 0 for p in padding):
        raise ArgumentError(f"{op}: padding must be four ints of at least 0, got {padding!r}")
    if spatial == 1 and (padding.top or padding.bottom):
        raise ArgumentError(f"{op}: padding must have nothing above and below in one dimension, got {padding!r}")
    return Padding(*map(int, padding))


def sides_or_word(op: str, padding: IntOrPair | str | Padding, spatial: int = 2) -> Padding | str:
    """Read padding that may also be 'same' or 'valid', which stay what they are."""
    if not isinstance(padding, str):
        return sides(op, padding, spatial)
    if padding not in ("same", "valid"):
        kind = "a pair of ints" if spatial == 2 else "one in a tuple"
        raise ArgumentError(f"{op}: padding must be an int, {kind}, 'same' or 'valid', got {padding!r}")
    return padding


def _text(size: Pair, spatial: int) -> str:
    """A size as messages write it."""
    return f"{size[0]} x {size[1]}" if spatial == 2 else str(size[1])


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's rule: the output has ceil(size / stride) positions, and the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _positions(size: int, padded: int, leading: int, reach: int, stride: int, ceil_mode: bool) -> int:
    """Count the places that a window has along one axis, 0 or less if none."""
    if not ceil_mode:
        return (padded - reach) // stride + 1
    count = -((reach - padded) // stride) + 1
    # The last window must start inside the image or the padding before it.
    return count - 1 if (count - 1) * stride >= size + leading else count


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
    strides = pair(op, "stride", stride, 1, spatial)
    dilations = pair(op, "dilation", dilation, 1, spatial)
    check_flag(op, "ceil_mode", ceil_mode)
    margins = sides_or_word(op, padding, spatial)
    if isinstance(margins, str):
        same = [_same_padding(*axis) for axis in zip((height, width), kernel, strides, dilations, strict=True)]
        margins = Padding(*same[0], *same[1]) if margins == "same" else Padding(0, 0, 0, 0)
    padded = height + margins.top + margins.bottom, width + margins.left + margins.right
    reach = dilations[0] * (kernel[0] - 1) + 1, dilations[1] * (kernel[1] - 1) + 1
    output = (
        _positions(height, padded[0], margins.top, reach[0], strides[0], ceil_mode),
        _positions(width, padded[1], margins.left, reach[1], strides[1], ceil_mode),
    )
    if min(output) < 1:

        def text(size: Pair) -> str:
            return _text(size, spatial)

        dilated = f" (dilated to {text(reach)})" if dilations != (1, 1) else ""
        raise ShapeError(
            f"{op}: the kernel of {text(kernel)}{dilated} is larger than the input of {text((height, width))}, "
            f"padded to {text(padded)}"
        )
    if (
        max(padded) * max(strides) >= 2**62
        or max(dilations) >= 2**62
        or output[0] * output[1] * kernel[0] * kernel[1] >= 2**62
    ):
        raise ShapeError(f"{op}: the window {kernel} over {padded} has more positions than a 64-bit size counts")
    check_room(op, padded)
    check_room(op, output)
    return _packed((height, width), kernel, strides, margins, dilations, output)


@lru_cache(maxsize=8192)
def _packed(size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, output: Pair) -> Window:
    packed = np.array((*size, *kernel, *stride, *dilation, padding.top, padding.left, *output), np.intp)
    packed.setflags(write=False)
    return Window(size, kernel, stride, padding, dilation, output, packed)


def drop_outside_taps(window: Window) -> Window:
    """Give the window without the taps that are beyond the padded image at all of its positions.

    In ceil mode the kernel of a window may be larger than the image, by any number.
    """
    (height, width), (rows, columns) = window.input_size, window.kernel_size
    if rows <= height and columns <= width:
        return window
    margins, dilations = window.padding, window.dilation
    rows = min(rows, (height + margins.top + margins.bottom - 1) // dilations[0] + 1)
    columns = min(columns, (width + margins.left + margins.right - 1) // dilations[1] + 1)
    return _packed(window.input_size, (rows, columns), window.stride, margins, dilations, window.output_size)


def transposed_window(
    op: str,
    size: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | Padding = 0,
    output_padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Window:
    """The window of the convolution that a transposed convolution of images of `size` is the transpose of.

    Its input is the result of the transposed convolution, with
    ``(size - 1) stride - padding before and after + dilation (kernel_size - 1) + 1 + output_padding`` rows and columns,
    and its output has `size`.

    Parameters
    ----------
    op, kernel_size, stride, dilation
        As in `sliding_window`.
    size : tuple of int
        (H, W) or (L,) of what the transposed convolution takes.
    padding : int, pair of int or Padding
        What is cut off the result on each side.
    output_padding : int or pair of int
        Rows and columns added to the result after that, below and right, fewer than `stride` or than `dilation`.

    Raises
    ------
    ArgumentError
        If a value is not an int of its range.
    ShapeError
        If no row or column of the result is left.
    """
    spatial, taken = len(size), (size[-2] if len(size) == 2 else 1, size[-1])
    least, strides, dilations = _transposed(op, size, kernel_size, stride, padding, dilation)
    extra = pair(op, "output_padding", output_padding, 0, spatial)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ArgumentError(
            f"{op}: output_padding must be less than stride or dilation, got {output_padding!r} with stride "
            f"{stride!r} and dilation {dilation!r}"
        )
    result = least[0] + extra[0], least[1] + extra[1]
    if min(result) < 1:
        raise ShapeError(
            f"{op}: an input of {_text(taken, spatial)} would give an output of {_text(result, spatial)}; "
            f"padding {padding!r} leaves nothing of it"
        )
    check_room(op, result)
    window = sliding_window(op, result[-spatial:], kernel_size, stride, padding, dilation)
    if window.output_size != taken:
        # Output padding of a stride and more makes room for further positions, which the transpose does not have.
        window = _packed(result, window.kernel_size, window.stride, window.padding, window.dilation, taken)
    return window


def output_padding_for(
    op: str,
    size: tuple[int, ...],
    output_size: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair | Padding = 0,
    dilation: IntOrPair = 1,
) -> tuple[int, ...]:
    """The `output_padding` with which a transposed convolution of images of `size` gives images of `output_size`.

    Parameters
    ----------
    op, size, kernel_size, stride, padding, dilation
        As in `transposed_window`.
    output_size : sequence of int
        (H, W) or (L,), each less than a stride above the least that there is.

    Raises
    ------
    ArgumentError
        If it is of another length, or no output has that size.
    """
    spatial = len(size)
    least, strides, _ = (values[-spatial:] for values in _transposed(op, size, kernel_size, stride, padding, dilation))
    if not isinstance(output_size, Sequence) or len(output_size) != spatial or not all(is_int(n) for n in output_size):
        raise ArgumentError(
            f"{op}: output_size must be {spatial} int{'s' * (spatial > 1)}, or a whole shape, got {output_size!r}"
        )
    limit = tuple(n + s - 1 for n, s in zip(least, strides, strict=True))
    if not all(n <= wanted <= m for n, wanted, m in zip(least, output_size, limit, strict=True)):
        raise ArgumentError(
            f"{op}: output_size must be from {least} to {limit} for an input of {tuple(size)}, got {tuple(output_size)}"
        )
    return tuple(int(wanted) - n for n, wanted in zip(least, output_size, strict=True))


def _transposed(
    op: str,
    size: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair,
    padding: IntOrPair | Padding,
    dilation: IntOrPair,
) -> tuple[Pair, Pair, Pair]:
    """The size of a transposed convolution's result without output padding, its stride and its dilation."""
    spatial = len(size)
    kernel = pair(op, "kernel_size", kernel_size, 1, spatial)
    strides, dilations = pair(op, "stride", stride, 1, spatial), pair(op, "dilation", dilation, 1, spatial)
    margins = sides(op, padding, spatial)
    padding_sums = margins.top + margins.bottom, margins.left + margins.right
    height, width = (
        (n - 1) * s - p + d * (k - 1) + 1
        for n, s, p, d, k in zip((1, *size)[-2:], strides, padding_sums, dilations, kernel, strict=True)
    )
    return (height, width), strides, dilations
