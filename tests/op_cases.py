"""The table: a row for each way of calling each operation, with inputs, keyword arguments and a reference in NumPy.

`test_ops.py` runs every check on every row. A new operation needs a row here; without one the tests fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from minidl import reference
from minidl.geometry import Padding, sliding_window
from minidl.ops.conv import ConvInputGradient, ConvWeightGradient
from minidl.ops.pooling import AvgPool2dGradient, GatherPositions, ScatterPositions

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """One row.

    `function` takes the inputs (tensors; None stays None) and `kwargs`; `reference` takes the arrays and `kwargs`.
    """

    function: Callable[..., Any]
    inputs: Sequence[Array | None]
    kwargs: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] = None  # type: ignore[assignment]
    # The public function that the row tests, where `function` wraps it.
    covers: Callable[..., Any] | None = None
    name: str = ""
    # 2: first and second gradients exist; 0: none, as for argmax.
    order: int = 2
    # Large rows, whose gradients test_kernels.py compares with the reference instead of numerically.
    numeric: bool = True
    # Which inputs have a batch along axis 0 that may be empty.
    batched: tuple[int, ...] = ()
    # Of the largest value; for the row's own rounding.
    tolerance: dict[str, float] = field(default_factory=lambda: {"float32": 1e-5, "float64": 1e-13})

    @property
    def id(self) -> str:
        """What pytest calls the row."""
        shapes = "_".join("x".join(map(str, x.shape)) or "0d" if x is not None else "none" for x in self.inputs)
        kwargs = ",".join(f"{k}={v!r}".replace(" ", "") for k, v in self.kwargs.items())
        return "-".join(part for part in (self.name or self.function.__name__, shapes, kwargs) if part)


def normal(*shape: int) -> Array:
    """Values like those of a network, the same for the same shape."""
    return np.random.default_rng([len(shape), *shape]).normal(size=shape)


def other(*shape: int) -> Array:
    """As `normal`, but others."""
    return np.random.default_rng([7, len(shape), *shape]).normal(size=shape)


def distinct(*shape: int) -> Array:
    """Values in random order that lie far apart and off 0, so that a small step meets no kink."""
    n = prod(shape)
    order = np.random.default_rng([3, len(shape), *shape]).permutation(n)
    return np.asarray((order - n // 2 + 0.25) * 0.37).reshape(shape)


def positive(*shape: int) -> Array:
    """Values from 0.5 to 2."""
    return np.random.default_rng([5, len(shape), *shape]).uniform(0.5, 2, shape)


# References for what is called otherwise in `minidl.reference`


def batchwise(function: Callable[..., Array], *, rank: int) -> Callable[..., Array]:
    """`function` of a batch, also for one sample."""

    def either(x: Array, *rest: Any, **kwargs: Any) -> Array:
        return function(x, *rest, **kwargs) if x.ndim == rank else function(x[None], *rest, **kwargs)[0]

    return either


def _conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, by=reference.conv2d):
    window = sliding_window("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return by(x, weight, bias, window, groups)


def _unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    return reference.unfold(x, sliding_window("unfold", x.shape[2:], kernel_size, stride, padding, dilation))


def _fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    window = sliding_window("fold", size, kernel_size, stride, padding, dilation)
    return reference.fold(x, x.shape[1] // window.taps, window)


def _max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1):
    step = kernel_size if stride is None else stride
    return reference.max_pool2d(x, sliding_window("max", x.shape[2:], kernel_size, step, padding, dilation))[0]


def _avg_pool2d(x, kernel_size, stride=None, padding=0):
    window = sliding_window("avg", x.shape[2:], kernel_size, kernel_size if stride is None else stride, padding)
    return reference.avg_pool2d(x, window, np.full(window.output_size, 1 / window.taps))


conv2d_reference = batchwise(_conv2d, rank=4)
unfold_reference = batchwise(_unfold, rank=4)
fold_reference = batchwise(_fold, rank=3)
max_pool2d_reference = batchwise(_max_pool2d, rank=4)
avg_pool2d_reference = batchwise(_avg_pool2d, rank=4)


def conv2d_strided(x: Array, weight: Array, bias: Array | None = None, **kwargs: Any) -> Array:
    """The fastest of the references, for large rows."""

    def by(*arguments):
        return reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)

    return _conv2d(x, weight, bias, **kwargs, by=by)


def cross_entropy_reference(x: Array, target: Array, ignore_index: int = -100, reduction: str = "mean") -> Array:
    """The reduction of the reference's losses."""
    losses = reference.cross_entropy(np.atleast_2d(x), np.atleast_1d(target), ignore_index)[0]
    if reduction == "none":
        return losses.reshape(np.shape(target))
    total = losses.sum()
    return np.asarray(total if reduction == "sum" else total / np.count_nonzero(np.asarray(target) != ignore_index))


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


