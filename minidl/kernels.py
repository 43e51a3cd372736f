"""Where arrays meet compiled code: layout, dtype, allocation, how work is cut; the only importer of `_ext`.

Functions here take NumPy arrays whose shapes the functional layer has checked, in any memory layout, and return new
arrays. How work is cut depends on shapes alone, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.errors import ShapeError
from minidl.geometry import Window
from minidl.memory import WORKSPACE_PER_THREAD, new_array, workspace
from minidl.runtime import single_threaded_blas, threads_for

Array = np.ndarray

_L2_BYTES = 512 * 1024
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_NOTHING = {_FLOAT32: np.empty(0, _FLOAT32), _FLOAT64: np.empty(0, _FLOAT64)}


def _by_dtype(function: Any) -> dict[np.dtype, Any]:
    """The two compilations of a kernel; Cython's own choice among them costs microseconds a call."""
    return {_FLOAT32: function["float"], _FLOAT64: function["double"]}


def contiguous(x: Array) -> Array:
    """The array itself if it is C-contiguous, else a copy that is."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def check_blas_sizes(op: str, *sizes: int) -> None:
    """Refuse a matrix product with a dimension that BLAS's 32-bit integers don't hold."""
    if max(sizes) >= 2**31:
        raise ShapeError(f"{op}: a matrix dimension of {max(sizes)} is more than BLAS counts (2^31 - 1)")


def instruction_set() -> str:
    """The build of the kernels that was chosen at import."""
    return _ext.instruction_set


def instruction_sets() -> list[str]:
    """The builds that there are and that this processor runs."""
    return list(_ext.available)


def has_openmp() -> bool:
    """Whether the kernels were built to run on several threads."""
    return _ext.has_openmp()


def x86_64_level() -> int:
    """The processor's x86-64 level, 1 to 4, or 0 on others."""
    return _ext.x86_64_level()


# Convolution


class _ConvPlan(NamedTuple):
    """How one convolution is cut; see `_ext/conv.pyx`. Sizes are in elements."""

    tile: int
    k_block: int
    columns: int
    channel_block: int
    gradient_tile: int
    gradient_columns: int
    chunks: int
    weight_k_block: int
    work: int


