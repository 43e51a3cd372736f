"""Winograd's convolution of 3x3 and 5x5 kernels: where it applies, how its tiles are cut; see `_ext/winograd.pyx`.

With strides, each phase of an image (`_ext/_phases.pxd`) is an image that a part of the kernel sees with stride 1.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, ByDtype, contiguous
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes, size_text
from minidl.kernels.conv.problem import ConvProblem
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = ["TRANSFORMED_WEIGHTS_BYTES", "WINOGRAD_2X2", "WINOGRAD_4X4", "WINOGRAD_KERNELS"]

# The kernels, rows and columns alike, that there are tiles of m x m outputs for; with strides, of a phase.
WINOGRAD_KERNELS = {2: (3, 5), 4: (3,)}
# The budget of transformed weights, or of the sums that the weight gradient is made from: enough for 512 channels to
# 512 in float32 with m = 4 (36 MiB).
TRANSFORMED_WEIGHTS_BYTES = 64 * 1024**2
# Bytes that the weight gradient holds of transformed tiles at a time: what caches keep. If that makes more than two
# chunks, they are larger where they would have few tiles (each is rounded into the sums of all) or less than the
# sums, which each chunk reads and writes.
_TILES_BYTES = 4 * 1024**2
_MOST_TILES_BYTES = 24 * 1024**2
_TILES_SUMMED = 256
# From more tiles than these on (of 4x4 outputs; of 2x2 eight times as many, of more than 128 x 128 weights up to four
# times) sums go by levels, which costs 4 to 6 %: one level's error grew to 7.5 times im2col's for 25,000 tiles of 64
# channels.
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
# Transformed weights beyond which a common last-level cache does not keep them.
_CACHE_BYTES = 24 * 1024**2


class TilePlan(NamedTuple):
    """A cut of tiles; see `_ext/_winograd.pxd`."""

    rows: int
    across: int
    width: int
    # Parts that the strips are worked on in, and the most tiles and pixels of one.
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
    """Phases of images that windows see with strides; the image itself with stride 1."""

    channels: int
    size: Pair
    # Rows and columns of a phase's kernel, and of the image, as far as windows see it.
    r: int
    seen: Pair
    # As the kernels take them; None with stride 1.
    fields: dict[str, int] | None


@lru_cache(maxsize=1024)
def phases_of(window: Window, C: int) -> Phases:
    """The phases of images of C channels."""
    (H, W), (OH, OW), (SH, SW), padding = window.input_size, window.output_size, window.stride, window.padding
    r = kernel_of_phases(window)[0]
    if (SH, SW) == (1, 1):
        return Phases(C, (H, W), r, (H, W), None)
    high, wide, KH, KW = OH + r - 1, OW + r - 1, *window.kernel_size
    seen = min((OH - 1) * SH + KH - padding.top, H), min((OW - 1) * SW + KW - padding.left, W)
    fields = dict(
        C=C, H=H, W=W, KH=KH, KW=KW, top=padding.top, left=padding.left, SH=SH, SW=SW, high=high, wide=wide,
        seen_rows=seen[0], seen_columns=seen[1],
    )  # fmt: skip
    return Phases(C * SH * SW, (high, wide), r, seen, fields)


def _why_unsupported(problem: ConvProblem, m: int) -> str | None:
    window, C, F = problem.window, problem.C, problem.F
    kernel = kernel_of_phases(window)
    taken = [(r, r) for r in WINOGRAD_KERNELS[m]]
    if kernel not in taken or window.dilation != (1, 1) or problem.groups != 1:
        return (
            f"it takes kernels of {' or '.join(map(size_text, taken))} strides, rounded up, with dilation 1 and "
            f"1 group, got {size_text(window.kernel_size)}, {window.stride}, {window.dilation} and {problem.groups}"
        )
    channels = C * window.stride[0] * window.stride[1]
    most = max(_transformed(m, kernel[0], channels, F), _transformed(m, kernel[0], F, channels))
    if most * problem.itemsize > TRANSFORMED_WEIGHTS_BYTES:
        return f"the transformed weights of {C} channels and {F} filters exceed their budget"
    return None


def _arguments(problem: ConvProblem) -> tuple[int, int, int, Window]:
    return problem.N, problem.C, problem.F, problem.window


_compiled = ByDtype(_ext.winograd, "Plan")
_forward = ByDtype(_ext.winograd, "forward")
_weight_gradient = ByDtype(_ext.winograd, "weight_gradient")
_weight_gradient_by_parts = ByDtype(_ext.winograd, "weight_gradient_by_parts")


def _correlation(N: int, C: int, F: int, window: Window, dtype: np.dtype, m: int, transposed: bool) -> tuple[Any, int]:
    """The plan of a forward pass or, `transposed`, of an input gradient; and a count of its work, for threads.

    For a gradient each pixel gathers from the windows that saw it: a correlation with the taps turned round.
    """
    phases, outputs, padding = phases_of(window, C), window.output_size, window.padding
    r, seen, made, top, left = phases.r, (C, *window.input_size), (F, *outputs), padding.top, padding.left
    channels, filters, size = phases.channels, F, outputs
    if transposed:
        further = r - 1
        top, left = (further, further) if phases.fields else (further - top, further - left)
        seen, made, channels, filters, size = made, seen, F, phases.channels, phases.size
    plan = tile_plan(N, size, m, r, _TILES_TOGETHER[m + r - 1])
    block, positions, step = min(_BLOCK, _sixteens(filters)), (m + r - 1) ** 2, _ext.winograd.either.position_step
    scratch = positions * (step(_sixteens(channels), plan.tiles) + step(block, plan.tiles)) + plan.pixels * _LANES
    compiled = _compiled[dtype](
        N, seen, made, (F, C, window.taps), (top, left), phases.fields, m, r, plan[:4], scratch,
        transposed=transposed, block=block, transformed=_transformed(m, r, channels, filters),
    )  # fmt: skip
    return compiled, N * filters * size[0] * size[1] * channels


def _forward_plan(problem: ConvProblem, m: int) -> Plan:
    N, C, F, window, dtype, shape = *_arguments(problem), problem.dtype, problem.output_shape
    if 0 in shape:
        return lambda x, weight, bias: new_array(shape, dtype)
    run, (compiled, work) = _forward[dtype], _correlation(N, C, F, window, dtype, m, False)

    def compute(x: Array, weight: Array, bias: Array | None) -> Array:
        output = new_array(shape, dtype)
        more = None if bias is None else contiguous(bias)
        run(compiled, contiguous(x), contiguous(weight), more, output, threads_for(work))
        return output

    return compute


def _input_gradient_plan(problem: ConvProblem, m: int) -> Plan:
    N, C, F, window, dtype, shape = *_arguments(problem), problem.dtype, problem.image_shape
    if 0 in shape:
        return lambda grad, weight: new_array(shape, dtype)
    run, (compiled, work) = _forward[dtype], _correlation(N, C, F, window, dtype, m, True)
    rows, columns = (max(size, 0) for size in phases_of(window, C).seen)
    is_all_seen = (rows, columns) == window.input_size

    def compute(grad: Array, weight: Array) -> Array:
        output = new_array(shape, dtype)
        run(compiled, contiguous(grad), contiguous(weight), None, output, threads_for(work))
        if not is_all_seen:
            output[:, :, rows:] = 0
            output[:, :, :, columns:] = 0
        return output

    return compute


class WeightPlan(NamedTuple):
    """A cut of a weight's gradient."""

    tiles: TilePlan
    # Sums over parts of the items, by one thread each, or 0 if all threads share the tiles of a chunk; then how many
    # chunks there are.
    parts: int
    chunks: int
    # Whether sums go by levels; see `sum_item`.
    sums_in_steps: bool
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
    sums_in_steps = r == 5 or N * plan.rows * plan.across * plan.width > few
    return WeightPlan(plan, 0, chunks, sums_in_steps, sums, held, max(plan.pixels, 2 * groups * _LANES) * _LANES)


