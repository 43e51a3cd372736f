"""Pooling functions check their windows here, and find what their means are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minidl.arguments import check_room, is_int
from minidl.errors import ArgumentError, ShapeError
from minidl.geometry import Pair, Window, drop_outside_taps, pair, sliding_window


def adaptive_size(op: str, spatial: int, x: Any, output_size: Any) -> Pair:
    """The output's (height, width), with None, which is for two dimensions only, replaced by the input's own size."""
    sizes = output_size
    if isinstance(output_size, Sequence) and not isinstance(output_size, str):
        if len(output_size) != spatial:
            kind = "a pair of ints" if spatial == 2 else "one in a tuple"
            raise ArgumentError(f"{op}: output_size must be an int or {kind}, got {output_size!r}")
        if spatial == 2:
            sizes = [own if s is None else s for s, own in zip(output_size, x.data.shape[2:], strict=True)]
    height, width = pair(op, "output_size", sizes, 1, spatial)
    check_room(op, (*x.data.shape[:2], height, width), x.data.itemsize)
    return height, width


def default_stride(kernel_size: Any, stride: Any) -> Any:
    """The steps of a pooling window: its own size for None, and for an empty sequence, as PyTorch's default is."""
    return kernel_size if stride is None or (isinstance(stride, tuple | list) and not stride) else stride


def check_divisor(op: str, divisor_override: Any) -> None:
    """Refuse what no sum can be divided by; None leaves it to the window."""
    if divisor_override is not None and (not is_int(divisor_override) or not 0 < abs(int(divisor_override)) < 2**63):
        raise ArgumentError(f"{op}: divisor_override must be an int other than 0 or None, got {divisor_override!r}")


def pooling_window(
    op: str, spatial: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> Window:
    """The window over a batch of images, whose padding reaches no further than half of it."""
    step = default_stride(kernel_size, stride)
    window = sliding_window(op, x.data.shape[4 - spatial :], kernel_size, step, padding, dilation, ceil_mode)
    if isinstance(padding, str):
        kind = "a pair of ints" if spatial == 2 else "one in a tuple"
        raise ArgumentError(f"{op}: padding must be an int or {kind}, got {padding!r}")
    margins = window.padding
    rows, columns = window.kernel_size
    if 2 * max(margins.top, margins.bottom) > rows or 2 * max(margins.left, margins.right) > columns:
        raise ArgumentError(
            f"{op}: padding must be at most half of kernel_size {window.kernel_size[-spatial:]}, got {padding!r}"
        )
    if window.dilation != (1, 1) and any(margins):
        _check_that_windows_see_the_input(op, spatial, window)
    return drop_outside_taps(window)


@lru_cache(maxsize=256)
def _check_that_windows_see_the_input(op: str, spatial: int, window: Window) -> None:
    """Refuse a dilated window whose taps all fall into the padding somewhere: there is no value to choose there."""
    margins = window.padding
    for axis, leading in enumerate((margins.top, margins.left)):
        starts = np.arange(window.output_size[axis]) * window.stride[axis] - leading
        first_inside = np.where(starts < 0, starts % window.dilation[axis], starts)
        if (first_inside >= window.input_size[axis]).any():
            raise ShapeError(
                f"{op}: kernel_size {window.kernel_size[-spatial:]} with dilation {window.dilation[-spatial:]} and "
                f"padding {tuple(margins)[4 - 2 * spatial :]} sees nothing but padding at some positions of an input "
                f"of {window.input_size[-spatial:]}"
            )


@lru_cache(maxsize=256)
def mean_scale(window: Window, count_include_pad: bool, divisor_override: int | None) -> np.ndarray:
    """One over what the sum of each window is divided by (OH, OW)."""
    if divisor_override is not None:
        return np.full(window.output_size, 1 / divisor_override)
    counts = []
    margins = window.padding
    for axis, (leading, trailing) in enumerate(((margins.top, margins.bottom), (margins.left, margins.right))):
        size = window.input_size[axis]
        low, high = (-leading, size + trailing) if count_include_pad else (0, size)
        starts = np.arange(window.output_size[axis]) * window.stride[axis] - leading
        counts.append(np.minimum(starts + window.kernel_size[axis], high) - np.maximum(starts, low))
    return 1 / np.multiply.outer(*counts)
