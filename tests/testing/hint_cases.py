"""NumPy operations with hand-written gradients in which a mistake is planted, for the hints.

    python tests/testing/hint_cases.py          prints how often the hint is right, over random shapes and values

A case is a function of a generator that returns (forward, wrong vjp, x): `forward(x) -> y`, `vjp(x, upstream) -> g`.
Each is checked by its whole Jacobian and, where the pattern shows there, by a gradient for a random upstream one.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.testing.hints import hint

Array = np.ndarray
Made = tuple[Callable[[Array], Array], Callable[[Array, Array], Array], Array]
Make = Callable[[np.random.Generator], Made]


@dataclass(frozen=True)
class Case:
    """A planted mistake: its pattern, and what the hint must say of it."""

    name: str
    pattern: str
    says: str | None
    make: Make
    # A vjp adds up over the outputs, in which what concerns single outputs is lost.
    modes: tuple[str, ...]


CASES: list[Case] = []
BOTH, JACOBIAN = ("jacobian", "vjp"), ("jacobian",)


def case(pattern: str, says: str | None, modes: tuple[str, ...] = BOTH) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        CASES.append(Case(make.__name__, pattern, says, make, modes))
        return make

    return add


def jacobians(made: Made, rng: np.random.Generator, mode: str) -> tuple[Array, Array, tuple[int, ...], tuple[int, ...]]:
    """The analytic and the numeric Jacobian (central differences), the output's and the input's shape."""
    forward, vjp, x = made
    y = np.asarray(forward(x))
    numeric = np.empty((*y.shape, x.size))
    flat = x.reshape(-1)
    for j in range(x.size):
        before, step = flat[j], 1e-5 * max(abs(flat[j]), 1.0)
        flat[j] = before + step
        above = np.array(forward(x))
        flat[j] = before - step
        numeric[..., j] = (above - forward(x)) / (2 * step)
        flat[j] = before
    if mode == "vjp":
        upstream = rng.normal(size=y.shape)
        g = np.tensordot(upstream, numeric, y.ndim).reshape(x.shape)
        return vjp(x, upstream), g, (), x.shape
    analytic = np.empty((y.size, *x.shape))
    for o in range(y.size):
        upstream = np.zeros(y.size)
        upstream[o] = 1
        analytic[o] = vjp(x, upstream.reshape(y.shape))
    shape = (*y.shape, *x.shape)
    return analytic.reshape(shape), numeric.reshape(shape), y.shape, x.shape


def said(case: Case, seed: int, mode: str) -> str | None:
    rng = np.random.default_rng(seed)
    return hint(*jacobians(case.make(rng), rng, mode))


def is_right(case: Case, sentence: str | None) -> bool:
    if case.says is None or sentence is None:
        return case.says is sentence
    return re.search(case.says, sentence) is not None


def sizes(rng: np.random.Generator, number: int, low: int = 2, high: int = 5) -> list[int]:
    return [int(n) for n in rng.integers(low, high + 1, number)]


# Transposed.


@case("transposed", "transpose")
def dense_weight_square(rng: np.random.Generator) -> Made:
    n, i = sizes(rng, 2)
    x = rng.normal(size=(n, i))
    return lambda w: x @ w, lambda w, u: u.T @ x, rng.normal(size=(i, i))


@case("transposed", "transpose")
def dense_weight_in_transposed_order(rng: np.random.Generator) -> Made:
    n, i = sizes(rng, 2)
    o = i + 1
    x = rng.normal(size=(n, i))
    return lambda w: x @ w, lambda w, u: (u.T @ x).reshape(w.shape), rng.normal(size=(i, o))


@case("transposed", "transpose", JACOBIAN)
def dense_input_by_the_weight_itself(rng: np.random.Generator) -> Made:
    n, i = sizes(rng, 2)
    w = rng.normal(size=(i, i))
    return lambda x: x @ w, lambda x, u: u @ w, rng.normal(size=(n, i))


@case("transposed", "transpose|order")
def permute_forward_again(rng: np.random.Generator) -> Made:
    n = sizes(rng, 1)[0]
    x = rng.normal(size=(n, n, n))
    slope = rng.normal(size=(n, n, n))
    return lambda x: slope * x.transpose(1, 2, 0), lambda x, u: (slope * u).transpose(1, 2, 0), x


@case("transposed", "swapped|transpose")
def convolution_weight_axes(rng: np.random.Generator) -> Made:
    n, c = sizes(rng, 2, 2, 3)
    x = rng.normal(size=(n, c, 5, 6))
    return (
        lambda w: conv2d(x, w, 1),
        lambda w, u: conv2d_weight(x, w, u, 1).transpose(0, 1, 3, 2),
        rng.normal(size=(2, c, 3, 3)),
    )


@case("transposed", "swapped|transpose")
def convolution_weight_channels(rng: np.random.Generator) -> Made:
    (c,) = sizes(rng, 1, 2, 3)
    x = rng.normal(size=(2, c, 4, 4))
    return (
        lambda w: conv2d(x, w, 0),
        lambda w, u: conv2d_weight(x, w, u, 0).transpose(1, 0, 2, 3),
        rng.normal(size=(c, c, 2, 3)),
    )


@case("transposed", "transpose|order")
def flatten_in_columns_order(rng: np.random.Generator) -> Made:
    n, a, b = sizes(rng, 3)
    a += b  # not square
    w = rng.normal(size=(a * b, 3))
    return (
        lambda x: np.tanh(x.reshape(n, -1) @ w),
        lambda x, u: ((u * (1 - np.tanh(x.reshape(n, -1) @ w) ** 2)) @ w.T).reshape(n, b, a).transpose(0, 2, 1),
        rng.normal(size=(n, a, b)),
    )


@case("transposed", "transpose", JACOBIAN)
def running_sum_not_turned(rng: np.random.Generator) -> Made:
    (n,) = sizes(rng, 1, 3, 8)
    return lambda x: np.cumsum(x), lambda x, u: np.cumsum(u), rng.normal(size=n)


@case("transposed", "transpose", JACOBIAN)
def convolution_input_without_the_flip(rng: np.random.Generator) -> Made:
    c, h, w = sizes(rng, 3, 3, 5)
    weight = rng.normal(size=(c, c, 3, 3))[:1, :1]
    return (
        lambda x: conv2d(x, weight, 1),
        lambda x, u: conv2d(u, weight, 1),
        rng.normal(size=(1, 1, h, w)),
    )


# Sign.


@case("sign", "opposite sign")
def difference(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2)
    a = rng.normal(size=shape)
    return lambda b: a - b, lambda b, u: u, rng.normal(size=shape)


@case("sign", "opposite sign")
def quotient(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 3)
    a = rng.normal(size=shape)
    return lambda b: a / b, lambda b, u: u * a / b**2, rng.uniform(0.5, 2, shape)


@case("sign", "opposite sign")
def cosine(rng: np.random.Generator) -> Made:
    return lambda x: np.cos(x), lambda x, u: u * np.sin(x), rng.normal(size=sizes(rng, 1))


@case("sign", "opposite sign")
def squared_error_target(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2)
    x = rng.normal(size=shape)
    return lambda t: np.mean((x - t) ** 2), lambda t, u: u * 2 * (x - t) / t.size, rng.normal(size=shape)


@case("sign", "opposite sign")
def cross_entropy_the_other_way(rng: np.random.Generator) -> Made:
    n, c = sizes(rng, 2)
    labels = rng.integers(c, size=n)
    return (
        lambda x: cross_entropy(x, labels),
        lambda x, u: -u * cross_entropy_gradient(x, labels),
        rng.normal(size=(n, c)),
    )


# Twice, half.


@case("factor 2 or 1/2", "half of")
def square(rng: np.random.Generator) -> Made:
    return lambda x: x**2, lambda x, u: u * x, rng.normal(size=sizes(rng, 2))


@case("factor 2 or 1/2", "half of")
def squared_error_without_2(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2)
    t = rng.normal(size=shape)
    return lambda x: np.mean((x - t) ** 2), lambda x, u: u * (x - t) / x.size, rng.normal(size=shape)


@case("factor 2 or 1/2", r"gradient is 2 times")
def half_of_a_norm(rng: np.random.Generator) -> Made:
    return lambda x: 0.5 * np.sum(x**2, axis=-1), lambda x, u: 2 * x * u[..., None], rng.normal(size=sizes(rng, 2))


@case("factor 2 or 1/2", r"gradient is 2 times")
def dense_bias_added_twice(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3)
    x, w = rng.normal(size=(n, i)), rng.normal(size=(i, o))
    return (
        lambda b: np.tanh(x @ w + b),
        lambda b, u: 2 * np.sum(u * (1 - np.tanh(x @ w + b) ** 2), axis=0),
        rng.normal(size=o),
    )


@case("factor 2 or 1/2", "half of")
def residual_one_branch(rng: np.random.Generator) -> Made:
    return lambda x: x + x, lambda x, u: u, rng.normal(size=sizes(rng, 2))


# Batch size, a mean.


@case("batch size or mean", r"mean|divided")
def squared_error_without_mean(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2)
    t = rng.normal(size=shape)
    return lambda x: np.mean((x - t) ** 2), lambda x, u: u * 2 * (x - t), rng.normal(size=shape)


@case("batch size or mean", r"mean|divided")
def squared_error_mean_over_the_batch_only(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2, 3)
    t = rng.normal(size=shape)
    return lambda x: np.mean((x - t) ** 2), lambda x, u: u * 2 * (x - t) / len(x), rng.normal(size=shape)


@case("batch size or mean", r"mean|divided")
def cross_entropy_without_mean(rng: np.random.Generator) -> Made:
    n, c = sizes(rng, 2)
    labels = rng.integers(c, size=n)
    return (
        lambda x: cross_entropy(x, labels),
        lambda x, u: u * n * cross_entropy_gradient(x, labels),
        rng.normal(size=(n, c)),
    )


@case("batch size or mean", r"mean|divided")
def cross_entropy_mean_twice(rng: np.random.Generator) -> Made:
    n, c = sizes(rng, 2)
    labels = rng.integers(c, size=n)
    return (
        lambda x: cross_entropy(x, labels),
        lambda x, u: u * cross_entropy_gradient(x, labels) / n,
        rng.normal(size=(n, c)),
    )


@case("batch size or mean", r"mean|divided")
def dense_bias_mean_in_place_of_sum(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3, 3)
    x, w = rng.normal(size=(n, i)), rng.normal(size=(i, o))
    return (
        lambda b: np.tanh(x @ w + b),
        lambda b, u: np.mean(u * (1 - np.tanh(x @ w + b) ** 2), axis=0),
        rng.normal(size=o),
    )


@case("batch size or mean", r"mean|divided")
def dense_weight_without_the_losss_mean(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3)
    x, t = rng.normal(size=(n, i)), rng.normal(size=(n, o))
    return (
        lambda w: np.mean((np.tanh(x @ w) - t) ** 2),
        lambda w, u: u * 2 / o * x.T @ ((np.tanh(x @ w) - t) * (1 - np.tanh(x @ w) ** 2)),
        rng.normal(size=(i, o)),
    )


@case("batch size or mean", r"mean|divided")
def mean_pooling_without_mean(rng: np.random.Generator) -> Made:
    n, c, h, w = sizes(rng, 4, 3)

    def forward(x: Array) -> Array:
        return sum(x[:, :, a : a + h - 1, b : b + w - 1] for a in range(2) for b in range(2)) / 4

    def vjp(x: Array, u: Array) -> Array:
        g = np.zeros_like(x)
        for a in range(2):
            for b in range(2):
                g[:, :, a : a + h - 1, b : b + w - 1] += u
        return g

    return forward, vjp, rng.normal(size=(n, c, h, w))


@case("batch size or mean", r"mean|divided")
def mean_over_an_axis(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2)
    return lambda x: x.mean(axis=1), lambda x, u: np.repeat(u[:, None], d, 1), rng.normal(size=(n, d))


# Flipped.


@case("flipped", "flipped")
def convolution_weight_flipped(rng: np.random.Generator) -> Made:
    c, f = sizes(rng, 2, 1, 3)
    x = rng.normal(size=(2, c, 5, 4))
    return (
        lambda w: conv2d(x, w, 1),
        lambda w, u: conv2d_weight(x, w, u, 1)[:, :, ::-1, ::-1],
        rng.normal(size=(f, c, 3, 2)),
    )


@case("flipped", "flipped")
def flip_forgotten(rng: np.random.Generator) -> Made:
    return lambda x: x[:, ::-1], lambda x, u: u, rng.normal(size=sizes(rng, 3))


@case("flipped", "flipped")
def rows_of_a_weight_backwards(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3)
    x = rng.normal(size=(n, i))
    return lambda w: np.tanh(x @ w), lambda w, u: (x.T @ (u * (1 - np.tanh(x @ w) ** 2)))[::-1], rng.normal(size=(i, o))


@case("flipped", "flipped")
def convolution_1d_of_a_signal(rng: np.random.Generator) -> Made:
    n, k = sizes(rng, 2, 3, 4)
    x = rng.normal(size=n + k)
    return (
        lambda w: np.convolve(x, w, "valid"),
        lambda w, u: np.correlate(x, u, "valid"),
        rng.normal(size=k),
    )


@case("flipped", "flipped", JACOBIAN)
def convolution_input_with_the_kernel_turned(rng: np.random.Generator) -> Made:
    n, c = sizes(rng, 2, 1, 2)
    weight = rng.normal(size=(2, c, 3, 2))
    return (
        lambda x: conv2d(x, weight, 0),
        lambda x, u: conv2d_input(x, weight[:, :, ::-1, ::-1], u, 0),
        rng.normal(size=(n, c, 5, 4)),
    )


@case("flipped", "flipped")
def image_upside_down(rng: np.random.Generator) -> Made:
    n, c, h, w = sizes(rng, 4)
    weight = rng.normal(size=(2, c, 2, 2))
    return (
        lambda x: conv2d(x, weight, 0),
        lambda x, u: conv2d_input(x, weight, u, 0)[:, :, ::-1],
        rng.normal(size=(n, c, h, w)),
    )


# Shifted by one.


@case("shifted by one", "shifted")
def convolution_input_window(rng: np.random.Generator) -> Made:
    c, h, w = sizes(rng, 3, 3, 5)
    weight = rng.normal(size=(2, c, 3, 3))
    return (
        lambda x: conv2d(x, weight, 1),
        lambda x, u: conv2d_input(x, weight, u, 1, right=1),
        rng.normal(size=(1, c, h + 2, w + 2)),
    )


@case("shifted by one", "shifted")
def convolution_input_window_both_ways(rng: np.random.Generator) -> Made:
    c, h, w = sizes(rng, 3, 3, 5)
    weight = rng.normal(size=(2, c, 3, 3))
    return (
        lambda x: conv2d(x, weight, 1),
        lambda x, u: conv2d_input(x, weight, u, 1, right=1, down=1),
        rng.normal(size=(1, c, h + 2, w + 2)),
    )


@case("shifted by one", "shifted")
def convolution_weight_window(rng: np.random.Generator) -> Made:
    c, f = sizes(rng, 2, 1, 3)
    x = rng.normal(size=(2, c, 6, 7))

    def vjp(w: Array, u: Array) -> Array:
        wide = np.pad(x, [(0, 0), (0, 0), (0, 0), (0, 1)])[..., 1:]
        return conv2d_weight(wide, w, u, 0)

    return lambda w: conv2d(x, w, 0), vjp, rng.normal(size=(f, c, 3, 3))


@case("shifted by one", "shifted")
def padding_cut_off_by_one(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 3, 6)
    slope = rng.normal(size=(n, d + 4))
    return (
        lambda x: slope * np.pad(x, [(0, 0), (2, 2)]),
        lambda x, u: (slope * u)[:, 3 : 3 + d],
        rng.normal(size=(n, d)),
    )


@case("shifted by one", "shifted")
def roll_forgotten(rng: np.random.Generator) -> Made:
    return lambda x: np.roll(x, 1, 1), lambda x, u: u, rng.normal(size=sizes(rng, 2, 3, 6))


@case("shifted by one", "shifted")
def max_pooling_off_by_one(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 3, 6)

    def vjp(x: Array, u: Array) -> Array:
        g = np.zeros((n, 2 * d + 1))
        at = 2 * np.arange(d) + x.reshape(n, d, 2).argmax(2)
        np.put_along_axis(g, at + 1, u, 1)
        return g[:, :-1]

    return lambda x: x.reshape(n, d, 2).max(2), vjp, rng.normal(size=(n, 2 * d))


@case("shifted by one", "shifted")
def gather_off_by_one(rng: np.random.Generator) -> Made:
    v, d, n = sizes(rng, 3, 3, 6)
    indices = rng.integers(v, size=2 * n)

    def vjp(w: Array, u: Array) -> Array:
        g = np.zeros((v + 1, d))
        np.add.at(g, indices + 1, u)
        return g[:-1]

    return lambda w: w[indices], vjp, rng.normal(size=(v, d))


# Only the last use.


@case("only the last use", "only the last use", JACOBIAN)
def embedding_assigned(rng: np.random.Generator) -> Made:
    v, d, n = sizes(rng, 3, 3, 6)
    indices = rng.integers(v, size=v + n)

    def vjp(w: Array, u: Array) -> Array:
        g = np.zeros_like(w)
        g[indices] = u
        return g

    return lambda w: w[indices], vjp, rng.normal(size=(v, d))


@case("only the last use", "only the last use", JACOBIAN)
def embedding_of_a_table_assigned(rng: np.random.Generator) -> Made:
    v, d, n = sizes(rng, 3, 3, 5)
    indices = rng.integers(v, size=(n, 3))

    def vjp(w: Array, u: Array) -> Array:
        g = np.zeros_like(w)
        g[indices] += u
        return g

    return lambda w: w[indices], vjp, rng.normal(size=(v, d))


@case("only the last use", "only the last use", JACOBIAN)
def bias_of_the_last_sample(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3)
    x, w = rng.normal(size=(n, i)), rng.normal(size=(i, o))
    return lambda b: np.tanh(x @ w + b), lambda b, u: u[-1] * (1 - np.tanh(x[-1] @ w + b) ** 2), rng.normal(size=o)


@case("only the last use", "only the last use", JACOBIAN)
def convolution_weight_of_the_last_sample(rng: np.random.Generator) -> Made:
    n, c, f = sizes(rng, 3, 2, 3)
    x = rng.normal(size=(n, c, 4, 4))
    return lambda w: conv2d(x, w, 0), lambda w, u: conv2d_weight(x[-1:], w, u[-1:], 0), rng.normal(size=(f, c, 2, 2))


@case("only the last use", "only the last use", JACOBIAN)
def overlapping_windows_assigned(rng: np.random.Generator) -> Made:
    n, k = sizes(rng, 2, 2, 3)
    d = 7
    weight = rng.normal(size=k)

    def vjp(x: Array, u: Array) -> Array:
        g = np.zeros_like(x)
        for o in range(d - k + 1):
            g[:, o : o + k] = u[:, o : o + 1] * weight
        return g

    return (
        lambda x: np.stack([x[:, o : o + k] @ weight for o in range(d - k + 1)], 1),
        vjp,
        rng.normal(size=(n, d)),
    )


@case("only the last use", "only the last use", JACOBIAN)
def overlapping_max_pooling_assigned(rng: np.random.Generator) -> Made:
    n, d = 3, 9

    def vjp(x: Array, u: Array) -> Array:
        g = np.zeros_like(x)
        for o in range(d - 2):
            g[np.arange(n), o + x[:, o : o + 3].argmax(1)] = u[:, o]
        return g

    return lambda x: np.stack([x[:, o : o + 3].max(1) for o in range(d - 2)], 1), vjp, rng.normal(size=(n, d))


@case("only the last use", "only the first use", JACOBIAN)
def weight_of_the_first_step(rng: np.random.Generator) -> Made:
    t, d = sizes(rng, 2)
    x = rng.normal(size=(t, d))
    return lambda w: np.tanh(x * w), lambda w, u: u[0] * x[0] * (1 - np.tanh(x[0] * w) ** 2), rng.normal(size=d)


# Further ones.


@case("further", "is 0 everywhere")
def detached(rng: np.random.Generator) -> Made:
    return lambda x: np.exp(x), lambda x, u: 0 * u, rng.normal(size=sizes(rng, 2))


@case("further", "square root of|sqrt")
def attention_scores_without_scale(rng: np.random.Generator) -> Made:
    n, m = sizes(rng, 2)
    d = int(rng.choice([3, 5, 6, 7, 8]))
    k = rng.normal(size=(m, d))
    return lambda q: q @ k.T / np.sqrt(d), lambda q, u: u @ k, rng.normal(size=(n, d))


@case("further", r"n / \(n - 1\)|\(n - 1\) / n")
def variance_of_the_other_definition(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 4, 7)
    return (
        lambda x: x.var(axis=0, ddof=1),
        lambda x, u: 2 * (x - x.mean(0)) * u / n,
        rng.normal(size=(n, d)),
    )


@case("further", "ln 2")
def logarithm_to_base_2(rng: np.random.Generator) -> Made:
    return lambda x: np.log2(x), lambda x, u: u / x, rng.uniform(0.5, 3, sizes(rng, 2, 3))


@case("further", "last index of axis 0")
def loop_one_short(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 3)

    def vjp(x: Array, u: Array) -> Array:
        g = np.zeros_like(x)
        for i in range(n - 1):
            g[i] = u[i] * np.exp(x[i])
        return g

    return lambda x: np.exp(x), vjp, rng.normal(size=(n, d))


@case("further", "differ by the same number")
def standardised_without_the_means_gradient(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 4, 7)
    return lambda x: x - x.mean(0), lambda x, u: u, rng.normal(size=(n, d))


@case("further", "sum of the numeric one over axis")
def summed_and_broadcast(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 3)
    return lambda x: np.exp(x), lambda x, u: np.broadcast_to((u * np.exp(x)).sum(0), x.shape), rng.normal(size=(n, d))


@case("further", "a part of it is left out", JACOBIAN)
def convolution_input_without_a_column_of_the_kernel(rng: np.random.Generator) -> Made:
    weight = rng.normal(size=(2, 2, 3, 3))
    cut = weight.copy()
    cut[..., 2] = 0
    return lambda x: conv2d(x, weight, 1), lambda x, u: conv2d_input(x, cut, u, 1), rng.normal(size=(1, 2, 4, 5))


@case("further", "a part too much")
def relu_without_its_mask(rng: np.random.Generator) -> Made:
    x = rng.normal(size=(4, 6))
    x[0] = 0.3, -0.3, 0.5, -0.5, 0.7, -0.7
    slope = rng.normal(size=(4, 6))
    return lambda x: slope * np.maximum(x, 0), lambda x, u: slope * u, x


@case("further", "shifted by [+-][2-6] along axis 1 of the output", JACOBIAN)
def the_first_part_of_a_concatenation(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2)
    x = rng.normal(size=(n, d + 1))
    return lambda b: np.concatenate([x, b], 1), lambda b, u: u[:, :d], rng.normal(size=(n, d))


@case("further", "0.75 times the numeric one")
def dropout_without_its_scale(rng: np.random.Generator) -> Made:
    mask = rng.random((5, 6)) < 0.75
    mask[0] = 1, 0, 1, 0, 1, 1
    return lambda x: x * mask / 0.75, lambda x, u: u * mask, rng.normal(size=(5, 6))


@case("further", "upstream gradient is used transposed", JACOBIAN)
def summed_over_the_other_axis(rng: np.random.Generator) -> Made:
    (n,) = sizes(rng, 1, 3)
    x = rng.normal(size=(n, n))
    return lambda b: x + b, lambda b, u: u.sum(1), rng.normal(size=n)


# Wrong in no known way: nothing may be said.


@case("no pattern", None)
def tanh_slope(rng: np.random.Generator) -> Made:
    return lambda x: np.tanh(x), lambda x, u: u * (1 - np.tanh(x)), rng.normal(size=sizes(rng, 2, 2, 4))


@case("no pattern", None)
def softmax_diagonal_only(rng: np.random.Generator) -> Made:
    return lambda x: softmax(x), lambda x, u: u * softmax(x), rng.normal(size=sizes(rng, 2, 3, 5))


# Off the diagonal nothing is left of the Jacobian; in a vjp that does not show.
@case("further", "a part of it is left out", JACOBIAN)
@case("no pattern", None, ("vjp",))
def softmax_without_the_square(rng: np.random.Generator) -> Made:
    return lambda x: softmax(x), lambda x, u: u * softmax(x) * (1 - softmax(x)), rng.normal(size=sizes(rng, 2, 3, 5))


@case("no pattern", None)
def one_element(rng: np.random.Generator) -> Made:
    def vjp(x: Array, u: Array) -> Array:
        g = u * np.cos(x)
        g[0, 0] *= 1.01
        return g

    return lambda x: np.sin(x), vjp, rng.normal(size=sizes(rng, 2, 3, 5))


@case("no pattern", None)
def per_mille(rng: np.random.Generator) -> Made:
    n, i, o = sizes(rng, 3)
    x = rng.normal(size=(n, i))
    noise = 1 + 1e-3 * rng.normal(size=(i, o))
    return lambda w: x @ w, lambda w, u: (x.T @ u) * noise, rng.normal(size=(i, o))


@case("no pattern", None)
def leaky_slope(rng: np.random.Generator) -> Made:
    x = rng.normal(size=(4, 5))
    x[0, :2] = 0.7, -0.4
    return lambda x: np.where(x > 0, x, 0.1 * x), lambda x, u: u * np.where(x > 0, 1, 0.01), x


@case("no pattern", None)
def gram_matrix_one_use(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 2, 4)
    return lambda x: x @ x.T, lambda x, u: u @ x, rng.normal(size=(n, d))


@case("no pattern", None)
def batch_norm_with_constant_deviation(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 4, 6)

    def vjp(x: Array, u: Array) -> Array:
        return (u - u.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    return lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), vjp, rng.normal(size=(n, d))


@case("no pattern", None)
def cube(rng: np.random.Generator) -> Made:
    return lambda x: x**3, lambda x, u: 3 * x * u, rng.normal(size=sizes(rng, 2, 2, 4))


@case("no pattern", None)
def random_numbers(rng: np.random.Generator) -> Made:
    shape = sizes(rng, 2, 2, 4)
    g = rng.normal(size=shape)
    return lambda x: np.exp(x), lambda x, u: u * g, rng.normal(size=shape)


@case("no pattern", None)
def layer_norm_epsilon(rng: np.random.Generator) -> Made:
    n, d = sizes(rng, 2, 3, 5)

    def vjp(x: Array, u: Array) -> Array:
        h = x - x.mean(1, keepdims=True)
        s = np.sqrt(x.var(1, keepdims=True) + 0.1)
        return (u - u.mean(1, keepdims=True) - h / s**2 * (u * h).mean(1, keepdims=True)) / np.sqrt(s**2 - 0.1)

    def forward(x: Array) -> Array:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.1)

    return forward, vjp, rng.normal(size=(n, d))


@case("no pattern", None)
def convolution_of_another_tap(rng: np.random.Generator) -> Made:
    weight = rng.normal(size=(2, 2, 3, 3))
    cut = weight.copy()
    cut[0, 1, 1, 1] *= 0.7
    return lambda x: conv2d(x, weight, 1), lambda x, u: conv2d_input(x, cut, u, 1), rng.normal(size=(1, 2, 4, 5))


@case("no pattern", None)
def another_mask(rng: np.random.Generator) -> Made:
    n = 12
    mask, other = rng.random((2, n)) < 0.5
    mask[:4], other[:4] = [1, 1, 0, 0], [1, 0, 1, 0]
    return lambda x: mask * np.exp(x), lambda x, u: other * u * np.exp(x), rng.normal(size=n)


@case("no pattern", None)
def two_rows_exchanged(rng: np.random.Generator) -> Made:
    n, d = 6, 3
    order = np.array([0, 3, 2, 1, 4, 5])
    x = rng.normal(size=(n, d))
    return lambda x: np.exp(x), lambda x, u: (u * np.exp(x))[order], x


@case("no pattern", None)
def scalar_off_by_a_little(rng: np.random.Generator) -> Made:
    return lambda x: np.exp(x), lambda x, u: u * np.exp(x) * 1.0317, np.array(rng.normal())


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(x: Array, labels: Array) -> Array:
    return -np.log(softmax(x)[np.arange(len(x)), labels]).mean()


def cross_entropy_gradient(x: Array, labels: Array) -> Array:
    return (softmax(x) - np.eye(x.shape[1])[labels]) / len(x)


def conv2d(x: Array, w: Array, padding: int) -> Array:
    x = np.pad(x, [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2])
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    y = np.zeros((len(x), len(w), height, width))
    for a in range(w.shape[2]):
        for b in range(w.shape[3]):
            y += np.einsum("nchw,fc->nfhw", x[:, :, a : a + height, b : b + width], w[:, :, a, b])
    return y


def conv2d_weight(x: Array, w: Array, u: Array, padding: int) -> Array:
    x = np.pad(x, [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2])
    height, width = u.shape[2:]
    g = np.zeros_like(w)
    for a in range(w.shape[2]):
        for b in range(w.shape[3]):
            g[:, :, a, b] = np.einsum("nchw,nfhw->fc", x[:, :, a : a + height, b : b + width], u)
    return g


def conv2d_input(x: Array, w: Array, u: Array, padding: int, right: int = 0, down: int = 0) -> Array:
    n, c, rows, columns = x.shape
    height, width = u.shape[2:]
    g = np.zeros((n, c, rows + 2 * padding + down, columns + 2 * padding + right))
    for a in range(w.shape[2]):
        for b in range(w.shape[3]):
            at = (slice(None), slice(None), slice(a + down, a + down + height), slice(b + right, b + right + width))
            g[at] += np.einsum("nfhw,fc->nchw", u, w[:, :, a, b])
    return g[:, :, padding : padding + rows, padding : padding + columns]


def table(seeds: int, verbose: bool = False) -> dict[tuple[str, str], list[int]]:
    """For each (pattern, mode): how many hints were right, wrong, missing."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in CASES:
        for mode in each.modes:
            for seed in range(seeds):
                sentence = said(each, seed, mode)
                right = is_right(each, sentence)
                found[each.pattern, mode][0 if right else 2 if sentence is None else 1] += 1
                if verbose and not right:
                    print(f"  {each.name} ({mode}, seed {seed}): {sentence}")
    return dict(found)


def main(seeds: Any = 20) -> None:
    found = table(int(seeds), verbose=True)
    print(f"{'pattern':24} {'from':10} {'right':>6} {'wrong':>6} {'none':>6}")
    for (pattern, mode), (right, wrong, none) in found.items():
        print(f"{pattern:24} {mode:10} {right:6} {wrong:6} {none:6}")
    planted = [counts for (pattern, _), counts in found.items() if pattern != "no pattern"]
    right, total = sum(counts[0] for counts in planted), sum(map(sum, planted))
    print(f"planted patterns: {right:,} of {total:,} right ({100 * right / total:.1f} %)")
    silent = [counts for (pattern, _), counts in found.items() if pattern == "no pattern"]
    print(f"no pattern: {sum(counts[0] for counts in silent):,} of {sum(map(sum, silent)):,} without a hint")


if __name__ == "__main__":
    main(*sys.argv[1:])