def _weight_gradient_plan(problem: ConvProblem, m: int) -> Plan:
    N, C, F, window, dtype, shape = *_arguments(problem), problem.dtype, problem.filters_shape
    if not N or 0 in shape:
        return lambda x, grad: np.zeros(shape, dtype)
    phases, outputs, padding = phases_of(window, C), window.output_size, window.padding
    plan = weight_plan(N, phases.channels, F, outputs, m, phases.r, dtype.itemsize)
    compiled = _compiled[dtype](
        N, (C, *window.input_size), (F, *outputs), (F, C, window.taps), (padding.top, padding.left), phases.fields,
        m, phases.r, plan.tiles[:4], plan.scratch, parts=plan.parts, chunks=plan.chunks,
        in_steps=plan.sums_in_steps, sums=plan.sums, held=plan.held,
    )  # fmt: skip
    run = (_weight_gradient_by_parts if plan.parts else _weight_gradient)[dtype]
    work = N * F * window.positions * phases.channels

    def compute(x: Array, grad: Array) -> Array:
        output = new_array(shape, dtype)
        run(compiled, contiguous(x), contiguous(grad), output, threads_for(work))
        return output

    return compute


def _is_precise(problem: ConvProblem, m: int) -> bool:
    """Whether rounding errors stay within four times im2col's.

    Root mean squares against float64, on normal data (benchmarks/winograd_layers.py --error). The tiles of 6 inputs
    along an axis are at most 2.1 times im2col's forward. Those of 3x3 kernels: 3.9 times for the weight's gradient,
    for 1 to 128 images; for the input's 4.9 times below 64 filters, where im2col's own sums are short, and at most 3.8
    from there on. Those of 5x5 kernels: for the input's gradient 4.8 times below 96 filters, at most 3.5 from there on;
    for the weight's, whose last transform has fourth powers, at most 4.0 for outputs of 13x13 and more from 96 filters
    on or with up to 64 channels, and up to 5.5 otherwise.

    Strides, where each phase of a channel counts as one: forward at most 2.9 from 36 terms on, 4.1 below; for the
    input's gradient at most 3.8, but up to 4.1 with a single channel; for the weight's at most 3.6 where it is allowed,
    up to 6.6 with fewer weights, whose products BLAS sums in shorter runs, 4.0 with outputs of 8x8, and 4.2 with 256
    phases.
    """
    C, F, window, direction = problem.C, problem.F, problem.window, problem.direction
    r = kernel_of_phases(window)[0]
    if m == 2 and r == 3:
        return True
    if window.stride != (1, 1) and not _strides_are_precise(problem):
        return False
    if direction == "forward":
        return True
    if r == 5:
        return F >= 96 if direction == "input" else (F >= 96 or C <= 64) and min(window.output_size) >= 13
    return direction == "weight" or F >= 64


