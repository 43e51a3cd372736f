"""Convolution as loops over windows, as a product with im2col's columns, and with columns from strided views.

`toeplitz.py` has it once more, as one sparse matrix.
"""

from __future__ import annotations

import numpy as np

from minidl.geometry import Padding, Pair, Window
from minidl.reference._windows import cropped, group, padded, views

__all__ = [
    "conv2d",
    "conv2d_im2col",
    "conv2d_im2col_gradients",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "conv_transpose2d",
    "fold",
    "unfold",
    "unfold_strided",
]

Array = np.ndarray


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """y[n, f, oh, ow] = bias[f] + the sum over c, kh, kw of weight[f, c, kh, kw] times what the window sees."""
    image, filters = padded(x, window), weight.astype(np.float64)
    y = np.zeros((x.shape[0], weight.shape[0], *window.output_size))
    for oh, ow, view in views(window):
        seen = image[view]
        for g in range(groups):
            part = np.einsum("nckl,fckl->nf", group(seen, 1, g, groups), group(filters, 0, g, groups))
            group(y, 1, g, groups)[:, :, oh, ow] = part
    if bias is not None:
        y += bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


def conv2d_input_gradient(grad: Array, weight: Array, window: Window, groups: int) -> Array:
    """Each output's gradient, spread over what its window saw, weighted as the window weighted it."""
    channels, filters = weight.shape[1] * groups, weight.astype(np.float64)
    blank = np.zeros((grad.shape[0], channels, *window.input_size))
    image = padded(blank, window)
    for oh, ow, view in views(window):
        for g in range(groups):
            here = group(grad.astype(np.float64), 1, g, groups)[:, :, oh, ow]
            # Windows overlap, so their shares are summed.
            group(image[view], 1, g, groups)[...] += np.einsum("nf,fckl->nckl", here, group(filters, 0, g, groups))
    return cropped(image, window).astype(grad.dtype)


def conv2d_weight_gradient(x: Array, grad: Array, window: Window, groups: int) -> Array:
    """The sum over samples and positions of the output's gradient times what the window saw there."""
    image = padded(x, window)
    dw = np.zeros((grad.shape[1], x.shape[1] // groups, *window.kernel_size))
    for oh, ow, view in views(window):
        for g in range(groups):
            here = group(grad.astype(np.float64), 1, g, groups)[:, :, oh, ow]
            group(dw, 0, g, groups)[...] += np.einsum("nf,nckl->fckl", here, group(image[view], 1, g, groups))
    return dw.astype(x.dtype)


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Padding, output_padding: Pair, groups: int,
    dilation: Pair,
) -> Array:  # fmt: skip
    """Each pixel is spread over a window of its own, weighted; what padding says is cut off in the end."""
    images, filters = x.astype(np.float64), weight.astype(np.float64)
    size = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(x.shape[2:], stride, dilation, weight.shape[2:], output_padding, strict=True)
    ]
    y = np.zeros((x.shape[0], weight.shape[1] * groups, *size))
    for i, j in np.ndindex(x.shape[2:]):
        for k, m in np.ndindex(weight.shape[2:]):
            for g in range(groups):
                share = group(images, 1, g, groups)[:, :, i, j] @ group(filters, 0, g, groups)[:, :, k, m]
                group(y, 1, g, groups)[:, :, i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]] += share
    y = y[:, :, padding.top : size[0] - padding.bottom, padding.left : size[1] - padding.right]
    if bias is not None:
        y = y + bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


# im2col and col2im, and convolution as a matrix product with the columns


def unfold(x: Array, window: Window) -> Array:
    """columns[n, (c, kh, kw), (oh, ow)] = what tap (kh, kw) of the window at (oh, ow) sees of channel c (im2col)."""
    image = padded(x, window)
    columns = np.zeros((x.shape[0], x.shape[1] * window.taps, window.positions))
    for position, (_, _, view) in enumerate(views(window)):
        columns[:, :, position] = image[view].reshape(columns.shape[:2])
    return columns.astype(x.dtype)


def unfold_strided(x: Array, window: Window) -> Array:
    """`unfold` without a loop: the windows are a view of the padded images, copied once to lie in columns."""
    (spread_h, spread_w), (stride_h, stride_w) = window.dilation, window.stride
    reach = tuple(d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel_size, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(padded(x, window), reach, axis=(2, 3))
    seen = seen[:, :, ::stride_h, ::stride_w, ::spread_h, ::spread_w]
    seen = seen[:, :, : window.output_size[0], : window.output_size[1]]
    columns = seen.transpose(0, 1, 4, 5, 2, 3).reshape(x.shape[0], x.shape[1] * window.taps, window.positions)
    return columns.astype(x.dtype)


def fold(columns: Array, channels: int, window: Window) -> Array:
    """The transpose of `unfold`: every entry is added to the pixel that it would have been read from (col2im)."""
    N = columns.shape[0]
    image = padded(np.zeros((N, channels, *window.input_size)), window)
    for position, (_, _, view) in enumerate(views(window)):
        image[view] += columns[:, :, position].astype(np.float64).reshape(N, channels, *window.kernel_size)
    return cropped(image, window).astype(columns.dtype)


def conv2d_im2col(x: Array, weight: Array, bias: Array | None, window: Window, groups: int, columns_of=unfold) -> Array:
    """W columns(x) + b, with `unfold` or `unfold_strided` for the columns."""
    columns, W = columns_of(x.astype(np.float64), window), weight.astype(np.float64).reshape(weight.shape[0], -1)
    y = np.concatenate([group(W, 0, g, groups) @ group(columns, 1, g, groups) for g in range(groups)], axis=1)
    if bias is not None:
        y += bias.astype(np.float64)[:, None]
    return y.reshape(x.shape[0], weight.shape[0], *window.output_size).astype(x.dtype)


def conv2d_im2col_gradients(
    x: Array, weight: Array, grad: Array, window: Window, groups: int, columns_of=unfold
) -> tuple[Array, Array]:
    """dx = fold(W^T dy) and dW = the sum over samples of dy columns(x)^T."""
    columns, W = columns_of(x.astype(np.float64), window), weight.astype(np.float64).reshape(weight.shape[0], -1)
    dy = grad.astype(np.float64).reshape(*grad.shape[:2], window.positions)
    pieces, dw = [], []
    for g in range(groups):
        mine = group(dy, 1, g, groups)
        pieces.append(group(W, 0, g, groups).T @ mine)
        dw.append((mine @ group(columns, 1, g, groups).swapaxes(1, 2)).sum(axis=0))
    dx = fold(np.concatenate(pieces, axis=1), x.shape[1], window)
    return dx.astype(x.dtype), np.concatenate(dw).reshape(weight.shape).astype(x.dtype)
