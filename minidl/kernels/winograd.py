"""Winograd's convolution of 3x3 and 5x5 kernels: where it applies, how its tiles are cut; see `_ext/winograd.pyx`.

With strides, each phase of an image (`_ext/_phases.pxd`) is an image that a part of the kernel sees with stride 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, by_dtype, contiguous
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = [
    "TRANSFORMED_WEIGHTS_BYTES",
    "WINOGRAD_KERNELS",
    "kernel_of_phases",
    "winograd_applies",
    "winograd_conv2d",
    "winograd_input_gradient",
    "winograd_weight_gradient",
]

# The kernels, rows and columns alike, that there are tiles of m x m outputs for; with strides, of a phase.
WINOGRAD_KERNELS = {2: (3, 5), 4: (3,)}
# The budget of transformed weights, or of the sums that the weight gradient is made from: enough for 512 channels to
# 512 in float32 with m = 4 (36 MiB).
TRANSFORMED_WEIGHTS_BYTES = 64 * 1024**2
# What the weight gradient holds of transformed tiles at a time: what caches keep, or more where that would be few tiles
# (each chunk of them is rounded into the sums of all) or less than the sums, which each chunk reads and writes.
_TILES_BYTES = 4 * 1024**2
_MOST_TILES_BYTES = 24 * 1024**2
_TILES_SUMMED = 512
# Of more tiles than these (of 4x4 outputs; of 2x2 eight times as many, of more than 128 x 128 weights up to four times)
# sums go by levels, which costs 4 to 6 %: one level's error grew to 7.5 times im2col's for 25,000 tiles of 64 channels.
_TILES_IN_ONE_SUM = 1600
# Sums that fit into a core's cache beside the tiles of an item, which are then transformed and summed by one thread.
_PART_BYTES = 1024**2
_FEWEST_TILES = 32
# Parts of the items, which threads share; more of them where each would sum up very many tiles, in so much memory.
_PARTS = 8
_TILES_OF_PART = 4096
_PARTS_BYTES = 16 * 1024**2
_LANES = 16
# Tiles of so many inputs along an axis that go through all steps together, so that what is between the steps stays in
# the cache.
_TILES_TOGETHER = {4: 128, 6: 64}
# Groups of 16 output channels whose products exist at a time.
_BLOCK = 4


class TilePlan(NamedTuple):
    """How tiles are cut; see `_ext/_winograd.pxd`."""

    rows: int
    across: int
    width: int
    # How many parts the strips are worked on in, and the most tiles and pixels of one.
    items: int
    tiles: int
    pixels: int


@lru_cache(maxsize=1024)
def tile_plan(N: int, outputs: Pair, m: int, r: int, most: int) -> TilePlan:
    """For N images of outputs, up to so many tiles together."""
    rows, columns = -(-outputs[0] // m), -(-outputs[1] // m)
    across = -(-columns // most)
    width = -(-columns // across)
    strips = N * rows * across
    items = -(-strips * width // most)
    # An even number, so that two threads have as much to do.
    items = min(items + items % 2, strips)
    together = -(-strips // items)
    return TilePlan(rows, across, width, items, together * width, (together * m + r - 1) * (width * m + r - 1))


def _sixteens(channels: int) -> int:
    return -(-channels // _LANES)


def _transformed(m: int, r: int, channels: int, filters: int) -> int:
    """The number of transformed weights."""
    return (m + r - 1) ** 2 * _ext.winograd.position_step(_sixteens(filters), channels)


def kernel_of_phases(window: Window) -> Pair:
    """Rows and columns of the kernel that a phase of the image is seen by: the kernel itself with stride 1."""
    (KH, KW), (SH, SW) = window.kernel_size, window.stride
    return -(-KH // SH), -(-KW // SW)


class Phases(NamedTuple):
    """Of images that windows see with strides; the image itself with stride 1."""

    channels: int
    size: Pair
    # Rows and columns of a phase's kernel, and of the image, as far as windows see it.
    r: int
    seen: Pair
    # As the kernels take them, none with stride 1.
    numbers: Array


@lru_cache(maxsize=1024)
def phases_of(window: Window, C: int) -> Phases:
    """Of images of C channels."""
    (H, W), (OH, OW), (SH, SW), padding = window.input_size, window.output_size, window.stride, window.padding
    r = kernel_of_phases(window)[0]
    if (SH, SW) == (1, 1):
        return Phases(C, (H, W), r, (H, W), np.empty(0, np.intp))
    high, wide, KH, KW = OH + r - 1, OW + r - 1, *window.kernel_size
    seen = min((OH - 1) * SH + KH - padding.top, H), min((OW - 1) * SW + KW - padding.left, W)
    numbers = [C, H, W, KH, KW, padding.top, padding.left, SH, SW, high, wide, *seen]
    return Phases(C * SH * SW, (high, wide), r, seen, np.array(numbers, np.intp))


def winograd_applies(window: Window, groups: int, channels: int, filters: int, m: int, dtype: np.dtype) -> bool:
    """Whether the three functions below can compute a convolution: its window, and the budget of its weights."""
    r = kernel_of_phases(window)[0]
    channels *= window.stride[0] * window.stride[1]
    most = max(_transformed(m, r, channels, filters), _transformed(m, r, filters, channels))
    return (
        r in WINOGRAD_KERNELS[m]
        and kernel_of_phases(window) == (r, r)
        and window.dilation == (1, 1)
        and groups == 1
        and most * dtype.itemsize <= TRANSFORMED_WEIGHTS_BYTES
    )


_forward = by_dtype(_ext.winograd.forward)
_weight_gradient = by_dtype(_ext.winograd.weight_gradient)
_weight_gradient_by_parts = by_dtype(_ext.winograd.weight_gradient_by_parts)


def winograd_conv2d(x: Array, weight: Array, bias: Array | None, window: Window, m: int) -> Array:
    """(N, C, H, W) and (F, C, KH, KW) to (N, F, OH, OW), in tiles of m x m outputs; see `WINOGRAD_KERNELS`."""
    output = new_array((x.shape[0], weight.shape[0], *window.output_size), x.dtype)
    phases = phases_of(window, x.shape[1])
    sizes = phases.channels, weight.shape[0], window.output_size
    _correlate(x, weight, False, bias, (window.padding.top, window.padding.left), phases, sizes, output, m)
    return output


def winograd_input_gradient(grad: Array, weight: Array, window: Window, m: int) -> Array:
    """(N, F, OH, OW) and (F, C, KH, KW) to (N, C, H, W)."""
    output = new_array((grad.shape[0], weight.shape[1], *window.input_size), grad.dtype)
    # Each pixel gathers from the windows that saw it: a correlation with the taps turned round.
    phases = phases_of(window, weight.shape[1])
    top, left = (0, 0) if phases.numbers.size else (window.padding.top, window.padding.left)
    further = phases.r - 1
    sizes = weight.shape[0], phases.channels, phases.size
    _correlate(grad, weight, True, None, (further - top, further - left), phases, sizes, output, m)
    if phases.seen != window.input_size:
        output[:, :, max(phases.seen[0], 0) :] = 0
        output[:, :, :, max(phases.seen[1], 0) :] = 0
    return output


def _correlate(
    x: Array, weight: Array, transposed: bool, bias: Array | None, padding: Pair, phases: Phases,
    sizes: tuple[int, int, Pair], output: Array, m: int,
) -> None:  # fmt: skip
    """`sizes` are the channels of what is seen and made, and what is made of each image."""
    N, dtype, r, (C, F, outputs) = len(x), x.dtype, phases.r, sizes
    if not output.size:
        return
    plan = tile_plan(N, outputs, m, r, _TILES_TOGETHER[m + r - 1])
    biases = np.zeros(_sixteens(F) * _LANES, dtype)
    if bias is not None:
        biases[:F] = bias
    block = min(_BLOCK, _sixteens(F))
    positions = (m + r - 1) ** 2
    step = _ext.winograd.position_step
    scratch = positions * (step(_sixteens(C), plan.tiles) + step(block, plan.tiles)) + plan.pixels * _LANES
    threads = min(threads_for(N * F * outputs[0] * outputs[1] * C), 1024)
    with workspace(1, _transformed(m, r, C, F), dtype) as transformed, workspace(threads, scratch, dtype) as rows:
        _forward[dtype](
            contiguous(x), contiguous(weight).reshape(*weight.shape[:2], weight.shape[2] * weight.shape[3]),
            transposed, biases, *padding, phases.numbers, output, m, r, plan.rows, plan.across, plan.width, plan.items,
            block, transformed, rows, threads,
        )  # fmt: skip


class WeightPlan(NamedTuple):
    """How a weight's gradient is cut."""

    tiles: TilePlan
    # Sums over parts of the items, by one thread each, or 0 if all threads share the tiles of a chunk; then how many
    # chunks there are.
    parts: int
    chunks: int
    # Whether sums go by levels; see `sum_item`.
    in_steps: bool
    # Numbers of one sum, of the tiles of a chunk, and of one thread's workspace.
    sums: int
    held: int
    scratch: int


