"""Arrays whose memory is kept from step to step: results of kernels, and their workspace."""

from __future__ import annotations

from minidl._ext._memory import empty, held, new_array, workspace

__all__ = ["WORKSPACE_PER_THREAD", "empty_cache", "held_bytes", "new_array", "workspace"]

WORKSPACE_PER_THREAD = 8 * 1024**2


def held_bytes() -> int:
    """Give how much memory is kept for arrays to come."""
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
