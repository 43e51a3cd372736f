"""How work is shared: every kernel loops over `threads` slots and gives each a contiguous run of its items.

An item is cut by the shape of the problem alone and writes to memory of its own, so the bits of a result do not
depend on how many slots there are. Workspace is indexed by slot, never by OpenMP's thread number, which two Python
threads share.
"""


cdef inline Py_ssize_t slot_start(Py_ssize_t items, Py_ssize_t slot, Py_ssize_t slots) noexcept nogil:
    return items // slots * slot + min(slot, items % slots)
