"""Which algorithm computes a convolution: where each applies, and the cost model behind "auto"."""

from __future__ import annotations

from functools import lru_cache

from minidl.geometry import Window
from minidl.kernels.direct import MOST_COLUMNS

__all__ = ["ALGORITHMS", "chosen", "refusal"]

ALGORITHMS = ("auto", "im2col", "direct")


def refusal(algorithm: str, C: int, F: int, groups: int, window: Window, itemsize: int) -> str | None:
    """Why an algorithm cannot compute a convolution; None if it can."""
    if algorithm == "direct":
        if groups != 1:
            return f"it takes 1 group, got {groups}"
        if window.kernel_size[1] > MOST_COLUMNS:
            return f"it takes kernels of up to {MOST_COLUMNS} columns, got {window.kernel_size[1]}"
    return None


def chosen(direction: str, algorithm: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int) -> str:
    """The name of what computes "forward", "input" or "weight"."""
    if algorithm != "auto":
        return algorithm
    return _by_cost(direction, N, C, F, groups, window, itemsize)


@lru_cache(maxsize=4096)
def _by_cost(direction: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int) -> str:
    if min(C, F) <= 16 and refusal("direct", C, F, groups, window, itemsize) is None:
        return "direct"
    return "im2col"
