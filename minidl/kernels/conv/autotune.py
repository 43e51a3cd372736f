"""Algorithms chosen by the clock, for those who ask for it: remembered for each convolution that comes along.

A choice by the clock may differ from run to run, and with it the last bits of results. What was chosen goes into
checkpoints, so that at least a resumed run keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import _ext
from minidl.errors import ArgumentError, MinidlError, check_flag
from minidl.geometry import Padding, sliding_window
from minidl.kernels.conv.algorithm import Plan
from minidl.kernels.conv.problem import DIRECTIONS, ConvProblem
from minidl.kernels.conv.registry import ALGORITHMS, entries, supported
from minidl.runtime import get_num_threads, get_precision

__all__ = ["benchmark_algorithms", "is_measuring", "measured_plan", "recall_algorithms", "remembered_algorithms"]

_RUNS = 3
_DTYPES = {dtype.itemsize: dtype for dtype in (np.dtype(np.float32), np.dtype(np.float64))}
Key = tuple[str | int, ...]
# A key consists of these, in this order.
_KEY = (
    "direction", "N", "C", "F", "groups", "H", "W", "KH", "KW", "row stride", "column stride", "top", "bottom", "left",
    "right", "row dilation", "column dilation", "OH", "OW", "itemsize", "instruction set", "threads", "precision",
)  # fmt: skip


class _Timing:
    wanted = False
    found: dict[Key, str] = {}
    # Findings of a checkpoint. Each is looked at again when it is first used, with what it is used for.
    recalled: dict[Key, str] = {}


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
        _Timing.found, _Timing.recalled = {}, {}


def is_measuring() -> bool:
    """Whether algorithms are chosen by the clock."""
    return _Timing.wanted


def measured_plan(problem: ConvProblem, plan_for: Callable[[ConvProblem, str], Plan]) -> Plan:
    """The plan that is fastest, and was so when this was first asked for, of the plans that `plan_for` makes.

    Plans that are asked for are not run before they have arrays: the first call measures.
    """
    if problem.is_empty:
        return plan_for(problem, "auto")

    def compute(*arrays: Any) -> Any:
        # Read once: another thread may have them forgotten, or measure the same.
        found, key = _Timing.found, _key(problem)
        if key not in found:
            names = [entry.name for entry in supported(problem)]
            fastest = _Timing.recalled.pop(key, "")
            if not _computes(fastest, names):
                fastest = min(names, key=lambda name: _seconds(plan_for(problem, name), arrays))
            found.setdefault(key, fastest)
        return plan_for(problem, found[key])(*arrays)

    return compute


def _key(problem: ConvProblem) -> Key:
    window = problem.window
    return (
        problem.direction, problem.N, problem.C, problem.F, problem.groups, *window.input_size, *window.kernel_size,
        *window.stride, *window.padding, *window.dilation, *window.output_size, problem.itemsize, _ext.instruction_set,
        get_num_threads(), problem.precision,
    )  # fmt: skip


def _computes(name: str, names: list[str]) -> bool:
    """Whether a name that was recalled, of an entry or a family, stands for one of those that are supported."""
    return name in ALGORITHMS[1:] and any(entry.name in names for entry in entries(name))


def _seconds(plan: Plan, arrays: tuple[Any, ...]) -> float:
    plan(*arrays)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        plan(*arrays)
        times.append(time.perf_counter() - start)
    return min(times)


def remembered_algorithms() -> list[list[Any]]:
    """Measurements as JSON holds them."""
    # Copies, since another thread may add to them meanwhile.
    return [[list(key), name] for key, name in (_Timing.recalled.copy() | _Timing.found.copy()).items()]


def recall_algorithms(entries: Any) -> None:
    """Take over what `remembered_algorithms` gave, also in another process.

    An entry that this minidl would not have written is forgotten: one of an algorithm that is unknown, or that does not
    apply to its convolution. That convolution is measured anew.

    Raises
    ------
    ArgumentError
        If `entries` are no such thing; nothing is taken over then.
    """
    if not isinstance(entries, list):
        raise ArgumentError(f"recall_algorithms: entries must be a list, got {type(entries).__name__}")
    read = dict(_read(i, entry) for i, entry in enumerate(entries))
    taken = {key: name for key, name in read.items() if _applies(key, name)}
    _Timing.found = {key: name for key, name in _Timing.found.items() if key not in taken}
    _Timing.recalled.update(taken)


def _read(i: int, entry: Any) -> tuple[Key, str]:
    """Key and name of an entry, if they have the form that `measured` gives them."""
    kinds = (str, *[int] * (len(_KEY) - 4), str, int, str)
    if isinstance(entry, list | tuple) and entry and isinstance(entry[0], list) and len(entry[0]) == len(_KEY) - 1:
        # From before choices were kept apart by precision: it was the run's, which the resumed one has set by now.
        entry = [[*entry[0], get_precision()], *entry[1:]]
    if (
        isinstance(entry, list | tuple)
        and len(entry) == 2
        and isinstance(entry[0], list | tuple)
        and tuple(map(type, entry[0])) == kinds
        and all(value >= 0 for value in entry[0] if isinstance(value, int))
        and isinstance(entry[1], str)
    ):
        return tuple(entry[0]), entry[1]
    raise ArgumentError(
        f"recall_algorithms: entries[{i}] must be [[{', '.join(_KEY)}], algorithm], sizes of at least 0, got "
        f"{entry!r:.100}"
    )


def _applies(key: Key, name: str) -> bool:
    """Whether an algorithm computes the convolution that a key is of, by what is asked of a user's own choice."""
    fields: dict[str, Any] = dict(zip(_KEY, key, strict=True))
    C, F, groups, dtype = fields["C"], fields["F"], fields["groups"], _DTYPES.get(fields["itemsize"])
    if name not in ALGORITHMS[1:] or fields["direction"] not in DIRECTIONS or dtype is None:
        return False
    if fields["precision"] not in ("default", "fast"):
        return False
    if 0 in (fields["N"], C, F, groups) or C % groups or F % groups:
        return False
    try:
        window = sliding_window(
            "recall_algorithms",
            (fields["H"], fields["W"]),
            (fields["KH"], fields["KW"]),
            (fields["row stride"], fields["column stride"]),
            Padding(fields["top"], fields["bottom"], fields["left"], fields["right"]),
            (fields["row dilation"], fields["column dilation"]),
        )
    except MinidlError:
        return False
    # A transposed convolution's window may have room for further positions.
    has_room = window.output_size[0] >= fields["OH"] and window.output_size[1] >= fields["OW"]
    problem = ConvProblem(fields["direction"], fields["N"], C, F, groups, window, dtype, fields["precision"])
    return has_room and any(entry.why_unsupported(problem) is None for entry in entries(name))
