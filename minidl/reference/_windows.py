"""The sliding window over padded images, which convolution and pooling share.

A window's tap (kh, kw) at output position (oh, ow) sees the padded image at
``(oh stride + kh dilation, ow stride + kw dilation)``; everything about windows follows from this line.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl.geometry import Window

Array = np.ndarray


def padded(x: Array, window: Window, value: float = 0.0) -> Array:
    """The images (N, C, H, W) in float64, with their padding around them."""
    top, bottom, left, right = window.padding
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def cropped(padded: Array, window: Window) -> Array:
    """The images without their padding."""
    height, width = window.input_size
    top, left = window.padding.top, window.padding.left
    return padded[:, :, top : top + height, left : left + width]


def views(window: Window) -> Iterator[tuple[int, int, tuple]]:
    """Each output position, and the index of what the window sees of the padded images from there."""
    (kernel_h, kernel_w), (stride_h, stride_w), (spread_h, spread_w) = (
        window.kernel_size, window.stride, window.dilation,
    )  # fmt: skip
    for oh in range(window.output_size[0]):
        for ow in range(window.output_size[1]):
            top, left = oh * stride_h, ow * stride_w
            rows = slice(top, top + spread_h * (kernel_h - 1) + 1, spread_h)
            columns = slice(left, left + spread_w * (kernel_w - 1) + 1, spread_w)
            yield oh, ow, (slice(None), slice(None), rows, columns)


def group(array: Array, axis: int, group: int, groups: int) -> Array:
    """One group's share of an axis of channels, as a view."""
    size = array.shape[axis] // groups
    return array[(slice(None),) * axis + (slice(group * size, (group + 1) * size),)]
