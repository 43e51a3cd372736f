"""Convolution the ways that are usually shown, in NumPy: forward, and the gradients of input and weight.

Each is written from the formula, for any stride and no padding:

    y[n, f, i, j] = sum over c, k, l of weight[f, c, k, l] x[n, c, i stride + k, j stride + l]

A method is a pair of functions, ``forward(x, weight, stride)`` and ``backward(x, weight, dy, stride)``, the second of
which returns (dx, dweight). `docs/convolution.md` explains them; `methods.py` measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

from minidl.geometry import sliding_window
from minidl.reference import conv2d_toeplitz, conv2d_toeplitz_gradients

Array = np.ndarray


class Method(NamedTuple):
    """A way to convolve."""

    forward: Callable[[Array, Array, int], Array]
    backward: Callable[[Array, Array, Array, int], tuple[Array, Array]]


def output_size(x: Array, weight: Array, stride: int) -> tuple[int, int]:
    """Whole steps that the kernel fits into the image: a remainder is left out."""
    return (x.shape[2] - weight.shape[2]) // stride + 1, (x.shape[3] - weight.shape[3]) // stride + 1


def windows(x: Array, weight: Array, stride: int) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """Each output position with the rows and columns that it sees."""
    KH, KW = weight.shape[2:]
    OH, OW = output_size(x, weight, stride)
    for i in range(OH):
        for j in range(OW):
            yield i, j, (slice(i * stride, i * stride + KH), slice(j * stride, j * stride + KW))


def spread(dy: Array, x: Array, weight: Array, stride: int) -> Array:
    """The output's gradient as it would be at stride 1: zeros where a strided convolution has no output."""
    N, F = dy.shape[:2]
    out = np.zeros((N, F, *output_size(x, weight, 1)), dy.dtype)
    out[:, :, ::stride, ::stride] = dy
    return out


def framed(dy: Array, weight: Array) -> Array:
    """With one row and column less than the kernel's of zeros around it: for a full convolution."""
    KH, KW = weight.shape[2:]
    return np.pad(dy, ((0, 0), (0, 0), (KH - 1, KH - 1), (KW - 1, KW - 1)))


# Loops: one sum of products for each output, each pixel, each weight (document 002's naive layer)


def loops_forward(x: Array, weight: Array, stride: int) -> Array:
    y = np.zeros((x.shape[0], weight.shape[0], *output_size(x, weight, stride)), x.dtype)
    for n in range(x.shape[0]):
        for f in range(weight.shape[0]):
            for i, j, (rows, columns) in windows(x, weight, stride):
                y[n, f, i, j] = np.sum(x[n, :, rows, columns] * weight[f])
    return y


def loops_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    KH, KW = weight.shape[2:]
    at_one = spread(dy, x, weight, stride)
    OH, OW = at_one.shape[2:]
    dweight = np.zeros_like(weight)
    for f, c, k, m in np.ndindex(weight.shape):
        dweight[f, c, k, m] = np.sum(x[:, c, k : k + OH, m : m + OW] * at_one[:, f])
    around, turned = framed(at_one, weight), weight[:, :, ::-1, ::-1]
    dx = np.zeros_like(x)
    for n, c, h, w in np.ndindex(x.shape):
        dx[n, c, h, w] = np.sum(around[n, :, h : h + KH, w : w + KW] * turned[:, c])
    return dx, dweight


# Planes: every pair of an input and an output channel by itself (document 001)


def correlate(image: Array, kernel: Array) -> Array:
    """One plane with one kernel, stride 1."""
    KH, KW = kernel.shape
    out = np.zeros((image.shape[0] - KH + 1, image.shape[1] - KW + 1), image.dtype)
    for i, j in np.ndindex(out.shape):
        out[i, j] = np.sum(image[i : i + KH, j : j + KW] * kernel)
    return out


def planes_forward(x: Array, weight: Array, stride: int) -> Array:
    y = np.zeros((x.shape[0], weight.shape[0], *output_size(x, weight, stride)), x.dtype)
    for n, f, c in np.ndindex(x.shape[0], *weight.shape[:2]):
        y[n, f] += correlate(x[n, c], weight[f, c])[::stride, ::stride]
    return y


def planes_weight_gradient(x: Array, weight: Array, dy: Array, stride: int) -> Array:
    """The image, seen through a kernel that is the whole gradient."""
    at_one, dweight = spread(dy, x, weight, stride), np.zeros_like(weight)
    for n, f, c in np.ndindex(x.shape[0], *weight.shape[:2]):
        dweight[f, c] += correlate(x[n, c], at_one[n, f])
    return dweight


