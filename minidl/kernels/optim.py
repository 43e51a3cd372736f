"""Optimiser steps: lists of arrays, one call updates all of them in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, by_dtype
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

_sgd = by_dtype(_ext.optim, "sgd")
_adam = by_dtype(_ext.optim, "adam")
_radam = by_dtype(_ext.optim, "radam")
_rmsprop = by_dtype(_ext.optim, "rmsprop")
_adagrad = by_dtype(_ext.optim, "adagrad")
_lion = by_dtype(_ext.optim, "lion")


def all_fit(grads: list[Array], parameters: list[Array]) -> bool:
    """Whether a step takes all of these as they are.

    A gradient and its parameter have one shape and dtype, both are C-contiguous and aligned, and the parameter is
    writable.
    """
    return _ext.optim.either.fit(grads, parameters)


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Sequence[float], *, lr: float,
    momentum: float, dampening: float, weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and, with momentum, the velocities."""
    _sgd[_dtype(parameters)](
        grads, parameters, velocities if momentum else None, first, lr, momentum, dampening, weight_decay, nesterov,
        maximize, _threads(parameters),
    )  # fmt: skip


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Sequence[float], corrections2: Sequence[float], *, lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters, the moments and, with amsgrad, the highest of the second ones."""
    _adam[_dtype(parameters)](
        grads, parameters, means, squares, highest if amsgrad else None, corrections1, corrections2, lr, beta1, beta2,
        eps, weight_decay, decoupled, maximize, _threads(parameters),
    )  # fmt: skip


def radam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array],
    corrections1: Sequence[float], rectified: Sequence[float], *, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, decoupled: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the moments."""
    _radam[_dtype(parameters)](
        grads, parameters, means, squares, corrections1, rectified, lr, beta1, beta2, eps, weight_decay, decoupled,
        maximize, _threads(parameters),
    )  # fmt: skip


def rmsprop_step(
    grads: list[Array], parameters: list[Array], squares: list[Array], means: list[Array], velocities: list[Array], *,
    lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters, the mean squares and, where they are used, the means and the velocities."""
    _rmsprop[_dtype(parameters)](
        grads, parameters, squares, means if centered else None, velocities if momentum else None, lr, alpha, eps,
        weight_decay, momentum, maximize, _threads(parameters),
    )  # fmt: skip


def adagrad_step(
    grads: list[Array], parameters: list[Array], totals: list[Array], rates: Sequence[float], *, weight_decay: float,
    eps: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the sums of squares."""
    _adagrad[_dtype(parameters)](grads, parameters, totals, rates, weight_decay, eps, maximize, _threads(parameters))


def lion_step(
    grads: list[Array], parameters: list[Array], means: list[Array], *, lr: float, beta1: float, beta2: float,
    weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the parameters and the means."""
    _lion[_dtype(parameters)](grads, parameters, means, lr, beta1, beta2, weight_decay, maximize, _threads(parameters))


def _dtype(parameters: list[Array]) -> np.dtype:
    return parameters[0].dtype if parameters else np.dtype(np.float32)


def _threads(parameters: list[Array]) -> int:
    return threads_for(sum([p.size for p in parameters]))
