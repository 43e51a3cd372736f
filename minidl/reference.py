"""Every kernel again, slow and obvious, in NumPy: what a learner reads first and what the kernels are tested against.

The functions take and return what their namesakes in `minidl.kernels` do. They compute in float64 whatever the dtype
of their inputs, and give the result in it. Convolution stands here three times: as loops over windows, as a matrix
product with the columns of im2col, and with those columns as a strided view.

A window's tap (kh, kw) at output position (oh, ow) sees the padded image at
``(oh stride + kh dilation, ow stride + kw dilation)``; everything about windows below follows from this line.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl.geometry import Window

Array = np.ndarray


def _padded(x: Array, window: Window, value: float = 0.0) -> Array:
    """The images (N, C, H, W) in float64, with their padding around them."""
    top, bottom, left, right = window.padding
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _cropped(padded: Array, window: Window) -> Array:
    """The images without their padding."""
    height, width = window.input_size
    top, left = window.padding.top, window.padding.left
    return padded[:, :, top : top + height, left : left + width]


def _views(window: Window) -> Iterator[tuple[int, int, tuple]]:
    """Each output position, and the index of what the window sees of the padded images from there."""
    (kernel_h, kernel_w), (stride_h, stride_w), (spread_h, spread_w) = (
        window.kernel_size, window.stride, window.dilation,
    )  # fmt: skip
    for oh in range(window.output_size[0]):
        for ow in range(window.output_size[1]):
            top, left = oh * stride_h, ow * stride_w
            rows = slice(top, top + spread_h * (kernel_h - 1) + 1, spread_h)
            columns = slice(left, left + spread_w * (kernel_w - 1) + 1, spread_w)
            yield oh, ow, (slice(None), slice(None), rows, columns)


def _group(array: Array, axis: int, group: int, groups: int) -> Array:
    """One group's share of an axis of channels, as a view."""
    size = array.shape[axis] // groups
    return array[(slice(None),) * axis + (slice(group * size, (group + 1) * size),)]


# Convolution as loops over windows


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """y[n, f, oh, ow] = bias[f] + the sum over c, kh, kw of weight[f, c, kh, kw] times what the window sees."""
    image, filters = _padded(x, window), weight.astype(np.float64)
    y = np.zeros((x.shape[0], weight.shape[0], *window.output_size))
    for oh, ow, view in _views(window):
        seen = image[view]
        for g in range(groups):
            part = np.einsum("nckl,fckl->nf", _group(seen, 1, g, groups), _group(filters, 0, g, groups))
            _group(y, 1, g, groups)[:, :, oh, ow] = part
    if bias is not None:
        y += bias.astype(np.float64)[:, None, None]
    return y.astype(x.dtype)


def conv2d_input_gradient(grad: Array, weight: Array, window: Window, groups: int) -> Array:
    """Each output's gradient, spread over what its window saw, weighted as the window weighted it."""
    channels, filters = weight.shape[1] * groups, weight.astype(np.float64)
    blank = np.zeros((grad.shape[0], channels, *window.input_size))
    image = _padded(blank, window)
    for oh, ow, view in _views(window):
        for g in range(groups):
            here = _group(grad.astype(np.float64), 1, g, groups)[:, :, oh, ow]
            # Windows overlap, so their shares are summed.
            _group(image[view], 1, g, groups)[...] += np.einsum("nf,fckl->nckl", here, _group(filters, 0, g, groups))
    return _cropped(image, window).astype(grad.dtype)