def full_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    """The input's gradient is the full convolution of the output's with the kernels turned by half a turn."""
    around, dx = framed(spread(dy, x, weight, stride), weight), np.zeros_like(x)
    for n, f, c in np.ndindex(x.shape[0], *weight.shape[:2]):
        dx[n, c] += correlate(around[n, f], weight[f, c, ::-1, ::-1])
    return dx, planes_weight_gradient(x, weight, dy, stride)


def scatter_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    """Each output gives each pixel that it saw its share, weighted as it weighted the pixel."""
    dx = np.zeros_like(x)
    for n in range(x.shape[0]):
        for f in range(weight.shape[0]):
            for i, j, (rows, columns) in windows(x, weight, stride):
                dx[n, :, rows, columns] += weight[f] * dy[n, f, i, j]
    return dx, planes_weight_gradient(x, weight, dy, stride)


# One large matrix (document 000)


def matrix_of(x: Array, weight: Array, stride: int) -> Array:
    """(F OH OW, C H W): a row is the picture of a filter on an otherwise empty image."""
    OH, OW = output_size(x, weight, stride)
    matrix = np.zeros((weight.shape[0], OH, OW, *x.shape[1:]), weight.dtype)
    for i, j, (rows, columns) in windows(x, weight, stride):
        matrix[:, i, j, :, rows, columns] = weight
    return matrix.reshape(weight.shape[0] * OH * OW, -1)


def matrix_forward(x: Array, weight: Array, stride: int) -> Array:
    y = x.reshape(x.shape[0], -1) @ matrix_of(x, weight, stride).T
    return y.reshape(x.shape[0], weight.shape[0], *output_size(x, weight, stride))


def matrix_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    images, grads = x.reshape(x.shape[0], -1), dy.reshape(x.shape[0], -1)
    dx = (grads @ matrix_of(x, weight, stride)).reshape(x.shape)
    of_matrix = (grads.T @ images).reshape(*dy.shape[1:], *x.shape[1:])
    dweight = np.zeros_like(weight)
    for i, j, (rows, columns) in windows(x, weight, stride):
        # A weight stands in the matrix once a position, so its gradient is the sum over them.
        dweight += of_matrix[:, i, j, :, rows, columns]
    return dx, dweight


def sparse_forward(x: Array, weight: Array, stride: int) -> Array:
    """The same matrix without its zeros, as the reference has it."""
    return conv2d_toeplitz(x, weight, None, sliding_window("conv2d", x.shape[2:], weight.shape[2:], stride), 1)


def sparse_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    window = sliding_window("conv2d", x.shape[2:], weight.shape[2:], stride)
    return conv2d_toeplitz_gradients(x, weight, dy, window, 1)


# im2col, sample by sample and window by window (documents 002 and 003)


def im2col(image: Array, weight: Array, stride: int) -> Array:
    """(C, H, W) to (C KH KW, OH OW)."""
    seen = [image[:, rows, columns].reshape(-1) for _, _, (rows, columns) in windows(image[None], weight, stride)]
    return np.array(seen).T


def im2col_forward(x: Array, weight: Array, stride: int) -> Array:
    F = weight.shape[0]
    y = [weight.reshape(F, -1) @ im2col(image, weight, stride) for image in x]
    return np.array(y).reshape(x.shape[0], F, *output_size(x, weight, stride))


def im2col_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    F = weight.shape[0]
    W, dx, dweight = weight.reshape(F, -1), np.zeros_like(x), np.zeros_like(weight)
    for n, image in enumerate(x):
        dweight += (dy[n].reshape(F, -1) @ im2col(image, weight, stride).T).reshape(weight.shape)
        of_columns = (W.T @ dy[n].reshape(F, -1)).T.reshape(-1, *weight.shape[1:])
        for column, (_, _, (rows, columns)) in zip(of_columns, windows(x, weight, stride), strict=True):
            dx[n, :, rows, columns] += column
    return dx, dweight


# im2col from a view, and col2im tap by tap (document 002's fast layer)


def view(x: Array, weight: Array, stride: int) -> Array:
    """(N, C, OH, OW, KH, KW), which takes no memory: neighbouring windows overlap in it."""
    return np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]


def strided_columns(x: Array, weight: Array, stride: int) -> Array:
    """(N, C KH KW, OH OW)."""
    return view(x, weight, stride).transpose(0, 1, 4, 5, 2, 3).reshape(x.shape[0], weight[0].size, -1)


def strided_forward(x: Array, weight: Array, stride: int) -> Array:
    F = weight.shape[0]
    y = weight.reshape(F, -1) @ strided_columns(x, weight, stride)
    return y.reshape(x.shape[0], F, *output_size(x, weight, stride))


