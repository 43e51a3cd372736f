"""Winograd's convolution along rows, for few channels and kernels of 5 columns: how it is cut.

See `_ext/direct.pyx`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes, size_text
from minidl.kernels.conv.direct import LANES, MOST_FILTERS, PACE, chunks_of, parts_of, run_cut
from minidl.kernels.conv.problem import ConvProblem

__all__ = [
    "ROW_POINTS",
    "ROW_TAPS",
    "WINOGRAD_ROWS",
    "RowPlan",
    "row_plan",
    "row_scratch",
    "rows_together",
]

# Columns of the kernels that there are transforms for.
ROW_TAPS = 5
# Points that 5 taps become in each direction; the weight's gradient transforms outputs' gradients.
ROW_POINTS = {"forward": 8, "input": 6, "weight": 0}
_POINTS, _FEW_POINTS = 8, 6
# As in `_ext/_row_winograd.pxd`.
_FILTERS_SUMMED = 4
# Enough for a few tiles of sums; few enough that these stay in the L1 cache.
_TILES_TOGETHER = 12
# Larger images are worked on in parts, so that a part's scratch stays in the cache.
_MOST_SCRATCH = 2 * 1024**2


class RowPlan(NamedTuple):
    """A cut of one direction, and sizes in elements."""

    # In how many parts a block's rows are worked on.
    parts: int
    scratch: int
    transformed: int
    # In how many chunks the weight gradients of parts are added up.
    chunks: int
    # As `threads_for` counts it.
    work: int
    # The plan as the kernels have it.
    compiled: Any


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
        """Numbers of scratch for a part of so many rows."""
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
    compiled = _ext.direct[itemsize].Plan(
        window.packed, N, C, F, together=together, parts=parts, scratch=scratch, packed=transformed,
        sum_at=scratch - size, chunks=chunks,
    )  # fmt: skip
    return RowPlan(parts, scratch, transformed, chunks, work, compiled)


def _why_unsupported(problem: ConvProblem) -> str | None:
    window, groups = problem.window, problem.groups
    if window.kernel_size[1] == ROW_TAPS and window.stride == window.dilation == (1, 1) and groups == 1:
        return None
    return (
        f"it takes kernels of {ROW_TAPS} columns with stride 1, dilation 1 and 1 group, "
        f"got {size_text(window.kernel_size)}, {window.stride}, {window.dilation} and {groups}"
    )


def _is_precise(problem: ConvProblem) -> bool:
    """Whether rounding errors stay within four times im2col's.

    Root mean squares against float64, on normal data, beside BLAS with AVX-512: forward, where errors grow as terms get
    fewer, 4.9 times with 3 (channels times rows of the kernel) and at most 3.9 where it is allowed; for the input's
    gradient, where they grow with the terms, at most 3.9; for the weight's, whose sums over positions im2col makes in
    shorter runs where there are few weights, 4.0, and 3.9 with 1250 weights and more. Narrower outputs have up to 8.7.
    LeNet's first layer has 3.7 forward and 3.6 for its weight; the second, unpadded, 2.4, 3.0 and 2.6. Beside BLAS with
    AVX2, whose products of some numbers of filters round less, or without fused products, it is up to 4.6.
    """
    C, F, window = problem.C, problem.F, problem.window
    summed, weights, (OH, OW) = C * window.kernel_size[0], F * C * window.taps, window.output_size
    least = min(OH, OW)
    if problem.direction == "forward":
        return 7 <= summed <= 160 and least >= 6 or 5 <= summed < 7 and F > 1 and least >= 10
    if problem.direction == "input":
        return F * window.kernel_size[0] <= (320 if OW >= 10 else 120) and OW >= 3
    if weights >= 1250:
        return least >= 5
    return F >= 6 and weights < 900 and least >= 24 or F >= 8 and least >= 28


def _cost(problem: ConvProblem) -> float:
    """An estimate of time, in vector multiply-adds."""
    N, C, F, window, direction = problem.N, problem.C, problem.F, problem.window, problem.direction
    (H, _), (OH, OW), rows = window.input_size, window.output_size, window.kernel_size[0]
    # Lanes are samples: 8 products for 4 outputs of 5 taps, for the input's gradient 6 for 2.
    vectors = -(-N // LANES) * (LANES / lanes(problem.itemsize))
    tiles = -(-OW // 4) if direction != "input" else -(-OW // 2)
    sums = F * C * rows * OH * tiles * vectors * (8 if direction != "input" else 6)
    if direction == "forward":
        moves = 30 * C * (OH + rows - 1) * tiles + 25 * F * OH * tiles
    elif direction == "input":
        moves = 12 * F * OH * tiles + 40 * C * H * tiles
    else:
        moves = 30 * C * (OH + rows - 1) * tiles + 20 * F * OH * tiles + 62 * F * C * rows
    # A tile of outputs of one channel alone waits for its own sums.
    rate = 0.65 if (F if direction != "input" else C) > 2 else 0.3
    # Few rows of large images stay in the cache, and parts of so few rows see many of the same ones.
    cut = OH if direction != "input" else H
    high = -(-cut // row_plan(direction, N, C, F, window, problem.itemsize).parts)
    overlap = (high + rows - 1) / high if high < cut else 1.0
    return (sums / rate + moves * vectors) * overlap**0.5 + 0.3 * problem.moved


def _plan(problem: ConvProblem) -> Plan:
    cut = row_plan(problem.direction, problem.N, problem.C, problem.F, problem.window, problem.itemsize)
    return run_cut(problem, cut)


WINOGRAD_ROWS = Algorithm("winograd_rows", "winograd_rows", _why_unsupported, _cost, _plan, _is_precise)
