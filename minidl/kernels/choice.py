"""Which algorithm computes a convolution: where each applies, what it costs, and the choice that "auto" makes of it.

A choice depends on the shapes, the dtype, the direction, the precision and the instruction set alone, so that the same
program gives the same bits wherever it runs on machines of one type. `benchmarks/choices.py` shows what the model
loses.
"""

from __future__ import annotations

from functools import lru_cache
from math import log2

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels.direct import MOST_COLUMNS
from minidl.kernels.fft import fft_size
from minidl.kernels.implicit_gemm import implicit_gemm_cost
from minidl.kernels.row_winograd import ROW_TAPS, row_plan, row_winograd_applies
from minidl.kernels.winograd import WINOGRAD_KERNELS, kernel_of_phases, phases_of, winograd_applies

__all__ = ["ALGORITHMS", "by_rows", "chosen", "cost", "refusal", "within_precision"]

ALGORITHMS = (
    "auto", "im2col", "implicit_gemm", "direct", "winograd", "winograd_2x2", "winograd_4x4", "winograd_rows", "fft",
)  # fmt: skip
# Those that compute something; "auto" and "winograd" stand for one of them.
COMPUTING = ("im2col", "implicit_gemm", "direct", "winograd_2x2", "winograd_4x4", "winograd_rows", "fft")
WINOGRAD_TILES = {"winograd_2x2": 2, "winograd_4x4": 4}
_DTYPES: dict[int, np.dtype] = {4: np.dtype(np.float32), 8: np.dtype(np.float64)}

# Kernels of fewer taps are never worth a Fourier transform.
_LARGE_KERNEL = 81
# Of transformed weights, beyond which a common last-level cache does not keep them.
_CACHE_BYTES = 24 * 1024**2
# Numbers in a vector of float32; the model counts in vector multiply-adds.
_WIDTH = {"v4": 16, "v3": 8}.get(_ext.instruction_set, 4)


def is_depthwise(C: int, F: int, groups: int) -> bool:
    """Whether every channel has filters of its own."""
    return groups == C > 1 and F % C == 0


def _by(size: Pair) -> str:
    return f"{size[0]} x {size[1]}"


def refusal(algorithm: str, C: int, F: int, groups: int, window: Window, itemsize: int) -> str | None:
    """Why an algorithm cannot compute a convolution; None if it can."""
    if algorithm == "direct":
        if groups != 1 and not is_depthwise(C, F, groups):
            return f"it takes 1 group, or one for each channel, got {groups} for {C} channels"
        if window.kernel_size[1] > MOST_COLUMNS:
            return f"it takes kernels of up to {MOST_COLUMNS} columns, got {window.kernel_size[1]}"
    elif algorithm == "winograd_rows":
        if not row_winograd_applies(window, groups):
            return (
                f"it takes kernels of {ROW_TAPS} columns with stride 1, dilation 1 and 1 group, "
                f"got {_by(window.kernel_size)}, {window.stride}, {window.dilation} and {groups}"
            )
    elif algorithm.startswith("winograd"):
        m = WINOGRAD_TILES.get(algorithm, 2)
        taken = [(r, r) for r in WINOGRAD_KERNELS[m]]
        if kernel_of_phases(window) not in taken or window.dilation != (1, 1) or groups != 1:
            return (
                f"it takes kernels of {' or '.join(map(_by, taken))} strides, rounded up, with dilation 1 and 1 group, "
                f"got {_by(window.kernel_size)}, {window.stride}, {window.dilation} and {groups}"
            )
        if not winograd_applies(window, groups, C, F, m, _DTYPES[itemsize]):
            return f"the transformed weights of {C} channels and {F} filters exceed their budget"
    elif algorithm == "implicit_gemm" and groups != 1:
        return f"it takes 1 group, got {groups}"
    elif algorithm == "fft" and (window.stride != (1, 1) or window.dilation != (1, 1) or groups != 1):
        return f"it takes stride 1, dilation 1 and 1 group, got {window.stride}, {window.dilation} and {groups}"
    return None


