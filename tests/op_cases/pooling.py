"""Max and mean pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from minidl.geometry import Window, sliding_window
from minidl.ops.pooling import AdaptiveAvgPool2dGradient, AvgPool2dGradient, GatherPositions, ScatterPositions
from op_cases._case import *


def _maxima(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    step = kernel_size if stride is None else stride
    window = sliding_window("max", x.shape[2:], kernel_size, step, padding, dilation, ceil_mode)
    y, positions = reference.max_pool2d(x, window)
    return positions.astype(np.int64) if return_indices else y


def _scale(window: Window, count_include_pad: bool) -> Array:
    """One over the number of positions of each window that count, by looking at each of them."""
    sides = window.padding[:2], window.padding[2:]
    scale = np.empty(window.output_size)
    for place in np.ndindex(window.output_size):
        count = 1
        for axis, (before, after) in enumerate(sides):
            low, high = (-before, after) if count_include_pad else (0, 0)
            start = place[axis] * window.stride[axis] - before
            size = window.input_size[axis]
            count *= sum(low <= h < size + high for h in range(start, start + window.kernel_size[axis]))
        scale[place] = 1 / count
    return scale


def _means(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):  # fmt: skip
    step = kernel_size if stride is None else stride
    window = sliding_window("avg", x.shape[2:], kernel_size, step, padding, 1, ceil_mode)
    scale = _scale(window, count_include_pad)
    if divisor_override is not None:
        scale = np.full(window.output_size, 1 / divisor_override)
    return reference.avg_pool2d(x, window, scale)


def _own_where_none(x: Array, output_size: Any) -> tuple[int, int]:
    sizes = (output_size, output_size) if isinstance(output_size, int) else output_size
    return tuple(own if size is None else size for size, own in zip(sizes, x.shape[2:], strict=True))


def _adaptive_maxima(x, output_size, return_indices=False):
    y, positions = reference.adaptive_max_pool2d(x, _own_where_none(x, output_size))
    return positions.astype(np.int64) if return_indices else y


def _adaptive_means(x, output_size):
    return reference.adaptive_avg_pool2d(x, _own_where_none(x, output_size))


# What each argument of a window is for the height that a signal has not.
HEIGHT = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "output_size": 1}


def in_one_dimension(images: Callable[..., Array]) -> Callable[..., Array]:
    """The reference for signals, from that for images."""

    def signals(x: Array, **kwargs: Any) -> Array:
        pairs = {
            name: (HEIGHT[name], value if isinstance(value, int) else value[0]) if name in HEIGHT else value
            for name, value in kwargs.items()
        }
        return images(x[:, :, None], **pairs)[:, :, 0]

    return batchwise(signals, rank=3)


REFERENCES.update(
    {
        F.max_pool2d: batchwise(_maxima, rank=4),
        F.avg_pool2d: batchwise(_means, rank=4),
        F.adaptive_max_pool2d: batchwise(_adaptive_maxima, rank=4),
        F.adaptive_avg_pool2d: batchwise(_adaptive_means, rank=4),
        F.max_pool1d: in_one_dimension(_maxima),
        F.avg_pool1d: in_one_dimension(_means),
        F.adaptive_max_pool1d: in_one_dimension(_adaptive_maxima),
        F.adaptive_avg_pool1d: in_one_dimension(_adaptive_means),
    }
)


def pool(function: Callable[..., Any], shape: Sequence[int], **kwargs: Any) -> Case:
    """A row; maxima are taken of values that lie far apart."""
    is_max, rank = "max" in function.__name__, 4 if function.__name__.endswith("2d") else 3
    x = (distinct if is_max else normal)(*shape)
    return row(function, [x], kwargs, batched=(0,) if len(shape) == rank else ())


def indices(function: Callable[..., Any], shape: Sequence[int], **kwargs: Any) -> list[Case]:
    """Two rows: the maxima where their positions are asked for too, and the positions."""
    reference, batched = REFERENCES[function], pool(function, shape).batched

    def part(i: int, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, **kwargs: function(x, return_indices=True, **kwargs)[i]

    def peer(i: int) -> Callable[[Any], Callable[..., Any]]:
        return lambda torch: part(i, getattr(torch.nn.functional, function.__name__))

    return [
        Case(
            part(0, function), [distinct(*shape)], kwargs, reference, name=f"{function.__name__}[0]", covers=function,
            peer=peer(0), batched=batched,
        ),
        Case(
            part(1, function), [distinct(*shape)], kwargs, lambda x, **kw: reference(x, return_indices=True, **kw),
            name=f"{function.__name__}[1]", covers=function, peer=peer(1), order=0,
        ),
    ]  # fmt: skip


def windows() -> list[Case]:
    """Every argument, alone and together, never square."""
    table: list[Case] = []
    for shape, kwargs in [
        ((2, 2, 4, 6), {"kernel_size": 2}),
        ((2, 4, 6), {"kernel_size": (2, 3)}),
        ((1, 2, 5, 4), {"kernel_size": (3, 2), "stride": (1, 2)}),
        ((1, 2, 5, 4), {"kernel_size": 2, "stride": 3, "padding": 1}),
        ((1, 1, 6, 5), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
        ((1, 2, 3, 4), {"kernel_size": (3, 4)}),
        ((1, 2, 3, 4), {"kernel_size": 1, "stride": 2}),
        # The last row hangs over the edge, the last column not.
        ((2, 1, 5, 6), {"kernel_size": (2, 3), "ceil_mode": True}),
        # The last windows would start in the padding behind, and are none.
        ((1, 2, 5, 4), {"kernel_size": (2, 3), "stride": (3, 3), "padding": 1, "ceil_mode": True}),
        # Beyond the padding.
        ((1, 1, 6, 7), {"kernel_size": (3, 4), "stride": (3, 3), "padding": (1, 2), "ceil_mode": True}),
        # Larger than the image.
        ((3, 2, 3), {"kernel_size": (3, 4), "stride": 2, "ceil_mode": True}),
    ]:
        table += [pool(F.max_pool2d, shape, **kwargs), pool(F.avg_pool2d, shape, **kwargs)]
    for kwargs in [
        {"count_include_pad": False},
        {"count_include_pad": False, "ceil_mode": True},
        {"divisor_override": 3},
        {"divisor_override": -2, "ceil_mode": True, "count_include_pad": False},
    ]:
        table.append(pool(F.avg_pool2d, (1, 2, 6, 7), kernel_size=(3, 4), stride=(3, 3), padding=(1, 2), **kwargs))
    table += [
        pool(F.avg_pool2d, (1, 4, 3), kernel_size=1),
        pool(F.max_pool2d, (1, 2, 5, 6), kernel_size=(2, 3), stride=1, padding=(1, 1), dilation=(3, 2)),
        pool(F.max_pool2d, (2, 1, 5, 7), kernel_size=(2, 3), stride=2, dilation=(3, 2), ceil_mode=True),
        # Windows in vector lanes, and one so wide that its positions are.
        pool(F.max_pool2d, (1, 1, 3, 19), kernel_size=2, stride=(1, 2), ceil_mode=True),
        pool(F.max_pool2d, (1, 1, 3, 11), kernel_size=(2, 3), stride=1, padding=(1, 1)),
        pool(F.max_pool2d, (1, 2, 3, 13), kernel_size=(2, 9), stride=(1, 3)),
        *indices(F.max_pool2d, (2, 2, 4, 6), kernel_size=(2, 3)),
        *indices(F.max_pool2d, (2, 5, 4), kernel_size=2, stride=3, padding=1, dilation=(2, 1), ceil_mode=True),
    ]
    return table


def signals() -> list[Case]:
    """The same in one dimension."""
    table: list[Case] = []
    for shape, kwargs in [
        ((2, 3, 7), {"kernel_size": 2}),
        ((2, 7), {"kernel_size": (3,), "stride": (1,)}),
        ((1, 2, 8), {"kernel_size": 4, "stride": 3, "padding": 2}),
        ((2, 1, 8), {"kernel_size": 3, "stride": 2, "padding": (1,), "ceil_mode": True}),
        ((1, 2, 3), {"kernel_size": 4, "stride": 5, "ceil_mode": True}),
    ]:
        table += [pool(F.max_pool1d, shape, **kwargs), pool(F.avg_pool1d, shape, **kwargs)]
    return [
        *table,
        pool(F.avg_pool1d, (1, 2, 8), kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        pool(F.max_pool1d, (1, 2, 9), kernel_size=3, stride=1, padding=1, dilation=2),
        *indices(F.max_pool1d, (2, 3, 7), kernel_size=3, stride=2, ceil_mode=True),
        *indices(F.max_pool1d, (3, 7), kernel_size=2, padding=1),
    ]


def adaptive() -> list[Case]:
    """Windows that share the input out: evenly, overlapping, repeating, and one or as many as there are pixels."""
    table: list[Case] = []
    for shape, size in [
        ((2, 3, 4, 5), 1),
        ((2, 4, 5), 1),
        ((1, 2, 4, 6), 2),
        ((1, 2, 5, 7), (3, 2)),
        ((2, 5, 7), (2, 4)),
        ((1, 2, 4, 3), (None, 2)),
        ((1, 2, 4, 3), [2, None]),
        ((1, 1, 2, 3), (None, None)),
        ((1, 1, 3, 2), (4, 5)),
        ((1, 1, 5, 4), (3, 1)),
        # Wide windows, whose positions fill vector lanes.
        ((1, 1, 3, 21), (2, 2)),
        ((1, 1, 3, 37), (2, 2)),
        ((1, 2, 3, 11), 1),
    ]:
        table += [pool(F.adaptive_max_pool2d, shape, output_size=size)]
        table += [pool(F.adaptive_avg_pool2d, shape, output_size=size)]
    for shape, size in [((2, 3, 7), 1), ((2, 7), 3), ((1, 2, 4), (6,)), ((1, 1, 40), 2)]:
        table += [pool(F.adaptive_max_pool1d, shape, output_size=size)]
        table += [pool(F.adaptive_avg_pool1d, shape, output_size=size)]
    return [
        *table,
        *indices(F.adaptive_max_pool2d, (2, 2, 5, 4), output_size=(2, 3)),
        *indices(F.adaptive_max_pool2d, (2, 5, 4), output_size=1),
        *indices(F.adaptive_max_pool1d, (2, 2, 7), output_size=3),
        *indices(F.adaptive_max_pool1d, (2, 7), output_size=3),
    ]


def gradients() -> list[Case]:
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
        Case(
            lambda dy, input_size: AdaptiveAvgPool2dGradient(input_size)(dy),
            [normal(2, 2, 3, 2)], {"input_size": (5, 7)}, reference.adaptive_avg_pool2d_gradient,
            name="AdaptiveAvgPool2dGradient", covers=F.adaptive_avg_pool2d, batched=(0,),
        ),
    ]  # fmt: skip


def rows() -> list[Case]:
    """Of the family."""
    return [*windows(), *signals(), *adaptive(), *gradients()]
