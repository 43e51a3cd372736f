"""Convolution as a matrix product of our own with positions in the lanes: how it is cut, and what each tap sees.

See `_ext/implicit_gemm.pyx`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array

__all__ = [
    "Correlation",
    "GradientPlan",
    "forward_plan",
    "input_plans",
    "positions_cost",
    "weight_plan",
]

# Steps of the inner dimension, after which a sum is written down and taken up again.
_K_BLOCK = 512
# Bytes of packed columns at a time, a share of the L2 cache.
_COLUMNS_BYTES = 256 * 1024
# Positions that the weight gradient sums up in registers (the kernel knows at most 384), and what it holds of the
# outputs' gradients meanwhile.
_POSITIONS_AT_ONCE = 256
_GRADIENTS_BYTES = 512 * 1024
# Positions of an image, from which on the outputs' gradients are read where they lie instead of turned: sums are
# written down and taken up again for each.
_POSITIONS_WORTH_READING = 128
# All partial sums of a weight gradient.
_SUMS_BYTES = 4 * 1024**2
_CHUNKS = 8
# Reads of a pixel, from which on it pays to split the rows of images first.
_READS_WORTH_SPLITTING = 2
# The share of a core's vector multiply-adds that a tile does: with 16 registers tiles are half as large.
_TILE_RATE = {"v4": 0.9, "v3": 0.85}.get(_ext.instruction_set, 0.7)
# Parts that the work is cut into where there is not much of it: so many that a few threads get as much each.
_FEWEST_PARTS = 8


class Correlation(NamedTuple):
    """A correlation as the kernel computes it, and the numbers of memory that it needs."""

    compiled: Any
    packed: int
    # Images whose rows are split; 0 if they are not.
    split: int
    columns: int
    work: int


class GradientPlan(NamedTuple):
    """A weight gradient as the kernel computes it, and the numbers of memory that it needs."""

    compiled: Any
    # The partial sums: chunks, rows and columns, the latter two filled up to whole tiles.
    sums: tuple[int, int, int]
    split: int
    scratch: int


def _whole(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _geometry(N: int, C: int, F: int, image: Pair, seen: _Seen, positions: Pair, row_stride: int) -> dict[str, int]:
    """The kernel's `Geometry`."""
    return dict(
        N=N, C=C, F=F, H=image[0], W=seen.columns, rows=positions[0], columns=positions[1], row_stride=row_stride,
        column_stride=seen.stride, split_columns=seen.split[0], phases=seen.split[1],
    )  # fmt: skip


