"""Max and mean pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from minidl.geometry import sliding_window
from minidl.ops.pooling import AvgPool2dGradient, GatherPositions, ScatterPositions
from op_cases._case import *


def _max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1):
    step = kernel_size if stride is None else stride
    return reference.max_pool2d(x, sliding_window("max", x.shape[2:], kernel_size, step, padding, dilation))[0]


def _avg_pool2d(x, kernel_size, stride=None, padding=0):
    window = sliding_window("avg", x.shape[2:], kernel_size, kernel_size if stride is None else stride, padding)
    return reference.avg_pool2d(x, window, np.full(window.output_size, 1 / window.taps))


max_pool2d_reference = batchwise(_max_pool2d, rank=4)
avg_pool2d_reference = batchwise(_avg_pool2d, rank=4)


def conv2d_strided(x: Array, weight: Array, bias: Array | None = None, **kwargs: Any) -> Array:
    """The fastest of the references, for large rows."""

    def by(*arguments):
        return reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)

    return _conv2d(x, weight, bias, **kwargs, by=by)


REFERENCES.update(
    {
        F.max_pool2d: max_pool2d_reference,
        F.avg_pool2d: avg_pool2d_reference,
    }
)


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    for shape, kwargs in [
        ((2, 2, 4, 6), {"kernel_size": 2}),
        ((2, 4, 6), {"kernel_size": (2, 3)}),
        ((1, 2, 5, 4), {"kernel_size": (3, 2), "stride": (1, 2)}),
        ((1, 2, 5, 4), {"kernel_size": 2, "stride": 3, "padding": 1}),
        ((1, 1, 6, 5), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
        ((1, 2, 3, 4), {"kernel_size": (3, 4)}),
        ((1, 2, 3, 4), {"kernel_size": 1, "stride": 2}),
    ]:
        batched = (0,) if len(shape) == 4 else ()
        table.append(row(F.max_pool2d, [distinct(*shape)], kwargs, batched=batched))
        table.append(row(F.avg_pool2d, [normal(*shape)], kwargs, batched=batched))
    dilated = {"kernel_size": (2, 3), "stride": 1, "padding": (1, 1), "dilation": (3, 2)}
    table.append(row(F.max_pool2d, [distinct(1, 2, 5, 6)], dilated, batched=(0,)))
    return [*table, *pooling_gradients()]


def pooling_gradients() -> list[Case]:
    """The transposes that pooling's gradients are, as operations of their own."""
    window = sliding_window("max_pool2d", (4, 5), (2, 3), (1, 2), (1, 1))
    positions = reference.max_pool2d(distinct(2, 2, 4, 5), window)[1]
    scale = positive(*window.output_size)
    dy, x = normal(2, 2, *window.output_size), normal(2, 2, 4, 5)
    return [
        Case(
            lambda dy: ScatterPositions(positions, (4, 5))(dy),
            [dy], {}, lambda dy: reference.scatter_positions(dy, positions, (4, 5)),
            name="ScatterPositions", covers=F.max_pool2d,
        ),
        Case(
            lambda x: GatherPositions(positions, (4, 5))(x),
            [x], {}, lambda x: reference.gather_positions(x, positions), name="GatherPositions", covers=F.max_pool2d,
        ),
        Case(
            lambda dy: AvgPool2dGradient(window, scale)(dy),
            [dy], {}, lambda dy: reference.avg_pool2d_gradient(dy, window, scale),
            name="AvgPool2dGradient", covers=F.avg_pool2d,
        ),
    ]  # fmt: skip
