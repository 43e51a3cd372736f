"""Convolution for few channels, without im2col: how it is cut; see `_ext/direct.pyx`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import NOTHING, Array, by_dtype, contiguous
from minidl.memory import WORKSPACE_PER_THREAD, new_array, workspace
from minidl.runtime import threads_for

__all__ = ["MOST_COLUMNS", "direct_conv2d", "direct_input_gradient", "direct_weight_gradient"]

_LANES = 16
_MOST_FILTERS = 6
# The kernel's offsets of columns are a small table.
MOST_COLUMNS = 64
_L2_BYTES = 512 * 1024
# What a band of an image may take, so that it stays in the cache while all filters pass over it. Bands of the weight's
# gradient are higher: each ends with a sum over lanes for every weight.
_BAND_BYTES = {"forward": 128 * 1024, "input": 128 * 1024, "weight": 640 * 1024}
# Without BLAS's calls and packing, so much more work is over before a second thread has woken up.
_PACE = 8
# Seconds do not matter here, only the ratio: moving a number into or out of a block, in units of a product.
_MOVE = 0.6


class DirectPlan(NamedTuple):
    """How one direction is cut: the rows of a band (0: blocks of samples instead), and scratch in elements."""

    band: int
    scratch: int
    # Where the weight gradient's sum of one block begins, and in how many chunks it is added up.
    sum_at: int
    chunks: int
    work: int


def _lanes_filled(columns: int) -> float:
    return columns / (-(-columns // _LANES) * _LANES)


def _band(rows: int, bytes_of: dict[int, int], most: int, N: int) -> int:
    """The most rows whose bytes fit, but few enough that some threads find work."""
    fitting = max((count for count, size in bytes_of.items() if size <= most), default=1)
    pieces = max(-(-rows // fitting), -(-8 // max(N, 1)) if rows >= 32 else 1)
    return -(-rows // pieces)


@lru_cache(maxsize=1024)
def direct_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
    """For "forward", "input" or "weight"."""
    H, W = window.input_size
    OH, OW = window.output_size
    size, work = F * C * window.taps, N * F * C * window.taps * window.positions
    rows, columns, _, grad_columns = _ext.stack.sizes(window.packed)
    image, gradient = C * rows * columns * _LANES, F * OH * grad_columns * _LANES
    block = {
        "forward": image + _MOST_FILTERS * window.positions * _LANES,
        "input": gradient + C * H * W * _LANES,
        "weight": image + gradient + size,
    }[direction]
    # Products a sample, in vectors: by blocks all lanes count but those without a sample, by bands those of whole rows.
    moved = C * H * W + F * window.positions
    by_block = (work / max(N, 1) + _MOVE * _LANES * moved) * (-(-N // _LANES) * _LANES / max(N, 1))
    across = OW if direction != "input" else -(-W // window.stride[1])
    by_band = work / max(N, 1) / _lanes_filled(across) + 0.2 * _LANES * moved
    if N >= _LANES // 2 and by_block < by_band and block * itemsize <= 4 * _L2_BYTES:
        items = -(-N // _LANES)
        return DirectPlan(0, block, block - size, _chunks(items, size, itemsize), work)

    def parts(count: int) -> tuple[int, int, int]:
        """Elements of what a band of so many rows copies, of its scratch, and the block's sum."""
        x, grad, forward, backward, wide = _ext.direct.band_sizes(window.packed, count)
        if direction == "forward":
            return C * x, _MOST_FILTERS * forward, 0
        if direction == "input":
            return F * grad, _MOST_FILTERS * backward, 0
        return C * x + F * count * wide, 0, size

    total = H if direction == "input" else OH
    candidates = {min(count, total) for i in range(12) for count in (2**i, 3 * 2**i)} | {total}
    band = _band(total, {count: parts(count)[0] * itemsize for count in candidates}, _BAND_BYTES[direction], N)
    used = parts(band)
    return DirectPlan(band, sum(used), used[0], _chunks(N * -(-total // band), size, itemsize), work)


def _chunks(items: int, size: int, itemsize: int) -> int:
    return max(min(16, items, WORKSPACE_PER_THREAD // 2 // (size * itemsize)), 1)


_forward = by_dtype(_ext.direct.forward)
_input_gradient = by_dtype(_ext.direct.gradient_of_input)
_weight_gradient = by_dtype(_ext.direct.gradient_of_weight)


def direct_conv2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """(N, C, H, W) and (F, C, KH, KW) to (N, F, OH, OW)."""
    N, C, F, dtype = x.shape[0], x.shape[1], weight.shape[0], x.dtype
    plan = direct_plan("forward", N, C, F, window, dtype.itemsize)
    output = new_array((N, F, *window.output_size), dtype)
    threads = threads_for(plan.work // _PACE)
    if N:
        with workspace(threads, plan.scratch + weight.size, dtype) as scratch:
            _forward[dtype](
                contiguous(x), contiguous(weight), NOTHING[dtype] if bias is None else contiguous(bias),
                window.packed, output, scratch, plan.scratch, plan.band, threads,
            )  # fmt: skip
    return output


def direct_input_gradient(grad: Array, weight: Array, window: Window) -> Array:
    """(N, F, OH, OW) and (F, C, KH, KW) to (N, C, H, W)."""
    N, F, C, dtype = grad.shape[0], weight.shape[0], weight.shape[1], grad.dtype
    plan = direct_plan("input", N, C, F, window, dtype.itemsize)
    output = new_array((N, C, *window.input_size), dtype)
    threads = threads_for(plan.work // _PACE)
    if N:
        with workspace(threads, plan.scratch + weight.size, dtype) as scratch:
            _input_gradient[dtype](
                contiguous(grad), contiguous(weight), window.packed, output, scratch, plan.scratch, plan.band, threads,
            )  # fmt: skip
    return output


def direct_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, KW)."""
    N, C, F, dtype = x.shape[0], x.shape[1], grad.shape[1], x.dtype
    plan = direct_plan("weight", N, C, F, window, dtype.itemsize)
    output = new_array((F, C, *window.kernel_size), dtype)
    threads = threads_for(plan.work // _PACE)
    if N == 0:
        output.fill(0)
        return output
    arrays = contiguous(x), contiguous(grad), window.packed, output
    with workspace(threads, plan.scratch, dtype) as scratch:
        if plan.chunks == 1:
            _weight_gradient[dtype](*arrays, NOTHING[dtype], scratch, 1, plan.sum_at, plan.band, threads)
        else:
            with workspace(1, (plan.chunks - 1) * output.size, dtype) as sums:
                _weight_gradient[dtype](*arrays, sums[0], scratch, plan.chunks, plan.sum_at, plan.band, threads)
    return output
