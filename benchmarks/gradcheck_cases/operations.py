"""The operations that mistakes are planted in: plain NumPy, correct both ways, and open to complex numbers."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray


def conv2d(x: Array, weight: Array) -> Array:
    """x (N, C, H, W) with weight (O, C, KH, KW), no padding."""
    return np.einsum("nchwij,ocij->nohw", sliding_window_view(x, weight.shape[2:], axis=(2, 3)), weight)


def conv2d_input(u: Array, weight: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of conv2d's x."""
    dx = np.zeros(shape)
    height, width = u.shape[2:]
    for i, j in np.ndindex(weight.shape[2:]):
        dx[:, :, i : i + height, j : j + width] += np.einsum("nohw,oc->nchw", u, weight[:, :, i, j])
    return dx


def conv2d_weight(u: Array, x: Array, size: tuple[int, int]) -> Array:
    """The gradient of conv2d's weight."""
    return np.einsum("nchwij,nohw->ocij", sliding_window_view(x, size, axis=(2, 3)), u)


def blocks(x: Array, size: int) -> Array:
    """x (N, H, W) as (N, H / size, W / size, size * size)."""
    N, H, W = x.shape
    cut = x.reshape(N, H // size, size, W // size, size).transpose(0, 1, 3, 2, 4)
    return cut.reshape(N, H // size, W // size, size * size)


def unblocks(y: Array, size: int) -> Array:
    """The inverse of `blocks`."""
    N, H, W, _ = y.shape
    return y.reshape(N, H, W, size, size).transpose(0, 1, 3, 2, 4).reshape(N, H * size, W * size)


def first_of_largest(x: Array) -> Array:
    """1 at the first largest value along the last axis, else 0."""
    mask = np.zeros(x.shape)
    np.put_along_axis(mask, x.argmax(axis=-1)[..., None], 1.0, axis=-1)
    return mask


def softmax(x: Array) -> Array:
    """Along the last axis."""
    e = np.exp(x - x.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """Along the last axis."""
    shifted = x - x.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_input(u: Array, y: Array) -> Array:
    """The gradient of softmax's x, of its result."""
    return y * (u - (u * y).sum(axis=-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def normalise(x: Array, eps: float, axis: int) -> tuple[Array, Array]:
    """x with mean 0 and variance 1 along an axis, and 1 over its standard deviation."""
    centred = x - x.mean(axis=axis, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)
    return centred * inverse, inverse


def normalise_input(u: Array, y: Array, inverse: Array, axis: int) -> Array:
    """The gradient of normalise's x."""
    return inverse * (u - u.mean(axis=axis, keepdims=True) - y * (u * y).mean(axis=axis, keepdims=True))


def distinct(rng: np.random.Generator, *shape: int) -> Array:
    """Numbers around 0 of which no two are closer than 0.05."""
    size = int(np.prod(shape))
    return (0.1 * (rng.permutation(size) - size / 2) + rng.uniform(-0.025, 0.025, size)).reshape(shape)