@lru_cache(maxsize=1024)
def weight_plan(N: int, C: int, F: int, outputs: Pair, m: int, r: int, itemsize: int) -> WeightPlan:
    """For N images."""
    groups, filter_groups, positions = _sixteens(C), _sixteens(F), (m + r - 1) ** 2
    step = _ext.winograd.position_step
    tile_bytes = positions * (groups + filter_groups) * _LANES * itemsize
    sums = positions * step(groups, F)
    most = min(_TILES_TOGETHER[m + r - 1], (_PART_BYTES - sums * itemsize) // tile_bytes)
    if r == 3 and most >= _FEWEST_TILES:
        plan = tile_plan(N, outputs, m, r, most)
        if plan.items >= 2 * _PARTS:
            held = positions * (step(groups, plan.tiles) + step(filter_groups, plan.tiles))
            parts = _PARTS
            while plan.items * plan.tiles > parts * _TILES_OF_PART and 2 * parts * sums * itemsize <= _PARTS_BYTES:
                parts *= 2
            return WeightPlan(plan, parts, 0, False, sums, 0, held + plan.pixels * _LANES)
    plan = tile_plan(N, outputs, m, r, _TILES_TOGETHER[m + r - 1])
    enough = max(_TILES_SUMMED * tile_bytes, 2 * sums * itemsize)
    chunk_bytes = max(_TILES_BYTES, min(enough, _MOST_TILES_BYTES))
    chunks = -(-plan.items // max(chunk_bytes // (plan.tiles * tile_bytes), 1))
    most = -(-plan.items // chunks) * plan.tiles
    held = positions * (step(groups, most) + step(filter_groups, most))
    few = (_TILES_IN_ONE_SUM if m == 4 else 8 * _TILES_IN_ONE_SUM) * min(max(C * F / 128**2, 1), 4)
    in_steps = r == 5 or N * plan.rows * plan.across * plan.width > few
    return WeightPlan(plan, 0, chunks, in_steps, sums, held, max(plan.pixels, 2 * groups * _LANES) * _LANES)


def winograd_weight_gradient(x: Array, grad: Array, window: Window, m: int) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, KW)."""
    N, C = x.shape[:2]
    F, dtype = grad.shape[1], x.dtype
    output = new_array((F, C, *window.kernel_size), dtype)
    if not (N and output.size):
        output.fill(0)
        return output
    phases = phases_of(window, C)
    plan = weight_plan(N, phases.channels, F, window.output_size, m, phases.r, dtype.itemsize)
    cut = (
        window.padding.top, window.padding.left, phases.numbers, output.reshape(F, C, -1), m, phases.r, *plan.tiles[:4]
    )  # fmt: skip
    threads = min(threads_for(grad.size * phases.channels), 1024)
    with (
        workspace(max(plan.parts, 1), plan.sums, dtype) as sums,
        workspace(threads, plan.scratch, dtype) as rows,
    ):
        if plan.parts:
            _weight_gradient_by_parts[dtype](contiguous(x), contiguous(grad), *cut, sums, rows, threads)
            return output
        with workspace(1, plan.held, dtype) as tiles:
            _weight_gradient[dtype](
                contiguous(x), contiguous(grad), *cut, plan.chunks, plan.in_steps, tiles, sums, rows, threads
            )
    return output
