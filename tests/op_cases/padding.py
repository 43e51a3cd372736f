"""Padding."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from op_cases._case import *


def _pad(x: Array, pad: Any, mode: str = "constant", value: float | None = None) -> Array:
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    return reference.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, mode, value or 0)


REFERENCES[F.pad] = _pad


def rows() -> list[Case]:
    """Of the family."""
    x, signal = normal(2, 2, 3, 4), normal(2, 3, 5)
    table = [
        row(F.pad, [x], {"pad": (1, 2)}, batched=(0,)),
        row(F.pad, [x], {"pad": (1, 2, 0, 3)}, batched=(0,)),
        row(F.pad, [x], {"pad": [0, 1, 2, 1, 1, 0, 0, 2]}),
        row(F.pad, [x], {"pad": (1, -2, -1, 2), "value": 2.5}, batched=(0,)),
        row(F.pad, [x], {"pad": (-1, -2, -1, 0)}, batched=(0,)),
        row(F.pad, [x], {"pad": (-4, 0)}),
        row(F.pad, [x], {"pad": (0, 0, 0, 0)}),
        row(F.pad, [x], {"pad": ()}),
        row(F.pad, [normal(3)], {"pad": (2, 1), "value": -1e4}),
        row(F.pad, [normal()], {"pad": (), "value": 3.0}),
        row(F.pad, [normal(0, 2)], {"pad": (0, 1, 2, 1), "value": -1.0}),
        row(F.pad, [np.arange(6).reshape(2, 3)], {"pad": (1, 0), "value": 7.9}, order=0),
        row(F.pad, [np.array([[True, False]])], {"pad": (0, 1, 1, 0), "value": 2.0}, order=0),
    ]
    for mode in ("reflect", "replicate", "circular"):
        table += [
            row(F.pad, [signal], {"pad": (3, 2), "mode": mode}, batched=(0,)),
            row(F.pad, [normal(3, 5)], {"pad": (0, 4), "mode": mode}),
            row(F.pad, [x], {"pad": (3, 1, 2, 0), "mode": mode}, batched=(0,)),
            row(F.pad, [normal(2, 3, 4)], {"pad": (1, 0, 0, 2), "mode": mode, "value": 0}),
            row(F.pad, [signal], {"pad": (-1, 3), "mode": mode}, batched=(0,)),
            row(F.pad, [x], {"pad": (1, -2, -1, -1), "mode": mode}, batched=(0,)),
            row(F.pad, [x], {"pad": (0, 0, 0, 0), "mode": mode}, batched=(0,)),
            row(F.pad, [normal(1, 2, 2, 3, 2)], {"pad": (1, 1, 0, 2, 1, 0), "mode": mode}, batched=(0,)),
            row(F.pad, [np.arange(6).reshape(2, 3)], {"pad": (2, 1), "mode": mode}, order=0),
        ]
    return [
        *table,
        row(F.pad, [normal(2, 1, 1)], {"pad": (3, 4), "mode": "replicate"}, batched=(0,)),
        row(F.pad, [normal(2, 5)], {"pad": (-6, 4), "mode": "replicate"}),
        row(F.pad, [normal(2, 5)], {"pad": (-6, 4), "mode": "reflect"}),
        row(F.pad, [normal(2, 5)], {"pad": (4, -3), "mode": "reflect"}),
        row(F.pad, [normal(2, 3)], {"pad": (3, 3), "mode": "circular"}),
        row(F.pad, [normal(2, 5)], {"pad": (2, -3), "mode": "circular"}),
        row(F.pad, [normal(2, 5)], {"pad": (-2, -3), "mode": "circular"}),
        row(F.pad, [np.array([[True, False, False]])], {"pad": (2, 1), "mode": "circular"}, order=0),
    ]
