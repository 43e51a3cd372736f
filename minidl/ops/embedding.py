"""Rows of a table by their numbers, and the sum of what goes back to each row."""

from __future__ import annotations

import numpy as np

from minidl.autograd import Op

Array = np.ndarray


class RowOp(Op):
    """The base of both, which has the row's number for each result (of any shape), and the number of rows.

    The gradient of a row is the sum over its uses times its `factor` (rows, 1), where there is one; that is what
    leaves a padding row as it is, or evens out how often rows are used.
    """

    def __init__(self, index: Array, rows: int, factor: Array | None) -> None:
        self.index, self.rows, self.factor = index, rows, factor

    def scaled(self, table: Array) -> Array:
        """Rows times their factors; nothing where that is 0, whatever the row."""
        if self.factor is None:
            return table
        with np.errstate(all="ignore"):
            return np.where(self.factor == 0, 0, table * self.factor).astype(table.dtype)


class Lookup(RowOp):
    """y[i] = table[index[i]]; times the row's factor where this is the transpose of LookupGradient (`scales`)."""

    def __init__(self, index: Array, rows: int, factor: Array | None, scales: bool = False) -> None:
        super().__init__(index, rows, factor)
        self.scales = scales

    def forward(self, table):
        return (self.scaled(table) if self.scales else table).take(self.index, axis=0)

    def backward(self, grad):
        return LookupGradient(self.index, self.rows, self.factor)(grad)


class LookupGradient(RowOp):
    """table[r] = factor[r] times the sum of y[i] over all i with index[i] = r."""

    def forward(self, y):
        columns = y.shape[self.index.ndim]
        table = np.zeros((self.rows, columns), y.dtype)
        flat = self.index.reshape(-1)
        if flat.size:
            # Uses of a row beside each other, in their order, so that each row is one sum.
            order = np.argsort(flat, kind="stable")
            used, starts = np.unique(flat[order], return_index=True)
            with np.errstate(all="ignore"):
                table[used] = np.add.reduceat(y.reshape(flat.size, columns)[order], starts, axis=0)
        return self.scaled(table)

    def backward(self, grad):
        return Lookup(self.index, self.rows, self.factor, scales=True)(grad)
