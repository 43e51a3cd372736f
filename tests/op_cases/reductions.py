"""Sums, means and extremes over some dimensions or all."""

from __future__ import annotations

import numpy as np

import minidl
from op_cases._case import *

REFERENCES.update(
    {
        minidl.sum: lambda x, dim=None, keepdim=False: np.asarray(x.sum(axis=dim, keepdims=keepdim)),
        minidl.mean: lambda x, dim=None, keepdim=False: np.asarray(x.mean(axis=dim, keepdims=keepdim)),
        minidl.var: lambda x, dim=None, correction=1, keepdim=False: x.var(axis=dim, ddof=correction, keepdims=keepdim),
        minidl.amax: lambda x, dim=None, keepdim=False: x.max(axis=dim, keepdims=keepdim),
        minidl.amin: lambda x, dim=None, keepdim=False: x.min(axis=dim, keepdims=keepdim),
        minidl.argmax: lambda x, dim=None, keepdim=False: np.argmax(x, axis=dim, keepdims=keepdim),
        minidl.argmin: lambda x, dim=None, keepdim=False: np.argmin(x, axis=dim, keepdims=keepdim),
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    for kwargs in ({}, {"dim": 1}, {"dim": -2, "keepdim": True}, {"dim": (0, 2)}, {"dim": (2, 1), "keepdim": True}):
        for function in (minidl.sum, minidl.mean):
            table.append(row(function, [normal(2, 3, 2)], kwargs))
        for function in (minidl.amax, minidl.amin):
            table.append(row(function, [distinct(2, 3, 2)], kwargs))
        table.append(row(minidl.var, [normal(2, 3, 2)], kwargs))
        table.append(row(minidl.var, [normal(2, 3, 2)], {**kwargs, "correction": 0}))
    table += [row(function, [normal()]) for function in (minidl.sum, minidl.mean, minidl.amax, minidl.amin)]
    # Large enough for the kernels.
    for function, inputs in (
        (minidl.sum, normal),
        (minidl.mean, normal),
        (minidl.amax, distinct),
        (minidl.amin, distinct),
    ):
        for dim in (0, 1, 2, (0, 1), (1, 2), (0, 2), None):
            table.append(row(function, [inputs(9, 30, 20)], {"dim": dim}, numeric=False))
    for dim in (0, 1, 2, (0, 2), None):
        table.append(row(minidl.amax, [distinct(13, 60, 90)], {"dim": dim}, numeric=False))
        table.append(row(minidl.var, [normal(13, 60, 90)], {"dim": dim}, numeric=False))
    table += [row(minidl.sum, [normal(0, 3)], {"dim": 0}), row(minidl.sum, [normal(0, 3)])]
    for kwargs in ({}, {"dim": 0}, {"dim": -1, "keepdim": True}):
        table += [row(f, [distinct(3, 4)], kwargs, order=0) for f in (minidl.argmax, minidl.argmin)]
    for dim in (0, -1):
        for keepdim in (False, True):
            kwargs = {"dim": dim, "keepdim": keepdim}
            x = [distinct(3, 4)]
            table += [
                Case(lambda x, dim, keepdim: x.max(dim, keepdim)[0], x, kwargs, REFERENCES[minidl.amax],
                     covers=minidl.amax, name="max"),
                Case(lambda x, dim, keepdim: x.min(dim, keepdim)[0], x, kwargs, REFERENCES[minidl.amin],
                     covers=minidl.amin, name="min"),
                Case(lambda x, dim, keepdim: x.max(dim, keepdim)[1], x, kwargs, REFERENCES[minidl.argmax],
                     covers=minidl.argmax, name="max-indices", order=0),
                Case(lambda x, dim, keepdim: x.min(dim, keepdim)[1], x, kwargs, REFERENCES[minidl.argmin],
                     covers=minidl.argmin, name="min-indices", order=0),
            ]  # fmt: skip
    table += [
        Case(
            lambda x: x.max(), [distinct(2, 3, 2)], {}, REFERENCES[minidl.amax], covers=minidl.amax, name="max of all"
        ),
        Case(
            lambda x: x.min(), [distinct(2, 3, 2)], {}, REFERENCES[minidl.amin], covers=minidl.amin, name="min of all"
        ),
    ]
    table.append(
        Case(lambda x, dim: x.std(dim), [normal(3, 4)], {"dim": 1}, lambda x, dim: x.std(axis=dim, ddof=1),
             covers=minidl.var, name="std")
    )  # fmt: skip
    return table
