"""Matrix products."""

from __future__ import annotations

import numpy as np

import minidl
import minidl.functional as F
from minidl import reference
from op_cases._case import *

REFERENCES.update(
    {
        F.linear: lambda x, w, *b: reference.linear(np.atleast_2d(x), w, *b).reshape(*x.shape[:-1], len(w)),
        minidl.matmul: np.matmul,
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table = [
        row(F.linear, [normal(3, 4), other(2, 4), normal(2)], batched=(0,)),
        row(F.linear, [normal(3, 4), other(2, 4)], batched=(0,)),
        row(F.linear, [normal(4), other(2, 4), normal(2)]),
        row(F.linear, [normal(2, 3, 4), other(5, 4), normal(5)], batched=(0,)),
        row(F.linear, [normal(1, 1), other(1, 1), normal(1)]),
        row(F.linear, [normal(3, 0), other(2, 0), normal(2)]),
        row(F.linear, [normal(150, 80), other(90, 80), normal(90)], numeric=False),
    ]
    for a, b in [
        ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((1, 3), (3, 1)), ((2, 2, 3), (3, 2)),
        ((2, 2, 3), (3,)), ((3,), (2, 3, 2)), ((2, 3), (2, 3, 2)), ((2, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (2, 3, 1)),
        ((1, 2, 3), (2, 3, 2)), ((2, 1, 1, 3), (1, 2, 3, 2)), ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((2, 3), (3, 0)),
        ((2, 0, 3), (3, 2)), ((2, 2, 0), (0, 3)), ((0, 2, 3), (0, 3, 2)),
    ]:  # fmt: skip
        table.append(row(minidl.matmul, [normal(*a), other(*b)]))
    for a, b in [((130, 300), (300, 140)), ((3, 40, 50), (3, 50, 60)), ((1, 2000), (2000, 300)), ((700, 3), (3, 5))]:
        rounding = {"float32": 2e-5, "float64": 1e-12}
        table.append(row(minidl.matmul, [normal(*a), other(*b)], numeric=False, tolerance=rounding))
    return table
