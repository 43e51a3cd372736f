"""Arguments that are no arrays: a reader for each kind, which refuses by name whatever else comes.

Each takes the operation and the argument's name for its message, and returns the value as the plain Python value that
the rest of minidl computes with. `check_flag` of `minidl.errors`, `to_dtype` of `minidl.dtypes` and what `geometry`
says of windows are others of their kind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np

from minidl.errors import ArgumentError, DTypeError, OutOfMemoryError

_LARGEST_INT64 = 2**63 - 1
_LARGEST_FLOAT = float(np.finfo(np.float64).max)
# Requests below this many bytes are not compared with what there is.
_SMALL_REQUEST = 2**28


def is_int(value: Any) -> bool:
    """Whether a value is an int of Python's or NumPy's; booleans are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def read_int(op: str, name: str, value: Any, low: int = -_LARGEST_INT64 - 1, high: int = _LARGEST_INT64) -> int:
    """An int from `low` to `high`, of 64 bits by default."""
    if not is_int(value) or not low <= value <= high:
        if high < _LARGEST_INT64:
            limits = f" from {low} to {high}"
        elif low >= -1:
            limits = f" of at least {low}"
        else:
            limits = ""
        if is_int(value) and abs(int(value)) > _LARGEST_INT64:
            limits += " that 64 bits hold"
        raise ArgumentError(f"{op}: {name} must be an int{limits}, got {value!r}")
    return int(value)


def read_number(op: str, name: str, value: Any, dtype: np.dtype = np.dtype(np.float64)) -> float:  # noqa: B008
    """A number that `dtype` holds as a Python float, which leaves the dtype of what it meets alone."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ArgumentError(f"{op}: {name} must be a number, got {value!r}")
    if float(np.finfo(dtype).max) < abs(_plain(value)) < inf:
        raise ArgumentError(f"{op}: {name} must be a number that {dtype} holds, got {value!r}")
    return float(value)


def is_finite_number(value: Any) -> bool:
    """Whether a value is a real number that a float holds, and neither infinite nor NaN; booleans are none."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_number and -_LARGEST_FLOAT <= _plain(value) <= _LARGEST_FLOAT


def _plain(value: Any) -> int | float:
    # Python compares ints of any size with floats, but NumPy makes the other number one of its own.
    return int(value) if isinstance(value, int | np.integer) else float(value)


def check_choice(op: str, name: str, value: Any, choices: Iterable[Any]) -> None:
    """Refuse an option that is none of the choices, which are words or ints."""
    # Arrays are compared element by element, and True equals 1.
    if not isinstance(value, str | int) or isinstance(value, bool) or value not in choices:
        raise ArgumentError(f"{op}: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_callable(op: str, name: str, value: Any) -> Callable[..., Any]:
    """Refuse what can't be called."""
    if not callable(value):
        raise DTypeError(f"{op}: {name} must be callable, got {type(value).__name__}")
    return value


def check_generator(op: str, value: Any) -> np.random.Generator | None:
    """Refuse what is neither None nor one of NumPy's newer generators."""
    if value is not None and not isinstance(value, np.random.Generator):
        raise DTypeError(f"{op}: generator must be a numpy.random.Generator, got {type(value).__name__}")
    return value


# PyTorch calls devices by these words, which are told from dtypes by them.
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu|xla|meta|vulkan|hip|ipu|mtia|privateuseone|gpu|tpu)(:\d+)?")


def is_device(value: Any) -> bool:
    """Whether a value is a device's name, or PyTorch's object for one."""
    return bool(_DEVICE.fullmatch(value if isinstance(value, str) else f"{getattr(value, 'type', '')}"))


def check_device(op: str, value: Any) -> None:
    """Refuse all devices but the CPU; None is no device."""
    if value is not None and not (is_device(value) and str(getattr(value, "type", value)).startswith("cpu")):
        shown = repr(value) if isinstance(value, str) or not is_device(value) else repr(str(value))
        raise ArgumentError(f"{op}: device must be 'cpu', got {shown}: minidl computes on the CPU and nowhere else")


def read_list(op: str, name: str, value: Any, what: str) -> list[Any]:
    """Anything that can be iterated over as a list; `what` says what it is to hold."""
    try:
        return list(value)
    except TypeError:
        raise DTypeError(f"{op}: {name} must be {what}, got {type(value).__name__}") from None


def _memory_limits() -> list[int]:
    """Find what bounds the memory of this process, in bytes: the machine, its control group, and its own limit."""
    limits = []
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        pass
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):
            pass
    try:
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    except (ImportError, OSError):
        pass
    return [limit for limit in limits if limit > 0]


def check_room(op: str, shape: Iterable[int], itemsize: int = 4) -> None:
    """Refuse an array whose size an argument sets, and which takes more memory than there can be.

    A size that is far off is a mistake of the caller's, who is told which operation it went to. (An array that might
    fit and does not is a MemoryError, as everywhere.)
    """
    # Sizes of 0 make nothing of the others, but NumPy counts these in 64 bits too.
    size = prod(max(int(n), 1) for n in shape) * itemsize
    if size >= _SMALL_REQUEST:
        limit = min(_memory_limits(), default=2**62)
        if size > min(limit, 2**62):
            gigabytes = f"{size / 2**30:,.1f} GiB; this process has {limit / 2**30:,.1f}"
            raise OutOfMemoryError(f"{op}: a result of shape {tuple(shape)} takes {gigabytes}")
