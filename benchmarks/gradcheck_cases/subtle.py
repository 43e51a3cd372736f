"""Mistakes without a pattern: forgotten terms, small errors in few places, and gradients that are no gradients."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import erf

from .case import Case
from .case import wrong as _wrong
from .operations import blocks, log_softmax, normalise, normalise_input, softmax, softmax_input, unblocks

Rng = np.random.Generator
CASES: list[Case] = []
wrong = partial(_wrong, CASES)


@wrong("softmax", "only the diagonal: u y (1 - y)")
def softmax_diagonal(rng: Rng) -> tuple:
    return softmax, lambda u, x: u * softmax(x) * (1 - softmax(x)), [rng.normal(size=(3, 5))]


@wrong("softmax", "the normaliser is taken for constant")
def log_softmax_without_normaliser(rng: Rng) -> tuple:
    return log_softmax, lambda u, x: u, [rng.normal(size=(3, 5))]


@wrong("normalisation", "the statistics are taken for constant")
def batch_norm_constant_statistics(rng: Rng) -> tuple:
    def backward(u, x, weight):
        y, inverse = normalise(x, 1e-5, 0)
        return u * weight * inverse, (u * y).sum(axis=0)

    return lambda x, weight: weight * normalise(x, 1e-5, 0)[0], backward, [rng.normal(size=(6, 3)), rng.normal(size=3)]


@wrong("attention", "the keys' gradient lacks the 1 / sqrt(depth)")
def attention_without_scale(rng: Rng) -> tuple:
    scale = 1 / np.sqrt(3)

    def forward(q, k, v):
        return softmax(scale * q @ k.T) @ v

    def backward(u, q, k, v):
        p = softmax(scale * q @ k.T)
        ds = softmax_input(u @ v.T, p)
        return scale * ds @ k, ds.T @ q, p.T @ u

    return forward, backward, [rng.normal(size=(4, 3)) for _ in range(3)]


@wrong("normalisation", "eps is added to the standard deviation, not to the variance")
def layer_norm_eps(rng: Rng) -> tuple:
    eps = 1e-3

    def backward(u, x):
        y, inverse = normalise(x, 0.0, 1)
        return normalise_input(u, y, 1 / (1 / inverse + eps), 1)

    return lambda x: normalise(x, eps, 1)[0], backward, [rng.normal(size=(3, 6))]


@wrong("activation", "the derivative of the tanh approximation, of the exact GELU")
def gelu_of_the_approximation(rng: Rng) -> tuple:
    root = np.sqrt(2 / np.pi)

    def backward(u, x):
        t = np.tanh(root * (x + 0.044715 * x**3))
        return u * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x))

    return lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), backward, [rng.normal(size=12)]


@wrong("small", "one element of the weight's gradient of 48 is off by 1e-4 of itself")
def one_element_by_1e_4(rng: Rng) -> tuple:
    place = tuple(rng.integers(0, [6, 8]))

    def backward(u, x, weight):
        inner = u * (1 - np.tanh(x @ weight.T) ** 2)
        gradient = inner.T @ x
        gradient[place] *= 1 + 1e-4
        return inner @ weight, gradient

    return (
        lambda x, weight: np.tanh(x @ weight.T),
        backward,
        [rng.uniform(0.5, 1, (3, 8)), rng.uniform(-0.2, 0.2, (6, 8))],
    )


def _off(place: int, by: float, size: int) -> np.ndarray:
    factors = np.ones(size)
    factors[place] += by
    return factors


@wrong("small", "a gradient of 1e-9 is off by 1e-4 of itself, beside correct ones of 1")
def element_of_1e_minus_9(rng: Rng) -> tuple:
    scale = np.where(np.arange(9) % 3 == 1, 1e-9, 1.0)
    factors = _off(4, 1e-4, 9)
    return (
        lambda x: scale * np.sin(x),
        lambda u, x: u * scale * np.cos(x) * factors,
        [rng.uniform(-1, 1, 9)],
    )


@wrong("small", "a gradient of 1e7 is off by 1e-4 of itself, beside correct ones of 1")
def element_of_1e7(rng: Rng) -> tuple:
    scale = np.where(np.arange(9) % 3 == 1, 1e7, 1.0)
    factors = _off(4, 1e-4, 9)
    return (
        lambda x: scale * np.sin(x),
        lambda u, x: u * scale * np.cos(x) * factors,
        [rng.uniform(-1, 1, 9)],
    )


@wrong("small", "the last sample, of features around 1e-6, is left out of the weight's gradient")
def one_sample_left_out(rng: Rng) -> tuple:
    return (
        lambda x, weight: x @ weight.T,
        lambda u, x, weight: (u @ weight, u[:-1].T @ x[:-1]),
        [rng.normal(size=(4, 3)) * np.array([[1.0], [1], [1], [1e-6]]), rng.normal(size=(2, 3))],
    )


@wrong("border", "what reflect padding repeats is not added back, on the border alone")
def reflect_padding_border(rng: Rng) -> tuple:
    index = np.pad(np.arange(7), 1, mode="reflect")
    return (
        lambda x: np.sin(x[:, index]),
        lambda u, x: u[:, 1:-1] * np.cos(x),
        [rng.normal(size=(2, 7))],
    )


@wrong("ties", "max pooling gives the whole gradient to each of two equal pixels", proof="joint")
def max_pooling_ties_counted_twice(rng: Rng) -> tuple:
    x = blocks(0.1 * np.stack([rng.permutation(16).reshape(4, 4) for _ in range(2)]), 2)
    # In one window of each image, the second largest becomes as large as the largest.
    for image in x:
        window = image[rng.integers(2), rng.integers(2)]
        window[np.argsort(window)[-2]] = window.max()
    return (
        lambda x: blocks(x, 2).max(axis=-1),
        lambda u, x: unblocks((blocks(x, 2) == blocks(x, 2).max(axis=-1, keepdims=True)) * u[..., None], 2),
        [unblocks(x, 2)],
    )


@wrong("upstream", "correct only where the upstream gradient is all ones")
def right_for_ones_only(rng: Rng) -> tuple:
    return (
        lambda x: np.cumsum(np.sin(x)),
        lambda u, x: np.arange(len(x), 0, -1) * u * np.cos(x),
        [rng.uniform(-1, 1, 6)],
    )


@wrong("symmetry", "correct for symmetric matrices, checked at one that is symmetric but for 1e-3")
def right_for_symmetric_only(rng: Rng) -> tuple:
    a = rng.normal(size=(4, 4))
    return (
        lambda a: a @ a,
        lambda u, a: u @ a + a @ u,
        [a + a.T + 1e-3 * rng.normal(size=(4, 4))],
    )


@wrong("small", "the smallest of gradients from e^-20 to e^20 is off by 1e-4 of itself")
def smallest_of_e40(rng: Rng) -> tuple:
    factors = _off(0, 1e-4, 9)
    return np.exp, lambda u, x: u * np.exp(x) * factors, [np.linspace(-20, 20, 9) + rng.uniform(-0.1, 0.1, 9)]


@wrong("float32", "off by 1e-3, where the function computes in float32")
def covered_by_float32(rng: Rng) -> tuple:
    factors = _off(5, 1e-3, 8)

    def exact(x):
        return np.exp(np.sin(x))

    return (
        lambda x: np.exp(np.sin(x.astype(np.float32))).astype(np.float64),
        lambda u, x: u * np.exp(np.sin(x)) * np.cos(x) * factors,
        [rng.uniform(-1, 1, 8)],
        exact,
    )


@wrong("form", "the bias's gradient is (1, 3), the bias (3,)", finding="shape", proof="told")
def shape_that_broadcasts(rng: Rng) -> tuple:
    return (
        lambda x, bias: x + bias,
        lambda u, x, bias: (u, u.sum(axis=0, keepdims=True)),
        [rng.normal(size=(4, 3)), rng.normal(size=3)],
    )


@wrong("form", "there is no gradient for the weight", finding="missing", proof="told")
def none_for_the_weight(rng: Rng) -> tuple:
    return (
        lambda x, weight: x @ weight.T,
        lambda u, x, weight: (u @ weight, None),
        [rng.normal(size=(4, 3)), rng.normal(size=(2, 3))],
    )


@wrong("form", "0 times infinity where the square root is not taken", finding="nan", proof="told")
def nan_of_a_branch_not_taken(rng: Rng) -> tuple:
    x = rng.uniform(0.5, 2, 6) * np.array([1, -1, 1, 1, -1, 1])

    def backward(u, x):
        with np.errstate(invalid="ignore"):
            return u * (x > 0) * 0.5 / np.sqrt(x)

    return lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0.0), backward, [x]


@wrong("form", "a float32 gradient of a float64 input", finding="dtype", proof="told")
def float32_of_float64(rng: Rng) -> tuple:
    return np.sin, lambda u, x: (u * np.cos(x)).astype(np.float32), [rng.normal(size=(2, 3))]


@wrong("form", "the function subtracts its input's maximum in place", finding="modified", proof="told")
def input_modified(rng: Rng) -> tuple:
    def forward(x):
        x -= x.max(axis=1, keepdims=True)
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    return forward, lambda u, x: softmax_input(u, softmax(x)), [rng.normal(size=(3, 4))]


@wrong("form", "the gradient is computed in the upstream gradient's memory", finding="modified", proof="told")
def upstream_modified(rng: Rng) -> tuple:
    def backward(u, x):
        u *= np.cos(x)
        return u

    return np.sin, backward, [rng.normal(size=(3, 4))]


@wrong("form", "dropout that draws a new mask each time", finding="nondeterministic", proof="told")
def dropout_without_generator(rng: Rng) -> tuple:
    masks: list[np.ndarray] = []

    def forward(x):
        masks[:] = [2.0 * (rng.random(x.shape) < 0.5)]
        return x * masks[0]

    return forward, lambda u, x: u * masks[0], [rng.normal(size=(5, 4))]
