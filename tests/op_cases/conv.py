"""Convolution and transposed convolution in one and two dimensions, unfold and fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from minidl.geometry import Padding, Window, pair, sides, sliding_window
from minidl.kernels import REGISTRY, ConvPlans, conv_plans, refusal
from minidl.ops.conv import ConvInputGradient, ConvWeightGradient
from op_cases._case import *


def _images(x):
    """Signals as images of height 1."""
    return x if x.ndim == 4 else x[:, :, None]


def _conv(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, by=reference.conv2d, algorithm="loops"
):  # what the reference makes of `algorithm`: nothing
    window = sliding_window("conv", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = by(_images(x), _images(weight), bias, window, groups)
    return y if x.ndim == 4 else y[:, :, 0]


def _conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    spatial = x.ndim - 2
    step, spread = (pair("conv_transpose", "stride", value, 1, spatial) for value in (stride, dilation))
    extra = pair("conv_transpose", "output_padding", output_padding, 0, spatial)
    around = sides("conv_transpose", padding, spatial)
    y = reference.conv_transpose2d(_images(x), _images(weight), bias, step, around, extra, groups, spread)
    return y if spatial == 2 else y[:, :, 0]


def _unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    return reference.unfold(x, sliding_window("unfold", x.shape[2:], kernel_size, stride, padding, dilation))


def _fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    window = sliding_window("fold", size, kernel_size, stride, padding, dilation)
    return reference.fold(x, x.shape[1] // window.taps, window)


conv1d_reference, conv2d_reference = batchwise(_conv, rank=3), batchwise(_conv, rank=4)
conv_transpose1d_reference = batchwise(_conv_transpose, rank=3)
conv_transpose2d_reference = batchwise(_conv_transpose, rank=4)
unfold_reference = batchwise(_unfold, rank=4)
fold_reference = batchwise(_fold, rank=3)


def conv2d_strided(x: Array, weight: Array, bias: Array | None = None, **kwargs: Any) -> Array:
    """The fastest of the references, for large rows."""

    def by(*arguments):
        return reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)

    return _conv(x, weight, bias, **kwargs, by=by)


REFERENCES.update(
    {
        F.conv1d: conv1d_reference,
        F.conv2d: conv2d_reference,
        F.conv_transpose1d: conv_transpose1d_reference,
        F.conv_transpose2d: conv_transpose2d_reference,
        F.unfold: unfold_reference,
        F.fold: fold_reference,
    }
)


def padded_first(torch: Any) -> Callable[..., Any]:
    """PyTorch's convolution for paddings that it has not: the images are padded before."""

    def convolve(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
        spatial = weight.ndim - 2
        window = sliding_window("conv", tuple(x.shape[-spatial:]), weight.shape[2:], stride, padding, dilation)
        top, bottom, left, right = window.padding
        image = torch.nn.functional.pad(x, (left, right, top, bottom)[: 2 * spatial])
        function = torch.nn.functional.conv2d if spatial == 2 else torch.nn.functional.conv1d
        return function(image, weight, bias, stride, 0, dilation, groups)

    return convolve


def cropped_after(torch: Any) -> Callable[..., Any]:
    """PyTorch's transposed convolution for paddings that it has not: the images are cropped after."""

    def convolve(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        spatial = weight.ndim - 2
        function = torch.nn.functional.conv_transpose2d if spatial == 2 else torch.nn.functional.conv_transpose1d
        top, bottom, left, right = sides("conv_transpose", padding, spatial)
        image = function(x, weight, bias, stride, 0, output_padding, groups, dilation)
        return torch.nn.functional.pad(image, (-left, -right, -top, -bottom)[: 2 * spatial])

    return convolve


def every_algorithm(rows: list[Case]) -> list[Case]:
    """The rows, and each again by every entry of the registry that applies to it; families are names for those.

    Gradients of gradients are made of the same operations for all of them, so they are not checked numerically again.
    """
    more = []
    for case in rows:
        x, weight = case.inputs[0], case.inputs[1]
        assert x is not None and weight is not None
        options = {
            key: case.kwargs.get(key, default) for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))
        }
        window = sliding_window("conv2d", x.shape[-2:], weight.shape[2:], **options)  # type: ignore[arg-type]
        groups = case.kwargs.get("groups", 1)
        for algorithm in REGISTRY:
            if refusal(algorithm, x.shape[-3], len(weight), groups, window, 8) is None:
                name = f"{case.name}[{algorithm}]" if case.name else ""
                kwargs = {**case.kwargs, "algorithm": algorithm}
                more.append(
                    replace(case, kwargs=kwargs, name=name, peer=padded_first if case.peer else None, numeric=False)
                )
    return rows + more


