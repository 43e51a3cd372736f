"""Convolution for few channels, without im2col: how it is cut; see `_ext/direct.pyx`."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import Array, contiguous
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes, size_text
from minidl.kernels.conv.problem import ConvProblem
from minidl.memory import WORKSPACE_PER_THREAD, new_array
from minidl.runtime import threads_for

__all__ = ["BANDS", "BLOCKS", "MOST_COLUMNS", "bands_plan", "blocks_plan", "direct_cost", "why_too_wide"]

LANES = 16
MOST_FILTERS = 6
# From so many blocks on, threads that have one more to do than others don't matter.
_FEW_BLOCKS = 8
# The kernel's offsets of columns are a small table.
MOST_COLUMNS = 64
_L2_BYTES = 512 * 1024
# Bytes that a band of an image may take, so that it stays in the cache while all filters pass over it. Bands of
# the weight's gradient are higher: each ends with a sum over lanes for every weight.
_BAND_BYTES = {"forward": 128 * 1024, "input": 128 * 1024, "weight": 640 * 1024}
# Without BLAS's calls and packing, so much more work is over before a second thread has woken up.
PACE = 8


class _Cost(NamedTuple):
    """Costs of moving data beside the products, in units of one product with full vectors.

    Fitted to times of both cuts, one thread, AVX-512: benchmarks/choices.py --grid small.
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
    """A cut of one direction, and scratch in elements.

    By the rows of a band, or (band 0) blocks of samples, each in so many parts.
    """

    band: int
    parts: int
    scratch: int
    chunks: int
    # As `threads_for` counts it.
    work: int
    # The plan as the kernels have it.
    compiled: Any


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


