"""Optimiser steps: lists of arrays, one call for all."""

from __future__ import annotations

from typing import Any

from minidl import _ext
from minidl.kernels._common import Array
from minidl.runtime import threads_for

__all__ = [
    "adam_step",
    "sgd_step",
]


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Array, **options: Any
) -> None:
    """Update the parameters and velocities in place."""
    _ext.optim.sgd(
        grads, parameters, velocities, first, threads=threads_for(sum(p.size for p in parameters)), **options
    )


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Array, corrections2: Array, **options: Any,
) -> None:  # fmt: skip
    """Update the parameters and moments in place."""
    _ext.optim.adam(
        grads, parameters, means, squares, highest, corrections1, corrections2,
        threads=threads_for(sum(p.size for p in parameters)), **options,
    )  # fmt: skip