def _inside(offset: int, stride: int, size: int, positions: int) -> tuple[int, int]:
    """The first position p with p * stride + offset >= 0, and the end of those where it is below size."""
    return max(-(offset // stride), 0), max(min(-((offset - size) // stride), positions), 0)


def _splits(taps: int, positions: tuple[int, int], image: tuple[int, int], step: int) -> bool:
    return step > 1 and taps * positions[0] * positions[1] >= _READS_WORTH_SPLITTING * image[0] * image[1]


class _Seen(NamedTuple):
    """Images as the kernel reads them: columns, their stride, how rows were split before, and what the taps see."""

    columns: int
    stride: int
    split: tuple[int, int]
    tap: Array


def _seen(
    offsets: list[tuple[int, int]], image: tuple[int, int], stride: tuple[int, int], positions: tuple[int, int]
) -> _Seen:
    """For taps at these offsets in rows and columns.

    With a stride, a tap sees every so many columns. If numbers are read often enough for that, rows are split first by
    the remainder of their columns, so that they lie side by side.
    """
    step, wide = stride[1], image[1]
    inside = [_inside(column, step, wide, positions[1]) for _, column in offsets]
    if not _splits(len(offsets), positions, image, step):
        taps = [(row, column, *ends) for (row, column), ends in zip(offsets, inside, strict=True)]
        return _Seen(wide, step, (wide, 1), np.array(taps, np.intp))
    part = -(-wide // step)
    taps = [
        (row, column % step * part + column // step, *ends)
        for (row, column), ends in zip(offsets, inside, strict=True)
    ]  # fmt: skip
    return _Seen(step * part, 1, (wide, step), np.array(taps, np.intp))


def _correlation(
    N: int,
    C: int,
    F: int,
    image: tuple[int, int],
    positions: tuple[int, int],
    stride: tuple[int, int],
    offsets: list[tuple[int, int]],
    weight_tap: list[int],
    weight_steps: tuple[int, int],
    target: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    itemsize: int,
) -> Correlation:
    """Cut a correlation; `target` is the result's size, where positions start there, and how far apart they are."""
    rows, lanes, most_panels = _ext.implicit_gemm[itemsize].tile_sizes()
    (high, wide), (row_start, column_start), steps = target
    # There is no step from a single position to the next, which a stride beyond the image would take out of it.
    row_step, column_step = (step if count > 1 else 1 for step, count in zip(steps, positions, strict=True))
    if offsets == [(0, 0)] and stride == (1, 1) and image == positions == (high, wide):
        # The positions of an image are all of its pixels: one long row.
        image = positions = (1, image[0] * image[1])
        high, wide = positions
    K, Q, width = C * len(offsets), N * positions[0] * positions[1], lanes // 3
    k_block = -(-K // -(-K // _K_BLOCK))
    panels = max(min(_COLUMNS_BYTES // (lanes * k_block * itemsize), most_panels), 1)
    vectors = -(-Q // width)
    blocks = -(-vectors // (3 * panels))
    # As many as threads can share out evenly, and none too small to be worth packing.
    blocks = min(_whole(max(blocks, min(16, -(-vectors // 3))), 4 if vectors >= 32 else 1), vectors)
    row_blocks = 1
    while blocks * row_blocks < _FEWEST_PARTS and F // (2 * row_blocks) >= 8 * rows:
        row_blocks *= 2
    # One part more for one thread than for the other is a lot where there are few.
    if blocks * row_blocks % 2 and blocks * row_blocks < 2 * _FEWEST_PARTS and F >= 32 * rows:
        row_blocks *= 2
    seen = _seen(offsets, image, stride, positions)
    compiled = _ext.implicit_gemm[itemsize].Correlation(
        _geometry(N, C, F, image, seen, positions, stride[0]),
        dict(
            high=high, wide=wide, row_start=row_start, row_step=row_step, column_start=column_start,
            column_step=column_step,
        ),
        dict(
            row_step=weight_steps[0], channel_step=weight_steps[1], k_block=k_block, row_blocks=row_blocks,
            column_blocks=blocks,
        ),
        seen.tap,
        np.array(weight_tap, np.intp),
    )  # fmt: skip
    return Correlation(
        compiled,
        _whole(F, rows) * K,
        N * C * image[0] * seen.columns if seen.split[1] > 1 else 0,
        rows * lanes + panels * lanes * k_block,
        F * K * Q,
    )


def _offsets(window: Window) -> list[tuple[int, int]]:
    """Offsets of a window's taps from its position."""
    (KH, KW), (DH, DW), (top, left) = window.kernel_size, window.dilation, (window.padding.top, window.padding.left)
    return [(k * DH - top, j * DW - left) for k in range(KH) for j in range(KW)]


@lru_cache(maxsize=1024)
def forward_plan(N: int, C: int, F: int, window: Window, itemsize: int) -> Correlation:
    taps = window.taps
    return _correlation(
        N, C, F, window.input_size, window.output_size, window.stride, _offsets(window), list(range(taps)),
        (C * taps, taps), (window.output_size, (0, 0), (1, 1)), itemsize,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def input_plans(N: int, C: int, F: int, window: Window, itemsize: int) -> tuple[list[Correlation], bool]:
    """One correlation for the pixels of each remainder in the stride, and whether some pixels are seen by no tap.

    A pixel h was seen by tap k from output (h - offset of k) / stride, if that is whole; so all pixels with the same
    remainder have the same taps, and their outputs are neighbours.
    """
    (H, W), (SH, SW), taps = window.input_size, window.stride, window.taps
    plans, unseen = [], False
    for row in range(min(SH, H)):
        for column in range(min(SW, W)):
            found = [
                (((row - h) // SH, (column - w) // SW), tap)
                for tap, (h, w) in enumerate(_offsets(window))
                if (row - h) % SH == 0 and (column - w) % SW == 0
            ]
            if not found:
                unseen = True
                continue
            positions = (-(-(H - row) // SH), -(-(W - column) // SW))
            plans.append(
                _correlation(
                    N, F, C, window.output_size, positions, (1, 1), [offset for offset, _ in found],
                    [tap for _, tap in found], (taps, C * taps), ((H, W), (row, column), (SH, SW)), itemsize,
                )
            )  # fmt: skip
    return plans, unseen


@lru_cache(maxsize=1024)
def weight_plan(N: int, C: int, F: int, window: Window, itemsize: int, threads: int) -> GradientPlan:
    """For so many threads, which makes no difference to a number's bits: those depend on the positions' cut alone."""
    rows, lanes, _ = _ext.implicit_gemm[itemsize].tile_sizes()
    image, positions, stride, offsets = window.input_size, window.output_size, window.stride, _offsets(window)
    if offsets == [(0, 0)] and stride == (1, 1) and image == positions:
        image = positions = (1, image[0] * image[1])
    width = lanes // 3
    K, Q = C * len(offsets), N * positions[0] * positions[1]
    high, wide = _whole(F, rows), _whole(K, width)
    chunks = min(_CHUNKS, -(-Q // 64), _SUMS_BYTES // (high * wide * itemsize))
    chunks = max(chunks - chunks % 4 if chunks > 4 else chunks, 1)
    P = positions[0] * positions[1]
    blocks = chunks * -(-Q // (chunks * _POSITIONS_AT_ONCE))
    image_blocks = P >= _POSITIONS_WORTH_READING
    if image_blocks:
        blocks = N * -(-P // _POSITIONS_AT_ONCE)
        chunks = min(chunks, blocks)
    most = -(-(P if image_blocks else Q) // (blocks // N if image_blocks else blocks))
    fewest = -(-(4 if 4 % threads == 0 else _FEWEST_PARTS) // chunks)
    row_blocks, column_blocks = _parts(F, K, fewest, rows, lanes, _GRADIENTS_BYTES // (most * itemsize))
    panels = -(-(high // rows) // row_blocks)
    seen = _seen(offsets, image, stride, positions)
    compiled = _ext.implicit_gemm[itemsize].WeightGradient(
        _geometry(N, C, F, image, seen, positions, stride[0]),
        dict(blocks=blocks, most=most, row_blocks=row_blocks, column_blocks=column_blocks, by_images=image_blocks),
        seen.tap,
    )  # fmt: skip
    return GradientPlan(
        compiled,
        (chunks, high, wide),
        N * C * image[0] * seen.columns if seen.split[1] > 1 else 0,
        2 * most * lanes + panels * rows * most,
    )


def _parts(F: int, K: int, fewest: int, rows: int, lanes: int, most_rows: int) -> tuple[int, int]:
    """Parts of the weight's rows and columns, so that there are `fewest` or more of them.

    What a part of the rows costs is to pack the columns again, and the other way round.
    """
    row_blocks = -(-F // max(most_rows, rows))
    column_blocks = 1
    while row_blocks * column_blocks < fewest:
        if K // column_blocks >= F // row_blocks and K // column_blocks >= 2 * lanes:
            column_blocks *= 2
        elif F // row_blocks >= 4 * rows:
            row_blocks *= 2
        else:
            break
    return row_blocks, column_blocks


def positions_cost(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> float:
    """An estimate of time, in vector multiply-adds, where positions are in the lanes."""
    (H, W), (OH, OW) = window.input_size, window.output_size
    width = _ext.implicit_gemm[itemsize].tile_sizes()[1] // 3
    products = N * F * C * window.taps * OH * OW / width
    moved = N * (C * H * W + F * OH * OW)
    # A tile is 8 rows (4 without AVX-512); all of the other operand is gathered, for the weight's gradient turned.
    rows, inner, seen = (F, C, OH * OW) if direction != "input" else (C, F, H * W)
    taps = window.taps if direction != "input" else window.taps / (window.stride[0] * window.stride[1])
    gathered = N * inner * taps * seen
    # Runs of one row each, cut by panels; with a stride no plain copies.
    across = OW if direction != "input" else -(-W // window.stride[1])
    number_cost = 0.15 if window.taps == 1 else 0.15 + 8 / across + 8 / 48
    splitting = 0.0
    if direction != "input" and window.stride[1] > 1:
        if _splits(window.taps, window.output_size, window.input_size, window.stride[1]):
            splitting = 0.6 * N * C * H * W
        else:
            # The weight's gradient gathers longer runs.
            number_cost += (0.3 if direction == "forward" else 0.25) * window.stride[1]
    weight_cost = 3.0 if direction == "input" and window.taps > 1 else 0.4
    packed = gathered * number_cost + weight_cost * F * C * window.taps + splitting
    filled = rows / (-(-rows // 8) * 8)
    if direction == "weight":
        # Columns are turned, and with several taps what was gathered leaves the L1 cache before; so are the outputs'
        # gradients of small images. The result's columns, too, come in whole vectors.
        packed += (0.9 if window.taps > 1 else 0.75) * gathered
        if seen < _POSITIONS_WORTH_READING:
            packed += 0.35 * N * F * seen
        filled *= C * window.taps / (-(-C * window.taps // 16) * 16)
    if direction == "input" and window.taps > 1:
        # Each remainder in the stride is a product of its own.
        packed += 1_000_000 / width * (window.stride[0] * window.stride[1] - 1)
    return products / (_TILE_RATE * filled) + packed + 0.1 * moved
