"""Correct gradients near kinks and at kinks, where any value between the one-sided derivatives is correct."""

from __future__ import annotations

from functools import partial

import numpy as np

from .case import Case
from .case import right as _right
from .operations import blocks, first_of_largest, unblocks

Rng = np.random.Generator
CASES: list[Case] = []
right = partial(_right, CASES)


@right("near kinks", "a dense layer whose sums lie 1e-3 from ReLU's kink")
def relu_1e_minus_3_away(rng: Rng) -> tuple:
    x, weight = rng.normal(size=(1, 4)), rng.normal(size=(5, 4))
    sums = rng.uniform(1e-3, 2e-3, 5) * rng.choice([-1.0, 1.0], 5)

    def backward(u, x, weight, bias):
        inner = u * (x @ weight.T + bias > 0)
        return inner @ weight, inner.T @ x, inner.sum(axis=0)

    return lambda x, weight, bias: np.maximum(x @ weight.T + bias, 0), backward, [x, weight, sums - (x @ weight.T)[0]]


@right("near kinks", "leaky ReLU 1e-9 to 1e-3 from its kink, with values around 1")
def leaky_relu_down_to_1e_minus_9_away(rng: Rng) -> tuple:
    return (
        lambda x: 1 + np.maximum(x, 0.1 * x),
        lambda u, x: u * np.where(x > 0, 1, 0.1),
        [10 ** rng.uniform(-9, -3, 10) * rng.choice([-1.0, 1.0], 10)],
    )


def _with_zeros(rng: Rng) -> np.ndarray:
    x = rng.normal(size=9)
    x[rng.permutation(9)[:4]] = 0
    return x


@right("at kinks", "ReLU at 0, with gradient 0", proof="one-sided")
def relu_at_0(rng: Rng) -> tuple:
    return lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0), [_with_zeros(rng)]


@right("at kinks", "ReLU at 0, with any gradient from 0 to 1", proof="one-sided")
def relu_at_0_any_subgradient(rng: Rng) -> tuple:
    between = rng.uniform(0, 1, 9)
    return (
        lambda x: np.maximum(x, 0),
        lambda u, x: u * np.where(x == 0, between, x > 0),
        [_with_zeros(rng)],
    )


@right("at kinks", "|x| at 0, with gradient 0", proof="one-sided")
def absolute_value_at_0(rng: Rng) -> tuple:
    return np.abs, lambda u, x: u * np.sign(x), [_with_zeros(rng)], lambda x: np.maximum(x, -x)


@right("at kinks", "maximum of a row with ties, which share the gradient", proof="one-sided")
def maximum_of_ties_shared(rng: Rng) -> tuple:
    def backward(u, x):
        largest = x == x.max(axis=1, keepdims=True)
        return u[:, None] * largest / largest.sum(axis=1, keepdims=True)

    return lambda x: x.max(axis=1), backward, [rng.integers(0, 3, (4, 5)).astype(float)]


@right("at kinks", "max pooling with ties, the first of which gets the gradient", proof="one-sided")
def max_pooling_of_ties(rng: Rng) -> tuple:
    return (
        lambda x: blocks(x, 2).max(axis=-1),
        lambda u, x: unblocks(first_of_largest(blocks(x, 2)) * u[..., None], 2),
        [rng.integers(0, 3, (2, 4, 4)).astype(float)],
    )


@right("at kinks", "clip at both its edges", proof="one-sided")
def clip_at_its_edges(rng: Rng) -> tuple:
    x = rng.permutation([-1.0, 1.0, -1.0, 1.0, *rng.normal(size=6)])
    return (
        lambda x: np.clip(x, -1, 1),
        lambda u, x: u * (np.abs(x) <= 1),
        [x],
        lambda x: np.minimum(np.maximum(x, -1), 1),
    )


@right("at kinks", "sort, with ties and pairs 1e-6 apart", proof="one-sided")
def sort_of_ties(rng: Rng) -> tuple:
    x = rng.normal(size=(2, 6))
    x[:, 1] = x[:, 0]
    x[:, 3] = x[:, 2] + 1e-6

    def backward(u, x):
        gradient = np.empty_like(x)
        np.put_along_axis(gradient, np.argsort(x, axis=1, kind="stable"), u, axis=1)
        return gradient

    return lambda x: np.sort(x, axis=1), backward, [rng.permuted(x, axis=1)]


@right("at kinks", "Huber's loss at its joints, where only the second derivative jumps")
def huber_at_its_joints(rng: Rng) -> tuple:
    def forward(x):
        return np.where(np.abs(x.real) < 1, 0.5 * x * x, x * np.sign(x.real) - 0.5)

    return forward, lambda u, x: u * np.clip(x, -1, 1), [rng.permutation([-1.0, 1.0, -1.0, 1.0, *rng.normal(size=4)])]


@right("near kinks", "a quantiser with a slope of a half, 1e-4 to 0.1 from its jumps")
def near_jumps(rng: Rng) -> tuple:
    x = rng.integers(-3, 4, 8) + 10 ** rng.uniform(-4, -1, 8) * rng.choice([-1.0, 1.0], 8)
    return lambda x: np.floor(x) + 0.5 * x, lambda u, x: 0.5 * u, [x], lambda x: 0.5 * x
