"""Winograd's convolution along rows, for few channels and kernels of 5 columns: how it is cut.

See `_ext/row_winograd.pyx`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, by_dtype, contiguous
from minidl.kernels.direct import LANES, MOST_FILTERS, PACE, chunks_of, parts_of
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "ROW_POINTS",
    "ROW_TAPS",
    "RowPlan",
    "row_plan",
    "row_scratch",
    "row_winograd_applies",
    "row_winograd_conv2d",
    "row_winograd_input_gradient",
    "row_winograd_weight_gradient",
    "rows_together",
]

# Columns of the kernels that there are transforms for.
ROW_TAPS = 5
# What 5 taps become in each direction; the weight's gradient transforms outputs' gradients.
ROW_POINTS = {"forward": 8, "input": 6, "weight": 0}
_POINTS, _FEW_POINTS = 8, 6
# As in `_ext/_row_winograd.pxd`.
_FILTERS_SUMMED = 4
# Enough for a few tiles of sums; few enough that these stay in the L1 cache.
_TILES_TOGETHER = 12
# Larger images are worked on in parts, so that a part's scratch stays in the cache.
_MOST_SCRATCH = 2 * 1024**2


class RowPlan(NamedTuple):
    """How one direction is cut, and sizes in elements."""

    # In how many parts a block's rows are worked on.
    parts: int
    scratch: int
    transformed: int
    # In how many chunks the weight gradients of parts are added up.
    chunks: int
    # As `threads_for` counts it.
    work: int
    # The same for the kernels.
    job: Any


def row_scratch(direction: str, C: int, F: int, rows: int, outputs: Pair, together: int) -> int:
    """Elements that the transformed numbers and the sums of a block take, for kernels of so many rows."""
    OH, OW = outputs
    tiles, few_tiles = -(-OW // 4), -(-OW // 2)
    if direction == "input":
        return _FEW_POINTS * few_tiles * LANES * (F * OH + 2 * MOST_FILTERS * together)
    pixels = C * (OH + rows - 1)
    sums = F * together if direction == "forward" else _FILTERS_SUMMED * OH
    return _POINTS * tiles * LANES * (pixels + sums)


def rows_together(direction: str, outputs: Pair) -> int:
    """Rows whose sums are made and transformed back at a time: so many that the tiles find enough to do."""
    tiles = -(-outputs[1] // 4) if direction != "input" else -(-outputs[1] // 2)
    return max(-(-_TILES_TOGETHER // tiles), 1)


@lru_cache(maxsize=1024)
def row_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> RowPlan:
    """For "forward", "input" or "weight"."""
    (H, W), (OH, OW), rows = window.input_size, window.output_size, window.kernel_size[0]
    size, together = F * C * window.taps, rows_together(direction, window.output_size)

    def scratch_for(high: int) -> int:
        """Of a part of so many rows."""
        if direction == "input":
            found = row_scratch("input", C, F, rows, (min(high + rows - 1, OH), OW), together)
            return found + (OW + C * high * W) * LANES
        found = row_scratch(direction, C, F, rows, (high, OW), together)
        found += C * (high + rows - 1) * (OW + ROW_TAPS - 1) * LANES
        return found + (together * OW * LANES if direction == "forward" else size)

    cut = OH if direction != "input" else H
    parts = parts_of(N, cut, window)
    while parts < cut and scratch_for(-(-cut // parts)) * itemsize > _MOST_SCRATCH:
        parts += 1
    scratch = scratch_for(-(-cut // parts))
    chunks = chunks_of(-(-N // LANES) * parts, size, itemsize)
    transformed, work = ROW_POINTS[direction] * F * C * rows, N * size * window.positions // (2 * PACE)
    job = _ext.row_winograd[itemsize].Job(
        window.packed, N, C, F, together, parts, scratch, transformed, scratch - size, chunks
    )  # fmt: skip
    return RowPlan(parts, scratch, transformed, chunks, work, job)


def row_winograd_applies(window: Window, groups: int) -> bool:
    """Whether the three functions below can compute a convolution."""
    return window.kernel_size[1] == ROW_TAPS and window.stride == (1, 1) and window.dilation == (1, 1) and groups == 1


_forward = by_dtype(_ext.row_winograd, "forward")
_input_gradient = by_dtype(_ext.row_winograd, "gradient_of_input")
_weight_gradient = by_dtype(_ext.row_winograd, "gradient_of_weight")


def row_winograd_conv2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """(N, C, H, W) and (F, C, KH, 5) to (N, F, OH, OW)."""
    N, C, F, dtype = x.shape[0], x.shape[1], weight.shape[0], x.dtype
    plan = row_plan("forward", N, C, F, window, dtype.itemsize)
    output = new_array((N, F, *window.output_size), dtype)
    if N:
        more = None if bias is None else contiguous(bias)
        _forward[dtype](plan.job, contiguous(x), contiguous(weight), more, output, threads_for(plan.work))
    return output


def row_winograd_input_gradient(grad: Array, weight: Array, window: Window) -> Array:
    """(N, F, OH, OW) and (F, C, KH, 5) to (N, C, H, W)."""
    N, F, C, dtype = grad.shape[0], weight.shape[0], weight.shape[1], grad.dtype
    plan = row_plan("input", N, C, F, window, dtype.itemsize)
    output = new_array((N, C, *window.input_size), dtype)
    if N:
        _input_gradient[dtype](plan.job, contiguous(grad), contiguous(weight), output, threads_for(plan.work))
    return output


def row_winograd_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, 5)."""
    N, C, F, dtype = x.shape[0], x.shape[1], grad.shape[1], x.dtype
    plan = row_plan("weight", N, C, F, window, dtype.itemsize)
    output = new_array((F, C, *window.kernel_size), dtype)
    if N:
        _weight_gradient[dtype](plan.job, contiguous(x), contiguous(grad), output, threads_for(plan.work))
    else:
        output.fill(0)
    return output