def row(
    function: Callable[..., Any], inputs: Sequence[Array | None], kwargs: dict[str, Any] | None = None, **options: Any
) -> Case:
    """A row whose reference comes from `REFERENCES`."""
    return Case(function, inputs, kwargs or {}, REFERENCES[function], **options)


REFERENCES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.conv2d: conv2d_reference,
    F.unfold: unfold_reference,
    F.fold: fold_reference,
    F.max_pool2d: max_pool2d_reference,
    F.avg_pool2d: avg_pool2d_reference,
    F.linear: lambda x, w, *b: reference.linear(np.atleast_2d(x), w, *b).reshape(*x.shape[:-1], len(w)),
    F.cross_entropy: cross_entropy_reference,
    F.relu: reference.relu,
    F.tanh: np.tanh,
    F.sigmoid: sigmoid,
    F.softmax: along(reference.softmax),
    F.log_softmax: along(reference.log_softmax),
    minidl.matmul: np.matmul,
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
    minidl.sum: lambda x, dim=None, keepdim=False: np.asarray(x.sum(axis=dim, keepdims=keepdim)),
    minidl.mean: lambda x, dim=None, keepdim=False: np.asarray(x.mean(axis=dim, keepdims=keepdim)),
    minidl.var: lambda x, dim=None, correction=1, keepdim=False: x.var(axis=dim, ddof=correction, keepdims=keepdim),
    minidl.amax: lambda x, dim=None, keepdim=False: x.max(axis=dim, keepdims=keepdim),
    minidl.amin: lambda x, dim=None, keepdim=False: x.min(axis=dim, keepdims=keepdim),
    minidl.argmax: lambda x, dim=None, keepdim=False: np.argmax(x, axis=dim, keepdims=keepdim),
    minidl.argmin: lambda x, dim=None, keepdim=False: np.argmin(x, axis=dim, keepdims=keepdim),
    minidl.squeeze: lambda x, dim=None: np.squeeze(x, dim),
    minidl.unsqueeze: lambda x, dim: np.expand_dims(x, dim),
    minidl.transpose: lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
    minidl.flatten: lambda x, start_dim=0, end_dim=-1: x.reshape(
        *x.shape[:start_dim], -1, *x.shape[x.ndim + end_dim + 1 if end_dim < 0 else end_dim + 1 :]
    ),
    minidl.take_along_dim: lambda x, at, dim: np.take_along_axis(x, at, dim),
}


def convolutions() -> list[Case]:
    """Every argument of conv2d, and all of them together, never square."""

    def conv(x: Sequence[int], w: Sequence[int], bias: bool = False, **kwargs: Any) -> Case:
        inputs = [normal(*x), other(*w), *([normal(w[0])] if bias else [])]
        return row(F.conv2d, inputs, kwargs, batched=(0,) if len(x) == 4 else ())

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
    """Rows that meet each way of cutting the work in `kernels._conv_plan`, in both dtypes."""

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


def windows() -> list[Case]:
    """unfold, fold and pooling."""
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
        columns = unfold_reference(np.zeros(shape), **kwargs).shape[-2:]
        folding = {"output_size": size, **kwargs}
        rows.append(row(F.fold, [normal(*lead, *columns)], folding, batched=(0,) if lead else ()))
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
        rows.append(row(F.max_pool2d, [distinct(*shape)], kwargs, batched=batched))
        rows.append(row(F.avg_pool2d, [normal(*shape)], kwargs, batched=batched))
    dilated = {"kernel_size": (2, 3), "stride": 1, "padding": (1, 1), "dilation": (3, 2)}
    rows.append(row(F.max_pool2d, [distinct(1, 2, 5, 6)], dilated, batched=(0,)))
    return [*rows, *pooling_gradients()]


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


