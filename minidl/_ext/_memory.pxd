"""Memory that is kept when it is not used any more, for kernels that lease their scratch themselves."""


cdef class Block:
    cdef void* memory
    cdef Py_ssize_t size
    cdef Py_ssize_t rounded
    cdef Py_ssize_t chain


cdef inline Py_ssize_t row_step(Py_ssize_t elements, Py_ssize_t itemsize) noexcept nogil:
    """From one row to the next: each starts on a cache line of its own, and ends with a gap."""
    cdef Py_ssize_t line = 64 // itemsize
    return (elements // line + 1) * line


cdef inline Block rows_of(Py_ssize_t slots, Py_ssize_t elements, Py_ssize_t itemsize, Py_ssize_t* row):
    """Scratch as `minidl.memory.workspace` gives it; `row` becomes the step between its rows."""
    row[0] = row_step(elements, itemsize)
    return Block(slots * row[0] * itemsize, row[0] * itemsize, elements * itemsize)
