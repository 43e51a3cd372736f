"""Correct gradients that are hard to check: scales, conditioning, precision, edges of domains, odd forms."""

from __future__ import annotations

from functools import partial

import numpy as np

from .case import Case
from .case import right as _right
from .operations import log_softmax, normalise, normalise_input, sigmoid, softmax, softmax_input

Rng = np.random.Generator
CASES: list[Case] = []
right = partial(_right, CASES)


@right("scale", "inputs of 1e-9, and the function bends over that length")
def inputs_of_1e_minus_9(rng: Rng) -> tuple:
    return (
        lambda x: np.tanh(1e9 * x),
        lambda u, x: u * 1e9 * (1 - np.tanh(1e9 * x) ** 2),
        [1e-9 * rng.normal(size=8)],
    )


@right("scale", "outputs of 1e-9")
def outputs_of_1e_minus_9(rng: Rng) -> tuple:
    def backward(u, x, weight):
        inner = 1e-9 * u * (1 - np.tanh(x @ weight.T) ** 2)
        return inner @ weight, inner.T @ x

    return (
        lambda x, weight: 1e-9 * np.tanh(x @ weight.T),
        backward,
        [rng.normal(size=(3, 4)), rng.normal(size=(2, 4))],
    )


@right("scale", "inputs of 1e7, and the function bends over that length")
def inputs_of_1e7(rng: Rng) -> tuple:
    return lambda x: np.sin(1e-7 * x), lambda u, x: u * 1e-7 * np.cos(1e-7 * x), [1e7 * rng.normal(size=8)]


@right("scale", "outputs of 1e7")
def outputs_of_1e7(rng: Rng) -> tuple:
    return (
        lambda x: 1e7 * softmax(x),
        lambda u, x: softmax_input(1e7 * u, softmax(x)),
        [rng.normal(size=(3, 5))],
    )


@right("scale", "values and gradients from e^-20 to e^20")
def exp_over_e40(rng: Rng) -> tuple:
    return np.exp, lambda u, x: u * np.exp(x), [np.linspace(-20, 20, 9) + rng.uniform(-0.1, 0.1, 9)]


@right("scale", "probabilities from e^-40 to nearly 1, whose gradients are products of them")
def softmax_over_e40(rng: Rng) -> tuple:
    x = np.linspace(0, 40, 7) + rng.uniform(-0.5, 0.5, 7)
    return softmax, lambda u, x: softmax_input(u, softmax(x)), [rng.permutation(x)[None]]


@right("precision", "a dense layer that computes in float32")
def float32_inside(rng: Rng) -> tuple:
    def forward(x, weight):
        return np.tanh(x.astype(np.float32) @ weight.astype(np.float32).T).astype(np.float64)

    def backward(u, x, weight):
        inner = u * (1 - np.tanh(x @ weight.T) ** 2)
        return inner @ weight, inner.T @ x

    return (
        forward,
        backward,
        [rng.normal(size=(3, 4)), rng.normal(size=(2, 4))],
        lambda x, weight: np.tanh(x @ weight.T),
    )


@right("precision", "float32 inputs")
def float32_inputs(rng: Rng) -> tuple:
    def backward(u, x, weight):
        inner = u * (1 - np.tanh(x @ weight.T) ** 2)
        return inner @ weight, inner.T @ x

    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (2, 4))]
    return lambda x, weight: np.tanh(x @ weight.T), backward, arrays


@right("conditioning", "a linear system with condition 1e8")
def solve_with_condition_1e8(rng: Rng) -> tuple:
    left, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    other, _ = np.linalg.qr(rng.normal(size=(4, 4)))

    def backward(u, a, b):
        db = np.linalg.solve(a.T, u)
        return -np.outer(db, np.linalg.solve(a, b)), db

    return np.linalg.solve, backward, [left * np.logspace(0, -8, 4) @ other, rng.normal(size=4)]


@right("conditioning", "eigenvalues, two of them 1e-6 apart", proof="eigen")
def near_equal_eigenvalues(rng: Rng) -> tuple:
    q, _ = np.linalg.qr(rng.normal(size=(4, 4)))

    def backward(u, a):
        vectors = np.linalg.eigh((a + a.T) / 2)[1]
        return vectors * u @ vectors.T

    a = q * np.array([1, 1 + 1e-6, 2, 3]) @ q.T
    return lambda a: np.linalg.eigvalsh((a + a.T) / 2), backward, [(a + a.T) / 2]


@right("conditioning", "batch normalisation of values that differ in their sixth digit")
def batch_norm_of_small_variance(rng: Rng) -> tuple:
    def backward(u, x):
        return normalise_input(u, *normalise(x, 1e-12, 0), 0)

    return lambda x: normalise(x, 1e-12, 0)[0], backward, [1e3 + 1e-3 * rng.normal(size=(6, 2))]


@right("cancellation", "a loss with an offset of 1e8")
def offset_of_1e8(rng: Rng) -> tuple:
    return lambda x: 1e8 + np.sin(x).sum(), lambda u, x: u * np.cos(x), [rng.normal(size=6)]


@right("cancellation", "log(1 - exp(-x)) of x from 1e-8 to 1")
def log_of_expm1(rng: Rng) -> tuple:
    return (
        lambda x: np.log(-np.expm1(-x)),
        lambda u, x: u / np.expm1(x),
        [10 ** rng.uniform(-8, 0, 8)],
    )


