"""Algorithms chosen by the clock, for those who ask for it: remembered for each convolution that comes along.

A choice by the clock may differ from run to run, and with it the last bits of results. What was chosen goes into
checkpoints, so that at least a resumed run keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from minidl import _ext
from minidl.errors import check_flag
from minidl.geometry import Window
from minidl.kernels.choice import COMPUTING, refusal, within_precision
from minidl.runtime import get_num_threads

__all__ = ["benchmark_algorithms", "is_measuring", "measured", "recall_algorithms", "remembered_algorithms"]

_RUNS = 3
Key = tuple[str | int, ...]


class _Timing:
    wanted = False
    found: dict[Key, str] = {}


def benchmark_algorithms(enabled: bool = True) -> None:
    """Let `conv2d` choose its algorithms by measuring them at the first call for each shape, or no longer.

    The first call for a shape, a dtype and a number of threads, and the first backward pass, take several times as
    long. Choices are remembered for the process and saved in checkpoints. They are outside the promise of the same
    bits: two runs may choose differently. Layers that `Sequential` computes together are not affected.

    Parameters
    ----------
    enabled : bool
        Whether to measure from now on; False returns to the model of costs, and forgets what was measured.

    Raises
    ------
    ArgumentError
        If `enabled` is no bool.

    Examples
    --------
    >>> import minidl
    >>> minidl.benchmark_algorithms(True)
    >>> minidl.functional.conv2d(minidl.ones(2, 20, 9, 9), minidl.ones(24, 20, 3, 3)).shape
    (2, 24, 7, 7)
    >>> minidl.benchmark_algorithms(False)
    """
    check_flag("benchmark_algorithms", "enabled", enabled)
    _Timing.wanted = enabled
    if not enabled:
        _Timing.found = {}


def is_measuring() -> bool:
    """Whether algorithms are chosen by the clock."""
    return _Timing.wanted


def measured(
    direction: str, N: int, C: int, F: int, groups: int, window: Window, itemsize: int, precision: str,
    run: Callable[[str], Any],
) -> str:  # fmt: skip
    """The algorithm that was fastest when this was first asked for; "auto" where there is nothing to measure."""
    if N == 0:
        return "auto"
    key = (
        direction, N, C, F, groups, *window.input_size, *window.kernel_size, *window.stride, *window.padding,
        *window.dilation, *window.output_size, itemsize, _ext.instruction_set, get_num_threads(), precision,
    )  # fmt: skip
    if key not in _Timing.found:
        applying = [
            name
            for name in COMPUTING
            if refusal(name, C, F, groups, window, itemsize) is None
            and within_precision(name, direction, C, F, window, precision)
        ]
        _Timing.found[key] = min(applying, key=lambda name: _seconds(run, name))
    return _Timing.found[key]


def _seconds(run: Callable[[str], Any], name: str) -> float:
    run(name)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        run(name)
        times.append(time.perf_counter() - start)
    return min(times)


def remembered_algorithms() -> list[list[Any]]:
    """What was measured, as JSON holds it."""
    return [[list(key), name] for key, name in _Timing.found.items()]


def recall_algorithms(entries: Iterable[Any]) -> None:
    """Take over what `remembered_algorithms` gave, also in another process."""
    _Timing.found.update({tuple(key): name for key, name in entries if name in COMPUTING})
