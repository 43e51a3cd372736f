"""implicit_gemm with filters in the lanes: how it is cut, and when it pays; see `_ext/filter_lanes.pyx`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import NOTHING, Array, shaped
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = ["filter_lanes_conv2d", "filter_lanes_cost", "filter_lanes_weight_gradient"]

# Bytes that a band's results or turned gradients may take of the L2 cache, and the band's pixels.
_RESULTS_BYTES = 96 * 1024
_SEEN_BYTES = 192 * 1024
# Rows of a band that need not be kept until they are turned.
_ROWS_AT_ONCE = 8
_FEWEST_BANDS = 16
# Positions whose products the weight's gradient sums up in registers, and what the turned gradients of as many may take
# of the L1 cache, which pixels pass through.
_POSITIONS_AT_ONCE = 256
_TURNED_BYTES = 32 * 1024
# All partial sums of a weight gradient.
_SUMS_BYTES = 5 * 1024**2
_CHUNKS = 8
_POSITIONS_WORTH_SUMS = 512
# The bands of the longest sum, times the sums, beside all bands: at most.
_UNEVEN = 1.06
# The share of a core's vector multiply-adds that a tile does, and the sums that it needs at a time for that.
_RATE = {"v4": 1.0, "v3": 0.95}.get(_ext.instruction_set, 0.8)
_SUMS_IN_FLIGHT = 8
# Bytes of packed weights, beyond which a panel of them does not stay in the L2 cache while a band's rows pass over it.
_WEIGHTS_BYTES = 384 * 1024


class FilterPlan(NamedTuple):
    """One direction as the kernel computes it, and the numbers of memory that it needs."""

    compiled: Any
    # Rows of outputs at a time.
    band: int
    packed: int
    # The weight gradient's partial sums: how many, and of how many numbers.
    sums: tuple[int, int]
    scratch: int
    work: int


def _reach(window: Window) -> tuple[int, int]:
    """Rows and columns of an image, with padding, that are seen."""
    rows, columns = (
        (size - 1) * stride + (kernel - 1) * dilation + 1
        for size, stride, kernel, dilation in zip(
            window.output_size, window.stride, window.kernel_size, window.dilation, strict=True
        )
    )
    return rows, columns


@lru_cache(maxsize=1024)
def filter_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> FilterPlan:
    """For "forward" or "weight"."""
    width, most_vectors, _, _ = _ext.filter_lanes[itemsize].tile_sizes()
    (H, W), (OH, OW), (SH, SW) = window.input_size, window.output_size, window.stride
    (KH, KW), (DH, DW), (top, left) = window.kernel_size, window.dilation, (window.padding.top, window.padding.left)
    rows, columns = _reach(window)
    copies = top > 0 or left > 0 or rows > H or columns > W
    row_results = OW * most_vectors * width
    band = _RESULTS_BYTES // (row_results * itemsize)
    if direction == "weight":
        band = min(band, min(_POSITIONS_AT_ONCE, _TURNED_BYTES // (most_vectors * width * itemsize)) // OW)
    elif OW >= 2 * width:
        band = _ROWS_AT_ONCE
    fitting = _SEEN_BYTES // (C * columns * itemsize)
    band = min(band, (fitting - (KH - 1) * DH - 1) // SH + 1)
    # Few images are cut into so many bands that a few threads get as many each.
    bands = max(-(-OH // max(band, 1)), min(-(-_FEWEST_BANDS // N), OH))
    band = -(-OH // bands)
    high = (band - 1) * SH + (KH - 1) * DH + 1 if copies else 0
    plane, pitch = (high * columns, columns) if copies else (H * W, W)
    offset = [c * plane + k * DH * pitch + j * DW for c in range(C) for k in range(KH) for j in range(KW)]
    together = band if direction == "weight" or OW < 2 * width else 1
    vectors = -(-F // width)
    cut = dict(
        N=N, C=C, F=F, H=H, W=W, OH=OH, OW=OW, SH=SH, SW=SW, top=top, left=left, band=band, bands=-(-OH // band),
        rows=high, columns=columns, together=together, K=len(offset), width=width, vectors=vectors,
        panels=-(-vectors // most_vectors),
    )  # fmt: skip
    compiled = _ext.filter_lanes[itemsize].Plan(cut, np.array(offset, np.intp))
    count = compiled.sums()
    # Sums of some bands each, as many of them; where there are more threads, or all bands have one sum, its taps are
    # shared, and each thread reads the gradients of its own.
    items = N * -(-OH // band)
    chunks = _CHUNKS if N * OH * OW >= _CHUNKS * _POSITIONS_WORTH_SUMS else 2
    while chunks > 1 and (-(-items // chunks) * chunks > _UNEVEN * items or chunks * count * itemsize > _SUMS_BYTES):
        chunks //= 2
    return FilterPlan(
        compiled,
        band,
        vectors * width * (len(offset) + 1),
        (chunks, count),
        together * row_results + C * high * columns,
        N * F * len(offset) * OH * OW,
    )


def filter_lanes_cost(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> float:
    """An estimate of time, in vector multiply-adds; infinite where it does not compute the direction."""
    if direction == "input" or not N * C * F:
        return float("inf")
    width, most_vectors, rows_of, taps_of = _ext.filter_lanes[itemsize].tile_sizes()
    (H, W), (OH, OW), K = window.input_size, window.output_size, C * window.taps
    vectors = -(-F // width)
    panels = -(-vectors // most_vectors)
    widest = -(-vectors // panels)
    rows, columns = _reach(window)
    copied = 0.2 * N * C * rows * columns if rows > H or columns > W else 0.0
    moved = copied + 0.35 * (N * F * OH * OW + F * K)
    if direction == "forward":
        most = rows_of[widest - 1]
        high = most if OW >= most else most // 2 if OW >= most // 2 else 1
        tiles = N * OH * -(-OW // high)
        # A pixel's product takes as long as there are vectors, but waits for its own sums where these are few. Pixels
        # of one row of a kernel lie together, others on a cache line of their own.
        products = tiles * max(high * vectors, _SUMS_IN_FLIGHT * panels) * K
        spilled = 1.3 if K * widest * width * itemsize > _WEIGHTS_BYTES else 1.0
        return products * spilled / _RATE + 7 * tiles * panels * C * window.kernel_size[0] + moved
    taps = taps_of[widest - 1]
    products = N * OH * OW * -(-K // taps) * max(taps * vectors, _SUMS_IN_FLIGHT * panels)
    plan = filter_plan(direction, N, C, F, window, itemsize)
    chunks, count = plan.sums
    # Sums are cleared, added to by every band, and added up.
    touched = (3 * chunks + 2 * N * -(-OH // plan.band) + 1) * count
    # With one tap each pixel that is multiplied has a cache line of its own.
    return products * (1.0 if window.taps > 1 else 1.2) / _RATE + 0.15 * touched + moved


def filter_lanes_conv2d(N: int, C: int, F: int, window: Window, dtype: np.dtype) -> Callable[..., Array]:
    """A function that makes (N, F, OH, OW) from (N, C, H, W), (F, C, KH, KW) and a bias or None; none of them empty."""
    plan, nothing = filter_plan("forward", N, C, F, window, dtype.itemsize), NOTHING[dtype]
    shape, pixels = (N, F, *window.output_size), N * C * prod(window.input_size)

    def compute(x: Array, weight: Array, bias: Array | None) -> Array:
        output, threads = new_array(shape, dtype), threads_for(plan.work)
        with workspace(1, plan.packed, dtype) as packed, workspace(threads, plan.scratch, dtype) as scratch:
            plan.compiled.forward(
                shaped(x, pixels), shaped(weight, F * C * window.taps), nothing if bias is None else shaped(bias, F),
                output.reshape(-1), packed[0], scratch, threads,
            )  # fmt: skip
        return output

    return compute


def filter_lanes_weight_gradient(
    N: int, C: int, F: int, window: Window, dtype: np.dtype
) -> Callable[[Array, Array], Array]:
    """A function that makes (F, C, KH, KW) from (N, C, H, W) and (N, F, OH, OW); none of them empty."""
    plan = filter_plan("weight", N, C, F, window, dtype.itemsize)
    shape, pixels = (F, C, *window.kernel_size), N * C * prod(window.input_size)

    def compute(x: Array, grad: Array) -> Array:
        output, threads = new_array(shape, dtype), threads_for(plan.work)
        with workspace(*plan.sums, dtype) as sums, workspace(threads, plan.scratch, dtype) as scratch:
            plan.compiled.weight_gradient(
                shaped(x, pixels), shaped(grad, N * F * window.positions), sums, output.reshape(-1), scratch, threads
            )
        return output

    return compute
