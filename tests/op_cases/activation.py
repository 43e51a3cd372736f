"""Activations, softmax and dropout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minidl.functional as F
from minidl import reference
from op_cases._case import *


def along(function: Callable[[Array], Array]) -> Callable[..., Array]:
    """A function of the last axis along `dim`."""
    return lambda x, dim: np.moveaxis(function(np.moveaxis(x, dim, -1)), -1, dim)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def dropped(x: Array, p: float) -> Array:
    """What dropout gives with the generator that its rows use."""
    kept = np.random.default_rng(7).random(x.shape, np.float32) >= p
    return np.where(kept, x / (1 - p) if p < 1 else 0, 0)


REFERENCES.update(
    {
        F.relu: reference.relu,
        F.tanh: np.tanh,
        F.sigmoid: sigmoid,
        F.softmax: along(reference.softmax),
        F.log_softmax: along(reference.log_softmax),
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    for shape in ((3, 4), (), (0, 2), (2, 1, 3)):
        table.append(row(F.relu, [distinct(*shape)]))
        for function in (F.tanh, F.sigmoid):
            table.append(row(function, [normal(*shape)]))
    table.append(row(F.relu, [distinct(40, 60)], numeric=False))
    for shape, dim in [((3, 4), 1), ((3, 4), 0), ((2, 3, 2), -2), ((4,), 0), ((2, 1), 1), ((0, 3), 1)]:
        batched = (0,) if dim != 0 else ()
        table.append(row(F.softmax, [normal(*shape)], {"dim": dim}, batched=batched))
        table.append(row(F.log_softmax, [normal(*shape)], {"dim": dim}, batched=batched))
    for p in (0.0, 0.3, 1.0):
        table.append(
            Case(
                lambda x, p: F.dropout(x, p, generator=np.random.default_rng(7)),
                [normal(3, 4)], {"p": p}, dropped, covers=F.dropout, name="dropout", batched=(0,),
            )
        )  # fmt: skip
    table.append(Case(F.dropout, [normal(3, 4)], {"training": False}, lambda x, training: x, batched=(0,)))
    return table