def fold(of_columns: Array, x: Array, stride: int) -> Array:
    """(N, C, KH, KW, OH, OW) to (N, C, H, W): all outputs of a tap at once, as they never meet in one pixel."""
    KH, KW, OH, OW = of_columns.shape[2:]
    dx = np.zeros_like(x)
    for k, m in np.ndindex(KH, KW):
        dx[:, :, k : k + stride * OH : stride, m : m + stride * OW : stride][:, :, :OH, :OW] += of_columns[:, :, k, m]
    return dx


def strided_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    (N, F), W = dy.shape[:2], weight.reshape(weight.shape[0], -1)
    grads = dy.reshape(N, F, -1)
    dweight = (grads @ strided_columns(x, weight, stride).swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)
    of_columns = (W.T @ grads).reshape(N, *weight.shape[1:], *dy.shape[2:])
    return fold(of_columns, x, stride), dweight


# Patches of the whole batch and one product, filters as (KH, KW, C, F) (document 004)


def patches_of(x: Array, weight: Array, stride: int) -> Array:
    """(N OH OW, KH KW C), in the order of the filters' axes."""
    OH, OW = output_size(x, weight, stride)
    patches = np.zeros((x.shape[0], OH, OW, *weight.shape[2:], x.shape[1]), x.dtype)
    for n, image in enumerate(x):
        for i, j, (rows, columns) in windows(x, weight, stride):
            patches[n, i, j] = image[:, rows, columns].transpose(1, 2, 0)
    return patches.reshape(x.shape[0] * OH * OW, -1)


def patches_forward(x: Array, weight: Array, stride: int) -> Array:
    filters = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
    y = patches_of(x, weight, stride) @ filters
    return y.reshape(x.shape[0], *output_size(x, weight, stride), -1).transpose(0, 3, 1, 2)


def patches_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    F, C, KH, KW = weight.shape
    filters, grads = weight.transpose(2, 3, 1, 0).reshape(-1, F), dy.transpose(0, 2, 3, 1).reshape(-1, F)
    dfilters = patches_of(x, weight, stride).T @ grads
    of_patches = (grads @ filters.T).reshape(x.shape[0], *dy.shape[2:], KH, KW, C)
    dx = fold(of_patches.transpose(0, 5, 3, 4, 1, 2), x, stride)
    return dx, dfilters.reshape(KH, KW, C, F).transpose(3, 2, 0, 1)


# Fourier transforms (in none of the documents)


def _transforms(x: Array, weight: Array) -> tuple[tuple[int, int], Array, Array]:
    """A size from which on nothing wraps around into the outputs, and both transforms, frequencies first."""
    size = scipy.fft.next_fast_len(x.shape[2], True), scipy.fft.next_fast_len(x.shape[3], True)
    return size, _to_frequencies(x, size), _to_frequencies(weight, size)


def _to_frequencies(a: Array, size: tuple[int, int]) -> Array:
    return np.ascontiguousarray(scipy.fft.rfft2(a, size, workers=2).transpose(2, 3, 0, 1))


def _from_frequencies(a: Array, size: tuple[int, int]) -> Array:
    return scipy.fft.irfft2(a.transpose(2, 3, 0, 1), size, workers=2)


def fft_forward(x: Array, weight: Array, stride: int) -> Array:
    size, X, W = _transforms(x, weight)
    y = _from_frequencies(X @ W.conj().swapaxes(2, 3), size)
    OH, OW = output_size(x, weight, 1)
    return y[:, :, :OH:stride, :OW:stride]


def fft_backward(x: Array, weight: Array, dy: Array, stride: int) -> tuple[Array, Array]:
    size, X, W = _transforms(x, weight)
    D = _to_frequencies(spread(dy, x, weight, stride), size)
    dx = _from_frequencies(D @ W, size)[:, :, : x.shape[2], : x.shape[3]]
    dweight = _from_frequencies(D.conj().swapaxes(2, 3) @ X, size)
    return dx, dweight[:, :, : weight.shape[2], : weight.shape[3]]


METHODS = {
    "loops": Method(loops_forward, loops_backward),
    "full convolution": Method(planes_forward, full_backward),
    "scattering": Method(planes_forward, scatter_backward),
    "Toeplitz, dense": Method(matrix_forward, matrix_backward),
    "Toeplitz, sparse": Method(sparse_forward, sparse_backward),
    "im2col, window by window": Method(im2col_forward, im2col_backward),
    "im2col, strided view": Method(strided_forward, strided_backward),
    "patches and matmul": Method(patches_forward, patches_backward),
    "FFT": Method(fft_forward, fft_backward),
}
