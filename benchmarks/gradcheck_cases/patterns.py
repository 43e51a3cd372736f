"""Mistakes that everybody makes, each of a pattern that a hint can name."""

from __future__ import annotations

from functools import partial

import numpy as np

from .case import Case
from .case import wrong as _wrong
from .operations import (
    blocks,
    conv2d,
    conv2d_input,
    conv2d_weight,
    distinct,
    first_of_largest,
    log_softmax,
    sigmoid,
    softmax,
    unblocks,
)

Rng = np.random.Generator
CASES: list[Case] = []
wrong = partial(_wrong, CASES)


@wrong("dense", "the weight's gradient is transposed; the weight is square", "transposed")
def dense_weight_transposed(rng: Rng) -> tuple:
    return (
        lambda x, weight: x @ weight.T,
        lambda u, x, weight: (u @ weight, x.T @ u),
        [rng.normal(size=(3, 5)), rng.normal(size=(5, 5))],
    )


@wrong("dense", "the weight's gradient (4, 6) is the transposed one, reshaped", "transposed")
def dense_weight_reshaped(rng: Rng) -> tuple:
    return (
        lambda x, weight: x @ weight.T,
        lambda u, x, weight: (u @ weight, (x.T @ u).reshape(weight.shape)),
        [rng.normal(size=(3, 6)), rng.normal(size=(4, 6))],
    )


@wrong("FFT", "the input's gradient lacks the complex conjugate: it convolves again", "transposed", "flipped")
def fft_convolution(rng: Rng) -> tuple:
    n = 8
    circulant = (np.arange(n)[:, None] - np.arange(n)) % n

    def forward(x, kernel):
        return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(kernel), n)

    def backward(u, x, kernel):
        back = np.fft.rfft(u)
        return np.fft.irfft(back * np.fft.rfft(kernel), n), np.fft.irfft(back * np.conj(np.fft.rfft(x)), n)

    return forward, backward, [rng.normal(size=n), rng.normal(size=n)], lambda x, kernel: kernel[circulant] @ x


@wrong("arithmetic", "the gradient of what is subtracted keeps its sign", "sign")
def difference_without_minus(rng: Rng) -> tuple:
    return (
        lambda x, y: np.tanh(x - y),
        lambda u, x, y: (u * (1 - np.tanh(x - y) ** 2),) * 2,
        [rng.normal(size=(3, 4)), rng.normal(size=(3, 4))],
    )


@wrong("activation", "the inner minus of log(sigmoid(x)) is forgotten", "sign")
def log_sigmoid_sign(rng: Rng) -> tuple:
    return (
        lambda x: -np.log1p(np.exp(-x)),
        lambda u, x: -u * sigmoid(-x),
        [rng.normal(size=(4, 3))],
    )


@wrong("loss", "the 2 of the squared error is forgotten", "factor")
def squared_error_without_2(rng: Rng) -> tuple:
    return (
        lambda x, y: ((x - y) ** 2).mean(),
        lambda u, x, y: (u * (x - y) / x.size, -u * (x - y) / x.size),
        [rng.normal(size=(4, 3)), rng.normal(size=(4, 3))],
    )


@wrong("loss", "the mean over the batch is forgotten", "factor")
def cross_entropy_without_mean(rng: Rng) -> tuple:
    labels = rng.integers(0, 5, 7)

    def forward(x):
        return -log_softmax(x)[np.arange(7), labels].mean()

    return forward, lambda u, x: u * (softmax(x) - np.eye(5)[labels]), [rng.normal(size=(7, 5))]


@wrong("pooling", "each pixel gets the whole gradient, not a ninth", "factor")
def mean_pooling_without_mean(rng: Rng) -> tuple:
    return (
        lambda x: blocks(x, 3).mean(axis=-1),
        lambda u, x: np.kron(u, np.ones((1, 3, 3))),
        [rng.normal(size=(2, 6, 6))],
    )


@wrong("convolution", "the weight's gradient is flipped along both axes", "flipped")
def conv2d_weight_flipped(rng: Rng) -> tuple:
    return (
        conv2d,
        lambda u, x, w: (conv2d_input(u, w, x.shape), conv2d_weight(u, x, w.shape[2:])[:, :, ::-1, ::-1]),
        [rng.normal(size=(2, 2, 5, 6)), rng.normal(size=(3, 2, 3, 2))],
    )


