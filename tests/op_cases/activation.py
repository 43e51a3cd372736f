"""Activations, softmax and dropout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

import minidl.functional as F
from minidl import kernels, reference
from op_cases._case import *


def along(function: Callable[[Array], Array]) -> Callable[..., Array]:
    """A function of the last axis along `dim`."""
    return lambda x, dim: np.moveaxis(function(np.moveaxis(x, dim, -1)), -1, dim)


def dropped(x: Array, p: float, together: int | None = None) -> Array:
    """What dropout gives with the generator that its rows use; one draw for all that share the first indices."""
    drawn = x.shape if together is None else x.shape[:together] + (1,) * (x.ndim - together)
    kept = np.random.default_rng(7).random(drawn, np.float32) >= p
    # With p = 1 nothing is kept, and nothing is divided by 0.
    return np.where(kept, x, 0) / (1 - p or 1)


# Functions that are rows of the kernels' table are held to the rows' twins, with their defaults, if nothing says more.
ELEMENTWISE: list[Callable[..., Array]] = [
    getattr(F, name)
    for name in (*F.activation.__all__, *F.rectifiers.__all__)
    if (found := kernels.ELEMENTWISE.get(name)) is not None and found.torch.endswith(f".{name}")
]

REFERENCES.update(
    {
        **{function: partial(reference.elementwise, function.__name__) for function in ELEMENTWISE},
        F.relu: reference.relu,
        F.relu6: reference.relu6,
        F.leaky_relu: reference.leaky_relu,
        F.prelu: reference.prelu,
        F.elu: reference.elu,
        F.selu: reference.selu,
        F.tanh: np.tanh,
        F.sigmoid: reference.sigmoid,
        F.logsigmoid: reference.logsigmoid,
        F.softplus: reference.softplus,
        F.silu: reference.silu,
        F.mish: reference.mish,
        F.hardswish: reference.hardswish,
        F.gelu: reference.gelu,
        F.softmax: along(reference.softmax),
        F.log_softmax: along(reference.log_softmax),
    }
)

# Each with the settings that its rows have; the first of them goes through all shapes.
SETTINGS: dict[Callable[..., Array], list[dict]] = {
    **{function: [{}] for function in ELEMENTWISE},
    F.leaky_relu: [{}, {"negative_slope": 0.3}, {"negative_slope": 0}, {"negative_slope": -0.5}],
    F.elu: [{}, {"alpha": 1.7}, {"alpha": 0}, {"alpha": -0.4}],
    F.selu: [{}],
    F.softplus: [{}, {"beta": 2.5}, {"beta": 0.3, "threshold": 1}, {"threshold": -0.9}, {"beta": -1.5}],
    F.gelu: [{"approximate": "none"}, {"approximate": "tanh"}, {}],
}


def rows() -> list[Case]:
    """Of the family."""
    table: list[Case] = []
    for function, settings in SETTINGS.items():
        for shape in ((3, 4), (), (0, 2), (2, 1, 3)):
            batched = (0,) if shape and shape[0] else ()
            # From -9 to 8 with all kinks between: 0, 6 and +-3.
            table.append(row(function, [np.asarray(distinct(*shape) * 4)], settings[0], batched=batched))
        for kwargs in settings[1:]:
            table.append(row(function, [distinct(3, 5)], kwargs, batched=(0,)))
        table.append(row(function, [distinct(40, 60)], settings[-1], numeric=False))
    for shape, size in [
        ((2, 3), (3,)), ((2, 3), (1,)), ((2, 3), ()), ((2, 3, 2), (3,)), ((2, 2, 1, 3), (2,)), ((2, 1, 3), (1,)),
        ((4,), (1,)), ((4,), ()), ((), (1,)), ((), ()), ((0, 3), (3,)), ((2, 0), (0,)),
    ]:  # fmt: skip
        batched = (0,) if shape and shape[0] else ()
        table.append(row(F.prelu, [distinct(*shape), other(*size)], batched=batched))
    table += [row(F.prelu, [distinct(10, 8, 900), other(size)], numeric=False) for size in (8, 1)]
    for shape, dim in [((3, 4), 1), ((3, 4), 0), ((2, 3, 2), -2), ((4,), 0), ((2, 1), 1), ((0, 3), 1)]:
        batched = (0,) if dim != 0 else ()
        table.append(row(F.softmax, [normal(*shape)], {"dim": dim}, batched=batched))
        table.append(row(F.log_softmax, [normal(*shape)], {"dim": dim}, batched=batched))
    for shape, dim in [
        ((70, 90), 0),
        ((70, 90), 1),
        ((600, 7), 1),
        ((5, 80, 3), 1),
        ((3, 70, 40), 1),
        ((3, 70, 40), 0),
    ]:
        table.append(row(F.softmax, [normal(*shape)], {"dim": dim}, numeric=False))
        table.append(row(F.log_softmax, [normal(*shape)], {"dim": dim}, numeric=False))
    table.append(Case(F.softmax, [normal()], {"dim": -1}, lambda x, dim: np.ones(())))
    table.append(Case(F.log_softmax, [normal()], {"dim": 0}, lambda x, dim: np.zeros(())))
    for p in (0.0, 0.3, 1.0):
        table.append(
            Case(
                lambda x, p: F.dropout(x, p, generator=np.random.default_rng(7)),
                [normal(3, 4)], {"p": p}, dropped, covers=F.dropout, name="dropout", batched=(0,),
            )
        )  # fmt: skip
        for shape in ((2, 3, 2, 2), (2, 5, 3)):
            table.append(
                Case(
                    lambda x, p: F.dropout2d(x, p, generator=np.random.default_rng(7)),
                    [normal(*shape)], {"p": p}, lambda x, p: dropped(x, p, 2),
                    covers=F.dropout2d, name="dropout2d", batched=(0,),
                )
            )  # fmt: skip
    table.append(Case(F.dropout, [normal(3, 4)], {"training": False}, lambda x, training: x, batched=(0,)))
    table.append(Case(F.dropout2d, [normal(2, 3, 2, 1)], {"training": False}, lambda x, training: x, batched=(0,)))
    return table