@lru_cache(maxsize=1024)
def _conv_plan(N: int, C: int, F: int, groups: int, window: Window, itemsize: int) -> _ConvPlan:
    taps, P = window.taps, window.positions
    K = C // groups * taps
    check_blas_sizes("conv2d", K, P, F)

    def tile_for(rows: int) -> int:
        """As many positions as let that many rows of columns stay in the L2 cache, at least 16."""
        fitting = max(_L2_BYTES // itemsize // rows, 16)
        return P if fitting >= P else fitting - fitting % 16

    k_block = min(K, WORKSPACE_PER_THREAD // 2 // itemsize // 16)
    tile = tile_for(k_block)
    # A single large image is cut further, so that a few threads find work.
    if N * groups * -(-P // tile) < 8 and P >= 1024:
        tile = min(tile, -(-P // 8 // 16) * 16)

    most_channels = max(WORKSPACE_PER_THREAD // 2 // itemsize // 16 // taps, 1)
    channel_block = min(C // groups, most_channels)
    if N * groups < 8:
        channel_block = min(channel_block, max(C // groups // 8, 1))
    gradient_tile = min(tile_for(channel_block * taps), P)
    if channel_block * taps * gradient_tile * itemsize > WORKSPACE_PER_THREAD:
        gradient_tile = max(WORKSPACE_PER_THREAD // itemsize // (channel_block * taps), 1)

    # Weight gradient: partial sums over chunks of the batch while these fit half a thread's workspace, else one
    # sum, shared out by blocks of the weight's columns.
    pairs = max(N * -(-P // tile), 1)
    partial = F * K * itemsize
    chunks = max(min(16, pairs, WORKSPACE_PER_THREAD // 2 // partial), 1)
    weight_k_block = k_block if chunks >= min(8, pairs) else min(k_block, max(-(-K // 8), 1))
    return _ConvPlan(
        tile, k_block, k_block * tile, channel_block, gradient_tile, channel_block * taps * gradient_tile,
        chunks, weight_k_block, N * F * K * P,
    )  # fmt: skip


_conv_forward = _by_dtype(_ext.conv.forward)
_conv_input_gradient = _by_dtype(_ext.conv.input_gradient)
_conv_weight_gradient = _by_dtype(_ext.conv.weight_gradient)
_unfold = _by_dtype(_ext.conv.unfold)
_fold = _by_dtype(_ext.conv.fold)


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    N, C = x.shape[:2]
    F, dtype = weight.shape[0], x.dtype
    plan = _conv_plan(N, C, F, groups, window, dtype.itemsize)
    output = new_array((N, F, *window.output_size), dtype)
    threads = threads_for(plan.work)
    with single_threaded_blas, workspace(threads, plan.columns, dtype) as columns:
        _conv_forward[dtype](
            contiguous(x), contiguous(weight).reshape(F, -1), _NOTHING[dtype] if bias is None else contiguous(bias),
            window.packed, groups, output.reshape(N, F, window.positions), columns, plan.tile, plan.k_block, threads,
        )  # fmt: skip
    return output


def conv2d_input_gradient(grad: Array, weight: Array, window: Window, groups: int) -> Array:
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    N, F = grad.shape[:2]
    C, dtype = weight.shape[1] * groups, grad.dtype
    plan = _conv_plan(N, C, F, groups, window, dtype.itemsize)
    output = new_array((N, C, *window.input_size), dtype)
    threads = threads_for(plan.work)
    with single_threaded_blas, workspace(threads, plan.gradient_columns, dtype) as columns:
        _conv_input_gradient[dtype](
            contiguous(grad).reshape(N, F, window.positions), contiguous(weight).reshape(F, -1), window.packed, groups,
            output, columns, plan.gradient_tile, plan.channel_block, threads,
        )  # fmt: skip
    return output


def conv2d_weight_gradient(x: Array, grad: Array, window: Window, groups: int) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    N, C = x.shape[:2]
    F, dtype = grad.shape[1], x.dtype
    plan = _conv_plan(N, C, F, groups, window, dtype.itemsize)
    K = C // groups * window.taps
    output = new_array((F, C // groups, *window.kernel_size), dtype)
    threads = threads_for(plan.work)
    with (
        single_threaded_blas,
        workspace(threads, plan.weight_k_block * plan.tile, dtype) as columns,
        workspace(1, plan.chunks * F * K if plan.chunks > 1 else 0, dtype) as scratch,
    ):
        # A single sum goes straight to the result.
        partial = scratch[0, : plan.chunks * F * K] if plan.chunks > 1 else output
        partial = partial.reshape(plan.chunks, F, K)
        _conv_weight_gradient[dtype](
            contiguous(x), contiguous(grad).reshape(N, F, window.positions), window.packed, groups, partial, columns,
            plan.tile, plan.weight_k_block, threads,
        )  # fmt: skip
        if plan.chunks > 1:
            output[...] = partial[0].reshape(output.shape)
    return output


def unfold(x: Array, window: Window) -> Array:
    """(N, C, H, W) to columns (N, C KH KW, OH OW)."""
    N, C = x.shape[:2]
    columns = new_array((N, C * window.taps, window.positions), x.dtype)
    if columns.size:
        _unfold[x.dtype](contiguous(x), window.packed, columns.reshape(N, -1), threads_for(columns.size))
    return columns


def fold(columns: Array, channels: int, window: Window) -> Array:
    """Columns (N, C KH KW, OH OW) to (N, C, H, W): the transpose of unfold, so overlaps are summed."""
    N = columns.shape[0]
    output = new_array((N, channels, *window.input_size), columns.dtype)
    output.fill(0)
    if columns.size:
        _fold[columns.dtype](contiguous(columns).reshape(N, -1), window.packed, output, threads_for(columns.size))
    return output


# Pooling: images are planes (Q, H, W), Q = N C


_max_forward = _by_dtype(_ext.pool.max_forward)
_scatter = _by_dtype(_ext.pool.scatter)
_gather = _by_dtype(_ext.pool.gather)
_mean_forward = _by_dtype(_ext.pool.mean_forward)
_mean_gradient = _by_dtype(_ext.pool.mean_gradient)


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """The maxima (N, C, OH, OW) and their flat positions in each plane, as int32."""
    height, width = window.input_size
    if height * width >= 2**31:
        raise ShapeError(f"max_pool2d: a plane of {height} x {width} has more positions than an int32 index counts")
    output = new_array((*x.shape[:2], *window.output_size), x.dtype)
    argmax = new_array(output.shape, np.dtype(np.int32))
    if output.size:
        planes = (-1, *window.output_size)
        _max_forward[x.dtype](
            contiguous(x).reshape(-1, height, width), window.packed, output.reshape(planes), argmax.reshape(planes),
            threads_for(output.size * window.taps),
        )  # fmt: skip
    return output, argmax


def scatter_positions(grad: Array, positions: Array, size: tuple[int, int]) -> Array:
    """Add each value of (N, C, OH, OW) to zeros (N, C, H, W) at its flat position."""
    N, C = grad.shape[:2]
    output = new_array((N, C, *size), grad.dtype)
    if output.size:
        _scatter[grad.dtype](
            contiguous(grad).reshape(N * C, -1), positions.reshape(N * C, -1), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def gather_positions(x: Array, positions: Array) -> Array:
    """Read (N, C, H, W) at each flat position of (N, C, OH, OW): the transpose of `scatter_positions`."""
    N, C = x.shape[:2]
    output = new_array(positions.shape, x.dtype)
    if output.size:
        _gather[x.dtype](
            contiguous(x).reshape(N * C, -1), positions.reshape(N * C, -1), output.reshape(N * C, -1),
            threads_for(output.size),
        )  # fmt: skip
    return output


def avg_pool2d(x: Array, window: Window, scale: Array) -> Array:
    """The sum over each window times scale (OH, OW)."""
    output = new_array((*x.shape[:2], *window.output_size), x.dtype)
    if output.size:
        _mean_forward[x.dtype](
            contiguous(x).reshape(-1, *window.input_size), window.packed, scale.astype(x.dtype, copy=False),
            output.reshape(-1, *window.output_size), threads_for(output.size * window.taps),
        )  # fmt: skip
    return output


def avg_pool2d_gradient(grad: Array, window: Window, scale: Array) -> Array:
    """The transpose of `avg_pool2d`."""
    output = new_array((*grad.shape[:2], *window.input_size), grad.dtype)
    if output.size:
        _mean_gradient[grad.dtype](
            contiguous(grad).reshape(-1, *window.output_size), window.packed, scale.astype(grad.dtype, copy=False),
            output.reshape(-1, *window.input_size), threads_for(grad.size * window.taps),
        )  # fmt: skip
    return output


# Matrix products


_matmul = _by_dtype(_ext.matmul.matmul)
_BLOCK = 2**20


def _operand(x: Array) -> tuple[Array, bool]:
    """A matrix batch as BLAS reads it: (B, rows, columns) in memory, and whether that is the transpose."""
    if x.ndim == 2:
        x = x[None]
    if x.flags.c_contiguous:
        return x, False
    transposed = x.swapaxes(1, 2)
    if transposed.flags.c_contiguous:
        return transposed, True
    return x.copy(order="C"), False


def matmul(a: Array, b: Array, bias: Array | None = None) -> Array:
    """(M, K) by (K, N), or a batch of both, plus a bias (N,) on every row."""
    left, transpose_a = _operand(a)
    right, transpose_b = _operand(b)
    M, N, K, dtype = a.shape[-2], b.shape[-1], a.shape[-1], a.dtype
    output = new_array((*a.shape[:-1], N), dtype)
    if output.size == 0:
        return output
    check_blas_sizes("matmul", K, N, left.shape[2], right.shape[2])
    work = output.size * K
    # Blocks of at least about 1 M multiply-adds, and at most 16 of them, cut along the longer side.
    pieces = min(16, max(work // left.shape[0] // _BLOCK, 1))
    block_m = -(-M // pieces) if M >= N else M
    block_n = -(-N // pieces) if M < N else N
    block_m, block_n = min(block_m, 2**30), min(max(block_n, min(N, 16)), 2**30)
    with single_threaded_blas:
        _matmul[dtype](
            left, transpose_a, right, transpose_b, _NOTHING[dtype] if bias is None else contiguous(bias),
            output if output.ndim == 3 else output[None], block_m, block_n, threads_for(work),
        )  # fmt: skip
    return output


# Element-wise work and sums


_relu = _by_dtype(_ext.elementwise.relu)
_relu_gradient = _by_dtype(_ext.elementwise.relu_gradient)
_channel_sum = _by_dtype(_ext.elementwise.channel_sum)


def relu(x: Array) -> Array:
    """max(x, 0)."""
    x = contiguous(x)
    y = new_array(x.shape, x.dtype)
    _relu[x.dtype](x.reshape(-1), y.reshape(-1), threads_for(x.size // 4))
    return y


def relu_gradient(grad: Array, y: Array) -> Array:
    """grad where relu's result y is positive, else 0."""
    grad_x = new_array(y.shape, y.dtype)
    _relu_gradient[y.dtype](
        contiguous(grad).reshape(-1), contiguous(y).reshape(-1), grad_x.reshape(-1), threads_for(y.size // 4)
    )
    return grad_x


def channel_sum(x: Array) -> Array:
    """The sum of (N, C, ...) over all axes but the second."""
    total = np.empty(x.shape[1], x.dtype)
    _channel_sum[x.dtype](contiguous(x).reshape(*x.shape[:2], -1 if x.size else 0), total, threads_for(x.size // 4))
    return total


# Softmax and cross-entropy: rows (R, C)


_log_softmax = _by_dtype(_ext.loss.log_softmax)
_cross_entropy = _by_dtype(_ext.loss.cross_entropy)
_cross_entropy_gradient = _by_dtype(_ext.loss.cross_entropy_gradient)


def log_softmax(x: Array) -> Array:
    """x - log(sum(exp(x))) along the last axis."""
    y = new_array(x.shape, x.dtype)
    if x.size:
        rows = (-1, x.shape[-1])
        _log_softmax[x.dtype](contiguous(x).reshape(rows), y.reshape(rows), threads_for(x.size * 8))
    return y


def cross_entropy(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """The losses (R,) of logits (R, C) for class numbers (R,), and the log-probabilities (R, C)."""
    log_probability, loss = new_array(x.shape, x.dtype), np.empty(x.shape[0], x.dtype)
    if x.size:
        _cross_entropy[x.dtype](contiguous(x), target, ignore_index, log_probability, loss, threads_for(x.size * 8))
    return loss, log_probability


def cross_entropy_gradient(log_probability: Array, target: Array, ignore_index: int, scale: Array) -> Array:
    """(softmax - onehot) * scale, row by row."""
    grad = new_array(log_probability.shape, log_probability.dtype)
    if grad.size:
        _cross_entropy_gradient[grad.dtype](
            log_probability, target, ignore_index, contiguous(scale), grad, threads_for(grad.size * 8)
        )
    return grad


# Optimiser steps: lists of arrays, one call for all


def sgd_step(
    grads: list[Array], parameters: list[Array], velocities: list[Array], first: Array, **options: Any
) -> None:
    """Update the parameters and velocities in place."""
    _ext.optim.sgd(
        grads, parameters, velocities, first, threads=threads_for(sum(p.size for p in parameters)), **options
    )


def adam_step(
    grads: list[Array], parameters: list[Array], means: list[Array], squares: list[Array], highest: list[Array],
    corrections1: Array, corrections2: Array, **options: Any,
) -> None:  # fmt: skip
    """Update the parameters and moments in place."""
    _ext.optim.adam(
        grads, parameters, means, squares, highest, corrections1, corrections2,
        threads=threads_for(sum(p.size for p in parameters)), **options,
    )  # fmt: skip
