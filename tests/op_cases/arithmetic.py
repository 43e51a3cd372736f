"""Arithmetic with every way of broadcasting."""

from __future__ import annotations

import numpy as np

import minidl
from op_cases._case import *

REFERENCES.update(
    {
        minidl.add: np.add,
        minidl.sub: np.subtract,
        minidl.mul: np.multiply,
        minidl.div: np.divide,
        minidl.pow: np.power,
        minidl.maximum: np.maximum,
        minidl.minimum: np.minimum,
        minidl.where: np.where,
        minidl.neg: np.negative,
        minidl.exp: np.exp,
        minidl.log: np.log,
        minidl.sqrt: np.sqrt,
        minidl.abs: np.abs,
        minidl.clip: lambda x, min=None, max=None: np.clip(x, min, max),
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    for shape in ((3, 4), (), (0, 2), (2, 1, 3)):
        table.append(row(minidl.abs, [distinct(*shape)]))
        for function in (minidl.exp, minidl.neg):
            table.append(row(function, [normal(*shape)]))
        for function in (minidl.log, minidl.sqrt):
            table.append(row(function, [positive(*shape)]))
    for a, b in [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2, 2), ()), ((1, 1, 2), (2, 1)),
                 ((0, 3), (1, 3)), ((), ())]:  # fmt: skip
        for function in (minidl.add, minidl.sub, minidl.mul):
            table.append(row(function, [normal(*a), other(*b)]))
        for function in (minidl.maximum, minidl.minimum):
            table.append(row(function, [distinct(*a), np.asarray(distinct(*b) + 0.13)]))
        table.append(row(minidl.div, [normal(*a), positive(*b)]))
        table.append(row(minidl.pow, [positive(*a), other(*b)]))
        table.append(row(minidl.where, [np.asarray(other(*b) > 0), normal(*a), other(*b)]))
    # Large enough for the kernels.
    for a, b in (((270, 250), (270, 250)), ((270, 250), (250,)), ((5, 60, 250), (60, 1)), ((270, 1), (1, 250))):
        for function in (minidl.add, minidl.sub, minidl.mul, minidl.maximum, minidl.minimum):
            table.append(row(function, [normal(*a), other(*b)], numeric=False))
        table.append(row(minidl.div, [normal(*a), positive(*b)], numeric=False))
    table.append(row(minidl.where, [np.array([[True], [False]]), normal(3), normal(2, 1)]))
    for exponent in (2, 3, -1, 0.5, 0, 1, 2.0):
        table.append(
            Case(
                lambda x, exponent: minidl.pow(x, exponent),
                [positive(2, 3)], {"exponent": exponent}, lambda x, exponent: x**exponent,
                covers=minidl.pow, name="pow",
            )
        )  # fmt: skip
    for number in (2, -0.5):
        table += [
            Case(
                lambda x, number: (number - x) * number + number / x + number * (x - number) / number + x / number,
                [positive(2, 3)], {"number": number},
                lambda x, number: (number - x) * number + number / x + (x - number) + x / number,
                covers=minidl.mul, name="numbers",
            ),
        ]  # fmt: skip
    table.append(Case(lambda x: 2**x, [normal(2, 3)], {}, lambda x: 2**x, covers=minidl.pow, name="rpow"))
    for low, high in ((-1.0, 1.0), (None, 0.5), (-0.5, None), (None, None), (1.0, -1.0)):
        peer = None if low is None and high is None else "by name"
        table.append(row(minidl.clip, [distinct(3, 4)], {"min": low, "max": high}, peer=peer))
    return table
