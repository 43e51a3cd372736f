"""What moves values without changing them."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl
from op_cases._case import *

REFERENCES.update(
    {
        minidl.squeeze: lambda x, dim=None: np.squeeze(x, dim),
        minidl.unsqueeze: lambda x, dim: np.expand_dims(x, dim),
        minidl.transpose: lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        minidl.flatten: lambda x, start_dim=0, end_dim=-1: x.reshape(
            *x.shape[:start_dim], -1, *x.shape[x.ndim + end_dim + 1 if end_dim < 0 else end_dim + 1 :]
        ),
        minidl.unflatten: lambda x, dim, sizes: x.reshape(*x.shape[:dim], *sizes, *x.shape[dim:][1:]),
        minidl.take_along_dim: lambda x, at, dim: np.take_along_axis(x, at, dim),
    }
)


def rows() -> list[Case]:
    """Of the family."""
    x = normal(2, 3, 4)

    def shaped(function, name, inputs, arguments, expected, **options):
        return Case(
            lambda x: function(x, *arguments), inputs, {}, expected, covers=function,
            name=f"{name}{arguments}".replace(" ", ""),
            peer=lambda torch: lambda x: getattr(x, name)(*arguments), **options,
        )  # fmt: skip

    table = [
        shaped(minidl.reshape, "reshape", [x], ((4, -1),), lambda x: x.reshape(4, 6)),
        shaped(minidl.reshape, "reshape", [x], (2, 12), lambda x: x.reshape(2, 12)),
        shaped(minidl.reshape, "reshape", [normal(0, 3)], (3, 0), lambda x: x.reshape(3, 0)),
        shaped(minidl.permute, "permute", [x], ((2, 0, 1),), lambda x: x.transpose(2, 0, 1)),
        shaped(minidl.permute, "permute", [x], (1, -1, 0), lambda x: x.transpose(1, 2, 0)),
        shaped(minidl.broadcast_to, "broadcast_to", [normal(2, 1)], ((3, 2, 4),), lambda x: np.tile(x, (3, 1, 4))),
        shaped(minidl.broadcast_to, "broadcast_to", [normal()], (2,), lambda x: np.broadcast_to(x, (2,))),
        row(minidl.transpose, [x], {"dim0": 0, "dim1": -1}),
        row(minidl.squeeze, [normal(1, 3, 1)]),
        row(minidl.squeeze, [normal(1, 3, 1)], {"dim": -1}),
        row(minidl.unsqueeze, [normal(2, 3)], {"dim": 1}),
        row(minidl.unsqueeze, [normal(2, 3)], {"dim": -1}),
        row(minidl.flatten, [x]),
        row(minidl.flatten, [x], {"start_dim": 1}),
        row(minidl.flatten, [x], {"start_dim": 0, "end_dim": 1}),
        row(minidl.unflatten, [normal(2, 6, 3)], {"dim": 1, "sizes": (2, 3)}),
        row(minidl.unflatten, [normal(2, 6, 3)], {"dim": 1, "sizes": [3, -1]}),
        row(minidl.unflatten, [normal(0, 2)], {"dim": 0, "sizes": (2, -1)}),
        row(minidl.unflatten, [normal(2, 4)], {"dim": -1, "sizes": (4, 1)}),
        row(minidl.take_along_dim, [normal(3, 4), np.array([[0, 0], [3, 1], [2, 2]])], {"dim": 1}),
        Case(lambda x: x.T @ x.mT.T, [normal(2, 3)], {}, lambda x: x.T @ x, covers=minidl.permute, name="T,mT"),
        Case(lambda x: x.clone().astype("float64") * 2.0, [normal(2)], {}, lambda x: x.astype(float) * 2, name="clone",
             covers=minidl.mul),
    ]  # fmt: skip
    mask = np.array([[True, False, True], [False, True, True]])
    indices: list[Any] = [
        0, (1, 2, 3), slice(None, None, 2), (slice(None), slice(None, None, -1)), (Ellipsis, 1), (None, 1, Ellipsis),
        [1, 0, 1], (slice(None), [2, 0]), ([0, 1, 1], [2, 2, 2]), mask, (0, slice(1, 1)),
        (np.array([[0], [1]]), [0, 2]),
        (slice(None), np.array([True, False, True])), (1, slice(None), [3, 3]), np.int64(1), [],
    ]  # fmt: skip
    for number, index in enumerate(indices):
        read = np.array(index, np.intp) if isinstance(index, list) else index
        table.append(
            Case(lambda x, index=index: x[index], [x], {}, lambda x, index=read: np.asarray(x[index]),
                 covers=minidl.take_along_dim, name=f"index{number}")
        )  # fmt: skip

    def write(x, values, index):
        y = x * 1.0
        y[index] = values
        return y

    for number, (index, size) in enumerate(
        [(0, (3, 4)), ((slice(None), 1), (4,)), (([0, 1], [2, 0]), (2, 4)), (mask, ())]
    ):
        table.append(
            Case(lambda x, v, index=index: write(x, v, index), [x, other(*size)], {},
                 lambda x, v, index=index: write(x, v, index), covers=minidl.mul, name=f"setindex{number}")
        )  # fmt: skip
    for shapes, dim in (([(2, 3), (2, 1), (2, 0)], 1), ([(1, 2), (3, 2)], 0), ([(2,)], -1)):
        table.append(
            Case(lambda *parts, dim: minidl.concatenate(parts, dim), [normal(*s) for s in shapes], {"dim": dim},
                 lambda *parts, dim: np.concatenate(parts, dim), covers=minidl.concatenate, name="concatenate",
                 peer=lambda torch: lambda *parts, **kwargs: torch.concatenate(parts, **kwargs))
        )  # fmt: skip
    for dim in (0, 1, -1):
        table.append(
            Case(lambda *parts, dim: minidl.stack(parts, dim), [normal(2, 3), other(2, 3)], {"dim": dim},
                 lambda *parts, dim: np.stack(parts, dim), covers=minidl.stack, name="stack",
                 peer=lambda torch: lambda *parts, **kwargs: torch.stack(parts, **kwargs))
        )  # fmt: skip
    return table
