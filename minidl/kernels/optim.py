"""Optimiser steps: lists of arrays, one call updates all of them in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype
from minidl.runtime import threads_for

__all__ = [
    "adagrad_step",
    "adam_step",
    "all_fit",
    "lion_step",
    "radam_step",
    "rmsprop_step",
    "sgd_step",
]

_kernel = ByDtype(_ext.optim, "update")
_FLOAT32 = np.dtype(np.float32)


class Row(NamedTuple):
    """A row of the table in `_ext/optim_table.h`: the names of what it remembers, of numbers, of options."""

    number: int
    states: list[str]
    numbers: list[str]
    options: list[str]


_ROWS = {name: Row(number, *names) for number, (name, *names) in enumerate(_ext.optim.either.rows())}


def all_fit(grads: list[Array], parameters: list[Array]) -> bool:
    """Whether a step takes all of these as they are.

    A gradient and its parameter have one shape and dtype, both are C-contiguous and aligned, and the parameter is
    writable.
    """
    return _ext.optim.either.fit(grads, parameters)


def _update(
    name: str, grads: list[Array], parameters: list[Array], maximize: bool, weight_decay: float = 0.0, *,
    states: dict[str, list[Array] | None], numbers: dict[str, Sequence[float]], options: dict[str, float],
) -> None:  # fmt: skip
    """A step of a row; weight decay is that which is part of the gradient."""
    row = _ROWS[name]
    lists = [grads, parameters, *[states[key] for key in row.states]]
    _kernel[parameters[0].dtype if parameters else _FLOAT32](
        row.number, lists, [numbers[key] for key in row.numbers], [options[key] for key in row.options], weight_decay,
        maximize, threads_for(sum([p.size for p in parameters])),
    )  # fmt: skip


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Sequence[float], *, lr: float,
    momentum: float, dampening: float, weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and, with momentum, the velocities."""
    _update(
        "sgd", grads, parameters, maximize, weight_decay,
        states={"velocity": velocities if momentum else None}, numbers={"first": first},
        options={"lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov},
    )  # fmt: skip


def _adam_options(
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool
) -> dict[str, float]:
    shrink = 1 - lr * weight_decay if decoupled else 1
    return {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "shrink": shrink}


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Sequence[float], corrections2: Sequence[float], *, lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters, the moments and, with amsgrad, the highest of the second ones."""
    _update(
        "adam", grads, parameters, maximize, 0.0 if decoupled else weight_decay,
        states={"mean": means, "square": squares, "highest": highest if amsgrad else None},
        numbers={"correction1": corrections1, "correction2": corrections2},
        options=_adam_options(lr, beta1, beta2, eps, weight_decay, decoupled),
    )  # fmt: skip


def radam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array],
    corrections1: Sequence[float], rectified: Sequence[float], *, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, decoupled: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the moments."""
    _update(
        "radam", grads, parameters, maximize, 0.0 if decoupled else weight_decay,
        states={"mean": means, "square": squares}, numbers={"correction1": corrections1, "rectified": rectified},
        options=_adam_options(lr, beta1, beta2, eps, weight_decay, decoupled),
    )  # fmt: skip


def rmsprop_step(
    grads: list[Array], parameters: list[Array], squares: list[Array], means: list[Array], velocities: list[Array], *,
    lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters, the mean squares and, where they are used, the means and the velocities."""
    _update(
        "rmsprop", grads, parameters, maximize, weight_decay,
        states={"square": squares, "mean": means if centered else None, "velocity": velocities if momentum else None},
        numbers={}, options={"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum},
    )  # fmt: skip


def adagrad_step(
    grads: list[Array], parameters: list[Array], totals: list[Array], rates: Sequence[float], *, weight_decay: float,
    eps: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the sums of squares."""
    _update(
        "adagrad", grads, parameters, maximize, weight_decay, states={"total": totals}, numbers={"rate": rates},
        options={"eps": eps},
    )  # fmt: skip


def lion_step(
    grads: list[Array], parameters: list[Array], means: list[Array], *, lr: float, beta1: float, beta2: float,
    weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the means."""
    _update(
        "lion", grads, parameters, maximize, states={"mean": means}, numbers={},
        options={"lr": lr, "beta1": beta1, "beta2": beta2, "shrink": 1 - lr * weight_decay},
    )  # fmt: skip