def _strides_are_precise(problem: ConvProblem) -> bool:
    """Further conditions with strides; the figures are `_is_precise`'s."""
    C, window = problem.C, problem.window
    if problem.direction == "forward":
        return C * window.taps >= 36
    if problem.direction == "input":
        return C > 1
    phases = C * window.stride[0] * window.stride[1]
    return problem.F * C * window.taps >= 1250 and phases <= 200 and min(window.output_size) >= 13


def _cost(problem: ConvProblem, m: int) -> float:
    """An estimate of time, in vector multiply-adds."""
    N, F, window, direction, width = problem.N, problem.F, problem.window, problem.direction, lanes(problem.itemsize)
    r = kernel_of_phases(window)[0]
    positions = (m + r - 1) ** 2
    phases = phases_of(window, problem.C)
    C = phases.channels
    tall, wide = window.output_size if direction != "input" else phases.size
    tiles = N * -(-tall // m) * -(-wide // m)
    multiplied = tiles * positions * (_sixteens(C) * _LANES) * (_sixteens(F) * _LANES) / width / 0.75
    weights = positions * C * F
    # Fitted apart: with 5 taps there are four times as many tiles to transform for as many outputs, which counts more.
    number_cost = 0.35 if r == 3 else 0.6
    if direction == "weight":
        number_cost += 0.3 if r == 3 else 1.1
    transformed = number_cost * tiles * positions * (C + F)
    # Transformed weights that no cache holds are written and read at the memory's pace, sums of gradients less often.
    weight_cost = 1.0 if weights * problem.itemsize < _CACHE_BYTES else 3.5 if direction == "weight" else 6.0
    if window.stride != (1, 1):
        # Phases are gathered, or come back, by as few numbers as the stride; and so are their taps.
        gathered = N * C * phases.size[0] * phases.size[1]
        transformed += (1 + 4 / window.stride[1]) * gathered + 2.0 * weights
    return multiplied + transformed + weights * weight_cost


_PLANS = {"forward": _forward_plan, "input": _input_gradient_plan, "weight": _weight_gradient_plan}


def _plan(problem: ConvProblem, m: int) -> Plan:
    return _PLANS[problem.direction](problem, m)


def _tiles(m: int) -> Algorithm:
    """The entry of tiles of m x m outputs."""
    unsupported, cost, plan = partial(_why_unsupported, m=m), partial(_cost, m=m), partial(_plan, m=m)
    return Algorithm(f"winograd_{m}x{m}", "winograd", unsupported, cost, plan, partial(_is_precise, m=m))


WINOGRAD_4X4, WINOGRAD_2X2 = _tiles(4), _tiles(2)
