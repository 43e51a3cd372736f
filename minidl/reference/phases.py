"""Convolution with strides as one with none, of more channels: the phases of the image.

Phase (i, j) of a channel is every SH-th row and every SW-th column of it from (i, j) on, padding included. A window
that moves by the stride moves by one in each of them, and sees it through every SH-th and SW-th tap of its kernel.
"""

from __future__ import annotations

import numpy as np

from minidl.geometry import Pair, Window, sliding_window
from minidl.reference._windows import padded

__all__ = ["image_from_phases", "image_phases", "kernel_from_phases", "kernel_phases", "window_of_phases"]

Array = np.ndarray


def window_of_phases(window: Window) -> Window:
    """Make the window that sees the phases: as many positions, with stride 1."""
    (OH, OW), (KH, KW), (SH, SW) = window.output_size, window.kernel_size, window.stride
    rows, columns = -(-KH // SH), -(-KW // SW)
    return sliding_window("phases", (OH + rows - 1, OW + columns - 1), (rows, columns))


def _split(values: Array, stride: Pair, size: Pair) -> Array:
    """(N, C, H, W) to (N, C SH SW, *size), with zeros where that is more."""
    (SH, SW), (high, wide) = stride, size
    whole = np.zeros((*values.shape[:2], high * SH, wide * SW))
    rows, columns = min(values.shape[2], high * SH), min(values.shape[3], wide * SW)
    whole[:, :, :rows, :columns] = values[:, :, :rows, :columns]
    split = whole.reshape(*values.shape[:2], high, SH, wide, SW).transpose(0, 1, 3, 5, 2, 4)
    return split.reshape(len(values), -1, high, wide)


def _merged(phases: Array, stride: Pair, size: Pair) -> Array:
    """The way back."""
    (SH, SW), (high, wide) = stride, phases.shape[2:]
    whole = phases.reshape(len(phases), -1, SH, SW, high, wide).transpose(0, 1, 4, 2, 5, 3)
    whole = whole.reshape(*whole.shape[:2], high * SH, wide * SW)
    missing = [(0, 0), (0, 0), *((0, max(n - m, 0)) for n, m in zip(size, whole.shape[2:], strict=True))]
    return np.pad(whole, missing)[:, :, : size[0], : size[1]]


def image_phases(x: Array, window: Window) -> Array:
    """(N, C, H, W) to what `window_of_phases` sees."""
    return _split(padded(x, window), window.stride, window_of_phases(window).input_size)


def kernel_phases(weight: Array, window: Window) -> Array:
    """(F, C, KH, KW) to (F, C SH SW, ceil(KH / SH), ceil(KW / SW))."""
    return _split(weight, window.stride, window_of_phases(window).kernel_size)


def image_from_phases(phases: Array, window: Window) -> Array:
    """The image without its padding; what no window saw is zero."""
    (H, W), (top, bottom, left, right) = window.input_size, window.padding
    whole = _merged(phases, window.stride, (H + top + bottom, W + left + right))
    return whole[:, :, top : top + H, left : left + W]


def kernel_from_phases(phases: Array, window: Window) -> Array:
    """The kernel's own taps."""
    return _merged(phases, window.stride, window.kernel_size)
