"""Convolution for few channels, without im2col: how it is cut; see `_ext/direct.pyx`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import Array, contiguous
from minidl.memory import WORKSPACE_PER_THREAD, new_array
from minidl.runtime import threads_for

__all__ = ["DIRECT", "MOST_COLUMNS", "direct_conv2d", "direct_input_gradient", "direct_weight_gradient"]

LANES = 16
MOST_FILTERS = 6
# From so many blocks on, threads that have one more to do than others don't matter.
_FEW_BLOCKS = 8
# The kernel's offsets of columns are a small table.
MOST_COLUMNS = 64
_L2_BYTES = 512 * 1024
# What a band of an image may take, so that it stays in the cache while all filters pass over it. Bands of the weight's
# gradient are higher: each ends with a sum over lanes for every weight.
_BAND_BYTES = {"forward": 128 * 1024, "input": 128 * 1024, "weight": 640 * 1024}
# Without BLAS's calls and packing, so much more work is over before a second thread has woken up.
PACE = 8


class _Cost(NamedTuple):
    """What moving data costs beside the products, in units of one product with full vectors.

    Fitted to times of both cuts, one thread, AVX-512: benchmarks/direct_cuts.py.
    """

    # By blocks: a number that goes into or out of the lanes, how much longer that takes where samples lie a multiple
    # of _ALIASED bytes apart, and a sample.
    moved: float
    aliased: float
    sample: float
    # By bands: the products' own pace, a number of the image, a row of it and of the outputs, and a sample.
    pace: float
    pixel: float
    row: float
    output_row: float
    image: float


_COSTS = {
    "forward": _Cost(12, 2.7, 4000, 0.9, 22, 400, 540, 6000),
    "input": _Cost(15, 1.5, 5000, 1.0, 50, 0, 410, 26000),
    "weight": _Cost(13, 1.4, 6000, 1.3, 0, 1400, 220, 12000),
}
# A way of the L1 cache: what lies so far apart shares its lines.
_ALIASED = 4096


class DirectPlan(NamedTuple):
    """How one direction is cut, and scratch in elements.

    By the rows of a band, or (band 0) blocks of samples, each in so many parts.
    """

    band: int
    parts: int
    scratch: int
    chunks: int
    # As `threads_for` counts it.
    work: int
    # The same for the kernels.
    job: Any


def _lanes_filled(columns: int) -> float:
    return columns / (-(-columns // LANES) * LANES)


def _band(rows: int, bytes_of: dict[int, int], most: int, N: int) -> int:
    """The most rows whose bytes fit, but few enough that some threads find work."""
    fitting = max((count for count, size in bytes_of.items() if size <= most), default=1)
    pieces = max(-(-rows // fitting), -(-8 // max(N, 1)) if rows >= 32 else 1)
    return -(-rows // pieces)


def parts_of(N: int, rows: int, window: Window) -> int:
    """In how many parts of their rows blocks are worked on: two where they are few and don't go in pairs.

    Not where the rows that both of them load would be many.
    """
    blocks = -(-N // LANES)
    return 2 if blocks % 2 and blocks < _FEW_BLOCKS and rows >= 2 * window.kernel_size[0] * window.dilation[0] else 1


def _by_blocks(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
    """Blocks of 16 samples, in parts where there are few."""
    (H, W), (OH, OW) = window.input_size, window.output_size
    _, columns, _, grad_columns = _ext.stack.either.sizes(window.packed)
    size, parts = F * C * window.taps, parts_of(N, OH if direction != "input" else H, window)
    # The rows of the largest part, and those of the outputs that it sees or is seen from.
    reach, stride, high = (window.kernel_size[0] - 1) * window.dilation[0], window.stride[0], -(-H // parts)
    most = -(-OH // parts) if direction != "input" else min((high - 1 + reach) // stride + 2, OH)
    image, gradient = C * ((most - 1) * stride + reach + 1) * columns * LANES, F * most * grad_columns * LANES
    scratch = {
        "forward": image + MOST_FILTERS * most * OW * LANES,
        "input": gradient + C * high * W * LANES,
        "weight": image + gradient + size,
    }[direction]
    chunks = chunks_of(-(-N // LANES) * parts, size, itemsize)
    job = _ext.direct[itemsize].Job(
        window.packed, N, C, F, 0, parts, scratch, scratch - size, chunks, direction == "input"
    )
    return DirectPlan(0, parts, scratch, chunks, N * size * window.positions // PACE, job)


def _by_bands(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
    """Bands of rows of single images."""

    def needed(count: int) -> tuple[int, int, int]:
        """Elements of what a band of so many rows copies, of its scratch, and the block's sum."""
        x, grad, forward, backward, wide = _ext.direct.either.band_sizes(window.packed, count)
        if direction == "forward":
            return C * x, MOST_FILTERS * forward, 0
        if direction == "input":
            return F * grad, MOST_FILTERS * backward, 0
        # Rows of whole vectors are read where they lie.
        return C * x + (0 if window.output_size[1] == wide else F * count * wide), 0, size

    size = F * C * window.taps
    total = window.input_size[0] if direction == "input" else window.output_size[0]
    candidates = {min(count, total) for i in range(12) for count in (2**i, 3 * 2**i)} | {total}
    band = _band(total, {count: needed(count)[0] * itemsize for count in candidates}, _BAND_BYTES[direction], N)
    used = needed(band)
    chunks = chunks_of(N * -(-total // band), size, itemsize)
    job = _ext.direct[itemsize].Job(window.packed, N, C, F, band, 1, sum(used), used[0], chunks, direction == "input")
    return DirectPlan(band, 1, sum(used), chunks, N * size * window.positions // PACE, job)


@lru_cache(maxsize=1024)
def direct_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
    """For "forward", "input" or "weight"."""
    if N >= LANES // 2:
        (H, W), (OH, OW) = window.input_size, window.output_size
        products, cost = F * C * window.taps * window.positions, _COSTS[direction]
        # Of a sample: blocks have all lanes full but those without one, bands those beyond a row's end not.
        sizes = C * H * W, F * window.positions
        moved = sum([size * (1 if size * itemsize % _ALIASED else cost.aliased) for size in sizes])
        by_block = products + cost.moved * moved + cost.sample
        by_block *= -(-N // LANES) * LANES / N
        across = OW if direction != "input" else -(-W // window.stride[1])
        by_band = cost.pace * products / _lanes_filled(across)
        by_band += cost.pixel * C * H * W + cost.row * C * H + cost.output_row * F * OH + cost.image
        if by_block < by_band:
            plan = _by_blocks(direction, N, C, F, window, itemsize)
            if plan.scratch * itemsize <= 4 * _L2_BYTES:
                return plan
    return _by_bands(direction, N, C, F, window, itemsize)


def chunks_of(items: int, size: int, itemsize: int) -> int:
    return max(min(16, items, WORKSPACE_PER_THREAD // 2 // (size * itemsize)), 1)


def _forward_for(N: int, C: int, F: int, window: Window, dtype: np.dtype) -> Callable[..., Array]:
    plan = direct_plan("forward", N, C, F, window, dtype.itemsize)
    shape, kernel, work = (N, F, *window.output_size), plan.job.forward, plan.work

    def compute(x: Array, weight: Array, bias: Array | None) -> Array:
        output = new_array(shape, dtype)
        if N:
            more = None if bias is None else contiguous(bias)
            kernel(contiguous(x), contiguous(weight), more, output, threads_for(work))
        return output

    return compute


def _input_gradient_for(N: int, C: int, F: int, window: Window, dtype: np.dtype) -> Callable[..., Array]:
    plan = direct_plan("input", N, C, F, window, dtype.itemsize)
    shape, kernel, work = (N, C, *window.input_size), plan.job.gradient_of_input, plan.work

    def compute(grad: Array, weight: Array) -> Array:
        output = new_array(shape, dtype)
        if N:
            kernel(contiguous(grad), contiguous(weight), output, threads_for(work))
        return output

    return compute


def _weight_gradient_for(N: int, C: int, F: int, window: Window, dtype: np.dtype) -> Callable[..., Array]:
    plan = direct_plan("weight", N, C, F, window, dtype.itemsize)
    shape, kernel, work = (F, C, *window.kernel_size), plan.job.gradient_of_weight, plan.work

    def compute(x: Array, grad: Array) -> Array:
        output = new_array(shape, dtype)
        if N:
            kernel(contiguous(x), contiguous(grad), output, threads_for(work))
        else:
            output.fill(0)
        return output

    return compute


# For each direction what makes, for given shapes, a function of its arrays: all that can be done once is.
DIRECT = {"forward": _forward_for, "input": _input_gradient_for, "weight": _weight_gradient_for}


def direct_conv2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """(N, C, H, W) and (F, C, KH, KW) to (N, F, OH, OW)."""
    return _forward_for(len(x), x.shape[1], len(weight), window, x.dtype)(x, weight, bias)


def direct_input_gradient(grad: Array, weight: Array, window: Window) -> Array:
    """(N, F, OH, OW) and (F, C, KH, KW) to (N, C, H, W)."""
    return _input_gradient_for(len(grad), weight.shape[1], len(weight), window, grad.dtype)(grad, weight)


def direct_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, KW)."""
    return _weight_gradient_for(len(x), x.shape[1], grad.shape[1], window, x.dtype)(x, grad)