def convolutions() -> list[Case]:
    """Every argument of conv2d, and all of them together, never square."""

    def conv(x: Sequence[int], w: Sequence[int], bias: bool = False, **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), *([normal(w[0])] if bias else [])]
        padding = kwargs.get("padding")
        peer = padded_first if isinstance(padding, Padding) or padding == "same" else "by name"
        return row(F.conv2d, inputs, kwargs, batched=(0,) if len(x) == 4 else (), peer=peer)

    return every_algorithm([
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
        conv((2, 2, 5, 6), (3, 2, 3, 3), padding=1, bias=True),
        conv((1, 3, 6, 3), (2, 3, 3, 3), padding=(0, 2)),
        conv((1, 1, 3, 4), (1, 1, 3, 3), padding=Padding(2, 0, 3, 1), bias=True),
        conv((2, 2, 7, 6), (3, 2, 5, 5), padding=2, bias=True),
        conv((1, 2, 3, 4), (2, 2, 5, 5), padding=Padding(6, 0, 1, 3), bias=True),
        conv((2, 2, 4, 6), (3, 2, 2, 5), padding=Padding(0, 1, 3, 0), bias=True),
        conv((1, 1, 2, 2), (1, 1, 2, 2), padding=4, dilation=4),
    ])  # fmt: skip


def signals() -> list[Case]:
    """Every argument of conv1d."""

    def conv(x: Sequence[int], w: Sequence[int], bias: bool = False, **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), *([normal(w[0])] if bias else [])]
        padding = kwargs.get("padding")
        peer = padded_first if isinstance(padding, Padding) or padding == "same" else "by name"
        return row(F.conv1d, inputs, kwargs, batched=(0,) if len(x) == 3 else (), peer=peer)

    return [
        conv((2, 2, 6), (3, 2, 3), bias=True),
        conv((2, 6), (3, 2, 3), bias=True),
        conv((3, 2, 5), (1, 2, 1)),
        conv((1, 1, 1), (1, 1, 1), bias=True),
        conv((1, 2, 4), (2, 2, 4)),
        conv((2, 1, 9), (2, 1, 3), stride=2),
        conv((2, 1, 9), (2, 1, 3), stride=(4,), padding=(2,)),
        conv((1, 2, 5), (2, 2, 4), padding="same"),
        conv((1, 2, 8), (2, 2, 4), padding="same", stride=3, bias=True),
        conv((2, 5), (2, 2, 4), padding="valid"),
        conv((1, 2, 5), (2, 2, 3), padding=Padding(0, 0, 3, 1)),
        conv((2, 1, 8), (2, 1, 3), dilation=3),
        conv((1, 4, 6), (6, 2, 2), groups=2, bias=True),
        conv((2, 3, 4), (3, 1, 2), groups=3),
        conv((1, 4, 9), (2, 2, 3), stride=2, padding=3, dilation=2, groups=2, bias=True),
    ]


def transposed() -> list[Case]:
    """Every argument of the transposed convolutions, and all of them together, never square."""

    def conv(x: Sequence[int], w: Sequence[int], bias: bool = False, **kwargs: Any) -> Case:
        filters = w[1] * kwargs.get("groups", 1)
        inputs = [normal(*x), other(*w), *([normal(filters)] if bias else [])]
        peer = cropped_after if isinstance(kwargs.get("padding"), Padding) else "by name"
        function = F.conv_transpose2d if len(w) == 4 else F.conv_transpose1d
        return row(function, inputs, kwargs, batched=(0,) if len(x) == len(w) else (), peer=peer)

    return [
        conv((2, 2, 3, 4), (2, 3, 2, 3), bias=True),
        conv((2, 3, 4), (2, 3, 2, 3), bias=True),
        conv((2, 3, 4, 3), (3, 2, 1, 1), bias=True),
        conv((1, 1, 1, 1), (1, 1, 1, 1), bias=True),
        conv((1, 2, 1, 1), (2, 2, 3, 4)),
        conv((2, 1, 3, 2), (1, 2, 2, 3), stride=2),
        conv((1, 2, 2, 3), (2, 2, 3, 2), stride=(2, 3), bias=True),
        conv((1, 2, 3, 4), (2, 2, 2, 3), padding=1),
        conv((2, 1, 4, 2), (1, 2, 3, 2), padding=(2, 1), bias=True),
        conv((1, 1, 3, 4), (1, 1, 1, 2), padding=(1, 2)),
        conv((1, 1, 2, 3), (1, 2, 2, 3), stride=(2, 3), output_padding=(1, 2), bias=True),
        conv((1, 1, 2, 3), (1, 2, 2, 3), stride=3, output_padding=1, padding=(0, 2)),
        # Output padding of a stride and more, which dilation lets in.
        conv((1, 2, 3, 2), (2, 1, 2, 2), dilation=(3, 2), output_padding=(2, 1), bias=True),
        conv((1, 1, 2, 3), (1, 1, 2, 1), stride=(1, 2), dilation=(4, 1), output_padding=(3, 1), padding=(1, 0)),
        conv((1, 1, 3, 2), (1, 2, 2, 3), dilation=(3, 2)),
        conv((1, 4, 2, 3), (4, 3, 2, 1), groups=2, bias=True),
        conv((2, 3, 2, 3), (3, 1, 2, 3), groups=3),
        conv((1, 3, 2, 2), (3, 2, 2, 3), groups=3, bias=True, stride=(1, 2)),
        conv((1, 2, 3, 4), (2, 2, 2, 3), padding=Padding(0, 1, 3, 2), stride=(2, 3), bias=True),
        conv(
            (1, 4, 3, 2), (4, 1, 3, 2), stride=(2, 3), padding=(1, 2), output_padding=(1, 0), dilation=(1, 3),
            groups=2, bias=True,
        ),
        conv((2, 2, 4), (2, 3, 3), bias=True),
        conv((2, 4), (2, 3, 3), bias=True),
        conv((1, 1, 1), (1, 1, 1)),
        conv((2, 1, 4), (1, 2, 3), stride=(3,), output_padding=2),
        conv((2, 2, 5), (2, 1, 3), padding=2, dilation=(2,), bias=True),
        conv((1, 2, 3), (2, 2, 2), padding=Padding(0, 0, 0, 2), stride=2),
        conv((1, 4, 3), (4, 3, 2), stride=2, padding=1, output_padding=1, dilation=3, groups=2, bias=True),
    ]  # fmt: skip