def dense_and_losses() -> list[Case]:
    """linear, matmul, softmax and its loss."""
    rows = [
        row(F.linear, [normal(3, 4), other(2, 4), normal(2)], batched=(0,)),
        row(F.linear, [normal(3, 4), other(2, 4)], batched=(0,)),
        row(F.linear, [normal(4), other(2, 4), normal(2)]),
        row(F.linear, [normal(2, 3, 4), other(5, 4), normal(5)], batched=(0,)),
        row(F.linear, [normal(1, 1), other(1, 1), normal(1)]),
        row(F.linear, [normal(3, 0), other(2, 0), normal(2)]),
        row(F.linear, [normal(150, 80), other(90, 80), normal(90)], numeric=False),
    ]
    for a, b in [
        ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((1, 3), (3, 1)), ((2, 2, 3), (3, 2)),
        ((2, 2, 3), (3,)), ((3,), (2, 3, 2)), ((2, 3), (2, 3, 2)), ((2, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (2, 3, 1)),
        ((1, 2, 3), (2, 3, 2)), ((2, 1, 1, 3), (1, 2, 3, 2)), ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((2, 3), (3, 0)),
        ((2, 0, 3), (3, 2)), ((2, 2, 0), (0, 3)), ((0, 2, 3), (0, 3, 2)),
    ]:  # fmt: skip
        rows.append(row(minidl.matmul, [normal(*a), other(*b)]))
    for a, b in [((130, 300), (300, 140)), ((3, 40, 50), (3, 50, 60)), ((1, 2000), (2000, 300)), ((700, 3), (3, 5))]:
        rounding = {"float32": 2e-5, "float64": 1e-12}
        rows.append(row(minidl.matmul, [normal(*a), other(*b)], numeric=False, tolerance=rounding))
    for shape, dim in [((3, 4), 1), ((3, 4), 0), ((2, 3, 2), -2), ((4,), 0), ((2, 1), 1), ((0, 3), 1)]:
        batched = (0,) if dim != 0 else ()
        rows.append(row(F.softmax, [normal(*shape)], {"dim": dim}, batched=batched))
        rows.append(row(F.log_softmax, [normal(*shape)], {"dim": dim}, batched=batched))
    labels = np.array([2, 0, 1])
    for reduction in ("mean", "sum", "none"):
        rows += [
            row(F.cross_entropy, [normal(3, 4), labels], {"reduction": reduction}),
            row(F.cross_entropy, [normal(3, 4), labels], {"reduction": reduction, "ignore_index": 0}),
            row(F.cross_entropy, [normal(4), np.array(1)], {"reduction": reduction}),
        ]
    rows += [
        row(F.cross_entropy, [normal(3, 4), np.array([1, -100, 3], np.int32)]),
        row(F.cross_entropy, [normal(2, 1), np.array([0, 0], np.uint8)]),
        row(F.cross_entropy, [normal(2, 3), np.array([1, 255], np.uint8)], {"ignore_index": 255}),
        row(F.cross_entropy, [normal(700, 64), np.arange(700) % 64], numeric=False),
    ]
    return rows


def elementwise() -> list[Case]:
    """Activations and arithmetic, with every way of broadcasting."""
    rows: list[Case] = []
    for shape in ((3, 4), (), (0, 2), (2, 1, 3)):
        for function in (F.relu, minidl.abs):
            rows.append(row(function, [distinct(*shape)]))
        for function in (F.tanh, F.sigmoid, minidl.exp, minidl.neg):
            rows.append(row(function, [normal(*shape)]))
        for function in (minidl.log, minidl.sqrt):
            rows.append(row(function, [positive(*shape)]))
    rows.append(row(F.relu, [distinct(40, 60)], numeric=False))
    for p in (0.0, 0.3, 1.0):
        rows.append(
            Case(
                lambda x, p: F.dropout(x, p, generator=np.random.default_rng(7)),
                [normal(3, 4)], {"p": p}, dropped, covers=F.dropout, name="dropout", batched=(0,),
            )
        )  # fmt: skip
    rows.append(Case(F.dropout, [normal(3, 4)], {"training": False}, lambda x, training: x, batched=(0,)))
    for a, b in [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2, 2), ()), ((1, 1, 2), (2, 1)),
                 ((0, 3), (1, 3)), ((), ())]:  # fmt: skip
        for function in (minidl.add, minidl.sub, minidl.mul):
            rows.append(row(function, [normal(*a), other(*b)]))
        for function in (minidl.maximum, minidl.minimum):
            rows.append(row(function, [distinct(*a), np.asarray(distinct(*b) + 0.13)]))
        rows.append(row(minidl.div, [normal(*a), positive(*b)]))
        rows.append(row(minidl.pow, [positive(*a), other(*b)]))
        rows.append(row(minidl.where, [np.asarray(other(*b) > 0), normal(*a), other(*b)]))
    rows.append(row(minidl.where, [np.array([[True], [False]]), normal(3), normal(2, 1)]))
    for exponent in (2, 3, -1, 0.5, 0, 1, 2.0):
        rows.append(
            Case(
                lambda x, exponent: minidl.pow(x, exponent),
                [positive(2, 3)], {"exponent": exponent}, lambda x, exponent: x**exponent,
                covers=minidl.pow, name="pow",
            )
        )  # fmt: skip
    for number in (2, -0.5):
        rows += [
            Case(
                lambda x, number: (number - x) * number + number / x + number * (x - number) / number + x / number,
                [positive(2, 3)], {"number": number},
                lambda x, number: (number - x) * number + number / x + (x - number) + x / number,
                covers=minidl.mul, name="numbers",
            ),
        ]  # fmt: skip
    rows.append(Case(lambda x: 2**x, [normal(2, 3)], {}, lambda x: 2**x, covers=minidl.pow, name="rpow"))
    for low, high in ((-1.0, 1.0), (None, 0.5), (-0.5, None), (None, None), (1.0, -1.0)):
        rows.append(row(minidl.clip, [distinct(3, 4)], {"min": low, "max": high}))
    return rows


