"""Padding, and sparse matrices that act along one axis: what copies, moves and mixes positions.

Reflected, replicated and wrapped padding, nearest and bilinear interpolation are all linear along one axis after the
other, by a matrix with few entries. So there is one op for them, whose gradient is itself with the matrix transposed.
"""

from __future__ import annotations

import numpy as np

from minidl.autograd import Op
from minidl.memory import new_array
from minidl.runtime import computed_once

Array = np.ndarray
# So many positions are added before and after, for each dimension; less than 0 to crop.
Widths = tuple[tuple[int, int], ...]


class Pad(Op):
    """A constant around the input where a width is positive, a crop where it is negative.

    Padding and cropping are each other's transposes, so the gradient is the same op with the signs turned.
    """

    def __init__(self, widths: Widths, value: float = 0) -> None:
        self.widths, self.value = widths, value

    def forward(self, x):
        shape = tuple([n + leading + trailing for n, (leading, trailing) in zip(x.shape, self.widths, strict=True)])
        result = np.full(shape, self.value, x.dtype)
        inside = tuple([slice(max(b, 0), n - max(a, 0)) for n, (b, a) in zip(shape, self.widths, strict=True)])
        kept = tuple([slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, self.widths, strict=True)])
        result[inside] = x[kept]
        return result

    def backward(self, grad):
        return Pad(tuple([(-leading, -trailing) for leading, trailing in self.widths]))(grad)


class SparseMatrix:
    """A matrix of `shape` with an entry `weights[e]` at (`rows[e]`, `columns[e]`); all are 1 without weights.

    What has no entry is never read, so an infinity or a NaN reaches only what it has a part in.
    """

    def __init__(self, shape: tuple[int, int], rows: Array, columns: Array, weights: Array | None = None) -> None:
        self.shape, self.rows, self.columns, self.weights = shape, rows, columns, weights

    @computed_once
    def transposed(self) -> SparseMatrix:
        """Rows and columns exchanged."""
        return SparseMatrix(self.shape[::-1], self.columns, self.rows, self.weights)

    @computed_once
    def _terms(self) -> list[tuple[Array | slice, Array | slice, Array | None]]:
        """The entries as rows, columns and weights, cut so that no row is twice in one piece: each a pass of NumPy."""
        order = np.argsort(self.rows, kind="stable")
        counts = np.bincount(self.rows, minlength=self.shape[0])
        first = np.cumsum(counts) - counts
        rank = np.arange(len(order)) - first[self.rows[order]]
        ranked = order[np.argsort(rank, kind="stable")]
        ends = np.cumsum(np.bincount(rank, minlength=1))
        return [
            (
                _slice_if_even(self.rows[piece]), _slice_if_even(self.columns[piece]),
                None if self.weights is None else self.weights[piece],
            )
            for piece in np.split(ranked, ends)[:-1]
        ]  # fmt: skip

    @computed_once
    def _has_no_empty_row(self) -> bool:
        return bool(np.bincount(self.rows, minlength=self.shape[0]).all())

    @computed_once
    def _column_of_row(self) -> Array:
        """Find where each row has its 1, in a matrix whose rows have one."""
        column = np.empty(self.shape[0], np.intp)
        column[self.rows] = self.columns
        return column

    def apply(self, x: Array, axis: int) -> Array:
        """The product along an axis of x: result[..., i, ...] = sum over j of matrix[i, j] x[..., j, ...]."""
        shape = (*x.shape[:axis], self.shape[0], *x.shape[axis + 1 :])
        result = new_array(shape, x.dtype)
        if len(self._terms) == 1 and self.weights is None and self._has_no_empty_row:
            # The mode says nothing about indices, which are in range; without it NumPy would copy once more.
            return x.take(self._column_of_row, axis, out=result, mode="clip")
        if not self._has_no_empty_row:
            result.fill(0)
        leading, trailing = (slice(None),) * axis, (1,) * (x.ndim - axis - 1)
        with np.errstate(all="ignore"):
            for number, (rows, columns, weights) in enumerate(self._terms):
                part = x[(*leading, columns)]
                if weights is not None:
                    part = part * weights.astype(x.dtype).reshape(-1, *trailing)
                if number == 0:
                    # Not added to the zeros, which would turn -0.0 into 0.0.
                    result[(*leading, rows)] = part
                else:
                    result[(*leading, rows)] += part
        return result


def _slice_if_even(index: Array) -> Array | slice:
    """Give positions as a slice if they rise evenly, since NumPy is several times faster at these."""
    steps = np.diff(index)
    if len(steps) == 0 or steps[0] < 1 or (steps != steps[0]).any():
        return index
    return slice(int(index[0]), int(index[-1]) + 1, int(steps[0]))


class AlongAxis(Op):
    """A sparse matrix times the input, along one axis."""

    def __init__(self, matrix: SparseMatrix, axis: int) -> None:
        self.matrix, self.axis = matrix, axis

    def forward(self, x):
        return self.matrix.apply(x, self.axis)

    def backward(self, grad):
        return AlongAxis(self.matrix.transposed, self.axis)(grad)
