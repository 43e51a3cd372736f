"""Functions of arrays with their gradients, right ones, and ways to make them wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def scaled(backward: Callable[..., Any], factor: float, element: int = 0, which: int = 0) -> Callable[..., Any]:
    """The same gradients, with one element of one of them off by a factor."""

    def wrong(upstream: Any, *arrays: Array) -> Any:
        found = backward(upstream, *arrays)
        gradients = [np.array(g) for g in (found if isinstance(found, tuple) else (found,))]
        gradients[which].reshape(-1)[element] *= factor
        return tuple(gradients)

    return wrong


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def normalised(x: Array) -> Array:
    return (x - x.mean()) / x.std()


def normalised_backward(u: Array, x: Array) -> Array:
    y = normalised(x)
    return (u - u.mean() - y * (u * y).mean()) / x.std()


_random = np.random.default_rng(0)
_directions, _ = np.linalg.qr(_random.normal(size=(5, 5)))
CONDITIONED = _directions @ np.diag(np.logspace(0, 10, 5)) @ _directions.T
WEIGHTS = _random.normal(size=(5, 5)).astype(np.float32)


def single(x: Array) -> Array:
    return np.tanh(x.astype(np.float32) @ WEIGHTS).astype(np.float64)


def single_backward(u: Array, x: Array) -> Array:
    inner = u.astype(np.float32) * (1 - np.tanh(x.astype(np.float32) @ WEIGHTS) ** 2)
    return (inner @ WEIGHTS.T).astype(np.float64)


_x = np.array([0.7, -1.3, 0.4, 2.1, -0.2])
_wide = np.exp(np.array([-20.0, -11.0, 0.5, 9.0, 20.0]))

# Right, and hard for a fixed step and fixed tolerances: forward, backward, point.
HARD: dict[str, tuple[Callable[..., Any], Callable[..., Any], Array]] = {
    **{
        f"square at {scale:g}": (np.square, lambda u, x: 2 * u * x, scale * _x)
        for scale in (1e-9, 1e-5, 1e3, 1e7)
    },
    **{
        f"normalised at {scale:g}": (normalised, normalised_backward, scale * _x)
        for scale in (1e-9, 1e7)
    },
    "reciprocal over e^40": (lambda x: 1 / x, lambda u, x: -u / x**2, _wide),
    "sum of logarithms over e^40": (lambda x: np.log(x).sum(), lambda u, x: u / x, _wide),
    "sum over e^40": (np.sum, lambda u, x: u * np.ones_like(x), _wide),
    "exp over e^40": (np.exp, lambda u, x: u * np.exp(x), np.linspace(-20, 20, 5)),
    "softmax of huge logits": (
        softmax, lambda u, x: softmax(x) * (u - (u * softmax(x)).sum()), np.array([300.0, 299.0, 301.5, 298.0, -50.0]),
    ),
    "quadratic form of condition 1e10": (
        lambda x: x @ CONDITIONED @ x, lambda u, x: u * (CONDITIONED + CONDITIONED.T) @ x, _x,
    ),
    "a large offset": (lambda x: 1e7 + np.sin(x).sum(), lambda u, x: u * np.cos(x), _x),
    "cancellation": (lambda x: (x + 1e8) - 1e8, lambda u, x: u, _x),
    "1 - cos near 0": (lambda x: 1 - np.cos(x), lambda u, x: u * np.sin(x), 1e-3 * _x),
    "1e-9 beside 1": (lambda x: np.log(x).sum(), lambda u, x: u / x, np.array([1e-9, 1.0, 2.0, 1e-5, 0.3])),
    "0 beside 1e6": (np.sin, lambda u, x: u * np.cos(x), np.array([0.0, 1e6, 3e5, 0.0, 1.0])),
    "mixed magnitudes in one output": (
        lambda x: np.array([1e-9, 1e-3, 1.0, 1e3, 1e7]) * np.sin(x),
        lambda u, x: u * np.array([1e-9, 1e-3, 1.0, 1e3, 1e7]) * np.cos(x), _x,
    ),
    "fast": (lambda x: np.sin(1e5 * x), lambda u, x: 1e5 * u * np.cos(1e5 * x), _x),
    "steep": (
        lambda x: np.tanh(1e5 * (x - 1)), lambda u, x: 1e5 * u / np.cosh(1e5 * (x - 1)) ** 2, 1 + 1e-5 * _x,
    ),
    "root near the edge": (np.sqrt, lambda u, x: 0.5 * u / np.sqrt(x), np.array([1e-12, 1e-7, 0.1, 1.0, 1e-3])),
    "arcsin near the edge": (
        np.arcsin, lambda u, x: u / np.sqrt((1 - x) * (1 + x)), np.array([1 - 1e-9, -1 + 1e-6, 0.3, 0.0, 0.99]),
    ),
    "logarithm near 0": (np.log, lambda u, x: u / x, np.array([1e-300, 1e-30, 1e-9, 0.1, 1.0])),
    "at the edge": (lambda x: x**2.5, lambda u, x: 2.5 * u * x**1.5, np.array([0.0, 1.0, 0.0, 0.5, 2.0])),
    "x |x| at 0": (lambda x: x * np.abs(x), lambda u, x: 2 * u * np.abs(x), np.array([0.0, 1.0, -2.0, 0.0, 0.5])),
    "float32 inside": (single, single_backward, 0.3 * _x),
    "rounded": (lambda x: np.round(np.sin(x), 6), lambda u, x: u * np.cos(x), _x),
    **{
        f"kinks {distance:g} away": (
            lambda x: np.maximum(x, 0) + np.abs(x - 2), lambda u, x: u * ((x > 0) + np.sign(x - 2)),
            np.array([distance, -distance, 2 + distance, 2 - distance, 0.7]),
        )
        for distance in (1e-3, 1e-6, 1e-9)
    },
}  # fmt: skip