@right("cancellation", "1 - cos(x) of x around 1e-3, as written")
def one_minus_cosine(rng: Rng) -> tuple:
    return lambda x: 1 - np.cos(x), lambda u, x: u * np.sin(x), [10 ** rng.uniform(-4, -2, 8)]


@right("cancellation", "terms from 1e-9 to 1e7 in one sum; the small ones drown")
def mixed_magnitudes_in_one_output(rng: Rng) -> tuple:
    scale = np.logspace(-9, 7, 9)
    return lambda x: (scale * np.sin(x)).sum(), lambda u, x: u * scale * np.cos(x), [rng.normal(size=9)]


@right("cancellation", "the sum of a softmax, which is 1 whatever the input; the gradient is rounding")
def sum_of_softmax(rng: Rng) -> tuple:
    def backward(u, x):
        return softmax_input(np.broadcast_to(u[:, None], x.shape), softmax(x))

    return lambda x: softmax(x).sum(axis=-1), backward, [rng.normal(size=(2, 5))]


@right("form", "no samples")
def empty_batch(rng: Rng) -> tuple:
    return (
        lambda x, weight: x @ weight.T,
        lambda u, x, weight: (u @ weight, u.T @ x),
        [np.zeros((0, 3)), rng.normal(size=(2, 3))],
    )


@right("form", "a number, of shape ()")
def zero_dimensions(rng: Rng) -> tuple:
    return lambda x: np.exp(x) * x, lambda u, x: u * np.exp(x) * (1 + x), [np.array(rng.normal())]


@right("form", "integer labels beside the logits, without a gradient")
def integers_beside(rng: Rng) -> tuple:
    return (
        lambda x, labels: -log_softmax(x)[np.arange(4), labels].mean(),
        lambda u, x, labels: (u * (softmax(x) - np.eye(5)[labels]) / 4, None),
        [3 * rng.normal(size=(4, 5)), rng.integers(0, 5, 4)],
    )


@right("form", "200 rows of a table of which 4 are used")
def sparse_gradient(rng: Rng) -> tuple:
    index = rng.integers(0, 200, 4)

    def backward(u, table):
        gradient = np.zeros_like(table)
        np.add.at(gradient, index, u * np.cos(table[index]))
        return gradient

    return lambda table: np.sin(table[index]), backward, [rng.normal(size=(200, 2))]


@right("form", "5,000 elements, each with a 5,000th of the gradient")
def many_elements(rng: Rng) -> tuple:
    return lambda x: np.log1p(np.exp(x)).mean(), lambda u, x: u * sigmoid(x) / x.size, [rng.normal(size=5000)]


@right("slope", "very flat: sigmoid at -40 to -25")
def flat_sigmoid(rng: Rng) -> tuple:
    return sigmoid, lambda u, x: u * sigmoid(x) * (1 - sigmoid(x)), [rng.uniform(-40, -25, 8)]


@right("slope", "saturated: tanh at 15 to 20, whose value is 1 but for rounding")
def saturated_tanh(rng: Rng) -> tuple:
    x = rng.uniform(15, 20, 8) * rng.choice([-1.0, 1.0], 8)
    return np.tanh, lambda u, x: u * (1 - np.tanh(x) ** 2), [x]


@right("slope", "very steep: exp(30), and x^-6 near 0")
def steep(rng: Rng) -> tuple:
    return (
        lambda x, y: np.concatenate([np.exp(x), y**-6.0]),
        lambda u, x, y: (u[:4] * np.exp(x), u[4:] * -6 * y**-7.0),
        [rng.uniform(28, 31, 4), 10 ** rng.uniform(-3, -1, 4) * rng.choice([-1.0, 1.0], 4)],
    )


@right("slope", "oscillating: sin(1000 x)")
def oscillating(rng: Rng) -> tuple:
    return lambda x: np.sin(1e3 * x), lambda u, x: u * 1e3 * np.cos(1e3 * x), [rng.uniform(-1, 1, 10)]


@right("slope", "linear, with coefficients of 1e12, 1 and 1e-12")
def huge_coefficients(rng: Rng) -> tuple:
    matrix = rng.normal(size=(3, 5)) * np.array([[1e12], [1.0], [1e-12]])
    return lambda x: matrix @ x, lambda u, x: u @ matrix, [rng.normal(size=5)]


@right("domain", "log and sqrt of 1e-12 to 1e-3")
def near_the_edge_at_0(rng: Rng) -> tuple:
    return (
        lambda x: np.concatenate([np.log(x), np.sqrt(x)]),
        lambda u, x: u[:6] / x + u[6:] * 0.5 / np.sqrt(x),
        [10 ** rng.uniform(-12, -3, 6)],
    )


@right("domain", "arcsin of 1 - 1e-8 to 1 - 1e-3")
def near_the_edge_at_1(rng: Rng) -> tuple:
    return np.arcsin, lambda u, x: u / np.sqrt((1 - x) * (1 + x)), [1 - 10 ** rng.uniform(-8, -3, 6)]


@right("domain", "x^2.5 at 0 itself, where one side does not exist")
def at_the_edge(rng: Rng) -> tuple:
    return lambda x: x**2.5, lambda u, x: u * 2.5 * x**1.5, [rng.uniform(0.5, 2, 6) * (np.arange(6) % 3 > 0)]
