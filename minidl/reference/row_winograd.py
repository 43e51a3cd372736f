"""Winograd's convolution along rows alone, with kernels of 5 columns; `winograd.py` has the method and the matrices.

A row of outputs is the sum of one-dimensional correlations: over the channels, and over the kernel's rows, each with
the image's row that it sees. All of them are transformed along the row, multiplied point by point, added up, and
transformed back once. With x a tile's m + 4 pixels, w the 5 taps and y the m outputs:

    y  = A^T [(G w) * (B^T x)]
    dw = G^T [(A dy) * (B^T x)]
    dx = B   [(G w) * (A dy)]

The first two are those of `winograd.py` with matrices on one side only. The third is the first one's transpose in x: a
product of the polynomials w and dy by evaluation and interpolation, which gives a tile's outputs back to the m + 4
pixels that they saw. Neighbouring tiles share 4 of these, so their shares are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from minidl.geometry import Window
from minidl.reference._windows import cropped, padded
from minidl.reference.winograd import winograd_matrices

__all__ = [
    "ROW_WINOGRAD_POINTS",
    "row_winograd_conv2d",
    "row_winograd_input_gradient",
    "row_winograd_weight_gradient",
]

Array = np.ndarray

TAPS = 5
# The points of tiles of m outputs, besides infinity. Powers of two, so that the transforms' products are exact. Those
# of 4 outputs come in pairs of opposite signs, which share most of a transform; 2 outputs, with fewer points, round
# less, which the input's gradient needs: its last transform is B instead of B^T.
ROW_WINOGRAD_POINTS = {
    4: tuple(Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")),
    2: tuple(Fraction(p) for p in ("0", "1", "-1", "2", "-1/2")),
}


def _tiles(window: Window, m: int) -> Iterator[tuple[slice, slice]]:
    """Columns of the outputs of each tile, and of the padded image that it sees."""
    for left in range(0, window.output_size[1], m):
        yield slice(left, left + m), slice(left, left + m + TAPS - 1)


def _fill(tile: Array, size: int) -> Array:
    """A tile that reaches beyond the row, with zeros there."""
    return np.pad(tile, [(0, 0)] * (tile.ndim - 1) + [(0, size - tile.shape[-1])])


def row_winograd_conv2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """`conv2d` of a kernel of 5 columns with stride and dilation 1, by F(4, 5)."""
    A, G, BT = winograd_matrices(ROW_WINOGRAD_POINTS[4], TAPS)
    rows, image = window.kernel_size[0], padded(x, window)
    y = np.zeros((x.shape[0], weight.shape[0], *window.output_size))
    U = weight.astype(np.float64) @ G.T
    for columns, seen in _tiles(window, 4):
        V = _fill(image[..., seen], len(BT)) @ BT.T
        for oh in range(window.output_size[0]):
            products = np.einsum("fckp,nckp->nfp", U, V[:, :, oh : oh + rows])
            here = y[:, :, oh, columns]
            here[...] = (products @ A)[..., : here.shape[-1]]
    if bias is not None:
        y += bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


def row_winograd_input_gradient(grad: Array, weight: Array, window: Window) -> Array:
    """The transpose of `row_winograd_conv2d` in x, by F(2, 5)."""
    A, G, BT = winograd_matrices(ROW_WINOGRAD_POINTS[2], TAPS)
    rows, dy = window.kernel_size[0], grad.astype(np.float64)
    # One column more, for a last tile that has one output only.
    image = np.pad(
        padded(np.zeros((grad.shape[0], weight.shape[1], *window.input_size)), window), [(0, 0)] * 3 + [(0, 1)]
    )
    U = weight.astype(np.float64) @ G.T
    for columns, seen in _tiles(window, 2):
        E = _fill(dy[..., columns], 2) @ A.T
        for oh in range(window.output_size[0]):
            image[:, :, oh : oh + rows, seen] += np.einsum("nfp,fckp->nckp", E[:, :, oh], U) @ BT
    return cropped(image, window).astype(grad.dtype)


def row_winograd_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """The sums over samples, rows and tiles are taken before the last transform, by F(4, 5)."""
    A, G, BT = winograd_matrices(ROW_WINOGRAD_POINTS[4], TAPS)
    rows, image, dy = window.kernel_size[0], padded(x, window), grad.astype(np.float64)
    total = np.zeros((grad.shape[1], x.shape[1], rows, len(BT)))
    for columns, seen in _tiles(window, 4):
        V = _fill(image[..., seen], len(BT)) @ BT.T
        E = _fill(dy[..., columns], 4) @ A.T
        for oh in range(window.output_size[0]):
            total += np.einsum("nfp,nckp->fckp", E[:, :, oh], V[:, :, oh : oh + rows])
    return (total @ G).astype(x.dtype)
