"""Convolution as one sparse matrix: every image, written as a vector, times the same doubly block Toeplitz matrix.

A row of the matrix is an output and a column is a pixel. What stands there is the weight that the pixel counts with in
that output, so each weight stands in the matrix once for each place where its tap falls on the image. Along one axis,
tap k sees pixel ``o stride + k dilation - before`` from position o: a matrix of ones on a (stepped) diagonal. Two axes
are the Kronecker product of two such matrices, and channels are blocks:

    A = sum over taps (k, l) of  weight[:, :, k, l]  (x)  rows_k  (x)  columns_l

Then ``y = A x``, the input gradient is ``A^T dy``, and a weight's gradient is the sum of ``dA = sum over samples of
dy x^T`` over the entries that the weight stands in.
"""

from __future__ import annotations

from math import prod

import numpy as np
from scipy import sparse

from minidl.geometry import Window
from minidl.reference._windows import group

__all__ = [
    "conv2d_toeplitz",
    "conv2d_toeplitz_gradients",
    "toeplitz",
]

Array = np.ndarray


def _diagonal(tap: int, size: int, stride: int, leading: int, dilation: int, positions: int) -> sparse.csr_array:
    """(positions, size): 1 where a tap sees a pixel from a position, along one axis."""
    position = np.arange(positions)
    pixel = position * stride + tap * dilation - leading
    inside = (pixel >= 0) & (pixel < size)
    entries = np.ones(inside.sum()), (position[inside], pixel[inside])
    return sparse.csr_array(entries, shape=(positions, size))


def _vectors(images: Array) -> Array:
    """(N, C, H, W) as (N, C H W), in float64."""
    return images.astype(np.float64).reshape(images.shape[0], prod(images.shape[1:]))


def toeplitz(weight: Array, window: Window, groups: int) -> sparse.csr_array:
    """The matrix (F OH OW, C H W) that convolves with `weight` (F, C / groups, KH, KW)."""
    filters = weight.astype(np.float64)
    leading = window.padding.top, window.padding.left
    axes = list(zip(window.input_size, window.stride, leading, window.dilation, window.output_size, strict=True))
    channels = weight.shape[1] * groups
    matrix = sparse.csr_array((weight.shape[0] * window.positions, channels * prod(window.input_size)))
    for tap in np.ndindex(window.kernel_size):
        rows, columns = (_diagonal(k, *axis) for k, axis in zip(tap, axes, strict=True))
        # A group's filters see its own channels only, hence a block for each on the diagonal.
        blocks = sparse.block_diag([group(filters, 0, g, groups)[:, :, *tap] for g in range(groups)])
        matrix = matrix + sparse.kron(blocks, sparse.kron(rows, columns), format="csr")
    return matrix


def conv2d_toeplitz(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """A x + b."""
    images = _vectors(x)
    y = (toeplitz(weight, window, groups) @ images.T).T.reshape(x.shape[0], weight.shape[0], *window.output_size)
    if bias is not None:
        y = y + bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


def conv2d_toeplitz_gradients(x: Array, weight: Array, grad: Array, window: Window, groups: int) -> tuple[Array, Array]:
    """dx = A^T dy, and for each weight the sum of dA over the entries that it stands in."""
    images, dy = _vectors(x), _vectors(grad)
    dx = (toeplitz(weight, window, groups).T @ dy.T).T.reshape(x.shape)
    # The matrix of a weight that holds its own numbers, from 1, tells which of them stands where.
    numbers = toeplitz(np.arange(1, weight.size + 1).reshape(weight.shape), window, groups).tocoo()
    entries = np.einsum("ni,ni->i", dy[:, numbers.row], images[:, numbers.col])
    which = np.rint(numbers.data).astype(int) - 1
    dw = np.bincount(which, weights=entries, minlength=weight.size).reshape(weight.shape)
    return dx.astype(x.dtype), dw.astype(x.dtype)
