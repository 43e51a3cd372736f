"""Optimiser steps: the arrays in the lists are updated in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "adagrad_step",
    "adam_step",
    "lion_step",
    "radam_step",
    "rmsprop_step",
    "sgd_step",
]

Array = np.ndarray


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Sequence[float], *, lr: float,
    momentum: float, dampening: float, weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """velocity = momentum velocity + (1 - dampening) g, g itself the first time; parameter -= lr velocity."""
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, lr, weight_decay, False, maximize)
        if momentum != 0:
            velocity = g if first[i] else momentum * velocities[i].astype(np.float64) + (1 - dampening) * g
            velocities[i][...] = velocity
            g = g + momentum * velocity if nesterov else velocity
        parameter[...] = p - lr * g


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Sequence[float], corrections2: Sequence[float], *, lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    """parameter -= lr mean' / (root' + eps), where mean' = mean / corrections1, root' = sqrt(square) / corrections2.

    corrections1 = 1 - beta1^step and corrections2 = sqrt(1 - beta2^step), an entry a parameter.
    """
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, lr, weight_decay, decoupled, maximize)
        mean = beta1 * means[i].astype(np.float64) + (1 - beta1) * g
        square = beta2 * squares[i].astype(np.float64) + (1 - beta2) * g**2
        means[i][...], squares[i][...] = mean, square
        if amsgrad:
            square = np.maximum(highest[i].astype(np.float64), square)
            highest[i][...] = square
        parameter[...] = p - lr * (mean / corrections1[i]) / (np.sqrt(square) / corrections2[i] + eps)


def radam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array],
    corrections1: Sequence[float], rectified: Sequence[float], *, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, decoupled: bool, maximize: bool,
) -> None:  # fmt: skip
    """parameter -= lr mean' rectified / (sqrt(square) + eps), where mean' = mean / corrections1.

    corrections1 = 1 - beta1^step. rectified = sqrt(1 - beta2^step) times the rectification of the variance, an entry
    a parameter, or 0 while that can't be told: then parameter -= lr mean'.
    """
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, lr, weight_decay, decoupled, maximize)
        mean = beta1 * means[i].astype(np.float64) + (1 - beta1) * g
        square = beta2 * squares[i].astype(np.float64) + (1 - beta2) * g**2
        means[i][...], squares[i][...] = mean, square
        scale = rectified[i] / (np.sqrt(square) + eps) if rectified[i] > 0 else 1
        parameter[...] = p - lr * mean / corrections1[i] * scale


def rmsprop_step(
    grads: list[Array], parameters: list[Array], squares: list[Array], means: list[Array], velocities: list[Array], *,
    lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool, maximize: bool,
) -> None:  # fmt: skip
    """step = g / (sqrt(square) + eps), centered g / (sqrt(square - mean^2) + eps); parameter -= lr step.

    With momentum, parameter -= lr velocity, where velocity = momentum velocity + step.
    """
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, lr, weight_decay, False, maximize)
        square = alpha * squares[i].astype(np.float64) + (1 - alpha) * g**2
        squares[i][...] = square
        if centered:
            mean = alpha * means[i].astype(np.float64) + (1 - alpha) * g
            means[i][...] = mean
            square = square - mean**2
        step = g / (np.sqrt(square) + eps)
        if momentum != 0:
            step = momentum * velocities[i].astype(np.float64) + step
            velocities[i][...] = step
        parameter[...] = p - lr * step


def adagrad_step(
    grads: list[Array], parameters: list[Array], totals: list[Array], rates: Sequence[float], *, weight_decay: float,
    eps: float, maximize: bool,
) -> None:  # fmt: skip
    """total += g^2; parameter -= rate g / (sqrt(total) + eps); rates has an entry a parameter."""
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, 0, weight_decay, False, maximize)
        total = totals[i].astype(np.float64) + g**2
        totals[i][...] = total
        parameter[...] = p - rates[i] * g / (np.sqrt(total) + eps)


def lion_step(
    grads: list[Array], parameters: list[Array], means: list[Array], *, lr: float, beta1: float, beta2: float,
    weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """parameter -= lr sign(beta1 mean + (1 - beta1) g); mean = beta2 mean + (1 - beta2) g."""
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p, g = _decayed(grad, parameter, lr, weight_decay, True, maximize)
        mean = means[i].astype(np.float64)
        parameter[...] = p - lr * np.sign(beta1 * mean + (1 - beta1) * g)
        means[i][...] = beta2 * mean + (1 - beta2) * g


def _decayed(
    grad: Array, parameter: Array, lr: float, weight_decay: float, decoupled: bool, maximize: bool
) -> tuple[Array, Array]:
    """The parameter and the gradient, one of them with the weight decay."""
    p, g = parameter.astype(np.float64), (-grad if maximize else grad).astype(np.float64)
    return (p * (1 - lr * weight_decay), g) if decoupled else (p, g + weight_decay * p)