def conv2d_weight_gradient(x: Array, grad: Array, window: Window, groups: int) -> Array:
    """The sum over samples and positions of the output's gradient times what the window saw there."""
    image = _padded(x, window)
    dw = np.zeros((grad.shape[1], x.shape[1] // groups, *window.kernel_size))
    for oh, ow, view in _views(window):
        for g in range(groups):
            here = _group(grad.astype(np.float64), 1, g, groups)[:, :, oh, ow]
            _group(dw, 0, g, groups)[...] += np.einsum("nf,nckl->fckl", here, _group(image[view], 1, g, groups))
    return dw.astype(x.dtype)


# im2col and col2im, and convolution as a matrix product with the columns


def unfold(x: Array, window: Window) -> Array:
    """columns[n, (c, kh, kw), (oh, ow)] = what tap (kh, kw) of the window at (oh, ow) sees of channel c (im2col)."""
    image = _padded(x, window)
    columns = np.zeros((x.shape[0], x.shape[1] * window.taps, window.positions))
    for position, (_, _, view) in enumerate(_views(window)):
        columns[:, :, position] = image[view].reshape(columns.shape[:2])
    return columns.astype(x.dtype)


def unfold_strided(x: Array, window: Window) -> Array:
    """`unfold` without a loop: the windows are a view of the padded images, copied once to lie in columns."""
    (spread_h, spread_w), (stride_h, stride_w) = window.dilation, window.stride
    reach = tuple(d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel_size, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(_padded(x, window), reach, axis=(2, 3))
    views = views[:, :, ::stride_h, ::stride_w, ::spread_h, ::spread_w]
    columns = views.transpose(0, 1, 4, 5, 2, 3).reshape(x.shape[0], x.shape[1] * window.taps, window.positions)
    return columns.astype(x.dtype)


def fold(columns: Array, channels: int, window: Window) -> Array:
    """The transpose of `unfold`: every entry is added to the pixel that it would have been read from (col2im)."""
    N = columns.shape[0]
    image = _padded(np.zeros((N, channels, *window.input_size)), window)
    for position, (_, _, view) in enumerate(_views(window)):
        image[view] += columns[:, :, position].astype(np.float64).reshape(N, channels, *window.kernel_size)
    return _cropped(image, window).astype(columns.dtype)


def conv2d_im2col(x: Array, weight: Array, bias: Array | None, window: Window, groups: int, columns_of=unfold) -> Array:
    """W columns(x) + b, with `unfold` or `unfold_strided` for the columns."""
    columns, W = columns_of(x.astype(np.float64), window), weight.astype(np.float64).reshape(weight.shape[0], -1)
    y = np.concatenate([_group(W, 0, g, groups) @ _group(columns, 1, g, groups) for g in range(groups)], axis=1)
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
        mine = _group(dy, 1, g, groups)
        pieces.append(_group(W, 0, g, groups).T @ mine)
        dw.append((mine @ _group(columns, 1, g, groups).swapaxes(1, 2)).sum(axis=0))
    dx = fold(np.concatenate(pieces, axis=1), x.shape[1], window)
    return dx.astype(x.dtype), np.concatenate(dw).reshape(weight.shape).astype(x.dtype)


# Pooling


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum that each window sees, and its flat position in the image: the first of equals, the last NaN."""
    N, C, height, width = x.shape
    y = np.empty((N, C, *window.output_size), x.dtype)
    positions = np.empty(y.shape, np.int32)
    for n, c, oh, ow in np.ndindex(y.shape):
        best, where = -np.inf, -1
        for kh, kw in np.ndindex(window.kernel_size):
            h = oh * window.stride[0] + kh * window.dilation[0] - window.padding.top
            w = ow * window.stride[1] + kw * window.dilation[1] - window.padding.left
            if 0 <= h < height and 0 <= w < width:
                value = x[n, c, h, w]
                if value > best or np.isnan(value) or where < 0:
                    best, where = value, h * width + w
        y[n, c, oh, ow], positions[n, c, oh, ow] = best, where
    return y, positions


def scatter_positions(grad: Array, positions: Array, size: tuple[int, int]) -> Array:
    """Zeros (N, C, H, W) with each value of (N, C, OH, OW) added at its flat position."""
    N, C = grad.shape[:2]
    out = np.zeros((N, C, size[0] * size[1]))
    for n, c, oh, ow in np.ndindex(grad.shape):
        out[n, c, positions[n, c, oh, ow]] += grad[n, c, oh, ow]
    return out.reshape(N, C, *size).astype(grad.dtype)


def gather_positions(x: Array, positions: Array) -> Array:
    """The values of (N, C, H, W) at the flat positions of (N, C, OH, OW)."""
    out = np.empty(positions.shape, x.dtype)
    for n, c, oh, ow in np.ndindex(positions.shape):
        out[n, c, oh, ow] = x[n, c].reshape(-1)[positions[n, c, oh, ow]]
    return out


def avg_pool2d(x: Array, window: Window, scale: Array) -> Array:
    """The sum of what each window sees, times scale (OH, OW)."""
    image = _padded(x, window)
    y = np.empty((*x.shape[:2], *window.output_size))
    for oh, ow, view in _views(window):
        y[:, :, oh, ow] = image[view].sum(axis=(2, 3)) * scale[oh, ow]
    return y.astype(x.dtype)


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """Each output's gradient times its scale, added to all that its window saw."""
    image = _padded(np.zeros((*grad.shape[:2], *window.input_size)), window)
    for oh, ow, view in _views(window):
        image[view] += (grad[:, :, oh, ow].astype(np.float64) * scale[oh, ow])[:, :, None, None]
    return _cropped(image, window).astype(grad.dtype)


# Matrix products


def matmul(a: Array, b: Array, bias: Array | None = None) -> Array:
    """c[..., m, n] = bias[n] + the sum over k of a[..., m, k] b[..., k, n]."""
    c = np.einsum("...mk,...kn->...mn", a.astype(np.float64), b.astype(np.float64))
    return (c if bias is None else c + bias.astype(np.float64)).astype(a.dtype)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x weight^T + bias."""
    return matmul(x, weight.T, bias)


# Element-wise work and sums


def relu(x: Array) -> Array:
    """max(x, 0), NaN for NaN."""
    return np.where(x <= 0, x.dtype.type(0), x)


def relu_gradient(grad: Array, y: Array) -> Array:
    """grad where relu's result y is not 0, else 0."""
    return np.where(y <= 0, y.dtype.type(0), grad)


def channel_sum(x: Array) -> Array:
    """The sum of (N, C, ...) over all axes but the second."""
    return x.astype(np.float64).sum(axis=(0, *range(2, x.ndim))).astype(x.dtype)


# Softmax and cross-entropy


def log_softmax(x: Array) -> Array:
    """x - log(sum(exp(x))) along the last axis; the largest value is taken off first, so that nothing overflows."""
    if x.size == 0:
        return x.copy()
    shifted = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(x.dtype)


def softmax(x: Array) -> Array:
    """exp(x) / sum(exp(x)) along the last axis."""
    return np.exp(log_softmax(x.astype(np.float64))).astype(x.dtype)


def cross_entropy(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """The losses -log(softmax(x))[target], 0 for ignored rows, and log(softmax(x))."""
    log_probability = log_softmax(x)
    loss = np.zeros(x.shape[0], x.dtype)
    for row, label in enumerate(target):
        if label != ignore_index:
            loss[row] = -log_probability[row, label]
    return loss, log_probability


def cross_entropy_gradient(log_probability: Array, target: Array, ignore_index: int, scale: Array) -> Array:
    """(softmax - onehot) * scale, row by row, 0 for ignored rows."""
    grad = np.zeros(log_probability.shape)
    for row, label in enumerate(target):
        if label != ignore_index:
            grad[row] = np.exp(log_probability[row].astype(np.float64))
            grad[row, label] -= 1
            grad[row] *= scale[row]
    return grad.astype(log_probability.dtype)


# Optimiser steps: the arrays in the lists are updated in place


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Array, *, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool,
) -> None:  # fmt: skip
    """velocity = momentum velocity + (1 - dampening) g, g itself the first time; parameter -= lr velocity."""
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p = parameter.astype(np.float64)
        g = (-grad if maximize else grad).astype(np.float64) + weight_decay * p
        if momentum != 0:
            velocity = g if first[i] else momentum * velocities[i].astype(np.float64) + (1 - dampening) * g
            velocities[i][...] = velocity
            g = g + momentum * velocity if nesterov else velocity
        parameter[...] = p - lr * g


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Array, corrections2: Array, *, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    """parameter -= lr mean' / (root' + eps), where mean' = mean / corrections1, root' = sqrt(square) / corrections2.

    corrections1 = 1 - beta1^step and corrections2 = sqrt(1 - beta2^step), an entry a parameter.
    """
    for i, (grad, parameter) in enumerate(zip(grads, parameters, strict=True)):
        p = parameter.astype(np.float64)
        g = (-grad if maximize else grad).astype(np.float64)
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        mean = beta1 * means[i].astype(np.float64) + (1 - beta1) * g
        square = beta2 * squares[i].astype(np.float64) + (1 - beta2) * g**2
        means[i][...], squares[i][...] = mean, square
        if amsgrad:
            square = np.maximum(highest[i].astype(np.float64), square)
            highest[i][...] = square
        parameter[...] = p - lr * (mean / corrections1[i]) / (np.sqrt(square) / corrections2[i] + eps)
