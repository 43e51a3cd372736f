"""Winograd's convolution with a square kernel, from the interpolation points that its matrices are made of.

A product of polynomials can be had by evaluating both at enough points, multiplying the values, and interpolating
(Toom 1963, Cook 1966). A tile of m outputs of a correlation with r taps is the transpose of such a product (Winograd
1980), so it takes ``m + r - 1`` multiplications for the ``m r`` of the loops. With V(n) the matrix whose row i
evaluates a polynomial of n coefficients at point i (at infinity: takes its highest coefficient):

    y = V(m)^T [(V(r) g) * (V(m + r - 1)^-T d)]        m outputs y, r taps g, m + r - 1 inputs d

In two dimensions each matrix acts on rows and on columns (Lavin and Gray 2015), and tiles of m x m outputs take
``((m + r - 1) / m)^2`` multiplications an output: 4 with m = 2, and 2.25 with m = 4, for the 9 of the loops with r = 3;
9 with m = 2 for their 25 with r = 5. The weight gradient is a correlation too, of r x r results with the m x m
gradients of a tile as its taps over the same inputs, so V(m) and V(r) change places and everything else stays:

    y  = A^T [(G g G^T) * (B^T d B)] A                 A = V(m), G = V(r), B^T = V(m + r - 1)^-T
    dg = G^T [(A dy A^T) * (B^T d B)] G

With strides the three functions work on the phases of the image; see `minidl.reference.phases`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from minidl.geometry import Window, sliding_window
from minidl.reference._windows import padded
from minidl.reference.phases import (
    image_from_phases,
    image_phases,
    kernel_from_phases,
    kernel_phases,
    window_of_phases,
)

__all__ = [
    "WINOGRAD_POINTS",
    "WinogradMatrices",
    "winograd_conv2d",
    "winograd_input_gradient",
    "winograd_matrices",
    "winograd_weight_gradient",
]

Array = np.ndarray
Matrix = list[list[Fraction]]

# The points of tiles of m + r - 1 inputs, besides infinity. For 6 the textbook has 0, 1, -1, 2, -2; with these the
# float32 error is less than half. They come in pairs, which share most of a transform, and their powers are exact in
# binary.
WINOGRAD_POINTS = {
    4: (Fraction(0), Fraction(1), Fraction(-1)),
    6: (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
}


class WinogradMatrices(NamedTuple):
    """A (m + r - 1, m), G (m + r - 1, r) and B^T (m + r - 1, m + r - 1) in float64."""

    A: Array
    G: Array
    BT: Array


def _evaluation(points: Sequence[Fraction], coefficients: int) -> Matrix:
    """Row i holds the powers of point i; one more row, for infinity, picks out the highest coefficient."""
    rows = [[point**power for power in range(coefficients)] for point in points]
    return [*rows, [Fraction(power == coefficients - 1) for power in range(coefficients)]]


def _inverse(matrix: Matrix) -> Matrix:
    """Invert a matrix by Gauss and Jordan, exactly."""
    size = len(matrix)
    rows = [[*row, *(Fraction(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]


def winograd_matrices(points: Sequence[Fraction], taps: int = 3) -> WinogradMatrices:
    """The matrices for tiles of ``len(points) + 2 - taps`` outputs.

    A factor may move between a row of G and the same row of B^T. Here B^T gets the product of the point's distances
    from the others, which is what its denominators are made of: what is left there are the coefficients of polynomials.
    """
    A, G = _evaluation(points, len(points) + 2 - taps), _evaluation(points, taps)
    BT = [list(column) for column in zip(*_inverse(_evaluation(points, len(points) + 1)), strict=True)]
    for i, point in enumerate(points):
        factor = prod((point - other for other in points if other != point), start=Fraction(1))
        BT[i] = [value * factor for value in BT[i]]
        G[i] = [value / factor for value in G[i]]
    return WinogradMatrices(*(np.array(matrix, np.float64) for matrix in (A, G, BT)))


def _tiles(window: Window, m: int) -> Iterator[tuple[slice, slice, slice, slice]]:
    """Rows and columns of the outputs of each tile, and of the padded image that it sees."""
    alpha = m + window.kernel_size[0] - 1
    for top in range(0, window.output_size[0], m):
        for left in range(0, window.output_size[1], m):
            yield (
                slice(top, top + m), slice(left, left + m),
                slice(top, top + alpha), slice(left, left + alpha),
            )  # fmt: skip


def _fill(tile: Array, size: int) -> Array:
    """A tile that reaches beyond the image, with zeros there."""
    missing = [(0, 0), (0, 0), *((0, size - n) for n in tile.shape[2:])]
    return np.pad(tile, missing)


def winograd_conv2d(x: Array, weight: Array, bias: Array | None, window: Window, m: int) -> Array:
    """`conv2d` of a kernel whose phases are square, with dilation 1, tile by tile."""
    if window.stride != (1, 1):
        images, kernels = image_phases(x, window), kernel_phases(weight, window)
        return winograd_conv2d(images, kernels, bias, window_of_phases(window), m).astype(x.dtype)
    taps = window.kernel_size[0]
    alpha = m + taps - 1
    A, G, BT = winograd_matrices(WINOGRAD_POINTS[alpha], taps)
    image = padded(x, window)
    y = np.zeros((x.shape[0], weight.shape[0], *window.output_size))
    U = G @ weight.astype(np.float64) @ G.T
    for rows, columns, seen_rows, seen_columns in _tiles(window, m):
        V = BT @ _fill(image[:, :, seen_rows, seen_columns], alpha) @ BT.T
        products = np.einsum("fcij,ncij->nfij", U, V)
        here = y[:, :, rows, columns]
        here[...] = (A.T @ products @ A)[:, :, : here.shape[2], : here.shape[3]]
    if bias is not None:
        y += bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


def winograd_input_gradient(grad: Array, weight: Array, window: Window, m: int) -> Array:
    """A convolution of the gradient: a pixel gathers from the windows that saw it, from the last by the first tap."""
    if window.stride != (1, 1):
        kernels = kernel_phases(weight, window)
        phases = winograd_input_gradient(grad.astype(np.float64), kernels, window_of_phases(window), m)
        return image_from_phases(phases, window).astype(grad.dtype)
    height, width = window.input_size
    top, left = window.padding.top, window.padding.left
    taps = window.kernel_size[0]
    further = taps - 1
    # The outermost outputs saw none of the image with more padding than that, and nothing is gathered from them.
    dy = grad[:, :, max(top - further, 0) :, max(left - further, 0) :]
    leading = max(further - top, 0), max(further - left, 0)
    trailing = (
        max(size + further - b - n, 0) for size, b, n in zip((height, width), leading, dy.shape[2:], strict=True)
    )
    sides = list(zip(leading, trailing, strict=True))
    dy = np.pad(dy, [(0, 0), (0, 0), *sides])[:, :, : height + further, : width + further]
    gathering = sliding_window("winograd_input_gradient", dy.shape[2:], taps)
    turned = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
    return winograd_conv2d(dy, turned, None, gathering, m)


def winograd_weight_gradient(x: Array, grad: Array, window: Window, m: int) -> Array:
    """The sum over tiles is taken before the last transform, which is therefore done once."""
    if window.stride != (1, 1):
        phases = winograd_weight_gradient(image_phases(x, window), grad, window_of_phases(window), m)
        return kernel_from_phases(phases, window).astype(x.dtype)
    taps = window.kernel_size[0]
    alpha = m + taps - 1
    A, G, BT = winograd_matrices(WINOGRAD_POINTS[alpha], taps)
    image, dy = padded(x, window), grad.astype(np.float64)
    total = np.zeros((grad.shape[1], x.shape[1], alpha, alpha))
    for rows, columns, seen_rows, seen_columns in _tiles(window, m):
        V = BT @ _fill(image[:, :, seen_rows, seen_columns], alpha) @ BT.T
        E = A @ _fill(dy[:, :, rows, columns], m) @ A.T
        total += np.einsum("nfij,ncij->fcij", E, V)
    return (G.T @ total @ G).astype(x.dtype)
