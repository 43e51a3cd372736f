"""Every algorithm that convolution has, in order, and the choice that "auto" and the families' names make among them.

A choice depends on the problem and the instruction set alone, so that the same program gives the same bits wherever it
runs on machines of one type. `benchmarks/choices.py` shows what the estimates of cost lose.
"""

from __future__ import annotations

import numpy as np

from minidl.geometry import Window
from minidl.kernels.conv.algorithm import Algorithm
from minidl.kernels.conv.depthwise import DEPTHWISE
from minidl.kernels.conv.direct import BANDS, BLOCKS
from minidl.kernels.conv.fft import FFT
from minidl.kernels.conv.im2col import IM2COL
from minidl.kernels.conv.implicit_gemm import FILTERS, POINTWISE, POSITIONS, TAPS
from minidl.kernels.conv.problem import DIRECTIONS, ConvProblem
from minidl.kernels.conv.row_winograd import WINOGRAD_ROWS
from minidl.kernels.conv.winograd import WINOGRAD_2X2, WINOGRAD_4X4

__all__ = ["ALGORITHMS", "REGISTRY", "choose", "entries", "refusal", "supported"]

# The first of equal costs counts; im2col computes everything.
REGISTRY: dict[str, Algorithm] = {
    entry.name: entry
    for entry in (
        IM2COL, POINTWISE, POSITIONS, FILTERS, TAPS, DEPTHWISE, BLOCKS, BANDS, WINOGRAD_4X4, WINOGRAD_2X2,
        WINOGRAD_ROWS, FFT,
    )
}  # fmt: skip
# What `algorithm=` takes: "auto", families, entries.
ALGORITHMS = ("auto", *dict.fromkeys([*(entry.family for entry in REGISTRY.values()), *REGISTRY]))
_DTYPES = {dtype.itemsize: dtype for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def entries(name: str) -> list[Algorithm]:
    """The entries that a name stands for: one, those of a family, or ("auto") all of them."""
    return [entry for entry in REGISTRY.values() if name in ("auto", entry.name, entry.family)]


def supported(problem: ConvProblem, name: str = "auto") -> list[Algorithm]:
    """Those entries of a name that can compute a problem within its precision."""
    return [
        entry
        for entry in entries(name)
        if entry.why_unsupported(problem) is None and entry.within_precision(problem)
    ]  # fmt: skip


def refusal(name: str, C: int, F: int, groups: int, window: Window, itemsize: int) -> str | None:
    """Why an algorithm computes no direction of a convolution; None if it computes one.

    The others are left to its family.
    """
    reasons = []
    for entry in entries(name):
        for direction in DIRECTIONS:
            reason = entry.why_unsupported(ConvProblem(direction, 1, C, F, groups, window, _DTYPES[itemsize]))
            if reason is None:
                return None
            reasons.append(reason)
    # The last entry of a family, whose reasons speak for all, the forward pass's.
    return reasons[-len(DIRECTIONS)]


def choose(problem: ConvProblem, name: str) -> Algorithm:
    """The cheapest entry that a name stands for, within the problem's precision where the name leaves that open.

    A name that stands for one entry is that entry, whatever its precision; a direction that it does not compute is its
    family's.
    """
    if name in REGISTRY:
        entry = REGISTRY[name]
        if entry.why_unsupported(problem) is None:
            return entry
        name = entry.family
    found = supported(problem, name)
    if not found:
        # A family was asked for by name, which is to say for its least imprecise member.
        return [entry for entry in entries(name) if entry.why_unsupported(problem) is None][-1]
    if name == "winograd":
        return found[0]
    return min(found, key=lambda entry: entry.cost(problem))