def reductions() -> list[Case]:
    """Sums, means and extremes over some dimensions or all."""
    rows: list[Case] = []
    for kwargs in ({}, {"dim": 1}, {"dim": -2, "keepdim": True}, {"dim": (0, 2)}, {"dim": (2, 1), "keepdim": True}):
        for function in (minidl.sum, minidl.mean):
            rows.append(row(function, [normal(2, 3, 2)], kwargs))
        for function in (minidl.amax, minidl.amin):
            rows.append(row(function, [distinct(2, 3, 2)], kwargs))
        rows.append(row(minidl.var, [normal(2, 3, 2)], kwargs))
        rows.append(row(minidl.var, [normal(2, 3, 2)], {**kwargs, "correction": 0}))
    rows += [row(function, [normal()]) for function in (minidl.sum, minidl.mean, minidl.amax, minidl.amin)]
    rows += [row(minidl.sum, [normal(0, 3)], {"dim": 0}), row(minidl.sum, [normal(0, 3)])]
    for kwargs in ({}, {"dim": 0}, {"dim": -1, "keepdim": True}):
        rows += [row(f, [distinct(3, 4)], kwargs, order=0) for f in (minidl.argmax, minidl.argmin)]
    for dim in (0, -1):
        for keepdim in (False, True):
            kwargs = {"dim": dim, "keepdim": keepdim}
            x = [distinct(3, 4)]
            rows += [
                Case(lambda x, dim, keepdim: x.max(dim, keepdim)[0], x, kwargs, REFERENCES[minidl.amax],
                     covers=minidl.amax, name="max"),
                Case(lambda x, dim, keepdim: x.min(dim, keepdim)[0], x, kwargs, REFERENCES[minidl.amin],
                     covers=minidl.amin, name="min"),
                Case(lambda x, dim, keepdim: x.max(dim, keepdim)[1], x, kwargs, REFERENCES[minidl.argmax],
                     covers=minidl.argmax, name="max-indices", order=0),
                Case(lambda x, dim, keepdim: x.min(dim, keepdim)[1], x, kwargs, REFERENCES[minidl.argmin],
                     covers=minidl.argmin, name="min-indices", order=0),
            ]  # fmt: skip
    rows.append(
        Case(lambda x, dim: x.std(dim), [normal(3, 4)], {"dim": 1}, lambda x, dim: x.std(axis=dim, ddof=1),
             covers=minidl.var, name="std")
    )  # fmt: skip
    return rows


def movements() -> list[Case]:
    """What moves values without changing them."""
    x = normal(2, 3, 4)

    def shaped(function, name, inputs, arguments, expected, **options):
        return Case(
            lambda x: function(x, *arguments), inputs, {}, expected, covers=function,
            name=f"{name}{arguments}".replace(" ", ""), **options,
        )  # fmt: skip

    rows = [
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
        rows.append(
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
        rows.append(
            Case(lambda x, v, index=index: write(x, v, index), [x, other(*size)], {},
                 lambda x, v, index=index: write(x, v, index), covers=minidl.mul, name=f"setindex{number}")
        )  # fmt: skip
    for shapes, dim in (([(2, 3), (2, 1), (2, 0)], 1), ([(1, 2), (3, 2)], 0), ([(2,)], -1)):
        rows.append(
            Case(lambda *parts, dim: minidl.concatenate(parts, dim), [normal(*s) for s in shapes], {"dim": dim},
                 lambda *parts, dim: np.concatenate(parts, dim), covers=minidl.concatenate, name="concatenate")
        )  # fmt: skip
    for dim in (0, 1, -1):
        rows.append(
            Case(lambda *parts, dim: minidl.stack(parts, dim), [normal(2, 3), other(2, 3)], {"dim": dim},
                 lambda *parts, dim: np.stack(parts, dim), covers=minidl.stack, name="stack")
        )  # fmt: skip
    return rows


def _unique(rows: list[Case]) -> dict[str, Case]:
    table: dict[str, Case] = {}
    for case in rows:
        key, count = case.id, 1
        while key in table:
            count += 1
            key = f"{case.id}#{count}"
        table[key] = case
    return table


CASES: dict[str, Case] = _unique(
    [
        *convolutions(), *conv_gradients(), *large_convolutions(), *windows(), *dense_and_losses(), *elementwise(),
        *reductions(), *movements(),
    ]
)  # fmt: skip
