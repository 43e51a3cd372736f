"""Arrays whose memory is kept from step to step: results of kernels, and their workspace."""

from __future__ import annotations

from math import prod

import numpy as np

from minidl._ext._memory import Block, empty, held

# Smaller arrays come from NumPy, which is faster at them and keeps them too.
_SMALL_BYTES = 16 * 1024

WORKSPACE_PER_THREAD = 8 * 1024**2


def new_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array; the memory of a large one is used again when it has died."""
    count = prod(shape)
    size = count * dtype.itemsize
    if size < _SMALL_BYTES:
        return np.empty(shape, dtype)
    return np.frombuffer(Block(size), dtype, count).reshape(shape)


class workspace:
    """Lease `slots` rows of `elements` scratch values, each starting on a cache line of its own and ending with a gap.

    Use as ``with workspace(slots, elements, dtype) as rows:``; each lease has memory of its own, whichever Python
    thread it is in.
    """

    __slots__ = ("_dtype", "_elements", "_row", "_slots")

    def __init__(self, slots: int, elements: int, dtype: np.dtype) -> None:
        self._slots = slots
        self._elements = elements
        line = 64 // dtype.itemsize
        self._row = (elements // line + 1) * line
        self._dtype = dtype

    def __enter__(self) -> np.ndarray:
        count, itemsize = self._slots * self._row, self._dtype.itemsize
        block = Block(count * itemsize)
        block.forbid_gaps(self._row * itemsize, self._elements * itemsize)
        return np.frombuffer(block, self._dtype, count).reshape(self._slots, self._row)

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