def within_precision(algorithm: str, direction: str, C: int, F: int, window: Window, precision: str) -> bool:
    """Whether the rounding errors of an algorithm that applies stay within 4 times im2col's, or may be larger.

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

    Tiles along rows (`_rows_within_precision` has the limits), beside BLAS with AVX-512: forward, where errors grow as
    terms get fewer, 4.9 times with 3 (channels times rows of the kernel) and at most 3.9 where it is allowed; for the
    input's gradient, where they grow with the terms, at most 3.9; for the weight's, whose sums over positions im2col
    makes in shorter runs where there are few weights, 4.0, and 3.9 with 1250 weights and more. Narrower outputs have up
    to 8.7. LeNet's first layer has 3.7 forward and 3.6 for its weight; the second, unpadded, 2.4, 3.0 and 2.6. Beside
    BLAS with AVX2, whose products of some numbers of filters round less, or without fused products, it is up to 4.6.
    """
    if precision == "fast":
        return True
    if algorithm == "winograd_rows":
        return _rows_within_precision(direction, C, F, window)
    r = kernel_of_phases(window)[0]
    if algorithm not in WINOGRAD_TILES or (algorithm == "winograd_2x2" and r == 3):
        return True
    if window.stride != (1, 1) and not _phases_within_precision(direction, C, F, window):
        return False
    if direction == "forward":
        return True
    if r == 5:
        return F >= 96 if direction == "input" else (F >= 96 or C <= 64) and min(window.output_size) >= 13
    return direction == "weight" or F >= 64


def _phases_within_precision(direction: str, C: int, F: int, window: Window) -> bool:
    """What strides ask for besides; the figures are `within_precision`'s."""
    if direction == "forward":
        return C * window.taps >= 36
    if direction == "input":
        return C > 1
    phases = C * window.stride[0] * window.stride[1]
    return F * C * window.taps >= 1250 and phases <= 200 and min(window.output_size) >= 13


def _rows_within_precision(direction: str, C: int, F: int, window: Window) -> bool:
    """The same for tiles along rows; the figures are `within_precision`'s."""
    summed, weights, (OH, OW) = C * window.kernel_size[0], F * C * window.taps, window.output_size
    least = min(OH, OW)
    if direction == "forward":
        return 7 <= summed <= 160 and least >= 6 or 5 <= summed < 7 and F > 1 and least >= 10
    if direction == "input":
        return F * window.kernel_size[0] <= (320 if OW >= 10 else 120) and OW >= 3
    if weights >= 1250:
        return least >= 5
    return F >= 6 and weights < 900 and least >= 24 or F >= 8 and least >= 28


def by_rows(direction: str, C: int, F: int, window: Window, precision: str) -> bool:
    """Whether blocks of samples side by side go by "winograd_rows", not by "direct"."""
    applies = row_winograd_applies(window, 1)
    if not applies or not within_precision("winograd_rows", direction, C, F, window, precision):
        return False
    how = (direction, 16, C, F, 1, window, 4)
    return cost("winograd_rows", *how) < cost("direct", *how)


def chosen(
    direction: str, algorithm: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int, precision: str
) -> str:
    """The name of what computes "forward", "input" or "weight" with a precision."""
    if algorithm == "auto":
        return _cheapest(direction, N, C, F, groups, window, itemsize, precision)
    if algorithm == "winograd":
        larger = "winograd_4x4"
        takes = refusal(larger, C, F, groups, window, itemsize) is None
        return larger if takes and within_precision(larger, direction, C, F, window, precision) else "winograd_2x2"
    return algorithm


@lru_cache(maxsize=4096)
def _cheapest(
    direction: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int, precision: str
) -> str:
    applying = [
        name
        for name in COMPUTING
        if (name != "fft" or window.taps >= _LARGE_KERNEL)
        and refusal(name, C, F, groups, window, itemsize) is None
        and within_precision(name, direction, C, F, window, precision)
    ]
    return min(applying, key=lambda name: cost(name, direction, N, C, F, groups, window, itemsize))


