"""Images that move."""

from __future__ import annotations

import numpy as np

__all__ = [
    "shift",
]

Array = np.ndarray


def shift(images: Array, down: Array, right: Array) -> Array:
    """Images (N, C, H, W), each moved by so many pixels (N,), zeros entering."""
    moved = np.zeros(images.shape, images.dtype)
    for n, c, h, w in np.ndindex(images.shape):
        to_h, to_w = h + down[n], w + right[n]
        if 0 <= to_h < images.shape[2] and 0 <= to_w < images.shape[3]:
            moved[n, c, to_h, to_w] = images[n, c, h, w]
    return moved
