"""Normalisations, each beside a loop over the sets of values that share a mean and a variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from op_cases._case import *


def standardised(x: Array, sets: Iterable[Any], eps: float) -> Array:
    """x with each set of values, named by an index, less its mean and over its deviation."""
    y = np.empty(x.shape)
    for index in sets:
        values = x[index]
        if values.size:
            mean = values.sum() / values.size
            y[index] = (values - mean) / np.sqrt(((values - mean) ** 2).sum() / values.size + eps)
    return y


def affine(y: Array, weight: Array | None, bias: Array | None, shape: tuple[int, ...]) -> Array:
    """Times the weight, plus the bias, broadcast from a shape."""
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def by_channel(x: Array) -> tuple[int, ...]:
    """The shape in which one number a channel broadcasts."""
    return (-1, *(1,) * (x.ndim - 2))


def batch_reference(
    x: Array, mean: Array | None, var: Array | None, weight: Array | None = None, bias: Array | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """A set for each channel, or running statistics."""
    if training:
        y = standardised(x, ((slice(None), c) for c in range(x.shape[1])), eps)
    else:
        assert mean is not None
        assert var is not None
        y = (x - mean.reshape(by_channel(x))) / np.sqrt(var.reshape(by_channel(x)) + eps)
    return affine(y, weight, bias, by_channel(x))


def instance_reference(
    x: Array, mean: Array | None = None, var: Array | None = None, weight: Array | None = None,
    bias: Array | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """A set for each channel of each sample."""
    if not use_input_stats:
        return batch_reference(x, mean, var, weight, bias, False, momentum, eps)
    return affine(standardised(x, np.ndindex(x.shape[:2]), eps), weight, bias, by_channel(x))


def layer_norm(x: Any, weight: Any, bias: Any, **options: Any) -> Any:
    """With the tensors first."""
    return F.layer_norm(x, weight=weight, bias=bias, **options)


def layer_reference(
    x: Array, weight: Array | None, bias: Array | None, normalized_shape: tuple[int, ...], eps: float = 1e-5
) -> Array:
    """A set for each position of the leading dimensions."""
    lead = x.shape[: x.ndim - len(normalized_shape)]
    return affine(standardised(x, np.ndindex(lead), eps), weight, bias, tuple(normalized_shape))


def group_norm(x: Any, weight: Any, bias: Any, **options: Any) -> Any:
    """With the tensors first."""
    return F.group_norm(x, weight=weight, bias=bias, **options)


def group_peer(torch: Any) -> Callable:
    """PyTorch's, with a weight of 1 beside a bias alone, for which its backward pass fails."""

    def theirs(x: Any, w: Any, b: Any, **options: Any) -> Any:
        w = torch.ones_like(b) if w is None and b is not None else w
        return torch.nn.functional.group_norm(x, weight=w, bias=b, **options)

    return theirs


def group_reference(x: Array, weight: Array | None, bias: Array | None, num_groups: int, eps: float = 1e-5) -> Array:
    """A set for each run of channels of each sample."""
    width = x.shape[1] // num_groups
    sets = ((n, slice(g * width, (g + 1) * width)) for n in range(len(x)) for g in range(num_groups))
    return affine(standardised(x, sets, eps), weight, bias, by_channel(x))


def with_running(
    name: str, function: Callable, reference: Callable, x: Array, *parameters: Array | None, **options: Any
) -> Case:
    """A row with running statistics, which have no gradients and are no inputs therefore."""
    mean, var = other(x.shape[1]), positive(x.shape[1])

    def called(x: Any, *parameters: Any, **options: Any) -> Any:
        statistics = (minidl.tensor(v, dtype=x.dtype) for v in (mean, var))
        return function(x, *statistics, *parameters, **options)

    def theirs(torch: Any) -> Callable:
        return lambda x, *parameters, **options: getattr(torch.nn.functional, function.__name__)(
            x, *(torch.tensor(v, dtype=x.dtype) for v in (mean, var)), *parameters, **options
        )

    return Case(
        called, [x, *parameters], options,
        lambda x, *parameters, **options: reference(x, mean, var, *parameters, **options),
        covers=function, name=f"{function.__name__} {name}", peer=theirs, batched=(0,),
    )  # fmt: skip


REFERENCES.update({F.batch_norm: batch_reference, F.instance_norm: instance_reference})


def rows() -> list[Case]:
    """Of the family."""
    return [*batch_rows(), *instance_rows(), *layer_rows(), *group_rows()]


def batch_rows() -> list[Case]:
    """One number a row, several, all ranks; each of weight and bias, neither; all sources of statistics."""
    table = []
    for shape in ((4, 3), (3, 2, 4), (2, 3, 2, 2), (3, 2, 1, 2, 1), (2, 1, 2, 1, 2, 1), (1, 2, 5), (5, 1)):
        C = shape[1]
        inputs = [normal(*shape), None, None, other(C), normal(C)]
        table.append(row(F.batch_norm, inputs, {"training": True}, batched=(0,)))
        table.append(with_running("evaluation", F.batch_norm, batch_reference, normal(*shape), other(C), normal(C)))
    for shape in ((4, 3), (3, 3, 2)):
        for weight, bias in ((None, None), (other(3), None), (None, normal(3))):
            inputs = [normal(*shape), None, None, weight, bias]
            table.append(row(F.batch_norm, inputs, {"training": True, "eps": 0.1}, batched=(0,)))
            table.append(
                with_running("evaluation", F.batch_norm, batch_reference, normal(*shape), weight, bias, eps=0.0)
            )
        table.append(with_running("training", F.batch_norm, batch_reference, normal(*shape), training=True))
    table.append(row(F.batch_norm, [normal(2, 3, 0), None, None, other(3), normal(3)], {"training": True}))
    table.append(row(F.batch_norm, [normal(2, 0, 3), None, None], {"training": True}))
    for shape in ((6, 20, 9, 11), (70, 150), (3, 2, 50, 60)):
        C = shape[1]
        table.append(
            row(
                F.batch_norm, [normal(*shape), None, None, other(C), normal(C)], {"training": True}, numeric=False,
                batched=(0,),
            )
        )  # fmt: skip
    return table