def cost(algorithm: str, direction: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int) -> float:
    """An estimate of time, in vector multiply-adds.

    Products at the rate that each algorithm reaches, and numbers that are moved. The constants were fitted by hand to
    benchmarks/choices.py.
    """
    width = _WIDTH * 4 / itemsize
    (H, W), (OH, OW) = window.input_size, window.output_size
    products = N * F * (C // groups) * window.taps * OH * OW / width
    moved = N * (C * H * W + F * OH * OW)
    if algorithm == "im2col":
        columns = 0.0 if window.taps == 1 and window.stride == (1, 1) else N * C * window.taps * OH * OW
        # Few rows or a short inner dimension leave BLAS's tiles partly empty.
        inner = C // groups * window.taps
        rows, depth = (F // groups, inner) if direction != "input" else (inner, F // groups)
        calls = 0
        if _WIDTH == 16:
            # With narrower vectors either of these would bring in "direct", which is slower there. BLAS is called for
            # each sample, and the weight's sums are over positions.
            calls = 25_000 * N
            if direction == "weight":
                depth = min(depth, OH * OW)
        filled = min(rows / 16, 1) * depth / (depth + 16)
        copied = 0.35 * columns * (2 if direction == "input" else 1)
        return products / (0.75 * filled) + copied + 0.1 * moved + calls
    if algorithm == "implicit_gemm":
        return implicit_gemm_cost(direction, N, C, F, window, itemsize)
    if algorithm == "fft":
        rows, across = fft_size(window)
        area = rows * across
        transforms = (N * C + F * C + N * F) * area * log2(area)
        return (transforms + 6.0 * N * F * C * area) * 16 / width
    if algorithm == "direct":
        if groups != 1:
            return 2.0 * products + 0.5 * moved
        across = OW if direction != "input" else -(-W // window.stride[1])
        by_columns = across / (-(-across // 16) * 16)
        by_samples = N / (-(-N // 16) * 16) * 0.9 if N >= 8 else 0.0
        rate = {"forward": 0.85, "input": 0.8, "weight": 0.7}[direction]
        if direction == "weight" and OW % 16 == 0 and _WIDTH == 16:
            # Whole vectors of gradients are read where they lie.
            rate = 0.8
        if window.taps == 1:
            # A number that is loaded serves one tap only.
            rate *= 0.6
        elif direction == "input" and window.stride[1] > 1 and (across <= 32 or _WIDTH < 16):
            # Rows of one phase are short, and do not go together; with narrower vectors that counts for long ones, too.
            rate *= 0.4
        elif direction == "input" and F > 16:
            # Gradients of many filters are read for the sums of a few pixels.
            rate *= 0.6
        folding = 0.0
        if direction == "weight" and by_columns > by_samples:
            # Each few filters and taps of an image end with sums over the lanes.
            folding = 80.0 * N * -(-F // 4) * C * -(-window.taps // 6)
        return products / (rate * max(by_columns, by_samples)) + folding + 0.3 * moved
    if algorithm == "winograd_rows":
        # Lanes are samples: 8 products for 4 outputs of 5 taps, for the input's gradient 6 for 2.
        of_16, rows = -(-N // 16) * (16 / width), window.kernel_size[0]
        tiles = -(-OW // 4) if direction != "input" else -(-OW // 2)
        sums = F * C * rows * OH * tiles * of_16 * (8 if direction != "input" else 6)
        if direction == "forward":
            moves = 30 * C * (OH + rows - 1) * tiles + 25 * F * OH * tiles
        elif direction == "input":
            moves = 12 * F * OH * tiles + 40 * C * H * tiles
        else:
            moves = 30 * C * (OH + rows - 1) * tiles + 20 * F * OH * tiles + 62 * F * C * rows
        # A tile of outputs of one channel alone waits for its own sums.
        of_sums = 0.65 if (F if direction != "input" else C) > 2 else 0.3
        # Of large images few rows stay in the cache, and parts of so few rows see many of the same ones.
        cut = OH if direction != "input" else H
        high = -(-cut // row_plan(direction, N, C, F, window, itemsize).parts)
        overlap = (high + rows - 1) / high if high < cut else 1.0
        return (sums / of_sums + moves * of_16) * overlap**0.5 + 0.3 * moved
    m, r = WINOGRAD_TILES[algorithm], kernel_of_phases(window)[0]
    positions = (m + r - 1) ** 2
    phases = phases_of(window, C)
    C = phases.channels
    tall, wide = (OH, OW) if direction != "input" else phases.size
    tiles = N * -(-tall // m) * -(-wide // m)
    # Lanes are channels, in groups of 16.
    lanes = (-(-C // 16) * 16) * (-(-F // 16) * 16)
    multiplied = tiles * positions * lanes / width / 0.75
    weights = positions * C * F
    # Fitted apart: with 5 taps there are four times as many tiles to transform for as many outputs, which counts more.
    by_number = 0.35 if r == 3 else 0.6
    if direction == "weight":
        by_number += 0.3 if r == 3 else 1.1
    transformed = by_number * tiles * positions * (C + F)
    # Transformed weights that no cache holds are written and read at the memory's pace, sums of gradients less often.
    by_weight = 1.0 if weights * itemsize < _CACHE_BYTES else 3.5 if direction == "weight" else 6.0
    if window.stride != (1, 1):
        # Phases are gathered, or come back, by as few numbers as the stride; and so are their taps.
        gathered = N * C * phases.size[0] * phases.size[1]
        transformed += (1 + 4 / window.stride[1]) * gathered + 2.0 * weights
    return multiplied + transformed + weights * by_weight