@wrong("convolution", "the input's gradient uses the kernel as it is, without turning it over", "flipped", "transposed")
def conv2d_kernel_not_flipped(rng: Rng) -> tuple:
    return (
        conv2d,
        lambda u, x, w: (conv2d_input(u, w[:, :, ::-1, ::-1], x.shape), conv2d_weight(u, x, w.shape[2:])),
        [rng.normal(size=(1, 2, 5, 5)), rng.normal(size=(2, 2, 3, 3))],
    )


@wrong("cumulative", "the sums from the end are not turned back", "flipped")
def cumsum_not_turned_back(rng: Rng) -> tuple:
    return (
        lambda x: np.cumsum(x, axis=1),
        lambda u, x: np.cumsum(u[:, ::-1], axis=1),
        [rng.normal(size=(2, 5))],
    )


@wrong("pooling", "the gradient lands one pixel to the right of the largest", "shifted")
def max_pooling_shifted(rng: Rng) -> tuple:
    return (
        lambda x: blocks(x, 2).max(axis=-1),
        lambda u, x: np.roll(unblocks(first_of_largest(blocks(x, 2)) * u[..., None], 2), 1, axis=2),
        [distinct(rng, 2, 4, 6)],
    )


@wrong("convolution", "the input's gradient is cut out of the padded one a sample too early", "shifted")
def conv1d_shifted(rng: Rng) -> tuple:
    def forward(x, kernel):
        padded = np.concatenate([np.zeros(2), x, np.zeros(2)])
        return sum(kernel[k] * padded[k : k + len(x)] for k in range(5))

    def backward(u, x, kernel):
        padded, back = np.pad(x, 2), np.zeros(len(x) + 4)
        for k in range(5):
            back[k : k + len(x)] += kernel[k] * u
        return back[1 : 1 + len(x)], np.array([padded[k : k + len(x)] @ u for k in range(5)])

    return forward, backward, [rng.normal(size=9), rng.normal(size=5)]


@wrong("embedding", "a row that is used more than once gets the gradient of its last use", "last use")
def embedding_last_use(rng: Rng) -> tuple:
    index = np.array([[0, 2, 1], [2, 2, 4]])

    def backward(u, table):
        gradient = np.zeros_like(table)
        for place, row in np.ndenumerate(index):
            gradient[row] = u[place]
        return gradient

    return lambda table: table[index], backward, [rng.normal(size=(5, 3))]


@wrong("gather", "gradient[index] += u, which counts each index once", "last use")
def gather_without_add_at(rng: Rng) -> tuple:
    index = np.array([3, 1, 3, 0, 1, 3])

    def backward(u, x):
        gradient = np.zeros_like(x)
        gradient[index] += u
        return gradient

    return lambda x: x[index], backward, [rng.normal(size=(6, 2))]


@wrong("recurrent", "the recurrent weight's gradient is that of the last step", "last use")
def recurrent_last_step(rng: Rng) -> tuple:
    def states(x, weight):
        found = [np.zeros(weight.shape[0])]
        for step in x:
            found.append(np.tanh(step + weight @ found[-1]))
        return found

    def backward(u, x, weight):
        h = states(x, weight)
        gradient, dx = np.zeros_like(weight), np.zeros_like(x)
        for t in range(len(x), 0, -1):
            u = u * (1 - h[t] ** 2)
            if t == len(x):
                gradient += np.outer(u, h[t - 1])
            dx[t - 1], u = u, weight.T @ u
        return dx, gradient

    return lambda x, weight: states(x, weight)[-1], backward, [rng.normal(size=(4, 3)), 0.7 * rng.normal(size=(3, 3))]


@wrong("broadcasting", "the bias gets the last row's gradient, not the sum of all", "last use")
def bias_of_last_row(rng: Rng) -> tuple:
    return (
        lambda x, bias: x + bias,
        lambda u, x, bias: (u, u[-1]),
        [rng.normal(size=(4, 3)), rng.normal(size=3)],
    )
