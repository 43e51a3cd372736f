"""The functions of mathematics that are made from lines, each beside the twin of its row."""

from __future__ import annotations

from functools import partial

import minidl
from minidl import reference
from minidl.ops.elementwise import FUNCTIONS
from op_cases._case import *

REFERENCES.update({function: partial(reference.elementwise, name) for name, function in FUNCTIONS.items()})
POSITIVE = ("log2", "log10", "log1p", "reciprocal", "rsqrt")


def rows() -> list[Case]:
    """All functions, on every number of dimensions, and powers."""
    table: list[Case] = []
    for name, function in FUNCTIONS.items():
        values = positive if name in POSITIVE else distinct if function is minidl.square else normal
        table += [row(function, [values(*shape)]) for shape in ((3, 4), (), (0, 2), (2, 1, 3))]
        # Large enough for two threads, and not whole blocks.
        table.append(row(function, [values(211, 97)], numeric=False))
    for exponent in (2, 3, 0.5, -0.5, -1, -2, 1.7):
        table.append(
            Case(
                lambda x, exponent: x**exponent, [positive(3, 50)], {"exponent": exponent},
                lambda x, exponent: x**exponent, covers=minidl.pow, name="power",
            )
        )  # fmt: skip
    table.append(row(minidl.pow, [positive(270, 250), other(270, 250)], numeric=False))
    table.append(row(minidl.pow, [positive(270, 250), other(250)], numeric=False))
    return table
