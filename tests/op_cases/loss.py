"""Losses."""

from __future__ import annotations

import numpy as np

import minidl.functional as F
from minidl import reference
from op_cases._case import *


def cross_entropy_reference(x: Array, target: Array, ignore_index: int = -100, reduction: str = "mean") -> Array:
    """The reduction of the reference's losses."""
    losses = reference.cross_entropy(np.atleast_2d(x), np.atleast_1d(target), ignore_index)[0]
    if reduction == "none":
        return losses.reshape(np.shape(target))
    total = losses.sum()
    return np.asarray(total if reduction == "sum" else total / np.count_nonzero(np.asarray(target) != ignore_index))


REFERENCES.update(
    {
        F.cross_entropy: cross_entropy_reference,
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    labels = np.array([2, 0, 1])
    for reduction in ("mean", "sum", "none"):
        table += [
            row(F.cross_entropy, [normal(3, 4), labels], {"reduction": reduction}),
            row(F.cross_entropy, [normal(3, 4), labels], {"reduction": reduction, "ignore_index": 0}),
            row(F.cross_entropy, [normal(4), np.array(1)], {"reduction": reduction}),
        ]
    table += [
        row(F.cross_entropy, [normal(3, 4), np.array([1, -100, 3], np.int32)]),
        row(F.cross_entropy, [normal(2, 1), np.array([0, 0], np.uint8)]),
        row(F.cross_entropy, [normal(2, 3), np.array([1, 255], np.uint8)], {"ignore_index": 255}),
        row(F.cross_entropy, [normal(700, 64), np.arange(700) % 64], numeric=False),
    ]
    return table