@lru_cache(maxsize=1024)
def blocks_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
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
    compiled = _ext.direct[itemsize].Plan(
        window.packed, N, C, F, parts=parts, scratch=scratch, packed=size, sum_at=scratch - size, chunks=chunks,
        of_inputs=direction == "input",
    )  # fmt: skip
    return DirectPlan(0, parts, scratch, chunks, N * size * window.positions // PACE, compiled)


@lru_cache(maxsize=1024)
def bands_plan(direction: str, N: int, C: int, F: int, window: Window, itemsize: int) -> DirectPlan:
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
    compiled = _ext.direct[itemsize].Plan(
        window.packed, N, C, F, band=band, scratch=sum(used), packed=size, sum_at=used[0], chunks=chunks,
        of_inputs=direction == "input",
    )  # fmt: skip
    return DirectPlan(band, 1, sum(used), chunks, N * size * window.positions // PACE, compiled)


def chunks_of(items: int, size: int, itemsize: int) -> int:
    return max(min(16, items, WORKSPACE_PER_THREAD // 2 // (size * itemsize)), 1)


def why_too_wide(window: Window) -> str | None:
    """Why a kernel has too many columns, or None."""
    columns = window.kernel_size[1]
    return f"it takes kernels of up to {MOST_COLUMNS} columns, got {columns}" if columns > MOST_COLUMNS else None


def _why_unsupported(problem: ConvProblem) -> str | None:
    if problem.groups != 1:
        return f"it takes 1 group, or one for each channel, got {problem.groups} for {problem.C} channels"
    return why_too_wide(problem.window)


def _why_no_blocks(problem: ConvProblem) -> str | None:
    reason = _why_unsupported(problem)
    if reason is None and blocks_plan(*_key(problem)).scratch * problem.itemsize > WORKSPACE_PER_THREAD:
        reason = f"a block of {LANES} images of {problem.C} x {size_text(problem.window.input_size)} exceeds its budget"
    return reason


def direct_cost(problem: ConvProblem) -> float:
    """An estimate of the time of the better cut, in vector multiply-adds."""
    direction, N, F, window = problem.direction, problem.N, problem.F, problem.window
    across = window.output_size[1] if direction != "input" else -(-window.input_size[1] // window.stride[1])
    column_cost = _lanes_filled(across)
    sample_cost = N / (-(-N // LANES) * LANES) * 0.9 if N >= LANES // 2 else 0.0
    rate = {"forward": 0.85, "input": 0.8, "weight": 0.7}[direction]
    if direction == "weight" and across % LANES == 0 and lanes(4) == LANES:
        # Whole vectors of gradients are read where they lie.
        rate = 0.8
    if window.taps == 1:
        # A number that is loaded serves one tap only.
        rate *= 0.6
    elif direction == "input" and window.stride[1] > 1 and (across <= 32 or lanes(4) < LANES):
        # Rows of one phase are short, and do not go together; with narrower vectors that counts for long ones, too.
        rate *= 0.4
    elif direction == "input" and F > 16:
        # Gradients of many filters are read for the sums of a few pixels.
        rate *= 0.6
    folding = 0.0
    if direction == "weight" and column_cost > sample_cost:
        # Each few filters and taps of an image end with sums over the lanes.
        folding = 80.0 * N * -(-F // 4) * problem.C * -(-window.taps // 6)
    products = problem.products / lanes(problem.itemsize)
    return products / (rate * max(column_cost, sample_cost)) + folding + 0.3 * problem.moved


def _block_cost(problem: ConvProblem) -> float:
    """The time of a sample by blocks, in products with full vectors; all lanes are full but those without a sample."""
    N, C, F, window, cost = problem.N, problem.C, problem.F, problem.window, _COSTS[problem.direction]
    if N < LANES // 2:
        return inf
    sizes = C * window.input_size[0] * window.input_size[1], F * window.positions
    moved = sum([size * (1 if size * problem.itemsize % _ALIASED else cost.aliased) for size in sizes])
    taken = F * C * window.taps * window.positions + cost.moved * moved + cost.sample
    return taken * (-(-N // LANES) * LANES / N)


def _band_cost(problem: ConvProblem) -> float:
    """The time of a sample by bands, which leave lanes beyond a row's end empty."""
    C, F, window, cost = problem.C, problem.F, problem.window, _COSTS[problem.direction]
    (H, W), (OH, OW) = window.input_size, window.output_size
    across = OW if problem.direction != "input" else -(-W // window.stride[1])
    taken = cost.pace * F * C * window.taps * window.positions / _lanes_filled(across)
    return taken + cost.pixel * C * H * W + cost.row * C * H + cost.output_row * F * OH + cost.image


def _key(problem: ConvProblem) -> tuple[str, int, int, int, Window, int]:
    return problem.direction, problem.N, problem.C, problem.F, problem.window, problem.itemsize


@lru_cache(maxsize=4096)
def _prefers_blocks(problem: ConvProblem) -> bool:
    if _block_cost(problem) >= _band_cost(problem):
        return False
    return blocks_plan(*_key(problem)).scratch * problem.itemsize <= 4 * _L2_BYTES


def _blocks_cost(problem: ConvProblem) -> float:
    """That of the better cut where this is it, else more by as much as the cuts differ."""
    if _prefers_blocks(problem):
        return direct_cost(problem)
    ratio = _block_cost(problem) / _band_cost(problem)
    return direct_cost(problem) * ratio if ratio > 1 else inf


def _bands_cost(problem: ConvProblem) -> float:
    ratio = _band_cost(problem) / _block_cost(problem) if _prefers_blocks(problem) else 1.0
    return direct_cost(problem) * ratio


def run_cut(problem: ConvProblem, plan: Any) -> Plan:
    """A function that runs a cut, which has `compiled` and `work`; there is nothing to compute of no samples."""
    N, dtype, work = problem.N, problem.dtype, plan.work
    if problem.direction == "forward":
        shape, convolve = problem.output_shape, plan.compiled.forward

        def compute(x: Array, weight: Array, bias: Array | None) -> Array:
            output = new_array(shape, dtype)
            if N:
                bias = None if bias is None else contiguous(bias)
                convolve(contiguous(x), contiguous(weight), bias, output, threads_for(work))
            return output

        return compute
    is_input = problem.direction == "input"
    shape = problem.image_shape if is_input else problem.filters_shape
    differentiate = plan.compiled.gradient_of_input if is_input else plan.compiled.gradient_of_weight

    def gradient(first: Array, second: Array) -> Array:
        output = new_array(shape, dtype)
        if N:
            differentiate(contiguous(first), contiguous(second), output, threads_for(work))
        else:
            output.fill(0)
        return output

    return gradient


_FAMILY = "direct"
BLOCKS = Algorithm(
    "direct_blocks",
    _FAMILY,
    _why_no_blocks,
    _blocks_cost,
    lambda problem: run_cut(problem, blocks_plan(*_key(problem))),
)
BANDS = Algorithm(
    "direct_bands", _FAMILY, _why_unsupported, _bands_cost, lambda problem: run_cut(problem, bands_plan(*_key(problem)))
)
