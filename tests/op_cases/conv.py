"""Convolution, unfold and fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from minidl.geometry import Padding, sliding_window
from minidl.ops.conv import ConvInputGradient, ConvWeightGradient
from op_cases._case import *


def _conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, by=reference.conv2d):
    window = sliding_window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return by(x, weight, bias, window, groups)


def _unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    return reference.unfold(x, sliding_window("unfold", x.shape[2:], kernel_size, stride, padding, dilation))


def _fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    window = sliding_window("fold", size, kernel_size, stride, padding, dilation)
    return reference.fold(x, x.shape[1] // window.taps, window)


conv2d_reference = batchwise(_conv2d, rank=4)
unfold_reference = batchwise(_unfold, rank=4)
fold_reference = batchwise(_fold, rank=3)


def conv2d_strided(x: Array, weight: Array, bias: Array | None = None, **kwargs: Any) -> Array:
    """The fastest of the references, for large rows."""

    def by(*arguments):
        return reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)

    return _conv2d(x, weight, bias, **kwargs, by=by)


REFERENCES.update(
    {
        F.conv2d: conv2d_reference,
        F.unfold: unfold_reference,
        F.fold: fold_reference,
    }
)


def padded_first(torch: Any) -> Callable[..., Any]:
    """PyTorch's convolution for paddings that it has not: the images are padded before."""

    def convolve(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        window = sliding_window("conv2d", tuple(x.shape[-2:]), weight.shape[2:], stride, padding, dilation)
        top, bottom, left, right = window.padding
        image = torch.nn.functional.pad(x, (left, right, top, bottom))
        return torch.nn.functional.conv2d(image, weight, bias, stride, 0, dilation, groups)

    return convolve


def convolutions() -> list[Case]:
    """Every argument of conv2d, and all of them together, never square."""

    def conv(x: Sequence[int], w: Sequence[int], bias: bool = False, **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), *([normal(w[0])] if bias else [])]
        padding = kwargs.get("padding")
        peer = padded_first if isinstance(padding, Padding) or padding == "same" else "by name"
        return row(F.conv2d, inputs, kwargs, batched=(0,) if len(x) == 4 else (), peer=peer)

    return [
        conv((2, 2, 4, 5), (3, 2, 2, 3), bias=True),
        conv((2, 3, 4, 3), (2, 3, 1, 1), bias=True),
        conv((2, 2, 3, 4), (2, 2, 3, 4), bias=True),
        conv((1, 1, 1, 1), (1, 1, 1, 1), bias=True),
        conv((2, 4, 5), (3, 2, 2, 3), bias=True),
        conv((2, 1, 5, 6), (2, 1, 2, 3), stride=2),
        conv((1, 2, 6, 5), (2, 2, 3, 2), stride=(2, 3), bias=True),
        conv((1, 2, 3, 4), (2, 2, 2, 3), padding=1),
        conv((2, 1, 3, 2), (2, 1, 3, 2), padding=(2, 1), bias=True),
        conv((1, 2, 4, 3), (2, 2, 2, 3), padding="same"),
        conv((1, 1, 5, 4), (2, 1, 2, 3), padding="same", dilation=(2, 1)),
        conv((1, 1, 5, 6), (1, 1, 3, 2), padding="same", stride=(2, 3)),
        conv((1, 2, 4, 3), (1, 2, 2, 3), padding="valid"),
        conv((1, 2, 3, 4), (2, 2, 2, 3), padding=Padding(0, 1, 2, 0), bias=True),
        conv((1, 1, 2, 3), (1, 1, 2, 2), padding=Padding(3, 0, 0, 3), stride=(1, 2)),
        conv((1, 1, 5, 7), (2, 1, 2, 3), dilation=(3, 2)),
        conv((1, 4, 3, 4), (6, 2, 2, 3), groups=2, bias=True),
        conv((2, 3, 3, 4), (3, 1, 2, 3), groups=3),
        conv((1, 3, 3, 4), (6, 1, 2, 2), groups=3, bias=True),
        conv((1, 4, 5, 6), (2, 2, 3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2, bias=True),
        conv((1, 2, 3, 3), (2, 2, 2, 2), stride=7),
        conv((1, 1, 2, 2), (1, 1, 2, 2), padding=4, dilation=4),
    ]


def conv_gradients() -> list[Case]:
    """The two gradients of convolution as operations of their own."""
    rows = []
    for stride, padding, dilation, groups in ((1, 0, 1, 1), ((2, 1), (1, 2), (1, 2), 2)):
        x, weight = normal(2, 2, 4, 5), other(2, 2 // groups, 2, 3)
        window = sliding_window("conv2d", (4, 5), (2, 3), stride, padding, dilation)
        grad = normal(2, 2, *window.output_size)
        shared = {"window": window, "groups": groups}
        rows += [
            Case(
                lambda dy, w, window, groups: ConvInputGradient(window, groups)(dy, w),
                [grad, weight], shared, reference.conv2d_input_gradient,
                name=f"ConvInputGradient{groups}", batched=(0,), covers=F.conv2d,
            ),
            Case(
                lambda x, dy, window, groups: ConvWeightGradient(window, groups)(x, dy),
                [x, grad], shared, reference.conv2d_weight_gradient,
                name=f"ConvWeightGradient{groups}", batched=(0, 1), covers=F.conv2d,
            ),
        ]  # fmt: skip
    return rows


def large_convolutions() -> list[Case]:
    """Rows that meet each way of cutting the work in `kernels.conv.conv_plan`, in both dtypes."""

    def conv(note: str, x: Sequence[int], w: Sequence[int], **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), normal(w[0])]
        rounding = {"float32": 2e-5, "float64": 1e-12}
        name = f"conv2d[{note}]"
        return Case(F.conv2d, inputs, kwargs, conv2d_strided, name=name, numeric=False, tolerance=rounding)

    return [
        conv("several tiles", (2, 16, 48, 50), (8, 16, 3, 3), padding=1),
        conv("one large image", (1, 3, 161, 120), (4, 3, 5, 3), stride=(1, 2), padding=(2, 0)),
        conv("blocks of K", (1, 7400, 4, 5), (3, 7400, 3, 3)),
        conv("a kernel of 67,600 taps", (1, 2, 265, 263), (2, 2, 260, 260)),
        conv("partial sums too large", (9, 128, 5, 6), (513, 128, 3, 3)),
        conv("partial sums over a batch", (70, 3, 9, 8), (5, 3, 3, 3), padding=1),
        conv("few samples, many channels", (2, 96, 12, 11), (24, 48, 3, 3), groups=2, dilation=2, padding=2),
        conv("depthwise", (3, 64, 20, 22), (64, 1, 3, 3), groups=64, padding=1),
    ]


def columns() -> list[Case]:
    """unfold and fold."""
    rows: list[Case] = []
    for shape, kwargs in [
        ((2, 2, 4, 5), {"kernel_size": (2, 3)}),
        ((2, 4, 5), {"kernel_size": 2, "stride": (2, 1)}),
        ((1, 2, 3, 4), {"kernel_size": (3, 2), "padding": (1, 2), "stride": (2, 3)}),
        ((1, 1, 5, 6), {"kernel_size": (2, 3), "dilation": (3, 2), "padding": 1}),
        ((1, 3, 2, 3), {"kernel_size": 1}),
        ((1, 1, 3, 4), {"kernel_size": (3, 4)}),
    ]:
        rows.append(row(F.unfold, [normal(*shape)], kwargs, batched=(0,) if len(shape) == 4 else ()))
        lead, size = shape[:-3], shape[-2:]
        size_of_columns = unfold_reference(np.zeros(shape), **kwargs).shape[-2:]
        folding = {"output_size": size, **kwargs}
        rows.append(row(F.fold, [normal(*lead, *size_of_columns)], folding, batched=(0,) if lead else ()))
    return rows


def rows() -> list[Case]:
    """Of the family."""
    return [*convolutions(), *conv_gradients(), *large_convolutions(), *columns()]