def instance_rows() -> list[Case]:
    """As for batch normalisation."""
    table = []
    for shape in ((2, 3, 4), (2, 2, 2, 2), (1, 2, 1, 3, 1), (1, 1, 5), (3, 1, 3)):
        C = shape[1]
        inputs = [normal(*shape), None, None, other(C), normal(C)]
        table.append(row(F.instance_norm, inputs, batched=(0,)))
        table.append(with_running("training", F.instance_norm, instance_reference, normal(*shape), other(C), normal(C)))
    for weight, bias in ((None, None), (other(3), None), (None, normal(3))):
        table.append(row(F.instance_norm, [normal(2, 3, 4), None, None, weight, bias], {"eps": 0.1}, batched=(0,)))
        for shape in ((2, 3, 4), (2, 3)):
            table.append(
                with_running(
                    "evaluation", F.instance_norm, instance_reference, normal(*shape), weight, bias,
                    use_input_stats=False,
                )
            )  # fmt: skip
    table.append(row(F.instance_norm, [normal(2, 3, 0)]))
    table.append(row(F.instance_norm, [normal(2, 3, 4)], {"eps": 0.0}))
    large = [normal(30, 5, 9, 11), None, None, other(5), normal(5)]
    table.append(row(F.instance_norm, large, numeric=False, batched=(0,)))
    return table


def layer_rows() -> list[Case]:
    """One to all dimensions, of one value and of none too."""
    table = []

    def add(shape: tuple[int, ...], last: int, *present: bool, **options: Any) -> None:
        sizes = shape[len(shape) - last :]
        weight, bias = (f(*sizes) if has else None for f, has in zip((other, normal), present, strict=True))
        eps = {"eps": options.pop("eps")} if "eps" in options else {}
        table.append(
            Case(
                layer_norm, [normal(*shape), weight, bias], {"normalized_shape": sizes, **eps}, layer_reference,
                covers=F.layer_norm, peer=lambda torch: lambda x, w, b, **k: torch.nn.functional.layer_norm(
                    x, weight=w, bias=b, **k
                ), batched=(0,) if last < len(shape) else (), **options,
            )
        )  # fmt: skip

    for shape, last in (
        ((3, 4), 1), ((2, 3, 2), 2), ((4,), 1), ((2, 3), 2), ((2, 2, 1, 3), 1), ((2, 1, 2, 2, 1), 3), ((1, 5), 1),
        ((3, 20), 1),
    ):  # fmt: skip
        add(shape, last, True, True)
    # One value has no variance, so a small eps would only show rounding, PyTorch's.
    add((3, 1), 1, True, True, eps=1.0)
    for present in ((False, False), (True, False), (False, True)):
        add((3, 4), 1, *present, eps=0.1)
    add((2, 0), 1, True, True)
    add((0, 3), 1, True, True)
    for shape in ((40, 70), (3, 5000), (100, 7, 33)):
        add(shape, 1, True, True, numeric=False)
    return table


def group_rows() -> list[Case]:
    """From one group to as many as channels."""
    table = []

    def add(shape: tuple[int, ...], groups: int, *present: bool, **options: Any) -> None:
        C = shape[1]
        weight, bias = (f(C) if has else None for f, has in zip((other, normal), present, strict=True))
        eps = {"eps": options.pop("eps")} if "eps" in options else {}
        table.append(
            Case(
                group_norm, [normal(*shape), weight, bias], {"num_groups": groups, **eps}, group_reference,
                covers=F.group_norm, peer=options.pop("peer", group_peer), batched=(0,), **options,
            )
        )  # fmt: skip

    for shape, groups in (
        ((2, 4, 3), 2), ((3, 6), 2), ((3, 4), 1), ((2, 4, 1, 2), 1), ((2, 3, 2, 2), 3), ((1, 4, 2, 1, 2), 2),
        ((1, 2, 3), 1),
    ):  # fmt: skip
        add(shape, groups, True, True)
    add((2, 2), 2, True, True, eps=1.0)
    for present in ((False, False), (True, False), (False, True)):
        add((2, 4, 2), 2, *present, eps=0.1)
        # Of two values little is left but their order, and next to no gradient; a large eps leaves some.
        add((3, 4), 2, *present, eps=1.0)
    # PyTorch's gradient of the weight is uninitialised memory here.
    add((2, 4, 0), 2, True, True, peer=None)
    add((2, 0, 3), 1, True, True)
    for shape, groups in (((30, 12, 9, 11), 4), ((50, 64), 4), ((2, 40, 30, 30), 2)):
        add(shape, groups, True, True, numeric=False)
    return table
