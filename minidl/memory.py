"""Arrays whose memory is kept from step to step: results of kernels, and their workspace."""

from __future__ import annotations

import numpy as np

from minidl._ext._memory import Block, empty, held, new_array

__all__ = ["WORKSPACE_PER_THREAD", "empty_cache", "held_bytes", "new_array", "workspace"]

WORKSPACE_PER_THREAD = 8 * 1024**2


class workspace:
    """Lease `slots` rows of `elements` scratch values, each starting on a cache line of its own and ending with a gap.

    Use as ``with workspace(slots, elements, dtype) as rows:``; each lease has memory of its own, whichever Python
    thread it is in.
    """

    __slots__ = ("_dtype", "_elements", "_slots")

    def __init__(self, slots: int, elements: int, dtype: np.dtype) -> None:
        self._slots, self._elements, self._dtype = slots, elements, dtype

    def __enter__(self) -> np.ndarray:
        slots, elements, itemsize = self._slots, self._elements, self._dtype.itemsize
        line = 64 // itemsize
        row = (elements // line + 1) * line
        return np.ndarray((slots, row), self._dtype, Block(slots * row * itemsize, row * itemsize, elements * itemsize))

    def __exit__(self, *exc_info: object) -> None:
        """Nothing: the memory is free when the rows are."""


def held_bytes() -> int:
    """How much memory is kept for arrays to come."""
    return held()


def empty_cache() -> None:
    """Return the memory that minidl keeps from step to step to the system.

    At most 256 MiB are kept. Arrays and tensors that are in use stay as they are.

    Examples
    --------
    >>> import minidl
    >>> minidl.empty_cache()
    """
    empty()
