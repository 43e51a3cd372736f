"""Convolution by im2col and BLAS, unfold and fold: how they are cut into tiles."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import NOTHING, Array, ByDtype, check_blas_sizes, shaped
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes
from minidl.kernels.conv.problem import ConvProblem
from minidl.memory import WORKSPACE_PER_THREAD, new_array, workspace
from minidl.runtime import single_threaded_blas, threads_for

__all__ = ["IM2COL", "fold", "im2col_conv2d", "im2col_input_gradient", "im2col_weight_gradient", "unfold"]

_L2_BYTES = 512 * 1024


class ConvPlan(NamedTuple):
    """A cut of one convolution; see `_ext/conv.pyx`. Sizes are in elements."""

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
def conv_plan(N: int, C: int, F: int, groups: int, window: Window, itemsize: int) -> ConvPlan:
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
    return ConvPlan(
        tile, k_block, k_block * tile, channel_block, gradient_tile, channel_block * taps * gradient_tile,
        chunks, weight_k_block, N * F * K * P,
    )  # fmt: skip


_conv_forward = ByDtype(_ext.conv, "forward")
_conv_input_gradient = ByDtype(_ext.conv, "input_gradient")
_conv_weight_gradient = ByDtype(_ext.conv, "weight_gradient")
_unfold = ByDtype(_ext.conv, "unfold")
_fold = ByDtype(_ext.conv, "fold")


def im2col_conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    N, C = x.shape[:2]
    F, dtype = weight.shape[0], x.dtype
    plan = conv_plan(N, C, F, groups, window, dtype.itemsize)
    output = new_array((N, F, *window.output_size), dtype)
    threads = threads_for(plan.work)
    with single_threaded_blas, workspace(threads, plan.columns, dtype) as columns:
        _conv_forward[dtype](
            shaped(x, N, C, *window.input_size), shaped(weight, F, C // groups * window.taps),
            NOTHING[dtype] if bias is None else shaped(bias, F), window.packed, groups,
            output.reshape(N, F, window.positions), columns, plan.tile, plan.k_block, threads,
        )  # fmt: skip
    return output


def im2col_input_gradient(grad: Array, weight: Array, window: Window, groups: int) -> Array:
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    N, F = grad.shape[:2]
    C, dtype = weight.shape[1] * groups, grad.dtype
    plan = conv_plan(N, C, F, groups, window, dtype.itemsize)
    output = new_array((N, C, *window.input_size), dtype)
    threads = threads_for(plan.work)
    with single_threaded_blas, workspace(threads, plan.gradient_columns, dtype) as columns:
        _conv_input_gradient[dtype](
            shaped(grad, N, F, window.positions), shaped(weight, F, C // groups * window.taps), window.packed, groups,
            output, columns, plan.gradient_tile, plan.channel_block, threads,
        )  # fmt: skip
    return output


def im2col_weight_gradient(x: Array, grad: Array, window: Window, groups: int) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    N, C = x.shape[:2]
    F, dtype = grad.shape[1], x.dtype
    plan = conv_plan(N, C, F, groups, window, dtype.itemsize)
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
            shaped(x, N, C, *window.input_size), shaped(grad, N, F, window.positions), window.packed, groups, partial,
            columns, plan.tile, plan.weight_k_block, threads,
        )  # fmt: skip
        if plan.chunks > 1:
            output[...] = partial[0].reshape(output.shape)
    return output


def unfold(x: Array, window: Window) -> Array:
    """(N, C, H, W) to columns (N, C KH KW, OH OW)."""
    N, C = x.shape[:2]
    columns = new_array((N, C * window.taps, window.positions), x.dtype)
    if columns.size:
        _unfold[x.dtype](
            shaped(x, N, C, *window.input_size), window.packed, columns.reshape(N, -1), threads_for(columns.size)
        )
    return columns


def fold(columns: Array, channels: int, window: Window) -> Array:
    """Columns (N, C KH KW, OH OW) to (N, C, H, W): the transpose of unfold, so overlaps are summed."""
    N = columns.shape[0]
    output = new_array((N, channels, *window.input_size), columns.dtype)
    output.fill(0)
    if columns.size:
        rows = shaped(columns, N, channels * window.taps * window.positions)
        _fold[columns.dtype](rows, window.packed, output, threads_for(columns.size))
    return output


def _cost(problem: ConvProblem) -> float:
    """An estimate of time, in vector multiply-adds."""
    N, C, F, window, direction = problem.N, problem.C, problem.F, problem.window, problem.direction
    is_plain = window.taps == 1 and window.stride == (1, 1)
    columns = 0.0 if is_plain else N * C * window.taps * window.positions
    # Few rows or a short inner dimension leave BLAS's tiles partly empty.
    inner, filters = C // problem.groups * window.taps, F // problem.groups
    rows, depth = (filters, inner) if direction != "input" else (inner, filters)
    calls = 0
    if lanes(4) == 16:
        # With narrower vectors either of these would bring in "direct", which is slower there. BLAS is called for
        # each sample, and the weight's sums are over positions.
        calls = 25_000 * N
        if direction == "weight":
            depth = min(depth, window.positions)
    filled = min(rows / 16, 1) * depth / (depth + 16)
    copied = 0.35 * columns * (2 if direction == "input" else 1)
    return problem.products / lanes(problem.itemsize) / (0.75 * filled) + copied + 0.1 * problem.moved + calls


_FUNCTIONS: dict[str, Plan] = {
    "forward": im2col_conv2d,
    "input": im2col_input_gradient,
    "weight": im2col_weight_gradient,
}


def _plan(problem: ConvProblem) -> Plan:
    return partial(_FUNCTIONS[problem.direction], window=problem.window, groups=problem.groups)


IM2COL = Algorithm("im2col", "im2col", lambda problem: None, _cost, _plan)
