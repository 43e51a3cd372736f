"""Winograd's convolution of 3x3 and 5x5 kernels: where it applies, how its tiles are cut; see `_ext/winograd.pyx`.

With strides, each phase of an image (`_ext/_phases.pxd`) is an image that a part of the kernel sees with stride 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, by_dtype, contiguous
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "TRANSFORMED_WEIGHTS_BYTES",
    "WINOGRAD",
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
# What the weight gradient holds of transformed tiles at a time: what caches keep. If that makes more than two chunks,
# they are larger where they would have few tiles (each is rounded into the sums of all) or less than the sums, which
# each chunk reads and writes.
_TILES_BYTES = 4 * 1024**2
_MOST_TILES_BYTES = 24 * 1024**2
_TILES_SUMMED = 256
# Of more tiles than these (of 4x4 outputs; of 2x2 eight times as many, of more than 128 x 128 weights up to four times)
# sums go by levels, which costs 4 to 6 %: one level's error grew to 7.5 times im2col's for 25,000 tiles of 64 channels.
_TILES_IN_ONE_SUM = 1600
# Sums that fit into a core's cache beside the tiles of an item, which are then transformed and summed by one thread.
_PART_BYTES = 1536 * 1024
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
    return (m + r - 1) ** 2 * _ext.winograd.either.position_step(_sixteens(filters), channels)


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


_job = by_dtype(_ext.winograd, "Job")
_forward = by_dtype(_ext.winograd, "forward")
_weight_gradient = by_dtype(_ext.winograd, "weight_gradient")
_weight_gradient_by_parts = by_dtype(_ext.winograd, "weight_gradient_by_parts")


def _correlation(N: int, C: int, F: int, window: Window, dtype: np.dtype, m: int, transposed: bool) -> tuple[Any, int]:
    """The job of a forward pass or, `transposed`, of an input gradient; and a count of its work, for threads.

    For a gradient each pixel gathers from the windows that saw it: a correlation with the taps turned round.
    """
    phases, outputs, padding = phases_of(window, C), window.output_size, window.padding
    r, seen, made, top, left = phases.r, (C, *window.input_size), (F, *outputs), padding.top, padding.left
    channels, filters, size = phases.channels, F, outputs
    if transposed:
        further = r - 1
        top, left = (further, further) if phases.numbers.size else (further - top, further - left)
        seen, made, channels, filters, size = made, seen, F, phases.channels, phases.size
    plan = tile_plan(N, size, m, r, _TILES_TOGETHER[m + r - 1])
    block, positions, step = min(_BLOCK, _sixteens(filters)), (m + r - 1) ** 2, _ext.winograd.either.position_step
    scratch = positions * (step(_sixteens(channels), plan.tiles) + step(block, plan.tiles)) + plan.pixels * _LANES
    job = _job[dtype](
        N, seen, made, (F, C, window.taps), (top, left), phases.numbers, m, r, plan[:4], scratch,
        transposed=transposed, block=block, transformed=_transformed(m, r, channels, filters),
    )  # fmt: skip
    return job, N * filters * size[0] * size[1] * channels


def _forward_for(N: int, C: int, F: int, window: Window, dtype: np.dtype, m: int) -> Callable[..., Array]:
    shape = N, F, *window.output_size
    if 0 in shape:
        return lambda x, weight, bias: new_array(shape, dtype)
    run, (job, work) = _forward[dtype], _correlation(N, C, F, window, dtype, m, False)

    def compute(x: Array, weight: Array, bias: Array | None) -> Array:
        output = new_array(shape, dtype)
        more = None if bias is None else contiguous(bias)
        run(job, contiguous(x), contiguous(weight), more, output, threads_for(work))
        return output

    return compute


def _input_gradient_for(N: int, C: int, F: int, window: Window, dtype: np.dtype, m: int) -> Callable[..., Array]:
    shape = N, C, *window.input_size
    if 0 in shape:
        return lambda grad, weight: new_array(shape, dtype)
    run, (job, work) = _forward[dtype], _correlation(N, C, F, window, dtype, m, True)
    rows, columns = (max(size, 0) for size in phases_of(window, C).seen)
    is_all_seen = (rows, columns) == window.input_size

    def compute(grad: Array, weight: Array) -> Array:
        output = new_array(shape, dtype)
        run(job, contiguous(grad), contiguous(weight), None, output, threads_for(work))
        if not is_all_seen:
            output[:, :, rows:] = 0
            output[:, :, :, columns:] = 0
        return output

    return compute


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
    step = _ext.winograd.either.position_step
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
    pairs, pair_bytes = -(-plan.items // 2), 2 * plan.tiles * tile_bytes
    chunks = -(-pairs // max(_TILES_BYTES // pair_bytes, 1))
    if chunks > 2:
        enough = min(max(_TILES_SUMMED * tile_bytes, 2 * sums * itemsize), _MOST_TILES_BYTES)
        chunks = -(-pairs // max(max(_TILES_BYTES, enough) // pair_bytes, 1))
    most = -(-pairs // chunks) * 2 * plan.tiles
    held = positions * (step(groups, most) + step(filter_groups, most))
    few = (_TILES_IN_ONE_SUM if m == 4 else 8 * _TILES_IN_ONE_SUM) * min(max(C * F / 128**2, 1), 4)
    in_steps = r == 5 or N * plan.rows * plan.across * plan.width > few
    return WeightPlan(plan, 0, chunks, in_steps, sums, held, max(plan.pixels, 2 * groups * _LANES) * _LANES)


def _weight_gradient_for(N: int, C: int, F: int, window: Window, dtype: np.dtype, m: int) -> Callable[..., Array]:
    shape = F, C, *window.kernel_size
    if not N or 0 in shape:
        return lambda x, grad: np.zeros(shape, dtype)
    phases, outputs, padding = phases_of(window, C), window.output_size, window.padding
    plan = weight_plan(N, phases.channels, F, outputs, m, phases.r, dtype.itemsize)
    job = _job[dtype](
        N, (C, *window.input_size), (F, *outputs), (F, C, window.taps), (padding.top, padding.left), phases.numbers,
        m, phases.r, plan.tiles[:4], plan.scratch, parts=plan.parts, chunks=plan.chunks, in_steps=plan.in_steps,
        sums=plan.sums, held=plan.held,
    )  # fmt: skip
    run = (_weight_gradient_by_parts if plan.parts else _weight_gradient)[dtype]
    work = N * F * window.positions * phases.channels

    def compute(x: Array, grad: Array) -> Array:
        output = new_array(shape, dtype)
        run(job, contiguous(x), contiguous(grad), output, threads_for(work))
        return output

    return compute


# For each direction what makes, for given shapes and m, a function of its arrays: all that can be done once is.
WINOGRAD = {"forward": _forward_for, "input": _input_gradient_for, "weight": _weight_gradient_for}


def winograd_conv2d(x: Array, weight: Array, bias: Array | None, window: Window, m: int) -> Array:
    """(N, C, H, W) and (F, C, KH, KW) to (N, F, OH, OW), in tiles of m x m outputs; see `WINOGRAD_KERNELS`."""
    return _forward_for(len(x), x.shape[1], len(weight), window, x.dtype, m)(x, weight, bias)


def winograd_input_gradient(grad: Array, weight: Array, window: Window, m: int) -> Array:
    """(N, F, OH, OW) and (F, C, KH, KW) to (N, C, H, W)."""
    return _input_gradient_for(len(grad), weight.shape[1], len(weight), window, grad.dtype, m)(grad, weight)


def winograd_weight_gradient(x: Array, grad: Array, window: Window, m: int) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C, KH, KW)."""
    return _weight_gradient_for(len(x), x.shape[1], grad.shape[1], window, x.dtype, m)(x, grad)
