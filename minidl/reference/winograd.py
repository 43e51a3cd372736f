"""Winograd's convolution with a 3x3 kernel, from the interpolation points that its matrices are made of.

A product of polynomials can be had by evaluating both at enough points, multiplying the values, and interpolating
(Toom and Cook). A tile of m outputs of a correlation with r taps is the transpose of such a product, so it takes
``m + r - 1`` multiplications for the ``m r`` of the loops. With V(n) the matrix whose row i evaluates a polynomial of
n coefficients at point i (at infinity, its highest coefficient alone):

    y = V(m)^T [(V(r) g) * (V(m + r - 1)^-T d)]        m outputs y of r taps g over m + r - 1 inputs d

In two dimensions each matrix acts on rows and on columns. The weight gradient is a correlation too, of r "outputs" with
the m gradients of a tile as its taps over the same inputs, so it needs V(m) and V(r) exchanged and nothing else:

    y  = A^T [(G g G^T) * (B^T d B)] A                 A = V(m), G = V(r), B^T = V(m + r - 1)^-T
    dg = G^T [(A dy A^T) * (B^T d B)] G
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from minidl.geometry import Window
from minidl.reference._windows import cropped, padded

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

TAPS = 3


class WinogradMatrices(NamedTuple):
    """A (m + r - 1, m), G (m + r - 1, r) and B^T (m + r - 1, m + r - 1), as exact fractions in object arrays."""

    A: Array
    G: Array
    BT: Array


def evaluation(points: Sequence[Fraction], coefficients: int) -> Matrix:
    """Row i holds the powers of point i; one more row, for infinity, picks out the highest coefficient."""
    rows = [[point**power for power in range(coefficients)] for point in points]
    return [*rows, [Fraction(power == coefficients - 1) for power in range(coefficients)]]


def inverse(matrix: Matrix) -> Matrix:
    """By Gauss and Jordan, exactly."""
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
