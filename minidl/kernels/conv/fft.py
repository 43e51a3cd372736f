"""Convolution of large kernels by Fourier transforms, which is SciPy's.

A product of transforms is a convolution that wraps around; sizes are chosen so that nothing that is used has wrapped.
Samples go in groups, so that their transforms take a bounded amount of memory; sums over channels, filters and samples
run in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import inf, log2

import numpy as np

from minidl.geometry import Pair, Window
from minidl.kernels._common import Array
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes
from minidl.kernels.conv.problem import ConvProblem
from minidl.memory import new_array
from minidl.runtime import get_num_threads

__all__ = ["FFT", "fft_conv2d", "fft_input_gradient", "fft_weight_gradient"]

# Bytes of the transforms of a group of samples.
_GROUP_BYTES = 64 * 1024**2
# Kernels of fewer taps are never worth a Fourier transform.
_LARGE_KERNEL = 81


def fft_size(window: Window) -> Pair:
    """The height and width of the transforms: what nothing wraps around in, made a product of small primes."""
    from scipy.fft import next_fast_len

    top, bottom, left, right = window.padding
    (H, W), (KH, KW), (OH, OW) = window.input_size, window.kernel_size, window.output_size
    rows, columns = max(H + top + bottom, OH + KH - 1), max(W + left + right, OW + KW - 1)
    return next_fast_len(rows, True), next_fast_len(columns, True)


def _transform(x: Array, size: Pair) -> Array:
    from scipy.fft import rfft2

    return np.asarray(rfft2(x, size, workers=get_num_threads()))


def _restore(transformed: Array, size: Pair) -> Array:
    from scipy.fft import irfft2

    return np.asarray(irfft2(transformed, size, workers=get_num_threads(), overwrite_x=True))


def _padded(x: Array, window: Window) -> Array:
    top, bottom, left, right = window.padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


def _groups(N: int, channels: int, size: Pair, itemsize: int) -> Iterator[slice]:
    """Runs of samples."""
    each = max(_GROUP_BYTES // (channels * size[0] * size[1] * itemsize), 1)
    return (slice(n, n + each) for n in range(0, N, each))


def _products(factors: Iterator[tuple[Array, Array]], shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """The sum of the products."""
    total, product = np.zeros(shape, dtype), np.empty(shape, dtype)
    # Infinities and NaN are results like any other here.
    with np.errstate(all="ignore"):
        for a, b in factors:
            np.multiply(a, b, out=product)
            total += product
    return total


def fft_conv2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """(N, C, H, W) and (F, C, KH, KW) to (N, F, OH, OW)."""
    (N, C), F, size = x.shape[:2], len(weight), fft_size(window)
    OH, OW = window.output_size
    output = new_array((N, F, OH, OW), x.dtype)
    kernels = np.conj(_transform(weight, size))
    for part in _groups(N, C + 2 * F, size, x.itemsize):
        images = _transform(_padded(x[part], window), size)
        shape = (len(images), *kernels.shape[:1], *kernels.shape[2:])
        y = _products(((images[:, c, None], kernels[None, :, c]) for c in range(C)), shape, kernels.dtype)
        output[part] = _restore(y, size)[:, :, :OH, :OW]
    if bias is not None:
        with np.errstate(all="ignore"):
            output += bias[:, None, None]
    return output


def fft_input_gradient(grad: Array, weight: Array, window: Window) -> Array:
    """(N, F, OH, OW) and (F, C, KH, KW) to (N, C, H, W)."""
    (N, F), C, size = grad.shape[:2], weight.shape[1], fft_size(window)
    (H, W), (top, _, left, _) = window.input_size, window.padding
    output = new_array((N, C, H, W), grad.dtype)
    kernels = _transform(weight, size)
    for part in _groups(N, F + 2 * C, size, grad.itemsize):
        grads = _transform(grad[part], size)
        shape = (len(grads), *kernels.shape[1:])
        dx = _products(((grads[:, f, None], kernels[None, f]) for f in range(F)), shape, kernels.dtype)
        whole = _restore(dx, size)
        # Rows of padding beyond what any window sees are not there.
        output[part] = whole[:, :, top : top + H, left : left + W]
    return output


def fft_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, KW)."""
    (N, C), F, size = x.shape[:2], grad.shape[1], fft_size(window)
    KH, KW = window.kernel_size
    total: Array | None = None
    for part in _groups(N, C + F, size, x.itemsize):
        images, grads = _transform(_padded(x[part], window), size), np.conj(_transform(grad[part], size))
        shape = (F, C, *images.shape[2:])
        found = _products(
            ((grads[n, :, None], images[n, None]) for n in range(len(images))), shape, images.dtype
        )  # fmt: skip
        if total is None:
            total = found
        else:
            total += found
    if total is None:
        return np.zeros((F, C, KH, KW), x.dtype)
    return _restore(total, size)[:, :, :KH, :KW].copy()


def _why_unsupported(problem: ConvProblem) -> str | None:
    window, groups = problem.window, problem.groups
    if window.stride == window.dilation == (1, 1) and groups == 1:
        return None
    return f"it takes stride 1, dilation 1 and 1 group, got {window.stride}, {window.dilation} and {groups}"


def _cost(problem: ConvProblem) -> float:
    """An estimate of time, in vector multiply-adds."""
    if problem.window.taps < _LARGE_KERNEL:
        return inf
    N, C, F, (rows, columns) = problem.N, problem.C, problem.F, fft_size(problem.window)
    area = rows * columns
    transforms = (N * C + F * C + N * F) * area * log2(area)
    return (transforms + 6.0 * N * F * C * area) * 16 / lanes(problem.itemsize)


_FUNCTIONS: dict[str, Plan] = {"forward": fft_conv2d, "input": fft_input_gradient, "weight": fft_weight_gradient}


def _plan(problem: ConvProblem) -> Plan:
    return partial(_FUNCTIONS[problem.direction], window=problem.window)


FFT = Algorithm("fft", "fft", _why_unsupported, _cost, _plan)