def plans_of(first: Any, second: Any, window: Window, groups: int) -> ConvPlans:
    """For 2 channels and 2 filters."""
    return conv_plans(first.data.shape[0], 2, 2, groups, window, first.data.dtype)


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
                lambda dy, w, window, groups: ConvInputGradient(plans_of(dy, w, window, groups))(dy, w, None),
                [grad, weight], shared, reference.conv2d_input_gradient,
                name=f"ConvInputGradient{groups}", batched=(0,), covers=F.conv2d,
            ),
            Case(
                lambda x, dy, window, groups: ConvWeightGradient(plans_of(x, dy, window, groups))(x, dy),
                [x, grad], shared, reference.conv2d_weight_gradient,
                name=f"ConvWeightGradient{groups}", batched=(0, 1), covers=F.conv2d,
            ),
        ]  # fmt: skip
    return rows


def large_convolutions() -> list[Case]:
    """Rows that meet each way of cutting the work in `kernels.im2col.conv_plan` and `kernels.direct.direct_plan`."""

    def conv(note: str, x: Sequence[int], w: Sequence[int], **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), normal(w[0])]
        rounding = {"float32": 2e-5, "float64": 1e-12}
        name = f"conv2d[{note}]"
        return Case(F.conv2d, inputs, kwargs, conv2d_strided, name=name, numeric=False, tolerance=rounding)

    taps = conv("a kernel of 67,600 taps", (1, 2, 265, 263), (2, 2, 260, 260))
    huge = [
        replace(taps, name=f"{taps.name}[{name}]", kwargs={"algorithm": name}, peer=padded_first)
        for name in ("im2col", "implicit_gemm", "fft")
    ]
    return huge + every_algorithm([
        # By bands of rows, narrow and wide; by blocks of samples, one of them not full.
        conv("bands", (2, 5, 37, 70), (13, 5, 3, 3), padding=1),
        conv("bands and strides", (1, 3, 61, 83), (9, 3, 7, 5), stride=(2, 3), padding=(3, 2)),
        conv("narrow bands", (3, 2, 40, 30), (7, 2, 4, 3), stride=(1, 2), padding=2, dilation=(2, 1)),
        conv("narrow bands back", (2, 1, 33, 29), (6, 1, 5, 5), padding=2),
        conv("blocks", (37, 6, 11, 10), (16, 6, 5, 3), padding=(1, 0)),
        conv("tiles of 16 channels and more", (3, 18, 13, 9), (35, 18, 3, 3), padding=1),
        conv("tiles of 16 channels and 5 x 5 taps", (3, 18, 13, 9), (35, 18, 5, 5), padding=2),
        conv("depthwise, 2 filters a channel", (3, 19, 17, 23), (38, 1, 3, 3), padding=1, groups=19),
        conv("depthwise and strides", (2, 33, 15, 18), (33, 1, 3, 3), stride=2, padding=1, groups=33),
        conv("depthwise, 5 x 5", (9, 6, 21, 20), (6, 1, 5, 5), padding=2, groups=6),
        conv("a large kernel", (2, 3, 40, 33), (4, 3, 17, 13), padding=(8, 3)),
        conv("blocks and strides", (19, 5, 12, 9), (11, 5, 3, 4), stride=(2, 3), padding=1, dilation=(1, 2)),
        conv("several tiles", (2, 16, 48, 50), (8, 16, 3, 3), padding=1),
        conv("one large image", (1, 3, 161, 120), (4, 3, 5, 3), stride=(1, 2), padding=(2, 0)),
        conv("blocks of K", (1, 7400, 4, 5), (3, 7400, 3, 3)),
        conv("partial sums too large", (9, 128, 5, 6), (513, 128, 3, 3)),
        conv("partial sums over a batch", (70, 3, 9, 8), (5, 3, 3, 3), padding=1),
        conv("few samples, many channels", (2, 96, 12, 11), (24, 48, 3, 3), groups=2, dilation=2, padding=2),
        conv("depthwise", (3, 64, 20, 22), (64, 1, 3, 3), groups=64, padding=1),
    ])  # fmt: skip


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
    return [*convolutions(), *signals(), *transposed(), *conv_gradients(), *large_convolutions(), *columns()]
