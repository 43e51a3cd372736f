"""Optimiser steps: the arrays in the lists are updated in place."""

from __future__ import annotations

import numpy as np

__all__ = [
    "adam_step",
    "sgd_step",
]

Array = np.ndarray


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Array, *, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """velocity = momentum velocity + (1 - dampening) g, g itself the first time; parameter -= lr velocity."""
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p = parameter.astype(np.float64)
        g = (-grad if maximize else grad).astype(np.float64) + weight_decay * p
        if momentum != 0:
            velocity = g if first[i] else momentum * velocities[i].astype(np.float64) + (1 - dampening) * g
            velocities[i][...] = velocity
            g = g + momentum * velocity if nesterov else velocity
        parameter[...] = p - lr * g


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Array, corrections2: Array, *, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    """parameter -= lr mean' / (root' + eps), where mean' = mean / corrections1, root' = sqrt(square) / corrections2.

    corrections1 = 1 - beta1^step and corrections2 = sqrt(1 - beta2^step), an entry a parameter.
    """
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p = parameter.astype(np.float64)
        g = (-grad if maximize else grad).astype(np.float64)
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        mean = beta1 * means[i].astype(np.float64) + (1 - beta1) * g
        square = beta2 * squares[i].astype(np.float64) + (1 - beta2) * g**2
        means[i][...], squares[i][...] = mean, square
        if amsgrad:
            square = np.maximum(highest[i].astype(np.float64), square)
            highest[i][...] = square
        parameter[...] = p - lr * (mean / corrections1[i]) / (np.sqrt(square) / corrections2[i] + eps)
