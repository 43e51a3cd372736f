"""Sharing of work: every kernel loops over `threads` slots and gives each a contiguous run of its items.

An item is cut by the shape of the problem alone and writes to memory of its own, so the bits of a result do not
depend on how many slots there are. Workspace is indexed by slot, never by a thread's number, which two Python threads
share. A prange has no barrier at its end, so one that reads what the prange before it wrote calls `team_barrier` first.
"""

cdef extern from "threads.h" nogil:
    void team_barrier "minidl_team_barrier"()


cdef inline Py_ssize_t slot_start(Py_ssize_t items, Py_ssize_t slot, Py_ssize_t slots) noexcept nogil:
    """The first item of a slot; slots with an item more than others are spread out, so that half of them have half."""
    return items * slot // slots
